//! What the pattern looks like: a tidal bore that runs over the picture, colour bars, the time, the number.
//!
//! Does not live here: when a picture is due (`pace`), nor the row a machine reads ([`crate::counter`]).

use crate::{counter, font};

/// One raw yuv420p picture without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels across, even.
    pub width: usize,
    /// Pixels down, even.
    pub height: usize,
    /// Luma, then both chromas.
    pub planes: Vec<u8>,
}

/// What is in one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene<'a> {
    /// Shown large, and in the row that a machine reads.
    pub number: u32,
    /// Milliseconds since the Unix epoch, shown as HH:MM:SS.mmm in UTC.
    pub wall_ms: u64,
    /// The pattern's own name.
    pub name: &'a str,
    /// The corner that is white while the beep sounds.
    pub flash: bool,
}

type Colour = [u8; 3];

const INK: Colour = [235, 128, 128];
const SHADE: Colour = [20, 128, 128];
const SKY: Colour = [62, 142, 116];
const WATER: Colour = [96, 162, 96];
const FOAM: Colour = [205, 130, 126];
/// 75 % bars of SMPTE EG 1 in BT.601, left to right.
const BARS: [Colour; 7] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
];

/// How long the bore takes from one side to the other.
const BORE_PERIOD_MS: u64 = 8_000;

impl Picture {
    /// A picture of a size; both numbers are made even.
    pub fn new(width: usize, height: usize) -> Self {
        let (width, height) = (width & !1, height & !1);
        Self { width, height, planes: vec![0; width * height * 3 / 2] }
    }

    /// The luma plane.
    pub fn luma(&self) -> &[u8] {
        &self.planes[..self.width * self.height]
    }

    /// Draws the whole picture anew.
    pub fn draw(&mut self, scene: &Scene<'_>) {
        let (width, height) = (self.width, self.height);
        self.draw_water(scene.wall_ms);
        for (index, colour) in BARS.iter().enumerate() {
            let (left, right) = (width * index / BARS.len(), width * (index + 1) / BARS.len());
            self.fill(left, 0, right - left, height / 12, *colour);
        }
        // A hand that goes round once a second, straight: judder is seen at once.
        let sweep = (scene.wall_ms % 1_000) as usize * width / 1_000;
        self.fill(sweep.min(width - width / 80 - 1), height / 12, width / 80 + 1, height / 40 + 1, INK);
        let corner = height / 6;
        self.fill(width - corner, height / 8, corner, corner, if scene.flash { INK } else { SHADE });
        let dot = (width / 96).max(1);
        self.write(dot * 3, height / 7, dot, scene.name);
        self.write_centred(height * 5 / 14, dot, &clock(scene.wall_ms));
        self.write_centred(height * 9 / 14, dot, &format!("#{:07}", scene.number));
        let (luma, chroma) = self.planes.split_at_mut(width * height);
        counter::draw(luma, width, scene.number);
        let grey_from = (height - height / counter::ROW_SHARE) / 2 * (width / 2);
        for plane in chroma.chunks_exact_mut(width * height / 4) {
            plane[grey_from..].fill(128);
        }
    }

    /// Sky above, water below; the bore is a step in the water that runs from right to left.
    fn draw_water(&mut self, wall_ms: u64) {
        let (width, height) = (self.width, self.height);
        let phase = (wall_ms % BORE_PERIOD_MS) as f32 / BORE_PERIOD_MS as f32;
        let surface: Vec<usize> = (0..width)
            .map(|x| {
                let across = x as f32 / width as f32;
                let behind = (across - (1.2 - 1.4 * phase)) * 18.0;
                let step = 0.12 / (1.0 + (-behind).exp());
                let ripple = 0.012 * (across * 40.0 + phase * 50.0).sin() * (0.3 + step * 8.0);
                ((0.84 - step + ripple) * height as f32) as usize
            })
            .collect();
        let foam = height / 60 + 1;
        let (luma, chroma) = self.planes.split_at_mut(width * height);
        for (y, line) in luma.chunks_exact_mut(width).enumerate() {
            let sky = SKY[0].saturating_sub((y * 40 / height) as u8);
            for (pixel, top) in line.iter_mut().zip(&surface) {
                *pixel = match y.checked_sub(*top) {
                    None => sky,
                    Some(deep) if deep < foam => FOAM[0],
                    Some(deep) => WATER[0].saturating_sub((deep * 120 / height) as u8),
                };
            }
        }
        for (index, plane) in chroma.chunks_exact_mut(width * height / 4).enumerate() {
            for (y, line) in plane.chunks_exact_mut(width / 2).enumerate() {
                for (x, pixel) in line.iter_mut().enumerate() {
                    *pixel = if y * 2 < surface[x * 2] { SKY[index + 1] } else { WATER[index + 1] };
                }
            }
        }
    }

