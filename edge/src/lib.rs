//! An edge: holds the live windows of all broadcasts in memory and sends them to viewers.
//!
//! Lives here: settings, threads and sockets around the rooms, and the one function that knows their order
//! (`Line::carry`). Does not live here: any rule about playlists (`window`, `hls`), about who may have what
//! (`delivery`), about links (`edgefan`, `node::fan`), or how bytes leave cheaply (`percore`).

mod agent;
pub mod bare;
mod board;
mod clock;
mod counts;
mod histogram;
mod lag;
mod lane;
mod line;
mod links;
mod metrics;
mod orders;
mod panel;
mod privacy;
mod settings;
mod shell;
mod start;
mod succession;
mod viewers;

pub use settings::{EdgeName, LimitSettings, PublicUrl, RelaySettings, Settings};
pub use start::{EdgeError, Running, run, start};
