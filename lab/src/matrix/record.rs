//! What was measured, row by row, as `matrix.md` and `matrix.json` keep it from one run to the next.
//!
//! Lives here: which rows there are, what a run that is over replaces, and what it leaves. Does not live here: what is
//! a success (`judge`).
//!
//! The table is its own record: rows of other runs stay as they are, and so does everything somebody wrote below them.

use super::cell::cells;
use super::judge::Verdict;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::Path;

/// How a cell was run, where it is not as a row without a word of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) is_brisk: bool,
    pub(crate) seed: u64,
    pub(crate) viewers: u32,
}

impl Manner {
    /// What a row says nothing of.
    pub(crate) const ORDINARY: Self = Self { is_brisk: false, seed: 1, viewers: 60 };

    /// The first column of a row: the cell, and how it was run.
    pub(crate) fn title(self, cell: &str) -> String {
        let ordinary = Self::ORDINARY;
        let words = [
            self.is_brisk.then(|| "short".to_owned()),
            (self.seed != ordinary.seed).then(|| format!("seed {}", self.seed)),
            (self.viewers != ordinary.viewers).then(|| format!("{} viewers", self.viewers)),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        match words.is_empty() {
            true => cell.to_owned(),
            false => format!("{cell} ({})", words.join(", ")),
        }
    }
}

/// The table, and what stands below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// By title: the row as it is written.
    rows: Vec<(String, String)>,
    below: String,
}

const COLUMNS: &str = "| cell | holds | stalls | stalled | errors | faults | gaps | switched | bytes compared, differing | left after | new viewer's edge | well again after |\n\
    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";

