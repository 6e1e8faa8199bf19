//! FLV tag bodies.

use crate::Chance;
use flv::{Demuxed, Demuxer, LONGEST_GAP_MS, Tag, WAITING};
use media::{Track, VideoConfig};
use rtmp::script;

/// Bytes in a case: a track, a time and a length before each body.
const TAG_HEADER_BYTES: usize = 7;

/// Whatever comes out can be used: units stand behind a configuration, their NAL units add up, a sync unit has an IDR
/// slice, and durations are ones. Nothing waits that was pulled.
pub fn flv(mut bytes: &[u8]) {
    let mut demuxer = Demuxer::new();
    let (mut video, mut has_audio) = (None, false);
    let mut pushed = 0;
    while let Some((header, rest)) = bytes.split_first_chunk::<TAG_HEADER_BYTES>() {
        let [track, t3, t2, t1, t0, high, low] = *header;
        let len = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (body, rest) = rest.split_at(len);
        bytes = rest;
        let track = if track & 1 == 0 { Track::Video } else { Track::Audio };
        let timestamp_ms = u32::from_be_bytes([t3, t2, t1, t0]);
        let _ = demuxer.push(Tag { track, timestamp_ms, body: body.to_vec().into() });
        pushed += 1;
        check(&mut demuxer, &mut video, &mut has_audio, 2);
    }
    demuxer.flush();
    check(&mut demuxer, &mut video, &mut has_audio, 4);
    let dropped = demuxer.dropped();
    assert!(dropped.broken + dropped.unconfigured + dropped.pictureless <= pushed);
    const { assert!(WAITING >= 4) };
}

fn check(demuxer: &mut Demuxer, video: &mut Option<VideoConfig>, has_audio: &mut bool, most: usize) {
    let mut pulled = 0;
    while let Some(demuxed) = demuxer.pull() {
        pulled += 1;
        match demuxed {
            Demuxed::VideoConfig(config) => {
                assert_ne!(video.as_ref(), Some(&config), "a configuration told twice");
                *video = Some(config);
            }
            Demuxed::AudioConfig(_) => *has_audio = true,
            Demuxed::Unit(unit) => {
                assert!(unit.duration_ms <= LONGEST_GAP_MS, "{unit:?}");
                match unit.track {
                    Track::Audio => assert!(*has_audio && !unit.payload.is_empty()),
                    Track::Video => {
                        let config = video.as_ref().expect("a configuration before the first picture");
                        let kinds = nal_kinds(&unit.payload, config.nal_length_bytes());
                        assert_eq!(unit.is_sync, kinds.contains(&5), "{kinds:?}");
                        assert!(kinds.iter().any(|kind| (1..=5).contains(kind)), "{kinds:?}");
                    }
                }
            }
        }
    }
    assert!(pulled <= most, "{pulled} outputs of one push");
}

/// The other way to walk NAL units: by index, and without pardon.
fn nal_kinds(payload: &[u8], length_bytes: usize) -> Vec<u8> {
    let (mut kinds, mut at) = (Vec::new(), 0);
    while at < payload.len() {
        let mut length = 0;
        for _ in 0..length_bytes {
            length = length * 256 + usize::from(payload[at]);
            at += 1;
        }
        kinds.push(payload[at] & 0x1f);
        at += length;
    }
    assert_eq!(at, payload.len(), "lengths add up");
    kinds
}

/// A few seconds of a broadcast, with its ends.
pub fn good_tags(chance: &mut Chance) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut tag = |track: Track, timestamp_ms: u32, body: Vec<u8>| {
        bytes.push(u8::from(track == Track::Audio));
        bytes.extend(timestamp_ms.to_be_bytes());
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
    };
    let start = chance.awkward(32);
    tag(Track::Video, start, script::avc_config());
    tag(Track::Audio, start, script::aac_config());
    for i in 0..2 + chance.below(12) as u32 {
        let time = start.wrapping_add(i * 33);
        match chance.below(12) {
            0 => tag(Track::Video, time, script::avc_config()),
            1 => tag(Track::Video, time, vec![0x17, 2, 0, 0, 0]),
            2 => tag(Track::Audio, time, script::aac_config()),
            3 => tag(Track::Video, time, b"\x90hvc1 and more".to_vec()),
            4..=8 => {
                let (composition_ms, len) = (chance.awkward(24) as i32, 1 + chance.below(60));
                tag(Track::Video, time, script::avc_unit(i.is_multiple_of(4), composition_ms, len));
            }
            _ => tag(Track::Audio, time, script::aac_unit(1 + chance.below(40))),
        }
    }
    bytes
}
