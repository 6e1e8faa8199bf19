//! The few numbers of an H.264 sequence parameter set that choose a ladder: how large its pictures are.
//!
//! ITU-T H.264 (08/2021), 7.3.2.1.1. Everything that stands behind the cropping is left unread.

use crate::ConfigError;

/// Pixels of a picture as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSize {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// The largest side taken: level 6.2 ends at 8192 × 4320 (Table A-1).
pub const LARGEST_SIDE: u32 = 8192;

const WHAT: &str = "sequence parameter set";

/// Reads an SPS with its NAL header.
pub(crate) fn picture_size(sps: &[u8]) -> Result<PictureSize, ConfigError> {
    let rbsp = without_emulation_prevention(sps);
    let mut bits = Golomb { bytes: &rbsp, at: 8 };
    read(&mut bits).unwrap_or(Err(ConfigError::Short { what: WHAT, len: sps.len(), needed: sps.len() + 1 }))
}

/// `None` when the bits end too soon.
fn read(bits: &mut Golomb<'_>) -> Option<Result<PictureSize, ConfigError>> {
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.unsigned()?;
    let mut chroma_format = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma_format = bits.unsigned()?;
        if chroma_format == 3 {
            bits.take(1)?;
        }
        bits.unsigned()?;
        bits.unsigned()?;
        bits.take(1)?;
        if bits.take(1)? == 1 {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.take(1)? == 1 {
                    bits.scaling_list(if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.unsigned()?;
    match bits.unsigned()? {
        0 => {
            bits.unsigned()?;
        }
        1 => {
            bits.take(1)?;
            bits.unsigned()?;
            bits.unsigned()?;
            // num_ref_frames_in_pic_order_cnt_cycle is at most 255.
            for _ in 0..bits.unsigned()?.min(255) {
                bits.unsigned()?;
            }
        }
        _ => {}
    }
    bits.unsigned()?;
    bits.take(1)?;
    let width_in_blocks = bits.unsigned()?.checked_add(1)?;
    let height_in_units = bits.unsigned()?.checked_add(1)?;
    let frames_only = bits.take(1)?;
    if frames_only == 0 {
        bits.take(1)?;
    }
    bits.take(1)?;
    let mut crop = [0; 4];
    if bits.take(1)? == 1 {
        for side in &mut crop {
            *side = bits.unsigned()?;
        }
    }
    let (unit_x, unit_y) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let fields = 2 - u64::from(frames_only);
    let side = |blocks: u32, times: u64, cropped: u64| {
        (u64::from(blocks) * 16 * times).checked_sub(cropped).and_then(|side| u32::try_from(side).ok())
    };
    let [left, right, top, bottom] = crop.map(u64::from);
    let width = side(width_in_blocks, 1, (left + right) * unit_x);
    let height = side(height_in_units, fields, (top + bottom) * unit_y * fields);
    Some(match (width, height) {
        (Some(width @ 16..=LARGEST_SIDE), Some(height @ 16..=LARGEST_SIDE)) => {
            Ok(PictureSize { width, height })
        }
        (width, height) => {
            let found = width.unwrap_or(0).max(height.unwrap_or(0));
            Err(ConfigError::Unsupported {
                what: WHAT,
                field: "picture side",
                found,
                allowed: "16 to 8192 pixels",
            })
        }
    })
}

/// 7.4.1: `00 00 03` in a NAL unit stands for `00 00`.
fn without_emulation_prevention(nal: &[u8]) -> Vec<u8> {
    let mut rbsp = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if byte == 3 && zeros >= 2 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        rbsp.push(byte);
    }
    rbsp
}

struct Golomb<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Golomb<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// ue(v), 9.1; `None` for codes longer than 32 bits.
    fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.take(zeros)?;
        ((1_u64 << zeros) - 1 + u64::from(rest)).try_into().ok()
    }

    /// se(v), 9.1.1.
    fn signed(&mut self) -> Option<i64> {
        let code = i64::from(self.unsigned()?);
        Some(if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) })
    }

    /// 7.3.2.1.1.1, only to get past it.
    fn scaling_list(&mut self, entries: u32) -> Option<()> {
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..entries {
            if next != 0 {
                next = (last + self.signed()? + 256).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x264 core 164, High, 320x180 (192 coded lines, 12 cropped).
    const X264_320X180: &[u8] = &[
        0x67, 0x64, 0x00, 0x0c, 0xac, 0xd9, 0x41, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0x99, 0x60,
    ];

    #[test]
    fn cropping_is_taken_off() {
        assert_eq!(picture_size(X264_320X180), Ok(PictureSize { width: 320, height: 180 }));
    }

    #[test]
    fn a_set_cut_anywhere_before_its_cropping_is_refused() {
        for len in 0..9 {
            assert!(picture_size(&X264_320X180[..len]).is_err(), "{len} bytes were taken");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_strangers_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = picture_size(&bytes);
        }
    }
}
