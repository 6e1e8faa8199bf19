//! Stories of one small transport stream, written by hand.

use crate::section::crc32;
use crate::{Codec, FaultKind, PACKET_BYTES, Reader, limits};
use proptest::prelude::*;

const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;
const MAP: u16 = 0x1000;

/// Writes packets; the counters count by themselves.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    counters: std::collections::BTreeMap<u16, u8>,
}

impl Writer {
    fn packet(&mut self, pid: u16, is_unit_start: bool, is_discontinuous: bool, payload: &[u8]) {
        let counter = self.counters.entry(pid).or_insert(0);
        let stuffing = PACKET_BYTES - 4 - payload.len();
        let control = if stuffing > 0 || is_discontinuous { 0x30 } else { 0x10 };
        let from = self.bytes.len();
        self.bytes.extend([
            0x47,
            u8::from(is_unit_start) << 6 | (pid >> 8) as u8,
            pid as u8,
            control | *counter,
        ]);
        if control == 0x30 {
            self.bytes.push((stuffing - 1) as u8);
            if stuffing > 1 {
                self.bytes.push(u8::from(is_discontinuous) << 7);
                self.bytes.resize(from + PACKET_BYTES - payload.len(), 0xff);
            }
        }
        self.bytes.extend_from_slice(payload);
        *counter = (*counter + 1) & 0x0f;
        assert_eq!(self.bytes.len() - from, PACKET_BYTES);
    }

    fn section(&mut self, pid: u16, mut section: Vec<u8>) {
        let len = section.len() - 3 + 4;
        section[1] = 0xb0 | (len >> 8) as u8;
        section[2] = len as u8;
        section.extend(crc32(&section).to_be_bytes());
        section.insert(0, 0);
        section.resize(PACKET_BYTES - 4, 0xff);
        self.packet(pid, true, false, &section);
    }

    fn tables(&mut self, streams: &[(u16, u8)]) {
        self.section(0, vec![0, 0, 0, 0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | (MAP >> 8) as u8, MAP as u8]);
        let mut map = vec![2, 0, 0, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0];
        for (pid, kind) in streams {
            map.extend([*kind, 0xe0 | (pid >> 8) as u8, *pid as u8, 0xf0, 0]);
        }
        self.section(MAP, map);
    }

    /// A PES packet with both time stamps, cut over as many packets as it takes.
    fn unit(&mut self, pid: u16, pts: u64, dts: u64, payload: &[u8]) {
        let stamp = |mark: u8, time: u64| {
            let byte = |shift: u32| (time >> shift) as u8;
            [mark << 4 | byte(29) & 0x0e | 1, byte(22), byte(14) | 1, byte(7), byte(0) << 1 | 1]
        };
        let mut pes = vec![0, 0, 1, 0xe0, 0, 0, 0x80, 0xc0, 10];
        pes.extend(stamp(3, pts));
        pes.extend(stamp(1, dts));
        pes.extend_from_slice(payload);
        let mut is_first = true;
        for piece in pes.chunks(PACKET_BYTES - 4) {
            self.packet(pid, is_first, false, piece);
            is_first = false;
        }
    }
}

const SPS: [u8; 8] = [0, 0, 0, 1, 0x67, 0x64, 0, 0x1f];

fn slice(kind: u8) -> Vec<u8> {
    let mut unit = vec![0, 0, 0, 1, 9, 0xf0];
    if kind == 5 {
        unit.extend(SPS);
    }
    unit.extend([0, 0, 1, kind | 0x60]);
    unit.extend([0x88; 400]);
    unit
}

/// Two pictures and two sounds, the first picture an IDR.
fn small() -> Writer {
    let mut writer = Writer::default();
    writer.tables(&[(VIDEO, 0x1b), (AUDIO, 0x0f)]);
    writer.unit(VIDEO, 9000, 6000, &slice(5));
    writer.unit(AUDIO, 9000, 9000, &[0xff, 0xf1, 0x4c, 0x80, 0, 0, 0]);
    writer.unit(VIDEO, 12_000, 9000, &slice(1));
    writer.unit(AUDIO, 10_920, 10_920, &[0xff, 0xf1, 0x4c, 0x80, 0, 0, 0]);
    writer
}

#[test]
fn a_sound_stream_says_what_it_is() {
    let summary = Reader::read(&small().bytes);
    assert_eq!(summary.faults, []);
    assert_eq!((summary.programs, summary.has_tables_first), (1, true));
    let video = summary.video().unwrap();
    assert_eq!((video.codec, video.codecs_word.as_deref()), (Codec::H264, Some("avc1.64001f")));
    assert_eq!((video.first_pts, video.first_dts), (Some(9000), Some(6000)));
    assert_eq!((video.latest_pts, video.last_dts, video.units), (Some(12_000), Some(9000), 2));
    assert_eq!((video.starts_with_sync, video.unit_ticks()), (Some(true), Some(3000)));
    let audio = summary.audio().unwrap();
    assert_eq!((audio.codecs_word.as_deref(), audio.span_ticks()), (Some("mp4a.40.2"), Some(1920)));
}

