//! The token in the path `/v/<token>/<broadcast>/…`: a balancer seals it, any edge opens it, nobody else can
//! make one.
//!
//! Lives here: the 39 bytes of a ticket and their 52 base64url characters, the keys that seal them, the names
//! and numbers of edges, and links that are shared ([`LinkSecret`]). Does not live here: which edge a viewer gets (`routing`), how keys travel (`edgefan`),
//! what an edge answers to a refused token (`delivery`).
//!
//! ```text
//! ver:1 kid:1 edge:2 alt:2 exp:4 stream:4 viewer:8 flags:1   mac:16
//! └───────────────── 23 bytes, big-endian ───────────────┘   HMAC-SHA-256 over them, cut to 128 bits
//! ```
//!
//! 39 bytes are 312 bits are 52 base64url characters with none left over, so a ticket has exactly one spelling.

mod base64url;
mod edge;
mod key;
mod link;
mod ticket;

pub use edge::{EdgeId, EdgeIdError, EdgeNumber};
pub use key::{Key, KeyError, Keys, MAX_KEYS};
pub use link::LinkSecret;
pub use ticket::{BroadcastHash, Flags, Refusal, Ticket, Token, UnixSeconds, ViewerId};
