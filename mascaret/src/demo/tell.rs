//! What the demo says: lines for people with one status line a second, or one JSON object a line.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

/// Where it is said.
#[derive(Debug)]
pub(crate) struct Teller {
    begin: Instant,
    manner: Manner,
}

#[derive(Debug)]
enum Manner {
    Json,
    /// A status line that stays in its place.
    Terminal(ProgressBar),
    Lines,
}

impl Teller {
    pub(crate) fn new(is_json: bool) -> Self {
        let manner = match (is_json, std::io::stdout().is_terminal()) {
            (true, _) => Manner::Json,
            (false, true) => {
                let bar = ProgressBar::new_spinner();
                if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {wide_msg}") {
                    bar.set_style(style);
                }
                bar.enable_steady_tick(Duration::from_millis(250));
                Manner::Terminal(bar)
            }
            (false, false) => Manner::Lines,
        };
        Self { begin: Instant::now(), manner }
    }

    pub(crate) fn is_json(&self) -> bool {
        matches!(self.manner, Manner::Json)
    }

    /// Something happened: `text` for people, `event` and `fields` for machines.
    pub(crate) fn event(&self, event: &str, text: &str, fields: Value) {
        match &self.manner {
            Manner::Json => self.json(event, fields),
            Manner::Terminal(bar) => bar.println(text),
            Manner::Lines => print(text),
        }
    }

    /// How things are, once a second.
    pub(crate) fn status(&self, text: &str, fields: Value) {
        match &self.manner {
            Manner::Json => self.json("status", fields),
            Manner::Terminal(bar) => bar.set_message(text.to_owned()),
            Manner::Lines => print(text),
        }
    }

    /// The status line goes.
    pub(crate) fn end(&self) {
        if let Manner::Terminal(bar) = &self.manner {
            bar.finish_and_clear();
        }
    }

    fn json(&self, event: &str, fields: Value) {
        let mut line = json!({ "event": event, "after_ms": self.begin.elapsed().as_millis() as u64 });
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        print(&line.to_string());
    }
}

/// A reader that has gone is told nothing more, and is no reason to panic.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
