//! The link between edges and a lobby: edges dial, the lobby says what was said (docs/WIRE.md).
//!
//! Does not live here: what is said when (`chat`), the frames (`edgefan::lobby`), or the store behind it (the lobby).

pub mod client;
pub mod server;
