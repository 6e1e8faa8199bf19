//! NAL units and ADTS headers: the few bytes of the formats that we read and write ourselves.
//!
//! Lives here: from a source's length-prefixed units to Annex B, what is dropped on the way, the header in front of an
//! AAC unit. Does not live here: anything about pictures or sound.

use bytes::{BufMut, Bytes, BytesMut};
use media::{AudioConfig, VideoConfig};

/// NAL unit types (ITU-T H.264, table 7-1).
const CLEAN_START: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
/// Access unit delimiter, end of sequence, end of stream, filler: the muxer writes its own delimiter, and the others
/// say nothing.
const DROPPED: [u8; 4] = [9, 10, 11, 12];

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// One source picture as Annex B.
#[derive(Clone, Debug)]
pub(crate) struct AnnexB {
    pub(crate) bytes: Bytes,
    /// It has a slice of an IDR picture: nothing after it looks back past it.
    pub(crate) is_clean_start: bool,
}

/// Turns a source's unit into Annex B. In front of a sync unit go the record's parameter sets, unless it brings its own.
///
/// Lengths that run past the end end the unit there; `None` when no slice is left.
pub(crate) fn annex_b(config: &VideoConfig, payload: &[u8], is_sync: bool) -> Option<AnnexB> {
    let nals: Vec<&[u8]> = nals(payload, config.nal_length_bytes()).collect();
    let has = |kind: u8| nals.iter().any(|nal| nal[0] & 31 == kind);
    let is_clean_start = has(CLEAN_START);
    if !is_clean_start && !has(1) && !has(2) {
        return None;
    }
    let mut bytes = BytesMut::with_capacity(payload.len() + 128);
    if (is_sync || is_clean_start) && !(has(SPS) && has(PPS)) {
        for set in parameter_sets(config) {
            bytes.put_slice(&START_CODE);
            bytes.put_slice(&set);
        }
    }
    for nal in nals {
        if !DROPPED.contains(&(nal[0] & 31)) {
            bytes.put_slice(&START_CODE);
            bytes.put_slice(nal);
        }
    }
    Some(AnnexB { bytes: bytes.freeze(), is_clean_start })
}

/// The NAL units of a length-prefixed payload, as far as its lengths add up.
fn nals(payload: &[u8], length_bytes: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        loop {
            let (length, after) = rest.split_at_checked(length_bytes)?;
            let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            let (nal, after) = after.split_at_checked(length)?;
            rest = after;
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    })
}

/// Every parameter set of the record, in its order. Its lengths were checked when it was parsed.
fn parameter_sets(config: &VideoConfig) -> Vec<Bytes> {
    let record = config.record();
    let mut sets = Vec::new();
    let mut at = 5;
    for mask in [0x1f, 0xff] {
        let Some(count) = record.get(at).map(|count| count & mask) else { break };
        at += 1;
        for _ in 0..count {
            let Some(length) = record.get(at..at + 2) else { break };
            let end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
            if end <= record.len() {
                sets.push(record.slice(at + 2..end));
            }
            at = end;
        }
    }
    sets
}

/// The NAL units of Annex B.
fn annex_b_nals(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let begin = rest.windows(3).position(|three| three == [0, 0, 1])? + 3;
        let end = rest[begin..].windows(3).position(|three| three == [0, 0, 1] || three == [0, 0, 0]);
        let end = end.map_or(rest.len(), |end| begin + end);
        let nal = &rest[begin..end];
        rest = &rest[end..];
        Some(nal)
    })
    .filter(|nal| !nal.is_empty())
}

/// x264's user data: the UUID in front of its version and settings (x264, encoder/set.c).
const X264_UUID: [u8; 16] =
    [0xdc, 0x45, 0xe9, 0xbd, 0xe6, 0xd9, 0x48, 0xb7, 0x96, 0x2c, 0xd8, 0x20, 0xd9, 0x23, 0xee, 0xef];

fn is_settings_text(nal: &[u8]) -> bool {
    nal[0] & 31 == SEI && nal.get(1) == Some(&5) && nal.windows(16).take(8).any(|window| window == X264_UUID)
}

/// The unit without x264's settings text.
pub(crate) fn without_settings_text(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len());
    for nal in annex_b_nals(unit).filter(|nal| !is_settings_text(nal)) {
        out.extend(START_CODE);
        out.extend(nal);
    }
    out
}

/// The version in x264's settings text: `x264 core 164 r3095 baee400`.
pub(crate) fn settings_text(unit: &[u8]) -> Option<String> {
    let nal = annex_b_nals(unit).find(|nal| is_settings_text(nal))?;
    let at = nal.windows(16).position(|window| window == X264_UUID)? + 16;
    let text = String::from_utf8_lossy(&nal[at..]);
    let version = text.split(" - H.264").next()?;
    Some(version.replace(" - ", " "))
}

/// Annex B parameter sets as an AVCDecoderConfigurationRecord with 4-byte lengths (ISO/IEC 14496-15, 5.3.3.1).
pub(crate) fn record_of(parameter_sets: &[u8]) -> Option<VideoConfig> {
    let nals: Vec<&[u8]> = annex_b_nals(parameter_sets).collect();
    let of = |kind: u8| nals.iter().filter(move |nal| nal[0] & 31 == kind);
    let first = of(SPS).next().filter(|sps| sps.len() >= 4)?;
    let mut record = BytesMut::new();
    record.put_slice(&[1, first[1], first[2], first[3], 0xff]);
    for (kind, reserved) in [(SPS, 0xe0), (PPS, 0)] {
        record.put_u8(reserved | u8::try_from(of(kind).count()).ok()?);
        for set in of(kind) {
            record.put_u16(u16::try_from(set.len()).ok()?);
            record.put_slice(set);
        }
    }
    if matches!(first[1], 100 | 110 | 122 | 144) {
        // 4:2:0, 8 bits, no extensions: the only kind that is made here.
        record.put_slice(&[0xfd, 0xf8, 0xf8, 0]);
    }
    VideoConfig::parse(record.freeze()).ok()
}

