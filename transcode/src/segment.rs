//! The segments of one rung while they are made: units in, TS packets out.
//!
//! Lives here: in which order pictures and sound are written, when a segment is reported. Does not live here: where
//! the units come from (`rung`), where the cuts fall (`cutter`).
//!
//! Units are written by decode time, pictures first; a unit waits until the other track has one too, or has ended in
//! that segment. So the bytes do not depend on which track happened to arrive first.

use crate::av::{AvError, Muxer, Stream};
use crate::outbox::Outbox;
use bytes::Bytes;
use ladder::Report;
use media::{MediaSequence, MediaSpan, MediaTime, RenditionId, Track};
use std::collections::VecDeque;

/// Bytes are reported when there are this many, …
const REPORT_BYTES: usize = 16 << 10;
/// … or when this much media was written since: a part's worth of delay is no use to anybody.
const REPORT_SPAN: i64 = 9_000;

/// The most segments of one rung that have begun and are not over: the one that is written, those the faster track has
/// run into within its skew, and one to spare. At the bound the oldest is ended as it is.
const MAX_OPEN: usize = 8;

/// One unit as it is written; times in ticks since the epoch.
pub(crate) struct Coded {
    pub(crate) presentation: i64,
    pub(crate) decode: i64,
    pub(crate) is_sync: bool,
    pub(crate) bytes: Bytes,
}

/// See the module's head.
pub(crate) struct Segments {
    rendition: RenditionId,
    has_video: bool,
    has_audio: bool,
    open: VecDeque<Segment>,
    out: Outbox,
}

struct Segment {
    sequence: MediaSequence,
    start: Option<MediaTime>,
    video: Lane,
    audio: Lane,
    duration: Option<MediaSpan>,
    fate: Fate,
    muxer: Option<Muxer>,
    reported: i64,
}

#[derive(Default)]
struct Lane {
    units: VecDeque<Coded>,
    has_ended: bool,
}

/// What becomes of a segment.
enum Fate {
    Made,
    Skipped { why: String },
}

impl Segments {
    pub(crate) fn new(rendition: RenditionId, has_video: bool, has_audio: bool, out: Outbox) -> Self {
        Self { rendition, has_video, has_audio, open: VecDeque::new(), out }
    }

    /// A segment begins.
    pub(crate) fn begin(&mut self, sequence: MediaSequence, start: MediaTime) -> Result<(), AvError> {
        if let Some(segment) = self.segment(sequence) {
            segment.start = Some(start);
        }
        self.advance()
    }

    /// A segment begins that is left out.
    pub(crate) fn skip(
        &mut self,
        sequence: MediaSequence,
        start: MediaTime,
        why: &str,
    ) -> Result<(), AvError> {
        if let Some(segment) = self.segment(sequence) {
            segment.fate = Fate::Skipped { why: why.to_owned() };
        }
        self.begin(sequence, start)
    }

    /// A unit of that segment.
    pub(crate) fn push(&mut self, sequence: MediaSequence, track: Track, unit: Coded) -> Result<(), AvError> {
        if let Some(segment) = self.segment(sequence) {
            segment.lane(track).units.push_back(unit);
        }
        self.advance()
    }

    /// No more of that track in that segment, nor in any before it.
    pub(crate) fn end(
        &mut self,
        sequence: MediaSequence,
        track: Track,
        duration: Option<MediaSpan>,
    ) -> Result<(), AvError> {
        // An end without a beginning is of a segment this rung has no part in.
        for segment in self.open.iter_mut().filter(|segment| segment.sequence <= sequence) {
            segment.lane(track).has_ended = true;
            if segment.sequence == sequence && duration.is_some() {
                segment.duration = duration;
            }
        }
        self.advance()
    }

