//! Runs a role: settings, logs, node, `run`.

use std::fmt::Display;
use std::io::IsTerminal;
use std::process::ExitCode;

use node::Node;
use node::settings::{Loaded, SettingsError, Sources, load};
use serde::de::DeserializeOwned;

use crate::{DONE, cli, failed};

pub(crate) fn edge(role: &cli::Role) -> ExitCode {
    run("edge", sources(role), ::edge::run)
}

pub(crate) fn ingest(role: &cli::Role) -> ExitCode {
    run("ingest", sources(role), ::ingest::run)
}

pub(crate) fn lb(role: &cli::Role) -> ExitCode {
    run("lb", sources(role), ::lb::run)
}

pub(crate) fn lobby(role: &cli::Role) -> ExitCode {
    run("lobby", sources(role), ::lobby::run)
}

pub(crate) fn source(source: &cli::Source) -> ExitCode {
    let mut sources = sources(&source.role);
    if !source.urls.is_empty() {
        let quoted: Vec<String> =
            source.urls.iter().map(|url| toml::Value::from(url.as_str()).to_string()).collect();
        sources = sources.map(|sources| sources.flag("URL", "urls", &format!("[{}]", quoted.join(", "))));
    }
    if let Some(file) = &source.key_file {
        let file = file.display().to_string();
        sources = sources.map(|sources| sources.flag("--key-file", "key_file", &file));
    }
    if source.role.settings.is_none() && !source.role.set.iter().any(|(key, _)| key == "operator.listen") {
        // Beside an ingest or an edge on one machine, a pattern's operator is the one that nobody looks for.
        sources = sources.map(|sources| sources.flag("(no settings)", "operator.listen", "127.0.0.1:0"));
    }
    run("source", sources, ::source::run)
}

pub(crate) fn sources(role: &cli::Role) -> Result<Sources, SettingsError> {
    let mut sources = Sources::new().process_environment();
    if let Some(path) = &role.settings {
        sources = sources.file(path)?;
    }
    for (key, value) in &role.set {
        sources = sources.flag(&format!("--set {key}"), key, value);
    }
    Ok(sources)
}

fn run<T: DeserializeOwned, E: Display>(
    role: &'static str,
    sources: Result<Sources, SettingsError>,
    run: impl FnOnce(T, Node) -> Result<(), E>,
) -> ExitCode {
    let loaded = sources.and_then(|sources| load::<T>(role, &sources));
    let Loaded { settings, node, .. } = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            eprint!("{}", error.picture(std::io::stderr().is_terminal()));
            return ExitCode::from(2);
        }
    };
    node::logs::start(&node.log);
    let node = match Node::start(role, &node) {
        Ok(node) => node,
        Err(error) => return failed(format_args!("{role}: {error}")),
    };
    tracing::info!(role, operator = %node.operator.address(), version = env!("CARGO_PKG_VERSION"), "starting");
    match run(settings, node) {
        Ok(()) => {
            tracing::info!(role, "ended");
            DONE
        }
        Err(error) => {
            tracing::error!(role, %error, "failed");
            failed(format_args!("{role}: {error}"))
        }
    }
}
