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
            (NamedSource::new(name, part.text.clone()), local)
        });
        Mistake { place: self.place(span.start), problem, allowed, meant, source }
    }
}