    /// A rectangle, cut at the picture's edges.
    fn fill(&mut self, left: usize, top: usize, width: usize, height: usize, colour: Colour) {
        let (right, bottom) = ((left + width).min(self.width), (top + height).min(self.height));
        if left >= right {
            return;
        }
        let (across, luma_len) = (self.width, self.width * self.height);
        let (luma, chroma) = self.planes.split_at_mut(luma_len);
        for y in top..bottom {
            luma[y * across + left..y * across + right].fill(colour[0]);
        }
        for (plane, value) in chroma.chunks_exact_mut(luma_len / 4).zip(&colour[1..]) {
            for y in top / 2..bottom.div_ceil(2) {
                plane[y * across / 2 + left / 2..y * across / 2 + right.div_ceil(2)].fill(*value);
            }
        }
    }

    fn write_centred(&mut self, top: usize, dot: usize, text: &str) {
        let wide = text.chars().count() * font::ADVANCE * dot;
        self.write(self.width.saturating_sub(wide) / 2, top, dot, text);
    }

    /// Text with a dark rim, so that it is read on everything.
    fn write(&mut self, left: usize, top: usize, dot: usize, text: &str) {
        let shown = text.chars().take((self.width.saturating_sub(left)) / (font::ADVANCE * dot));
        let wide = shown.clone().count() * font::ADVANCE * dot;
        self.fill(
            left.saturating_sub(dot),
            top.saturating_sub(dot),
            wide + dot,
            (font::HEIGHT + 2) * dot,
            SHADE,
        );
        for (index, letter) in shown.enumerate() {
            for (row, dots) in font::rows(letter).into_iter().enumerate() {
                for column in (0..font::WIDTH).filter(|column| dots >> (font::WIDTH - 1 - column) & 1 == 1) {
                    let x = left + (index * font::ADVANCE + column) * dot;
                    self.fill(x, top + row * dot, dot, dot, INK);
                }
            }
        }
    }
}

fn clock(wall_ms: u64) -> String {
    let day = wall_ms % 86_400_000;
    format!("{:02}:{:02}:{:02}.{:03}", day / 3_600_000, day / 60_000 % 60, day / 1_000 % 60, day % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(number: u32) -> Scene<'static> {
        Scene { number, wall_ms: 1_700_000_000_000 + u64::from(number) * 40, name: "tide", flash: false }
    }

    #[test]
    fn the_number_is_read_back_from_the_picture() {
        for (width, height) in [(640, 360), (1920, 1080), (320, 180), (161, 91)] {
            let mut picture = Picture::new(width, height);
            picture.draw(&scene(1_500_123));
            let read = counter::read(picture.luma(), picture.width, picture.width, picture.height);
            assert_eq!(read, Some(1_500_123), "{width}x{height}");
        }
    }

    #[test]
    fn two_pictures_differ_in_more_than_their_number() {
        let (mut one, mut other) = (Picture::new(320, 180), Picture::new(320, 180));
        one.draw(&scene(1));
        other.draw(&scene(2));
        let differing = one.luma()[..320 * 150].iter().zip(other.luma()).filter(|(a, b)| a != b).count();
        assert!(differing > 100, "{differing} pixels differ");
    }

    #[test]
    fn the_flash_lights_its_corner() {
        let (mut dark, mut light) = (Picture::new(320, 180), Picture::new(320, 180));
        dark.draw(&scene(1));
        light.draw(&Scene { flash: true, ..scene(1) });
        let corner = |picture: &Picture| picture.luma()[30 * 320 + 310];
        assert!(corner(&dark) < 40 && corner(&light) > 200);
    }

    #[test]
    fn a_clock_shows_the_time_of_day() {
        assert_eq!(clock(1_700_000_000_123), "22:13:20.123");
    }
}
