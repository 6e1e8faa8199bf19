//! What a person types about the lobby and its accounts.

use super::Role;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct Lobby {
    #[command(subcommand)]
    pub(crate) command: Option<LobbyCommand>,
    #[command(flatten)]
    pub(crate) role: Role,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LobbyCommand {
    /// Write everything but sessions to a new file, one JSON row a line. It has password hashes in it.
    #[command(after_help = "\
Examples:
  mascaret lobby backup lobby.jsonl --settings lobby.toml")]
    Backup(LobbyFile),
    /// Fill an empty store from such a file.
    #[command(after_help = "\
Examples:
  mascaret lobby restore lobby.jsonl --settings other.toml")]
    Restore(LobbyFile),
}

#[derive(Args, Debug)]
pub(crate) struct LobbyFile {
    /// The file.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) role: Role,
}

/// What an account may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccountRole(pub(crate) ::lobby::policy::Role);

impl std::str::FromStr for AccountRole {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account; the first administrator is made so.
    #[command(after_help = "\
Examples:
  mascaret user add ada --role admin --settings lobby.toml     prints a password, once
  mascaret user add bob --role broadcaster --password-stdin < password")]
    Add(UserAdd),
    /// Give it another password; it is signed out everywhere.
    #[command(after_help = "\
Examples:
  mascaret user passwd ada --settings lobby.toml")]
    Passwd(UserPasswd),
    /// Give it another role; it is signed out everywhere.
    #[command(after_help = "\
Examples:
  mascaret user role bob broadcaster --settings lobby.toml")]
    Role(UserRole),
    /// Delete it and all that is its: broadcasts, keys, links, and what it said.
    #[command(after_help = "\
Examples:
  mascaret user delete eve --settings lobby.toml")]
    Delete(UserDelete),
}

#[derive(Args, Debug)]
pub(crate) struct UserAdd {
    /// 2 to 32 letters, digits, - and _.
    pub(crate) name: String,
    /// viewer, moderator, broadcaster or admin.
    #[arg(long, default_value = "viewer")]
    pub(crate) role: AccountRole,
    /// The password is the first line of stdin; without it one is made and shown once.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) role_settings: Role,
}

#[derive(Args, Debug)]
pub(crate) struct UserPasswd {
    /// The account, by its name.
    pub(crate) name: String,
    /// The password is the first line of stdin; without it one is made and shown once.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) role_settings: Role,
}

#[derive(Args, Debug)]
pub(crate) struct UserRole {
    /// The account, by its name.
    pub(crate) name: String,
    /// viewer, moderator, broadcaster or admin.
    pub(crate) role: AccountRole,
    #[command(flatten)]
    pub(crate) role_settings: Role,
}

#[derive(Args, Debug)]
pub(crate) struct UserDelete {
    /// The account, by its name.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) role_settings: Role,
}
