//! What the source's sequence parameter set says about its pictures (ITU-T H.264, 7.3.2.1.1 and E.1.1).

use media::{ConfigError, FrameRate, VideoConfig};

/// The shape of a source's pictures, before any of them is decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceShape {
    /// Pixels shown.
    pub width: u32,
    /// Pixels shown.
    pub height: u32,
    /// What the VUI promises, if it does and it is credible.
    pub frame_rate: Option<FrameRate>,
    /// 8 bits a sample, 4:2:0: what every player takes.
    pub is_plain: bool,
    /// How many pictures may come before one that is shown earlier, if the VUI says so.
    pub reorder: Option<u32>,
}

impl SourceShape {
    /// The largest side: H.264 level 6.2 ends near there, and so does what a process may allocate.
    pub const MAX_PIXELS: u32 = 8192;

    /// A plain source of that size.
    pub fn of_size(width: u32, height: u32) -> Self {
        Self { width, height, frame_rate: None, is_plain: true, reorder: None }
    }

    /// Reads the record's first SPS.
    pub fn of(config: &VideoConfig) -> Result<Self, ConfigError> {
        const WHAT: &str = "SPS";
        let sps = config.sps();
        let payload = without_emulation_prevention(&sps);
        let short = || ConfigError::Short { what: WHAT, len: sps.len(), needed: sps.len() + 1 };
        let shape = parse(&mut Bits { bytes: &payload, at: 8 }).ok_or_else(short)?;
        for (field, found) in [("width", shape.width), ("height", shape.height)] {
            if !(16..=Self::MAX_PIXELS).contains(&found) {
                return Err(ConfigError::Unsupported { what: WHAT, field, found, allowed: "16 to 8192" });
            }
        }
        Ok(shape)
    }

    /// Pixels of the shorter side.
    pub fn lines(&self) -> u32 {
        self.width.min(self.height)
    }

    /// Whether the source's own pictures can be a rung.
    pub fn can_be_copied(&self) -> bool {
        self.is_plain
    }
}