    fn segment(&mut self, sequence: MediaSequence) -> Option<&mut Segment> {
        let at = self.open.partition_point(|segment| segment.sequence < sequence);
        if self.open.get(at).is_none_or(|segment| segment.sequence != sequence) {
            let lane = |is_used: bool| Lane { units: VecDeque::new(), has_ended: !is_used };
            let segment = Segment {
                sequence,
                start: None,
                video: lane(self.has_video),
                audio: lane(self.has_audio),
                duration: None,
                fate: Fate::Made,
                muxer: None,
                reported: i64::MIN,
            };
            self.open.insert(at, segment);
        }
        self.open.get_mut(at)
    }

    /// Writes what can be written, and closes what is over.
    fn advance(&mut self) -> Result<(), AvError> {
        if self.open.len() > MAX_OPEN
            && let Some(oldest) = self.open.front_mut()
        {
            (oldest.video.has_ended, oldest.audio.has_ended) = (true, true);
        }
        while let Some(segment) = self.open.front_mut() {
            if segment.start.is_some() {
                segment.write(&self.rendition, self.has_video, self.has_audio, &self.out)?;
            }
            if !segment.is_over() {
                return Ok(());
            }
            let Some(segment) = self.open.pop_front() else { return Ok(()) };
            segment.close(&self.rendition, &self.out)?;
        }
        Ok(())
    }
}

impl Segment {
    fn lane(&mut self, track: Track) -> &mut Lane {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }

    fn is_over(&self) -> bool {
        let is_over = |lane: &Lane| lane.has_ended && lane.units.is_empty();
        is_over(&self.video) && is_over(&self.audio)
    }

    /// Takes the next unit there is no reason to wait with.
    fn next(&mut self) -> Option<(Stream, Coded)> {
        let (video, audio) = (self.video.units.front(), self.audio.units.front());
        let is_video = match (video, audio) {
            (Some(video), Some(audio)) => video.decode <= audio.decode,
            (Some(_), None) if self.audio.has_ended => true,
            (None, Some(_)) if self.video.has_ended => false,
            _ => return None,
        };
        match is_video {
            true => Some((Stream::Video, self.video.units.pop_front()?)),
            false => Some((Stream::Audio, self.audio.units.pop_front()?)),
        }
    }

    fn write(
        &mut self,
        rendition: &RenditionId,
        has_video: bool,
        has_audio: bool,
        out: &Outbox,
    ) -> Result<(), AvError> {
        if let Fate::Skipped { .. } = self.fate {
            self.video.units.clear();
            self.audio.units.clear();
            return Ok(());
        }
        while let Some((stream, unit)) = self.next() {
            let muxer = match &mut self.muxer {
                Some(muxer) => muxer,
                None => {
                    let (sequence, start) = (self.sequence, self.start.unwrap_or_default());
                    out.send(&Report::Open { rendition: rendition.clone(), sequence, start });
                    self.muxer.insert(Muxer::open(has_video, has_audio)?)
                }
            };
            muxer.write(stream, unit.presentation, unit.decode, unit.is_sync, &unit.bytes)?;
            let ready = muxer.ready();
            if ready >= REPORT_BYTES
                || (ready > 0 && unit.decode.saturating_sub(self.reported) >= REPORT_SPAN)
            {
                self.reported = unit.decode;
                let (rendition, sequence) = (rendition.clone(), self.sequence);
                out.send(&Report::Bytes { rendition, sequence, bytes: muxer.take().into() });
            }
        }
        Ok(())
    }