impl Record {
    /// What `matrix.md` here holds; nothing if there is none.
    pub(crate) fn read(results: &Path) -> io::Result<Self> {
        match fs::read_to_string(results.join("matrix.md")) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Self {
        let is_row = |line: &&str| line.starts_with("| ");
        // Title and preface are written anew, and so is the table's head: its two lines are no rows.
        let mut lines = text.lines().skip_while(|line| !is_row(line)).skip(2).peekable();
        let mut rows = Vec::new();
        while let Some(line) = lines.next_if(is_row) {
            let title = line.split('|').nth(1).unwrap_or_default().trim();
            rows.push((title.to_owned(), line.to_owned()));
        }
        let below: Vec<&str> = lines.collect();
        Self { rows, below: below.join("\n").trim().to_owned() }
    }

    pub(crate) fn has(&self, title: &str) -> bool {
        self.rows.iter().any(|(known, _)| known == title)
    }

    /// A cell was run: its row is new, and stands where its cell stands in the matrix.
    pub(crate) fn put(&mut self, title: &str, verdict: &Verdict) {
        self.rows.retain(|(known, _)| known != title);
        self.rows.push((title.to_owned(), row(title, verdict)));
        let names: Vec<String> = cells().iter().map(ToString::to_string).collect();
        let place = |title: &str| {
            let cell = title.split(' ').next().unwrap_or_default();
            names.iter().position(|name| name == cell).unwrap_or(names.len())
        };
        self.rows.sort_by_key(|(title, _)| (place(title), title.clone()));
    }

    pub(crate) fn markdown(&self, about: &str) -> String {
        let mut text = format!("# The fault matrix\n\n{about}\n\n{COLUMNS}");
        for (_, row) in &self.rows {
            text += row;
            text.push('\n');
        }
        if !self.below.is_empty() {
            text += &format!("\n{}\n", self.below);
        }
        text
    }
}

fn row(title: &str, verdict: &Verdict) -> String {
    let Verdict { wrong, line, .. } = verdict;
    let shown = |key: &str, unit: &str| match &line[key] {
        Value::Null => "–".to_owned(),
        value => format!("{value}{unit}"),
    };
    let count = |key: &str| line[key].as_f64().map_or_else(|| "–".to_owned(), |count| format!("{count:.0}"));
    // One row is one line, and a column ends at a bar: what went wrong may be anybody's words.
    let wrong = wrong.join("; ").replace(['\n', '\r'], " ").replace('|', "/");
    let holds = if wrong.is_empty() { "yes".to_owned() } else { format!("**no**: {wrong}") };
    let stalled = line["stall_ratio"].as_f64().unwrap_or(0.0) * 100.0;
    format!(
        "| {title} | {holds} | {} | {stalled:.2} % | {} | {} | {} | {} | {}, {} | {} | {} | {} |",
        count("stalls"),
        count("errors"),
        count("faults"),
        count("gaps"),
        count("switched"),
        count("compared"),
        count("differing"),
        shown("left_seconds", " s"),
        shown("entry_ms", " ms"),
        shown("well_after_seconds", " s"),
    )
}

/// The same rows for programs: those of `before` that this one does not replace, and it.
pub(crate) fn with_line(before: &Value, title: &str, manner: Manner, verdict: &Verdict) -> Value {
    let mut lines: Vec<Value> = before["cells"].as_array().cloned().unwrap_or_default();
    lines.retain(|line| line["row"] != title);
    let mut line = verdict.line.clone();
    if let Some(line) = line.as_object_mut() {
        line.insert("row".into(), title.into());
        line.insert("seed".into(), manner.seed.into());
        line.insert("brisk".into(), manner.is_brisk.into());
    }
    lines.push(line);
    json!({ "cells": lines })
}

/// The file is whole at every moment: a run may be ended, or the machine, between two cells.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(wrong: &[&str], stalls: f64) -> Verdict {
        let wrong: Vec<String> = wrong.iter().map(|&wrong| wrong.to_owned()).collect();
        Verdict { name: "edge/sigkill".into(), wrong, line: json!({ "stalls": stalls, "viewers": 60.0 }) }
    }

    #[test]
    fn a_later_run_replaces_its_own_rows_and_leaves_the_others_and_what_was_written_below() {
        let mut record = Record::default();
        record.put("lb/sigkill", &verdict(&[], 1.0));
        record.put("edge/sigkill", &verdict(&["a | b\nc"], 2.0));
        record.put("edge/sigkill (short)", &verdict(&[], 3.0));
        let text = record.markdown("About.") + "\nWritten by hand.\n\n| and | this |\n";

        let mut read = Record::parse(&text);
        assert!(read.has("lb/sigkill") && read.has("edge/sigkill (short)"));
        assert!(!read.has("edge/sigstop") && !read.has("cell"));
        assert_eq!(read.markdown("About."), text, "what is read is written as it was");

        read.put("edge/sigkill", &verdict(&[], 4.0));
        let text = read.markdown("About.");
        let titles: Vec<&str> = read.rows.iter().map(|(title, _)| title.as_str()).collect();
        assert_eq!(titles, ["edge/sigkill", "edge/sigkill (short)", "lb/sigkill"], "in the matrix's order");
        assert!(text.contains("| edge/sigkill | yes | 4 |"), "{text}");
        assert!(!text.contains("a / b c"), "{text}");
        assert!(text.ends_with("Written by hand.\n\n| and | this |\n"), "{text}");
    }

    #[test]
    fn a_row_says_how_it_was_run_if_not_as_all_are() {
        let ordinary = Manner::ORDINARY;
        assert_eq!(ordinary.title("lb/200ms"), "lb/200ms");
        let manner = Manner { is_brisk: true, seed: 3, viewers: 20 };
        assert_eq!(manner.title("lb/200ms"), "lb/200ms (short, seed 3, 20 viewers)");
    }

    #[test]
    fn programs_find_each_row_once() {
        let ordinary = Manner::ORDINARY;
        let once = with_line(&Value::Null, "edge/sigkill", ordinary, &verdict(&[], 1.0));
        let short = Manner { is_brisk: true, ..ordinary };
        let both = with_line(&once, "edge/sigkill (short)", short, &verdict(&[], 1.0));
        let again = with_line(&both, "edge/sigkill", ordinary, &verdict(&[], 5.0));
        let lines = again["cells"].as_array().unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["brisk"], &lines[1]["stalls"]), (&json!(true), &json!(5.0)));
    }
}
