//! docs/OPERATING.md as its rehearsals read it: its commands word for word, and what it says is seen after each.
//!
//! `tidy/tests/rehearsed.rs` looks for `page::line("…")` and `page::chapter("…")` in tests: every command on the page must
//! be in one of them, and what they name must be on the page.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs of it")]

use std::path::Path;
use std::process::{Command, Stdio};

const PAGE: &str = include_str!("../../../docs/OPERATING.md");

/// A command, and what is seen after it: the comments below it in its block, `…` for anything.
#[derive(Clone, Debug)]
pub struct Line {
    pub command: &'static str,
    pub sees: Vec<&'static str>,
}

impl Line {
    /// As it is typed here: each of the page's places is another, and must be in the command.
    pub fn typed(&self, program: &Path, places: &[(&str, &str)]) -> String {
        for (on_the_page, _) in places {
            assert!(self.command.contains(on_the_page), "{on_the_page:?} is not in {:?}", self.command);
        }
        at(self.command, places).replacen("mascaret", &program.display().to_string(), 1)
    }

    /// The same, to be started; it is the process that is started, and nobody's child.
    pub fn here(&self, program: &Path, places: &[(&str, &str)]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {}", self.typed(program, places))]);
        command.stdin(Stdio::null());
        command
    }

    /// Runs it in that folder to its good end; what it says has what the page says is seen.
    pub fn runs(&self, program: &Path, folder: &Path, places: &[(&str, &str)]) -> String {
        let output = self.here(program, places).current_dir(folder).output().expect("sh is there");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, complains) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{}: {}\n{said}{complains}", self.command, output.status);
        self.is_seen(&said, places);
        said
    }

    /// Every line that the page shows is among what was said.
    pub fn is_seen(&self, said: &str, places: &[(&str, &str)]) {
        for wanted in &self.sees {
            let wanted = at(wanted, places);
            assert!(
                said.lines().any(|line| is_like(line, &wanted)),
                "{}\nthe page shows   {wanted}\nand this is seen {said}",
                self.command
            );
        }
    }
}

fn even(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn at(text: &str, places: &[(&str, &str)]) -> String {
    places.iter().fold(text.to_owned(), |text, (on_the_page, here)| text.replace(on_the_page, here))
}

/// `…` stands for anything; a run of spaces for any other.
fn is_like(line: &str, wanted: &str) -> bool {
    let (line, wanted) = (even(line), even(wanted));
    let (first, rest) = wanted.split_once('…').unwrap_or((&wanted, ""));
    let Some(mut left) = line.strip_prefix(first) else { return false };
    if !wanted.contains('…') {
        return left.is_empty();
    }
    let mut pieces = rest.split('…').peekable();
    while let Some(piece) = pieces.next() {
        let found = if pieces.peek().is_none() { left.rfind(piece) } else { left.find(piece) };
        let Some(at) = found else { return false };
        left = &left[at + piece.len()..];
    }
    left.is_empty() || wanted.ends_with('…')
}

/// One command of the page, with what is seen after it where the page says so.
#[track_caller]
pub fn line(command: &'static str) -> Line {
    let shown = blocks(PAGE).into_iter().find(|line| line.command == command);
    shown.unwrap_or_else(|| {
        assert!(even(PAGE).contains(&format!("`{command}`")), "docs/OPERATING.md has no {command:?}");
        Line { command, sees: Vec::new() }
    })
}

/// The commands of a chapter's blocks, in order.
#[track_caller]
pub fn chapter(heading: &str) -> Vec<Line> {
    let begin =
        PAGE.find(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading:?} in docs/OPERATING.md"));
    let text: &'static str = &PAGE[begin + heading.len()..];
    blocks(text.split("\n## ").next().unwrap_or_default())
}

/// Name and text of every settings file of the page; of some, only a part is shown.
pub fn settings() -> Vec<(String, String)> {
    let blocks = PAGE.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
    let named = blocks.filter_map(|block| {
        let name = block.strip_prefix("# ")?.split_whitespace().next()?;
        name.ends_with(".toml").then(|| (name.to_owned(), block.to_owned()))
    });
    named.collect()
}

fn blocks(text: &'static str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for block in text.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()) {
        for line in block.lines() {
            match (line.strip_prefix('#'), lines.last_mut()) {
                (Some(seen), Some(last)) => last.sees.push(seen.trim()),
                _ => {
                    let command = line.split("  #").next().unwrap_or_default().trim();
                    lines.push(Line { command, sees: Vec::new() });
                }
            }
        }
    }
    lines.retain(|line| !line.command.is_empty());
    lines
}
