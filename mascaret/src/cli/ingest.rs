//! What a person types about ingests.

use super::Role;
use clap::{Args, Subcommand};
use std::net::SocketAddr;

#[derive(Args, Debug)]
pub(crate) struct Ingest {
    #[command(subcommand)]
    pub(crate) command: Option<IngestCommand>,
    #[command(flatten)]
    pub(crate) role: Role,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IngestCommand {
    /// Make a publish key; prints the key once, and the hash to put into the settings.
    Key(IngestKey),
    /// Let the twin lead, from the next cut on: before an ingest is stopped, or looked at.
    #[command(after_help = "\
Examples:
  mascaret ingest failover --dry-run                     what would happen at this machine's ingest
  mascaret ingest failover                               every broadcast it leads goes to its twin
  mascaret ingest failover 127.0.0.11:9090 --broadcast tide

Done twice is done once. Exit status 1, and why, where the twin does not follow.")]
    Failover(Failover),
}

#[derive(Args, Debug)]
pub(crate) struct Failover {
    /// The operator listener of the ingest that leads.
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub(crate) ingest: SocketAddr,
    /// One broadcast [default: all].
    #[arg(long, value_name = "BROADCAST")]
    pub(crate) broadcast: Option<String>,
    /// Say what would happen, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct IngestKey {
    /// For which broadcast.
    #[arg(default_value = "live")]
    pub(crate) broadcast: String,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn an_ingest_runs_or_makes_a_key() {
        let parsed = Cli::try_parse_from(["mascaret", "ingest", "key", "tide"]).unwrap();
        assert!(matches!(parsed.command, Command::Ingest(Ingest { command: Some(_), .. })));
        let parsed = Cli::try_parse_from(["mascaret", "ingest", "--set", "open=true"]).unwrap();
        let Command::Ingest(ingest) = parsed.command else { panic!("an ingest") };
        assert_eq!(ingest.role.set, [("open".to_owned(), "true".to_owned())]);
    }
}
