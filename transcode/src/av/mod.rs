//! What this process uses of FFmpeg, each behind one small type: [`Decoder`], [`Scaler`], [`VideoEncoder`],
//! [`SoundEncoder`], [`Muxer`].
//!
//! Lives here: every line that names FFmpeg, and with [`raw`] every `unsafe` one. Does not live here: what is decoded,
//! encoded or cut when. No demuxer of FFmpeg's is ever opened: a stranger's bytes reach its H.264 decoder and nothing
//! else of it.

mod decoder;
mod encoder;
mod muxer;
mod picture;
mod raw;
mod scaler;
mod sound;

pub(crate) use decoder::Decoder;
pub(crate) use encoder::{VideoEncoder, X264};
pub(crate) use muxer::{Muxer, Stream};
pub(crate) use picture::Picture;
pub(crate) use scaler::Scaler;
pub(crate) use sound::{SoundEncoder, silent_unit};

use ffmpeg_next as ffmpeg;

/// FFmpeg refused something it was told by us: there is nothing to be done but to end the process.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {fault}")]
pub(crate) struct AvError {
    what: &'static str,
    fault: ffmpeg::Error,
}

fn failed(what: &'static str) -> impl Fn(ffmpeg::Error) -> AvError {
    move |fault| AvError { what, fault }
}

/// Brings FFmpeg up, silently: its warnings about a stranger's bytes are not ours.
pub(crate) fn init() -> Result<(), AvError> {
    ffmpeg::init().map_err(failed("FFmpeg does not start"))?;
    ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
    Ok(())
}

/// The versions of the libraries that were loaded.
pub(crate) fn versions() -> String {
    let text = |version: u32| format!("{}.{}.{}", version >> 16, version >> 8 & 255, version & 255);
    format!(
        "lavc {} lavf {} sws {}",
        text(ffmpeg::codec::version()),
        text(ffmpeg::format::version()),
        text(ffmpeg::software::scaling::version()),
    )
}

/// `EAGAIN`: nothing to be had until more is given.
fn wants_more(fault: ffmpeg::Error) -> bool {
    matches!(fault, ffmpeg::Error::Other { errno: libc::EAGAIN } | ffmpeg::Error::Eof)
}
