//! A picture in, the same picture at a rung's size out.

use super::{AvError, Picture, failed, raw};
use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling::{Context, Flags};
use std::sync::Arc;

/// Bit-exact, so that two machines with other vector units make the same picture.
const FLAGS: Flags = Flags::BICUBIC.union(Flags::ACCURATE_RND).union(Flags::BITEXACT);

/// The most pictures kept for reuse: more than a rung's queue and its neighbour's hold, so that in the long run none
/// is allocated. At the bound the oldest is forgotten and freed when its last user is.
const MAX_KEPT: usize = 24;

/// Scales to one size whatever comes, with black bars where the proportions differ.
pub(crate) struct Scaler {
    width: u32,
    height: u32,
    fit: Option<Fit>,
    kept: Vec<Arc<Picture>>,
}

/// How pictures of one shape go into the target.
struct Fit {
    shape: (Pixel, u32, u32),
    left: usize,
    top: usize,
    context: Context,
}

impl Scaler {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        Self { width, height, fit: None, kept: Vec::new() }
    }

    /// The same picture at this scaler's size; the very same one if it has that size already.
    pub(crate) fn scale(&mut self, from: &Arc<Picture>) -> Result<Arc<Picture>, AvError> {
        let shape = (from.0.format(), from.width(), from.height());
        if shape == (Pixel::YUV420P, self.width, self.height) {
            return Ok(Arc::clone(from));
        }
        if self.fit.as_ref().is_none_or(|fit| fit.shape != shape) {
            self.fit = Some(self.fit(shape)?);
            // The bars of what is kept may lie elsewhere.
            self.kept.clear();
        }
        let mut target = self.unused();
        let Some(fit) = &mut self.fit else { return Ok(target) };
        let is_scaled = Arc::get_mut(&mut target).is_some_and(|target| {
            target.inherit(from);
            raw::scale_into(&mut fit.context, &from.0, &mut target.0, fit.left, fit.top)
        });
        if !is_scaled {
            return Err(failed("a picture cannot be scaled")(ffmpeg::Error::Bug));
        }
        if self.kept.len() == MAX_KEPT {
            self.kept.remove(0);
        }
        self.kept.push(Arc::clone(&target));
        Ok(target)
    }

    fn unused(&mut self) -> Arc<Picture> {
        match self.kept.iter().position(|kept| Arc::strong_count(kept) == 1) {
            Some(at) => self.kept.swap_remove(at),
            None => Arc::new(Picture::black(self.width, self.height)),
        }
    }

    fn fit(&self, shape: (Pixel, u32, u32)) -> Result<Fit, AvError> {
        let (format, from_width, from_height) = shape;
        let inside = |across: u32, along: u32, other: u32| {
            let fit = u64::from(across) * u64::from(other) / u64::from(along.max(1));
            u32::try_from(fit).unwrap_or(u32::MAX)
        };
        let fitting_height = inside(from_height, from_width, self.width);
        let fitting_width = inside(from_width, from_height, self.height);
        // Bars of less than 2 % are rounding, not proportions.
        let (mut width, mut height) = (self.width, self.height);
        if fitting_height + self.height / 50 < self.height {
            height = fitting_height.max(2) & !1;
        } else if fitting_width + self.width / 50 < self.width {
            width = fitting_width.max(2) & !1;
        }
        let context = Context::get(format, from_width, from_height, Pixel::YUV420P, width, height, FLAGS);
        let context = context.map_err(failed("a scaler does not open"))?;
        let even_half = |all: u32, part: u32| (((all - part) / 2) & !1) as usize;
        Ok(Fit { shape, left: even_half(self.width, width), top: even_half(self.height, height), context })
    }
}