fn parse(bits: &mut Bits<'_>) -> Option<SourceShape> {
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.golomb()?;
    let mut chroma = 1;
    let mut is_plain = true;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = bits.golomb()?;
        if chroma == 3 {
            bits.take(1)?;
        }
        let (luma_depth, chroma_depth) = (bits.golomb()?, bits.golomb()?);
        is_plain = chroma == 1 && luma_depth == 0 && chroma_depth == 0;
        bits.take(1)?;
        if bits.take(1)? == 1 {
            scaling_matrix(bits, if chroma == 3 { 12 } else { 8 })?;
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.take(1)?;
            bits.signed_golomb()?;
            bits.signed_golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.signed_golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.take(1)?;
    let (width_mbs, height_units) = (bits.golomb()?.checked_add(1)?, bits.golomb()?.checked_add(1)?);
    let frame_mbs_only = bits.take(1)?;
    if frame_mbs_only == 0 {
        bits.take(1)?;
    }
    bits.take(1)?;
    let mut crop = [0; 4];
    if bits.take(1)? == 1 {
        for side in &mut crop {
            *side = bits.golomb()?;
        }
    }
    let fields = 2 - frame_mbs_only;
    let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
    let unit_y = fields * if chroma == 1 { 2 } else { 1 };
    let shown =
        |coded: u32, a: u32, b: u32, unit: u32| coded.checked_sub(a.checked_add(b)?.checked_mul(unit)?);
    let width = shown(width_mbs.checked_mul(16)?, crop[0], crop[1], unit_x)?;
    let height = shown(height_units.checked_mul(16)?.checked_mul(fields)?, crop[2], crop[3], unit_y)?;
    let mut shape = SourceShape { width, height, frame_rate: None, is_plain, reorder: None };
    if bits.take(1) == Some(1) {
        // A VUI that ends early promises nothing; the picture's size is known all the same.
        let _ = usability(bits, &mut shape);
    }
    Some(shape)
}

fn usability(bits: &mut Bits<'_>, shape: &mut SourceShape) -> Option<()> {
    if bits.take(1)? == 1 && bits.take(8)? == 255 {
        bits.take(32)?;
    }
    if bits.take(1)? == 1 {
        bits.take(1)?;
    }
    if bits.take(1)? == 1 {
        bits.take(4)?;
        if bits.take(1)? == 1 {
            bits.take(24)?;
        }
    }
    if bits.take(1)? == 1 {
        bits.golomb()?;
        bits.golomb()?;
    }
    if bits.take(1)? == 1 {
        let (units, scale) = (bits.take(32)?, bits.take(32)?);
        bits.take(1)?;
        // A frame is two ticks (E.2.1); what nobody films is a promise nobody meant.
        let rate = (u64::from(scale) * 500).checked_div(u64::from(units));
        shape.frame_rate =
            rate.filter(|rate| (5_000..=120_000).contains(rate)).map(|rate| FrameRate(rate as u32));
    }
    let mut has_hrd = false;
    for _ in 0..2 {
        if bits.take(1)? == 1 {
            has_hrd = true;
            hypothetical_decoder(bits)?;
        }
    }
    if has_hrd {
        bits.take(1)?;
    }
    bits.take(1)?;
    if bits.take(1)? == 1 {
        bits.take(1)?;
        for _ in 0..4 {
            bits.golomb()?;
        }
        shape.reorder = Some(bits.golomb()?).filter(|reorder| *reorder <= 16);
    }
    Some(())
}

fn hypothetical_decoder(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.golomb()?.min(31) + 1;
    bits.take(8)?;
    for _ in 0..count {
        bits.golomb()?;
        bits.golomb()?;
        bits.take(1)?;
    }
    bits.take(20)?;
    Some(())
}

fn scaling_matrix(bits: &mut Bits<'_>, lists: usize) -> Option<()> {
    for list in 0..lists {
        if bits.take(1)? == 0 {
            continue;
        }
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + i64::from(bits.signed_golomb()?)).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

/// 7.4.1.1: 00 00 03 carries 00 00.
fn without_emulation_prevention(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// Exp-Golomb (9.1); a code of more than 32 leading zeros is none.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        ((1_u32 << zeros) - 1).checked_add(self.take(zeros)?)
    }

    fn signed_golomb(&mut self) -> Option<i32> {
        let code = i64::from(self.golomb()?);
        let magnitude = (code + 1) / 2;
        i32::try_from(if code % 2 == 0 { -magnitude } else { magnitude }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn config(sps: &[u8]) -> VideoConfig {
        let mut record = vec![1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0, sps.len() as u8];
        record.extend(sps);
        record.extend([1, 0, 4, 0x68, 0xee, 0x3c, 0x80]);
        VideoConfig::parse(Bytes::from(record)).unwrap()
    }

    /// libx264 (core 164), 1920x1080 at 30, High, veryfast.
    const SPS_1080: [u8; 27] = [
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00,
        0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
    ];

    #[test]
    fn a_cropped_picture_has_the_size_that_is_shown() {
        let shape = SourceShape::of(&config(&SPS_1080)).unwrap();
        assert_eq!((shape.width, shape.height, shape.is_plain), (1920, 1080, true));
        assert_eq!((shape.frame_rate, shape.reorder), (Some(FrameRate(30_000)), Some(2)));
    }

    #[test]
    fn an_sps_with_any_byte_wrong_never_panics() {
        for at in 1..SPS_1080.len() {
            for value in 0..=255 {
                let mut sps = SPS_1080;
                sps[at] = value;
                let _ = SourceShape::of(&config(&sps));
            }
            let cut = SPS_1080[..at.max(4)].to_vec();
            assert!(SourceShape::of(&config(&cut)).is_err() || at > 10, "{at} bytes were taken");
        }
    }
}
