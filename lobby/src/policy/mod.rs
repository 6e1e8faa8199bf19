//! Who may do what, and how much: decisions as values, without a clock, a socket or a database.

pub(crate) mod origin;
mod role;
pub mod words;

pub use role::Role;
pub use words::{Name, NoName, Password, Text, Title};

use serde::{Deserialize, Serialize};

/// Who may sign up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Anybody.
    Open,
    /// Who has an invite.
    #[default]
    Invite,
    /// Nobody: accounts are made on the command line.
    Closed,
}
