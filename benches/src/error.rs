//! Why a bench cannot go on.

use std::io;

/// What ends a bench, or one row of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A program said no.
    #[error("`{command}`: {said}")]
    Command {
        /// Which, and its words.
        command: String,
        /// What it said.
        said: String,
    },
    /// The system said no.
    #[error("{what}: {error}")]
    System {
        /// While doing what.
        what: String,
        /// What it said.
        error: io::Error,
    },
    /// A figure taken now would be wrong.
    #[error("refused: {0}")]
    Refused(String),
    /// A server did not answer what it was asked for.
    #[error("{server}: {said}")]
    Answer {
        /// Whose answer.
        server: String,
        /// What is wrong with it.
        said: String,
    },
    /// Ctrl-C.
    #[error("ended by a signal")]
    Interrupted,
}

impl BenchError {
    /// What was being done when the system said no.
    pub(crate) fn when(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::System { what, error }
    }

    /// An answer that was not expected.
    pub(crate) fn answer(server: impl Into<String>, said: impl Into<String>) -> Self {
        Self::Answer { server: server.into(), said: said.into() }
    }
}
