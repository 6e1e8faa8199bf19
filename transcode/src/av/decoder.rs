//! H.264 in, pictures out in the order they are shown.

use super::{AvError, Picture, failed, raw};
use ffmpeg_next as ffmpeg;
use ffmpeg_next::{Dictionary, codec, frame};
use media::MediaTime;
use std::sync::Arc;

/// The most pixels a picture may have: 8192×4320. What claims more is not decoded.
const MAX_PIXELS: u32 = 8192 * 4320;

/// How many pictures are held back when the source does not say: enough for one level of B pictures used as
/// references, which is what x264 and NVENC make. A decoder that finds it too few raises it, at the price of one
/// picture shown late.
const REORDER_UNLESS_SAID: u32 = 2;

/// One H.264 decoder, from one sync unit on.
///
/// One thread: frame threads would hold back as many pictures as there are threads, and what they conceal depends on
/// who came first.
pub(crate) struct Decoder {
    decoder: codec::decoder::Video,
}

/// One picture, as the decoder hands it out.
pub(crate) struct Decoded {
    pub(crate) time: MediaTime,
    pub(crate) picture: Arc<Picture>,
    /// Something of it was guessed.
    pub(crate) is_damaged: bool,
}

impl Decoder {
    /// `reorder`: how many pictures the source says may come before one that is shown earlier.
    pub(crate) fn new(reorder: Option<u32>) -> Result<Self, AvError> {
        let failed = failed("the H.264 decoder does not open");
        let codec =
            codec::decoder::find(codec::Id::H264).ok_or_else(|| failed(ffmpeg::Error::DecoderNotFound))?;
        let mut context = codec::Context::new_with_codec(codec);
        raw::set_reorder(&mut context, i32::try_from(reorder.unwrap_or(REORDER_UNLESS_SAID)).unwrap_or(16));
        let options: Dictionary<'_> =
            [("threads", "1"), ("max_pixels", MAX_PIXELS.to_string().as_str())].into_iter().collect();
        let decoder = context.decoder().open_as_with(codec, options).and_then(|opened| opened.video());
        Ok(Self { decoder: decoder.map_err(failed)? })
    }

    /// Gives it one unit as Annex B. A unit it cannot read is as good as none.
    pub(crate) fn push(&mut self, annex_b: &[u8], time: MediaTime) {
        let mut packet = ffmpeg::Packet::copy(annex_b);
        packet.set_pts(i64::try_from(time.ticks()).ok());
        let _unreadable = self.decoder.send_packet(&packet);
    }

    /// The next picture, if one is ready.
    pub(crate) fn pull(&mut self) -> Option<Decoded> {
        loop {
            let mut picture = frame::Video::empty();
            match self.decoder.receive_frame(&mut picture) {
                Ok(()) => {}
                Err(fault) if super::wants_more(fault) => return None,
                // A picture that could not be made at all; the next one may be.
                Err(_) => continue,
            }
            let Some(time) = picture.pts().and_then(|ticks| u64::try_from(ticks).ok()) else { continue };
            let is_damaged = picture.is_corrupt() || picture.has_decode_errors();
            return Some(Decoded {
                time: MediaTime::from_ticks(time),
                picture: Arc::new(Picture(picture)),
                is_damaged,
            });
        }
    }

    /// Nothing more will come: what is held back can be pulled.
    pub(crate) fn end(&mut self) {
        let _already = self.decoder.send_eof();
    }
}
