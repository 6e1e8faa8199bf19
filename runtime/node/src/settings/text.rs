//! The texts of all sources laid end to end in one numbering of bytes, so that a span says by itself which
//! file, variable or flag it is from.

use std::ops::Range;

use miette::NamedSource;

use super::mistake::{Mistake, Place};

/// All texts, end to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(super) struct Part {
    start: usize,
    pub(super) text: String,
    place: Place,
}

impl Text {
    pub(super) fn add(&mut self, place: Place, text: String) -> usize {
        let start = self.parts.last().map_or(0, |part| part.start + part.text.len() + 1);
        self.parts.push(Part { start, text, place });
        start
    }

    /// The file is the first, so its spans are what TOML says they are.
    pub(super) fn file(&self) -> &str {
        self.parts.first().map_or("", |part| &part.text)
    }

    pub(super) fn part(&self, at: usize) -> Option<&Part> {
        self.parts.iter().rev().find(|part| part.start <= at)
    }

    pub(super) fn place(&self, at: usize) -> Place {
        let Some(part) = self.part(at) else { return Place::Nowhere };
        let Place::File { path, .. } = &part.place else { return part.place.clone() };
        let mut end = (at - part.start).min(part.text.len());
        while !part.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &part.text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            path: path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    pub(super) fn mistake(
        &self,
        span: Range<usize>,
        problem: String,
        allowed: Option<String>,
        meant: Option<String>,
    ) -> Mistake {
        let source = self.part(span.start).map(|part| {
            let name = match &part.place {
                Place::File { path, .. } => path.clone(),
                other => other.to_string(),
            };
            let end = part.text.len();
            let local = (span.start - part.start).min(end)..span.end.saturating_sub(part.start).min(end);
            (NamedSource::new(name, without_secrets(&part.text)), local)
        });
        Mistake { place: self.place(span.start), problem, allowed, meant, source }
    }
}

/// The text as it may be shown in a log: what is set at a key whose name says that it is secret is starred out,
/// byte for byte, so that spans stay right.
fn without_secrets(text: &str) -> String {
    let is_secret = |line: &str| {
        let key = line.split('=').next().unwrap_or_default().to_ascii_lowercase();
        line.contains('=') && ["key", "secret", "password", "token"].iter().any(|word| key.contains(word))
    };
    let shown = |line: &str| match line.find('=') {
        Some(at) if is_secret(line) => {
            let stars = line[at + 1..]
                .chars()
                .map(|c| if c.is_whitespace() { c.to_string() } else { "*".repeat(c.len_utf8()) });
            format!("{}{}", &line[..=at], stars.collect::<String>())
        }
        _ => line.to_owned(),
    };
    text.split_inclusive('\n').map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_starred_out_and_nothing_moves() {
        let text = "id = 'a'\n[[publishers]]\nkey = 'hünter2'  # x\nidle = 5\n";
        let shown = without_secrets(text);
        assert_eq!(shown.len(), text.len());
        assert_eq!(shown, "id = 'a'\n[[publishers]]\nkey = **********  * *\nidle = 5\n");
    }
}
