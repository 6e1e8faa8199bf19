//! The picture's number as a row of blocks, light or black, that survives coding and scaling.
//!
//! The row is the lowest sixteenth of the picture, 48 blocks of equal width:
//! `1010`, the number (32 bits, high first), its CRC-8 (polynomial 0x07), `0101`.

/// How many blocks the row has.
pub const BLOCKS: usize = 48;

/// What part of the picture's height the row has.
pub const ROW_SHARE: usize = 16;

/// Luma of a block that is one. Not full white, so that coding has room to ring.
const LIGHT: u8 = 215;
/// Luma of a block that is zero.
const BLACK: u8 = 25;

const HEAD: u64 = 0b1010;
const TAIL: u64 = 0b0101;

fn crc8(number: u32) -> u8 {
    number.to_be_bytes().iter().fold(0, |crc: u8, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 != 0 { crc << 1 ^ 0x07 } else { crc << 1 })
    })
}

fn bits(number: u32) -> u64 {
    HEAD << 44 | u64::from(number) << 12 | u64::from(crc8(number)) << 4 | TAIL
}

/// Draws the row into a luma plane without padding.
pub fn draw(luma: &mut [u8], width: usize, number: u32) {
    let bits = bits(number);
    let height = luma.len() / width;
    let row: Vec<u8> = (0..width)
        .map(|x| if bits >> (BLOCKS - 1 - x * BLOCKS / width) & 1 == 1 { LIGHT } else { BLACK })
        .collect();
    for line in luma.chunks_exact_mut(width).skip(height - height / ROW_SHARE) {
        line.copy_from_slice(&row);
    }
}

/// Reads the row from a decoded luma plane of any size; `None` if there is no whole number in it.
pub fn read(luma: &[u8], stride: usize, width: usize, height: usize) -> Option<u32> {
    if width < BLOCKS || height < ROW_SHARE || luma.len() < stride * (height - 1) + width {
        return None;
    }
    let row_height = height / ROW_SHARE;
    // The middle half of each block, away from where neighbours ring into it.
    let lines = height - row_height + row_height / 4..(height - row_height / 4).max(height - row_height + 1);
    let mut bits = 0_u64;
    for block in 0..BLOCKS {
        let (left, right) = (block * width / BLOCKS, (block + 1) * width / BLOCKS);
        let quarter = (right - left) / 4;
        let (mut sum, mut count) = (0_u64, 0_u64);
        for y in lines.clone() {
            for x in left + quarter..right - quarter {
                sum += u64::from(luma[y * stride + x]);
                count += 1;
            }
        }
        bits = bits << 1 | u64::from(sum > count * 120);
    }
    let number = (bits >> 12) as u32;
    (bits == self::bits(number)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: usize, height: usize, number: u32) -> Vec<u8> {
        let mut luma = vec![90; width * height];
        draw(&mut luma, width, number);
        luma
    }

    #[test]
    fn what_is_drawn_is_read_at_every_size() {
        for (width, height) in [(1920, 1080), (640, 360), (320, 180), (426, 240), (160, 90)] {
            for number in [0, 1, 0x5555_5555, 0xaaaa_aaaa, u32::MAX, 2_160_000] {
                let luma = drawn(width, height, number);
                assert_eq!(read(&luma, width, width, height), Some(number), "{width}x{height}");
            }
        }
    }

    #[test]
    fn it_survives_being_scaled_down_and_made_noisy() {
        let (width, height) = (640, 360);
        let luma = drawn(width, height, 1_234_567);
        // To a half by averaging, then up to 40 off, as a coarse quantizer does.
        let half: Vec<u8> = (0..180 * 320)
            .map(|at| {
                let (x, y) = (at % 320 * 2, at / 320 * 2);
                let mean = (u32::from(luma[y * width + x]) + u32::from(luma[(y + 1) * width + x + 1])) / 2;
                let noise = (at as u32).wrapping_mul(2_654_435_761) >> 25;
                (mean + noise % 80).saturating_sub(40).min(255) as u8
            })
            .collect();
        assert_eq!(read(&half, 320, 320, 180), Some(1_234_567));
    }

    #[test]
    fn a_picture_without_the_row_has_no_number() {
        assert_eq!(read(&[128; 640 * 360], 640, 640, 360), None);
        let mut luma = drawn(640, 360, 77);
        // One block painted over: the checksum refuses it.
        for line in luma.chunks_exact_mut(640).skip(336) {
            let was = line[20 * 640 / 48 + 6];
            line[20 * 640 / 48..21 * 640 / 48].fill(240 - was);
        }
        assert_eq!(read(&luma, 640, 640, 360), None);
        assert_eq!(read(&[0; 10], 640, 640, 360), None);
    }
}
