//! One decoded picture, shared by count between the rungs.

use super::raw;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;

/// A decoded picture. Once it is shared nobody writes to it.
pub(crate) struct Picture(pub(super) frame::Video);

impl Picture {
    /// A black picture of that size.
    pub(super) fn black(width: u32, height: u32) -> Self {
        let mut picture = frame::Video::new(Pixel::YUV420P, width, height);
        picture.data_mut(0).fill(16);
        picture.data_mut(1).fill(128);
        picture.data_mut(2).fill(128);
        Self(picture)
    }

    /// A picture of raw yuv420p planes without padding; `None` when there are not as many bytes as that takes.
    pub(crate) fn of_planes(width: u32, height: u32, planes: &[u8]) -> Option<Self> {
        let mut picture = frame::Video::new(Pixel::YUV420P, width, height);
        let mut rest = planes;
        for plane in 0..3 {
            let (width, height) = if plane == 0 { (width, height) } else { (width / 2, height / 2) };
            let stride = picture.stride(plane);
            let (rows, left) = rest.split_at_checked(width as usize * height as usize)?;
            rest = left;
            for (to, from) in picture.data_mut(plane).chunks_mut(stride).zip(rows.chunks(width as usize)) {
                to[..from.len()].copy_from_slice(from);
            }
        }
        rest.is_empty().then_some(Self(picture))
    }

    /// Pixels.
    pub(crate) fn width(&self) -> u32 {
        self.0.width()
    }

    /// Pixels.
    pub(crate) fn height(&self) -> u32 {
        self.0.height()
    }

    pub(super) fn inherit(&mut self, from: &Self) {
        raw::copy_properties(&mut self.0, &from.0);
    }
}
