//! The one program: every role, and the commands around them.
//!
//! Lives here: what a person types, and the commands that look at running nodes from outside. Does not live
//! here: what a role does (`edge`, `ingest`, `lb`, `lobby`, `source`, `loadtest`), nor how settings are read (`node::settings`).
//!
//! Exit status: 0 done, 1 failed, 2 wrong usage.

mod certs;
mod check;
mod cli;
mod demo;
mod edge;
mod failover;
mod fetch;
mod keys;
mod lint;
mod loadtest;
mod lobby;
mod plan;
mod roles;
mod sight;
mod status;
mod sys;
mod ticket_keys;
mod top;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::Cli::parse().command {
        cli::Command::Edge(edge) => match edge.command {
            Some(command) => edge::run(&command),
            None => roles::edge(&edge.role),
        },
        cli::Command::Ingest(ingest) => match ingest.command {
            Some(cli::IngestCommand::Key(key)) => keys::publish_key(&key),
            Some(cli::IngestCommand::Failover(args)) => failover::run(&args),
            None => roles::ingest(&ingest.role),
        },
        cli::Command::Lb(role) => roles::lb(&role),
        cli::Command::Lobby(lobby) => match lobby.command {
            Some(command) => lobby::run(&command),
            None => roles::lobby(&lobby.role),
        },
        cli::Command::User(command) => lobby::user(&command),
        cli::Command::Source(source) => roles::source(&source),
        cli::Command::Demo(demo) => demo::run(&demo),
        cli::Command::Status(status) => status::run(&status),
        cli::Command::Top(top) => top::run(&top),
        cli::Command::Plan(plan) => plan::run(&plan),
        cli::Command::Check(check) => check::run(&check),
        cli::Command::Lint(lint) => lint::run(&lint),
        cli::Command::Loadtest(loadtest) => loadtest::run(&loadtest),
        cli::Command::Keys(cli::KeysCommand::Rotate(rotate)) => ticket_keys::rotate(&rotate),
        cli::Command::Certs(cli::CertsCommand::Init(init)) => certs::init(&init),
    }
}

/// Done.
const DONE: ExitCode = ExitCode::SUCCESS;

/// Says why on stderr; status 1.
fn failed(why: impl std::fmt::Display) -> ExitCode {
    eprintln!("mascaret: {why}");
    ExitCode::from(1)
}

/// Says why on stderr; status 2.
fn wrong_usage(why: impl std::fmt::Display) -> ExitCode {
    eprintln!("mascaret: {why}");
    ExitCode::from(2)
}
