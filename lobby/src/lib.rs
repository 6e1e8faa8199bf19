//! Who may publish, who may watch, who says what: the part of the cluster that needs a database.
//!
//! ```text
//!  browsers ── HTTP ──▶ door ──▶ policy (may he?) ──▶ store (SQLite | PostgreSQL)
//!  ingests  ── link ──▶ keys of publishers ───────────▲
//!  edges    ── link ──◀ chat, what is private, whom to turn away
//! ```
//!
//! Lives here: accounts and sessions, publish keys, private broadcasts, chat rooms, the API, and the store beneath them.
//! Does not live here: media, the check of a ticket (`ticket`, at edges), the delivery of chat (`edgefan`, edges). A lobby
//! that is down stops no viewer and no publisher that is on the air.

mod admission;
mod air;
mod desk;
mod hooks;
pub mod http;
mod listener;
mod lobby;
mod metrics;
mod outside;
mod pages;
pub mod passwords;
pub mod policy;
mod rates;
pub mod secret;
mod settings;
mod share;
mod shell;
pub mod store;
mod tickets;

pub use lobby::Lobby;
pub use settings::{Settings, StoreSettings, TicketSettings};
pub use shell::{Addresses, LobbyError, open_store, run, run_telling};
