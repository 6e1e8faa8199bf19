//! What was measured, as lines and as JSON.

use crate::rows::{Bound, Goal, Row};
use crate::run::figure;
use crate::spread::Spread;
use serde::Serialize;
use std::fmt::Write as _;

/// Everything one run of the benches says.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Vec<(&'static str, String)>,
    pub(crate) rows: Vec<RowReport>,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RowReport {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) network: &'static str,
    pub(crate) unit: &'static str,
    /// Share of the server's core with nobody asking, which is taken off the others' cost.
    pub(crate) idle: f64,
    pub(crate) measured: Vec<Measured>,
    pub(crate) compared: Vec<Compared>,
    /// What else was seen.
    pub(crate) notes: Vec<String>,
}

/// One contender of a row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) who: &'static str,
    pub(crate) is_ours: bool,
    pub(crate) spread: Spread,
    pub(crate) windows: Vec<f64>,
    pub(crate) server_busy: f64,
    pub(crate) viewers_busy: f64,
    pub(crate) steal_seconds: f64,
    /// How fast the processor was before each window; a wide spread is a noisy machine.
    pub(crate) pace: Option<Spread>,
}

/// One goal of a row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Compared {
    pub(crate) ours: &'static str,
    pub(crate) theirs: Option<&'static str>,
    /// The quotient of medians of neighbouring windows, or the figure itself.
    pub(crate) spread: Spread,
    pub(crate) at_most: Option<f64>,
    pub(crate) at_least: Option<f64>,
    pub(crate) is_met: Option<bool>,
}

impl Compared {
    pub(crate) fn new(goal: &Goal, spread: Spread) -> Self {
        let (at_most, at_least) = match goal.bound {
            Bound::AtMost(most) => (Some(most), None),
            Bound::AtLeast(least) => (None, Some(least)),
            Bound::Told => (None, None),
        };
        Self {
            ours: goal.ours.name(),
            theirs: goal.theirs.map(crate::rows::Who::name),
            spread,
            at_most,
            at_least,
            is_met: goal.bound.is_met(spread.median),
        }
    }

    fn goal(&self) -> String {
        match (self.at_most, self.at_least) {
            (Some(most), _) => format!("≤ {most}"),
            (_, Some(least)) => format!("≥ {least}"),
            _ => "–".into(),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.is_met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        }
    }

    fn line(&self) -> String {
        let Spread { median, min, max } = self.spread;
        let (what, beside) = match self.theirs {
            Some(theirs) => (format!("{} / {theirs}", self.ours), "×"),
            None => (self.ours.to_owned(), " "),
        };
        format!(
            "  {what:<42} {beside}{:<8} {:<19} {:<8} {}",
            quotient(median),
            format!("({}–{})", quotient(min), quotient(max)),
            self.goal(),
            self.verdict()
        )
    }
}

/// Two digits behind the point for quotients, none for what is large.
fn quotient(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

impl RowReport {
    pub(crate) fn new(
        row: &Row,
        idle: f64,
        measured: Vec<Measured>,
        compared: Vec<Compared>,
        notes: Vec<String>,
    ) -> Self {
        Self {
            key: row.key,
            title: row.title,
            network: row.network.word(),
            unit: row.unit.name(),
            idle,
            measured,
            compared,
            notes,
        }
    }

    /// Its lines, as on the terminal and in the file.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for measured in &self.measured {
            let Spread { median, min, max } = measured.spread;
            let range = format!("({}–{})", figure(min), figure(max));
            let _ = write!(text, "  {:<24} {:>10} {range:<22}", measured.who, figure(median));
            if measured.server_busy > 0.0 {
                let percent = |share: f64| (share * 100.0).round();
                let busy = (percent(measured.server_busy), percent(measured.viewers_busy));
                let _ = write!(text, " server core {:>3} % busy, viewers {:>3} %", busy.0, busy.1);
            }
            text.push('\n');
        }
        for compared in &self.compared {
            text.push_str(&compared.line());
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "  {note}");
        }
        text
    }

    pub(crate) fn tell(&self) {
        print!("{}", self.text());
    }
}

impl Report {
    /// The whole as a text file.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from(
            "What the edge costs beside nginx and HAProxy (benches/README.md says how it is measured).\n\n",
        );
        for (name, value) in &self.machine {
            let _ = writeln!(text, "{name:<12} {value}");
        }
        for row in &self.rows {
            let _ = write!(
                text,
                "\n{} ({}, {}) [{}], idle {:.1} %\n{}",
                row.title,
                row.network,
                row.unit,
                row.key,
                row.idle * 100.0,
                row.text()
            );
        }
        text
    }

    /// Goals met and goals there are.
    pub(crate) fn met(&self) -> (usize, usize) {
        let goals: Vec<bool> =
            self.rows.iter().flat_map(|row| &row.compared).filter_map(|compared| compared.is_met).collect();
        (goals.iter().filter(|met| **met).count(), goals.len())
    }
}
