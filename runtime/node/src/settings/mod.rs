//! Settings: one TOML for one program or for all, then `MASCARET_<ROLE>_<KEY>`, then flags; every mistake
//! with its place.
//!
//! Lives here: reading, merging, finding what is wrong and saying it well. Does not live here: what the
//! settings are; each role has a struct (`Deserialize` with `default` and `deny_unknown_fields`, `Serialize`
//! so that `mascaret check` can show what holds).
//!
//! ```
//! use node::settings::{self, Address, Millis, Sources};
//!
//! #[derive(Debug, serde::Deserialize, serde::Serialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Settings {
//!     /// Where viewers connect. Default `127.0.0.1:8080`.
//!     http: Address,
//!     /// How long a connection may idle, 1 s to 10 min. Default `30 s`.
//!     idle: Millis<1_000, 600_000>,
//! }
//! # impl Default for Settings {
//! #     fn default() -> Self {
//! #         Self { http: Address::local(8080), idle: Millis::new(30_000) }
//! #     }
//! # }
//! let sources = Sources::new().text("edge.toml", "http = '127.0.0.21:8080'\nidel = '5 s'");
//! let refused = settings::load::<Settings>("edge", &sources).unwrap_err();
//! assert_eq!(refused.mistakes[0].to_string(),
//!     "edge.toml:2:1: unknown key `idel`; allowed: certificates, http, idle, log, operator; did you mean `idle`?");
//! ```

mod load;
mod mistake;
mod shape;
mod sources;
mod table;
mod text;
mod units;

pub use load::{Effective, Loaded, Origin, ROLES, is_for_all, load};
pub use mistake::{Mistake, Place, SettingsError};
pub use sources::Sources;
pub use units::{Address, Kbps, Mbps, Megabytes, Millis, Number, Parsed, Seconds, Secret, SecretFile};
