//! One elementary stream: PES headers (2.4.3.6) and the kind of its first coded unit.

use crate::FaultKind;
use crate::limits::FIRST_UNIT_BYTES;
use crate::summary::{Codec, TrackSummary};

const WRAP: u64 = 1 << 33;
/// The fixed part of a PES header and both time stamps.
const HEADER_BYTES: usize = 19;

/// Follows one elementary stream.
#[derive(Debug)]
pub(crate) struct Elementary {
    track: TrackSummary,
    /// The beginning of the PES packet under way, as much of it as is still of use.
    unit: Vec<u8>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Before the first unit start.
    Outside,
    /// The header is not whole yet.
    Header,
    /// The first unit's payload is looked through; it begins so many bytes into `unit`.
    First(usize),
    /// The rest of the unit is of no interest.
    Passing,
}

impl Elementary {
    pub(crate) fn new(pid: u16, stream_type: u8) -> Self {
        let track = TrackSummary {
            pid,
            stream_type,
            codec: Codec::of_stream_type(stream_type),
            codecs_word: None,
            units: 0,
            first_pts: None,
            first_dts: None,
            last_dts: None,
            earliest_pts: None,
            latest_pts: None,
            starts_with_sync: None,
            first_counter: None,
            last_counter: None,
            begins_discontinuous: false,
        };
        Self { track, unit: Vec::new(), stage: Stage::Outside }
    }

    pub(crate) fn stream_type(&self) -> u8 {
        self.track.stream_type
    }

    /// Takes a packet's payload.
    pub(crate) fn push(&mut self, payload: &[u8], is_unit_start: bool) -> Result<(), FaultKind> {
        let mut fault = Ok(());
        if is_unit_start {
            fault = self.close();
            self.stage = Stage::Header;
            self.unit.clear();
            self.track.units += 1;
        }
        match self.stage {
            Stage::Outside | Stage::Passing => {}
            Stage::Header => {
                let room = if self.track.units == 1 { FIRST_UNIT_BYTES } else { HEADER_BYTES };
                self.keep(payload, room);
                if self.unit.len() >= HEADER_BYTES {
                    let read = self.read_header();
                    fault = fault.and(read);
                    self.look(false);
                }
            }
            Stage::First(_) => {
                self.keep(payload, FIRST_UNIT_BYTES);
                self.look(false);
            }
        }
        fault
    }

    /// Notes a packet's counter.
    pub(crate) fn count(&mut self, counter: u8, is_discontinuous: bool) {
        if self.track.first_counter.is_none() {
            self.track.first_counter = Some(counter);
            self.track.begins_discontinuous = is_discontinuous;
        }
        self.track.last_counter = Some(counter);
    }

    pub(crate) fn finish(mut self) -> (TrackSummary, Result<(), FaultKind>) {
        let fault = self.close();
        (self.track, fault)
    }

    fn keep(&mut self, payload: &[u8], room: usize) {
        let take = payload.len().min(room.saturating_sub(self.unit.len()));
        self.unit.extend_from_slice(&payload[..take]);
    }

    /// The unit under way has ended: what is there is all there will be of it.
    fn close(&mut self) -> Result<(), FaultKind> {
        let fault = if self.stage == Stage::Header { self.read_header() } else { Ok(()) };
        self.look(true);
        self.stage = Stage::Passing;
        fault
    }

    fn read_header(&mut self) -> Result<(), FaultKind> {
        self.stage = Stage::Passing;
        let pid = self.track.pid;
        let pes = |why| FaultKind::Pes { pid, why };
        let [0, 0, 1, _, _, _, marker, flags, header_bytes, ..] = self.unit[..] else {
            return Err(pes("no start code, or too short"));
        };
        if marker & 0xc0 != 0x80 {
            return Err(pes("not an MPEG-2 header"));
        }
        let pts = match flags >> 6 {
            0 => None,
            1 => return Err(pes("a DTS without a PTS")),
            _ => Some(self.time_stamp(9).ok_or_else(|| pes("its PTS is cut short or unmarked"))?),
        };
        let dts = match flags >> 6 {
            3 => Some(self.time_stamp(14).ok_or_else(|| pes("its DTS is cut short or unmarked"))?),
            _ => pts,
        };
        if self.track.units == 1 {
            self.stage = Stage::First(9 + usize::from(header_bytes));
        }
        match (pts, dts) {
            (Some(pts), Some(dts)) => self.note(pts, dts),
            _ => Ok(()),
        }
    }