/// Annex B as a length-prefixed payload, parameter sets and x264's settings text left out.
pub(crate) fn length_prefixed(unit: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(unit.len() + 8);
    for nal in annex_b_nals(unit) {
        if !matches!(nal[0] & 31, SPS | PPS) && !is_settings_text(nal) && !DROPPED.contains(&(nal[0] & 31)) {
            out.put_u32(u32::try_from(nal.len()).unwrap_or(0));
            out.put_slice(nal);
        }
    }
    out.freeze()
}

/// The CODECS word of a coded picture that brings its SPS.
pub(crate) fn codec_of(unit: &[u8]) -> Option<String> {
    let sps = annex_b_nals(unit).find(|nal| nal[0] & 31 == SPS && nal.len() >= 4)?;
    Some(format!("avc1.{:02x}{:02x}{:02x}", sps[1], sps[2], sps[3]))
}

/// Puts ADTS headers in front of one source's AAC units (ISO/IEC 13818-7, 6.2).
#[derive(Clone, Debug)]
pub(crate) struct Adts {
    sampling_index: u8,
    channels: u8,
}

const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

impl Adts {
    const HEAD: usize = 7;

    /// `None` for a sampling rate ADTS has no number for.
    pub(crate) fn new(config: &AudioConfig) -> Option<Self> {
        let index = SAMPLE_RATES.iter().position(|rate| *rate == config.sample_rate())?;
        let channels = if config.channels() == 8 { 7 } else { config.channels() };
        Some(Self { sampling_index: index as u8, channels })
    }

    /// The unit with its header; `None` when it is too long to have one (8191 bytes in all).
    pub(crate) fn wrap(&self, unit: &[u8]) -> Option<Vec<u8>> {
        let length = u16::try_from(unit.len() + Self::HEAD).ok().filter(|length| *length < 1 << 13)?;
        let mut out = Vec::with_capacity(usize::from(length));
        // MPEG-4, no CRC, AAC-LC (HE-AAC is signalled by its core), variable rate.
        out.extend([0xff, 0xf1, 1 << 6 | self.sampling_index << 2 | self.channels >> 2]);
        out.push((self.channels & 3) << 6 | (length >> 11) as u8);
        out.push((length >> 3) as u8);
        out.push((length as u8 & 7) << 5 | 0x1f);
        out.push(0xfc);
        out.extend(unit);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> VideoConfig {
        let mut record = vec![1, 0x64, 0, 0x0c, 0xff, 0xe1, 0, 5, 0x67, 0x64, 0, 0x0c, 0xac];
        record.extend([1, 0, 4, 0x68, 0xee, 0x3c, 0x80]);
        VideoConfig::parse(record.into()).unwrap()
    }

    #[test]
    fn a_sync_unit_gets_its_parameter_sets_in_front() {
        let unit = annex_b(&config(), &[0, 0, 0, 2, 9, 0xf0, 0, 0, 0, 2, 0x65, 1], true).unwrap();
        assert!(unit.is_clean_start);
        let kinds: Vec<u8> = annex_b_nals(&unit.bytes).map(|nal| nal[0] & 31).collect();
        assert_eq!(kinds, [7, 8, 5]);
    }

    #[test]
    fn lengths_that_do_not_add_up_end_the_unit() {
        let unit = annex_b(&config(), &[0, 0, 0, 2, 0x41, 1, 0xff, 0xff, 0xff, 0xff, 7], false).unwrap();
        assert_eq!(&unit.bytes[..], [0, 0, 0, 1, 0x41, 1]);
        assert!(annex_b(&config(), &[0, 0, 0, 200, 0x41], false).is_none());
        assert!(annex_b(&config(), &[], false).is_none());
    }

    #[test]
    fn parameter_sets_become_a_record_and_come_back() {
        let sets: Vec<u8> =
            [&START_CODE[..], &[0x67, 0x4d, 0, 0x0c, 0xac], &START_CODE, &[0x68, 0xee, 0x3c, 0x80]].concat();
        let config = record_of(&sets).unwrap();
        assert_eq!(config.codec(), "avc1.4d000c");
        let again: Vec<u8> =
            parameter_sets(&config).iter().flat_map(|set| [&START_CODE[..], set].concat()).collect();
        assert_eq!(again, sets);
    }

    #[test]
    fn an_adts_header_says_rate_channels_and_length() {
        let config = AudioConfig::parse(Bytes::from_static(&[0x11, 0x90])).unwrap();
        let adts = Adts::new(&config).unwrap();
        let unit = adts.wrap(&[0xaa; 100]).unwrap();
        // 48 kHz is number 3, stereo, 107 bytes in all.
        assert_eq!(unit[..7], [0xff, 0xf1, 0x4c, 0x80, 0x0d, 0x7f, 0xfc]);
        assert!(adts.wrap(&[0; 8192]).is_none());
    }
}
