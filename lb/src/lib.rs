//! The balancer: gives each viewer an edge and a token, and never touches media.
//!
//! Lives here: settings, the links from edges, and the answers a viewer gets before it has an edge: multivariant
//! playlist, redirect, lists of broadcasts and edges, the page. Does not live here: the choice (`routing`), the
//! token (`ticket`), sockets (`percore`, `node::fan`).
//!
//! ```text
//!  edges ── control links ──▶ hub ── tell ──▶ core 0: desk ◀── viewers
//!                probe ──────▶   (knows all)   core 1: desk ◀── viewers
//!                                                 └── what it reserved ──▶ the other cores
//! ```
//!
//! Every core decides by itself on its own copy of what is known; nothing is shared on the way of a viewer's
//! request. Balancers that are named to each other (`peers`) tell each other what they reserved and what they seal
//! with; any of them answers for any other, and none needs another.

mod api;
mod audience;
pub mod bare;
mod core;
mod desk;
mod directory;
mod discretion;
mod entry;
mod events;
mod hub;
mod keyring;
mod keys;
mod l4;
mod metrics;
mod nodes;
mod pack;
mod pages;
mod pathway;
mod probe;
mod ring;
mod rulings;
mod settings;
mod shell;
mod succession;
mod switch;
mod told;

pub use l4::L4Settings;
pub use settings::{PublicUrl, Settings, TicketSettings};
pub use shell::{Addresses, LbError, run, run_telling};