#[test]
fn pieces_of_any_size_read_the_same() {
    let bytes = small().bytes;
    let whole = Reader::read(&bytes);
    for size in [1, 7, 187, 188, 189, 500] {
        let mut reader = Reader::new();
        bytes.chunks(size).for_each(|piece| reader.push(piece));
        assert_eq!(reader.finish(), whole, "in pieces of {size}");
    }
}

#[test]
fn a_segment_that_starts_inside_a_picture_group_is_found_out() {
    let mut writer = Writer::default();
    writer.tables(&[(VIDEO, 0x1b)]);
    writer.unit(VIDEO, 9000, 9000, &slice(1));
    assert_eq!(Reader::read(&writer.bytes).video().unwrap().starts_with_sync, Some(false));
}

#[test]
fn a_lost_packet_is_a_continuity_fault_and_a_told_one_is_not() {
    let mut writer = small();
    writer.counters.insert(VIDEO, 9);
    writer.unit(VIDEO, 15_000, 12_000, &slice(1));
    let faults = Reader::read(&writer.bytes).faults;
    assert!(matches!(
        faults[..],
        [crate::Fault { kind: FaultKind::Continuity { pid: VIDEO, found: 9, .. }, .. }]
    ));

    let mut writer = small();
    writer.counters.insert(VIDEO, 9);
    writer.packet(VIDEO, false, true, &[0; 20]);
    assert_eq!(Reader::read(&writer.bytes).faults, []);
}

#[test]
fn the_same_packet_may_come_twice_but_not_three_times() {
    let bytes = small().bytes;
    let last = bytes[bytes.len() - PACKET_BYTES..].to_vec();
    let twice = [bytes.clone(), last.clone()].concat();
    assert_eq!(Reader::read(&twice).faults, []);
    let thrice = [twice, last].concat();
    assert_eq!(Reader::read(&thrice).faults.len(), 1);
}

#[test]
fn media_before_the_tables_is_noticed() {
    let mut writer = Writer::default();
    writer.unit(VIDEO, 9000, 9000, &slice(5));
    writer.tables(&[(VIDEO, 0x1b)]);
    assert!(!Reader::read(&writer.bytes).has_tables_first);
}

#[test]
fn a_damaged_table_is_not_believed() {
    let mut bytes = small().bytes;
    bytes[PACKET_BYTES + 20] ^= 1;
    let summary = Reader::read(&bytes);
    assert!(summary.tracks.is_empty());
    assert!(matches!(summary.faults[0].kind, FaultKind::Table { pid: MAP, .. }));
}

#[test]
fn bytes_that_are_no_packets_are_skipped_and_counted() {
    let bytes = small().bytes;
    let (before, after) = bytes.split_at(PACKET_BYTES * 2);
    let broken = [before, &[1, 2, 3, 4, 0x47], after].concat();
    let summary = Reader::read(&broken);
    assert_eq!(summary.faults[0].kind, FaultKind::LostSync { skipped: 5 });
    assert_eq!(summary.video().unwrap().units, 2);
    let short = Reader::read(&bytes[..bytes.len() - 3]);
    assert_eq!(short.faults.last().unwrap().kind, FaultKind::Truncated { bytes: 185 });
}

#[test]
fn time_goes_on_over_the_wrap_and_not_back() {
    let end = (1 << 33) - 1500;
    let mut writer = Writer::default();
    writer.tables(&[(VIDEO, 0x1b)]);
    writer.unit(VIDEO, end, end, &slice(5));
    writer.unit(VIDEO, 1500, 1500, &slice(1));
    let summary = Reader::read(&writer.bytes);
    assert_eq!(summary.faults, []);
    assert_eq!(summary.video().unwrap().span_ticks(), Some(3000));
    writer.unit(VIDEO, 900, 900, &slice(1));
    assert_eq!(
        Reader::read(&writer.bytes).faults[0].kind,
        FaultKind::Backwards { pid: VIDEO, last: 1500, found: 900 }
    );
}

#[test]
fn two_programs_and_a_changed_codec_are_told() {
    let mut writer = Writer::default();
    writer.section(0, vec![0, 0, 0, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0, 0, 2, 0xf0, 1]);
    assert_eq!(Reader::read(&writer.bytes).programs, 2);
    let mut writer = small();
    writer.tables(&[(VIDEO, 0x24)]);
    let kind = Reader::read(&writer.bytes).faults[0].kind;
    assert_eq!(kind, FaultKind::CodecChanged { pid: VIDEO, from: 0x1b, to: 0x24 });
}

proptest! {
    #[test]
    fn a_strangers_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), cut in 1_usize..400) {
        let mut reader = Reader::new();
        bytes.chunks(cut).for_each(|piece| reader.push(piece));
        let summary = reader.finish();
        prop_assert!(summary.faults.len() <= limits::MOST_FAULTS);
    }

    #[test]
    fn a_damaged_stream_never_panics(
        harm in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = small().bytes;
        for (at, value) in harm {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let summary = Reader::read(&bytes);
        prop_assert!(summary.tracks.len() <= limits::MOST_TRACKS);
    }
}