    fn close(self, rendition: &RenditionId, out: &Outbox) -> Result<(), AvError> {
        let (rendition, sequence) = (rendition.clone(), self.sequence);
        let (Some(start), Some(duration)) = (self.start, self.duration) else { return Ok(()) };
        let why = match (self.fate, self.muxer) {
            (Fate::Made, Some(muxer)) => {
                let bytes = Bytes::from(muxer.finish()?);
                if !bytes.is_empty() {
                    out.send(&Report::Bytes { rendition: rendition.clone(), sequence, bytes });
                }
                out.send(&Report::Close { rendition, sequence, duration });
                return Ok(());
            }
            (Fate::Made, None) => "nothing came to be written into it".to_owned(),
            (Fate::Skipped { why }, _) => why,
        };
        out.send(&Report::Skip { rendition, sequence, start, duration, why });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ladder::{ReportReader, Shed};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn sound(at: i64) -> Coded {
        // An ADTS header of 48 kHz stereo and 9 bytes of nothing.
        let mut bytes = vec![0xff, 0xf1, 0x4c, 0x80, 0x02, 0x1f, 0xfc];
        bytes.extend([0; 9]);
        Coded { presentation: at, decode: at, is_sync: true, bytes: bytes.into() }
    }

    fn picture(at: i64) -> Coded {
        let bytes = Bytes::from_static(&[0, 0, 0, 1, 0x67, 0x64, 0, 0x0c, 0, 0, 0, 1, 0x65, 0x88]);
        Coded { presentation: at, decode: at, is_sync: true, bytes }
    }

    /// Feeds one segment with a picture and two sounds in that order of arrival, and gives back its bytes.
    fn bytes_of(order: &[(Track, i64)]) -> (Vec<u8>, Vec<Report>) {
        let pipe = Pipe::default();
        let (out, writing) = Outbox::start(pipe.clone()).unwrap();
        let id = RenditionId::parse("r").unwrap();
        let one = MediaSequence(1);
        let mut segments = Segments::new(id, true, true, out);
        segments.begin(one, MediaTime::from_ticks(180_000)).unwrap();
        for (track, at) in order {
            let unit = if *track == Track::Video { picture(*at) } else { sound(*at) };
            segments.push(one, *track, unit).unwrap();
        }
        segments.end(one, Track::Audio, None).unwrap();
        segments.end(one, Track::Video, Some(MediaSpan::from_secs(2))).unwrap();
        drop(segments);
        writing.finish();
        let mut reader = ReportReader::new();
        reader.push(&pipe.0.lock().unwrap());
        let reports: Vec<Report> = std::iter::from_fn(|| reader.pull().unwrap()).collect();
        let bytes = reports.iter().filter_map(|report| match report {
            Report::Bytes { bytes, .. } => Some(bytes.to_vec()),
            _ => None,
        });
        (bytes.flatten().collect(), reports)
    }

    #[test]
    fn the_order_of_arrival_does_not_change_a_byte() {
        let (video, audio) = (Track::Video, Track::Audio);
        let early = bytes_of(&[(audio, 180_000), (audio, 181_920), (video, 180_000), (video, 183_000)]);
        let late = bytes_of(&[(video, 180_000), (video, 183_000), (audio, 180_000), (audio, 181_920)]);
        assert_eq!(early.0, late.0);
        assert!(!early.0.is_empty() && early.0.len().is_multiple_of(188));
        assert!(matches!(early.1.first(), Some(Report::Open { .. })));
        assert!(matches!(early.1.last(), Some(Report::Close { .. })));
    }

    #[test]
    fn a_skipped_segment_says_why_and_has_no_bytes() {
        let pipe = Pipe::default();
        let (out, writing) = Outbox::start(pipe.clone()).unwrap();
        let one = MediaSequence(1);
        let mut segments = Segments::new(RenditionId::parse("r").unwrap(), true, false, out);
        segments.skip(one, MediaTime::default(), &format!("{:?}", Shed::TopRung)).unwrap();
        segments.push(one, Track::Video, picture(0)).unwrap();
        segments.end(one, Track::Video, Some(MediaSpan::from_secs(2))).unwrap();
        drop(segments);
        writing.finish();
        let mut reader = ReportReader::new();
        reader.push(&pipe.0.lock().unwrap());
        assert!(matches!(reader.pull(), Ok(Some(Report::Skip { why, .. })) if why == "TopRung"));
        assert_eq!(reader.pull(), Ok(None));
    }
}
