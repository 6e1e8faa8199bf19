//! Logs: for people on a terminal, one JSON object a line by setting. Always on stderr.
//!
//! Does not live here: what is worth a line. Secrets are never given to `tracing` in the first place.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::events::{Events, Lines};

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

/// Starts logging for the whole process; a second call changes nothing. `RUST_LOG` wins over the level. What is
/// written is also among [`Events::of_this_process`].
pub fn start(settings: &LogSettings) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{},rustls=warn,h2=warn", settings.level.as_str())));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match settings.format {
        Format::Human => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed(),
        Format::Json => lines.json().boxed(),
    };
    let all = tracing_subscriber::registry().with(filter).with(lines).with(Lines(Events::of_this_process()));
    let _ = all.try_init();
}
