//! A test pattern to publish: pictures with a clock and a number, a beep each second, by RTMP.
//!
//! Lives here: drawing, pacing, and publishing with reconnects. Does not live here: H.264 and AAC; raw
//! pictures and sound go to a child process (`mascaret-transcode pattern`), coded units come back.
//!
//! ```text
//!  pacer ─▶ picture, sound ─▶ pattern encoder (own process) ─▶ tags ─▶ queue ─▶ publisher ─▶ ingest
//! ```
//!
//! [`run`] is the role; [`counter`] reads a picture's number back, for whoever checks what came out.

pub mod counter;
mod encoder;
mod font;
mod pace;
mod picture;
mod publisher;
mod queue;
mod run;
mod settings;
mod sound;
mod tags;

pub use picture::{Picture, Scene};
pub use run::{SourceError, run};
pub use settings::{PublishUrl, Settings, UrlError};
