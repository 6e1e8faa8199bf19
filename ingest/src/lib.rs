//! RTMP in, ladder, segments, pushed to every edge.
//!
//! ```text
//! door ─▶ rtmp ─▶ flv ─▶ ┌────────────────── line ───────────────────┐
//!  (one per publisher)   │ timeline ─▶ kept ─▶ process ─▶ assembly   │ ─▶ edgefan
//!                        └─ (one per broadcast, one child process) ──┘
//! ```
//!
//! Lives here: settings ([`Settings`]), the line and the order of its rooms (`line`), the sockets and the child
//! processes around it (`door`, `process`, `shell`). Does not live here: any format or stage (`protocol/`), FFmpeg
//! (`transcode`), or a viewer.

mod admitted;
mod assembly;
pub mod bare;
mod broadcasts;
mod clock;
mod door;
mod exporter;
mod failover;
mod intake;
mod kept;
pub mod keys;
mod line;
mod metrics;
mod process;
mod proxied;
mod remembered;
mod settings;
mod shed;
mod shell;

pub use settings::{LadderSettings, Publisher, Rungs, SecondPublisher, Settings};
pub use shell::{Addresses, IngestError, run, run_telling};

#[cfg(test)]
pub(crate) fn tests_begin(has_pictures: bool) -> ladder::Begin {
    use bytes::Bytes;
    let mut record = vec![1, 0x64, 0, 0x0c, 0xff, 0xe1, 0, 5, 0x67, 0x64, 0, 0x0c, 0xac];
    record.extend([1, 0, 4, 0x68, 0xee, 0x3c, 0x80]);
    let video = media::VideoConfig::parse(record.into()).unwrap();
    let audio = media::AudioConfig::parse(Bytes::from_static(&[0x11, 0x90])).unwrap();
    ladder::Begin {
        broadcast: media::BroadcastId::parse("tide").unwrap(),
        segment: media::MediaSpan::from_secs(2),
        from: media::MediaSequence(0),
        rungs: Vec::new(),
        video: has_pictures.then_some(video),
        audio: Some(audio),
    }
}
