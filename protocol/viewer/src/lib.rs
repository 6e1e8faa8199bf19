//! A viewer: a player as a machine, without a decoder.
//!
//! Lives here: what a player asks for and when (multivariant playlist, media playlist by polling or by blocking
//! reload, segments), where from (pathways, content steering, redirects, time-outs, retries), what it holds and where
//! its playhead is, and what it notices (stalls, latency, staleness, faults in the numbering). Does not live here: sockets,
//! TLS, HTTP heads, the bytes of segments (the shell that owns the connections says how many there were), and
//! what many viewers add up to (the report).
//!
//! Doors: [`Viewer::push`] what happened, [`Viewer::pull`] what to do and what was noticed until it is `None`,
//! and [`Input::Tick`] at [`Viewer::deadline`]. The shell needs no timers of its own: time-outs of asks are
//! deadlines of the viewer, and come out as [`Output::Cancel`].
//!
//! One viewer follows one rendition at a time. Alternatives with a playlist of their own (EXT-X-MEDIA with a
//! URI) and keys are not asked for.

mod asking;
mod door;
mod following;
mod known;
mod load;
mod options;
mod pathways;
mod playback;
mod rate;
mod reading;
mod steering;
mod upcoming;
mod viewer;

pub use door::{
    Ask, AskId, AskKind, Event, Failure, Fault, Input, Now, Output, Range, Startup, State, SwitchReason,
    Tally,
};
pub use hls::{MOST_URL_BYTES, Url, UrlError};
pub use options::{Bounds, Hedge, Options, Player, Reload, Retry, RungChoice};
pub use viewer::Viewer;

/// The moment tests begin at.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some moment to count from; there is no other way to have one"
)]
fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}
