//! Logs: for people on a terminal, one JSON object a line by setting. Always on stderr.
//!
//! Does not live here: what is worth a line. Secrets are never given to `tracing` in the first place.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// What is logged, and how it looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// The least severe that is written: `error`, `warn`, `info`, `debug` or `trace`. Default `info`.
    pub level: Level,
    /// `human`, or `json` for machines. Default `human`.
    pub format: Format,
}

/// How severe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something a person must do something about.
    Error,
    /// Something that went wrong and was survived.
    Warn,
    /// What an operator wants to read the day after.
    #[default]
    Info,
    /// For the one who looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For eyes; coloured on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Starts logging for the whole process; a second call changes nothing. `RUST_LOG` wins over the level.
pub fn start(settings: &LogSettings) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{},rustls=warn,h2=warn", settings.level.as_str())));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match settings.format {
        Format::Human => {
            builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).finish_and_set()
        }
        Format::Json => builder.json().finish_and_set(),
    };
}

/// `try_init` under one name for both formats.
trait FinishAndSet {
    fn finish_and_set(self) -> Result<(), ()>;
}

impl<N, E, F, W> FinishAndSet for tracing_subscriber::fmt::SubscriberBuilder<N, E, F, W>
where
    Self: Into<tracing::Dispatch>,
{
    fn finish_and_set(self) -> Result<(), ()> {
        tracing::dispatcher::set_global_default(self.into()).map_err(drop)
    }
}
