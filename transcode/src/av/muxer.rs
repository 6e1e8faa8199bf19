//! One MPEG-TS segment, into memory.

use super::{AvError, failed, raw};
use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec;
use ffmpeg_next::format::context;
use ffmpeg_next::{Dictionary, packet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Which elementary stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Video,
    Audio,
}

/// libavformat's `mpegts`, one for one segment: nothing of it is known to the next, so a segment's bytes are a function
/// of its units alone.
pub(crate) struct Muxer {
    output: context::Output,
    sink: Sink,
    video: Option<usize>,
    audio: Option<usize>,
    /// The last decode time of each stream: libavformat refuses one that does not grow.
    last: [i64; 2],
}

impl Muxer {
    pub(crate) fn open(has_video: bool, has_audio: bool) -> Result<Self, AvError> {
        let failed = failed("the MPEG-TS muxer does not open");
        let sink = Sink::default();
        let io = context::StreamIo::from_write(sink.clone()).map_err(&failed)?;
        let mut output = ffmpeg::format::output_to_stream(io, None, Some("mpegts")).map_err(&failed)?;
        let mut add = |medium, id| {
            let mut parameters = codec::Parameters::new();
            parameters.set_medium(medium);
            parameters.set_id(id);
            if id == codec::Id::AAC {
                // Any rate will do: MPEG-TS does not carry it, the ADTS headers do.
                raw::set_sample_rate(&mut parameters, 48_000);
            }
            let mut stream = output.add_stream(id).map_err(&failed)?;
            stream.set_parameters(parameters);
            Ok::<_, AvError>(stream.index())
        };
        let video = if has_video { Some(add(ffmpeg::media::Type::Video, codec::Id::H264)?) } else { None };
        let audio = if has_audio { Some(add(ffmpeg::media::Type::Audio, codec::Id::AAC)?) } else { None };
        let options: Dictionary<'_> = [
            // Without it a player counts four continuity errors at every cut: counters begin at 0 each time.
            ("mpegts_flags", "+initial_discontinuity"),
            // Time stamps as given, modulo 2^33, instead of moved by the delay below.
            ("mpegts_copyts", "1"),
            // PCR runs half a second ahead of decoding; up to 1/8 s of audio shares a PES packet.
            ("max_delay", "250000"),
            // PAT, PMT and SDT at the start and never again: a segment is fetched whole.
            ("pat_period", "3600"),
            ("sdt_period", "3600"),
            ("flush_packets", "1"),
            ("fflags", "+bitexact"),
        ]
        .into_iter()
        .collect();
        output.write_header_with(options).map_err(&failed)?;
        Ok(Self { output, sink, video, audio, last: [i64::MIN; 2] })
    }

    /// Writes one unit: Annex B, or AAC with its ADTS header. Times are ticks; a decode time that does not grow is
    /// moved to where it does.
    pub(crate) fn write(
        &mut self,
        stream: Stream,
        presentation: i64,
        decode: i64,
        is_sync: bool,
        bytes: &[u8],
    ) -> Result<(), AvError> {
        let (index, last) = match stream {
            Stream::Video => (self.video, &mut self.last[0]),
            Stream::Audio => (self.audio, &mut self.last[1]),
        };
        let Some(index) = index else { return Ok(()) };
        let decode = decode.max(last.saturating_add(1));
        *last = decode;
        let mut packet = ffmpeg::Packet::copy(bytes);
        packet.set_stream(index);
        packet.set_dts(Some(decode));
        packet.set_pts(Some(presentation.max(decode)));
        if is_sync {
            packet.set_flags(packet::Flags::KEY);
        }
        packet.write(&mut self.output).map_err(failed("the MPEG-TS muxer does not take a unit"))?;
        Ok(())
    }

    /// How many whole TS packets' bytes are ready.
    pub(crate) fn ready(&self) -> usize {
        self.sink.lock().len()
    }

    /// Takes what is ready.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.sink.lock())
    }

    /// Ends the segment; the last of its bytes.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, AvError> {
        self.output.write_trailer().map_err(failed("the MPEG-TS muxer does not end"))?;
        Ok(self.take())
    }
}

/// Where libavformat writes to. It wants something of its own, so both ends hold the buffer; both are on one thread.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