    fn time_stamp(&self, at: usize) -> Option<u64> {
        let bytes = self.unit.get(at..at + 5)?;
        let is_marked = bytes[0] & bytes[2] & bytes[4] & 1 == 1;
        let [a, b, c, d, e] = [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]].map(u64::from);
        is_marked.then_some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
    }

    fn note(&mut self, pts: u64, dts: u64) -> Result<(), FaultKind> {
        let track = &mut self.track;
        track.first_pts.get_or_insert(pts);
        track.first_dts.get_or_insert(dts);
        if track.earliest_pts.is_none_or(|earliest| is_before(pts, earliest)) {
            track.earliest_pts = Some(pts);
        }
        if track.latest_pts.is_none_or(|latest| is_before(latest, pts)) {
            track.latest_pts = Some(pts);
        }
        match track.last_dts.replace(dts) {
            Some(last) if is_before(dts, last) => {
                Err(FaultKind::Backwards { pid: track.pid, last, found: dts })
            }
            _ => Ok(()),
        }
    }

    /// Looks through the first unit for what it starts with, as far as it is there.
    fn look(&mut self, is_whole: bool) {
        let Stage::First(from) = self.stage else { return };
        let payload = self.unit.get(from..).unwrap_or_default();
        let is_done = match self.track.codec {
            Codec::H264 | Codec::H265 => look_at_nal_units(payload, is_whole, &mut self.track),
            Codec::Aac => look_at_adts(payload, &mut self.track),
            _ => true,
        };
        if is_done || is_whole || self.unit.len() >= FIRST_UNIT_BYTES {
            self.stage = Stage::Passing;
            self.unit = Vec::new();
        }
    }
}

/// True once the first coded slice has been seen. A NAL unit's first bytes say all that is asked of it.
fn look_at_nal_units(payload: &[u8], is_whole: bool, track: &mut TrackSummary) -> bool {
    let mut at = 0;
    while let Some(code) = payload[at..].windows(3).position(|window| window == [0, 0, 1]) {
        at += code + 3;
        let Some(&header) = payload.get(at) else { return false };
        if track.codec == Codec::H265 {
            let kind = header >> 1 & 0x3f;
            if kind < 32 {
                track.starts_with_sync = Some((16..=21).contains(&kind));
                return true;
            }
            continue;
        }
        match header & 0x1f {
            5 => track.starts_with_sync = Some(true),
            1..=4 => track.starts_with_sync = Some(false),
            7 => {
                let Some(sps) = payload.get(at + 1..at + 4) else { return is_whole };
                let word = format!("avc1.{:02x}{:02x}{:02x}", sps[0], sps[1], sps[2]);
                track.codecs_word.get_or_insert(word);
                continue;
            }
            _ => continue,
        }
        return true;
    }
    false
}

fn look_at_adts(payload: &[u8], track: &mut TrackSummary) -> bool {
    let [0xff, second, third, ..] = *payload else { return payload.len() >= 3 };
    if second & 0xf6 == 0xf0 {
        track.codecs_word = Some(format!("mp4a.40.{}", (third >> 6) + 1));
    }
    true
}

/// On a clock of 33 bits, whichever way round is shorter.
fn is_before(a: u64, b: u64) -> bool {
    let ahead = b.wrapping_sub(a) & (WRAP - 1);
    ahead != 0 && ahead < WRAP / 2
}
