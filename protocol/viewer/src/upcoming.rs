//! A listed segment that is to be fetched.

use crate::Range;
use crate::reading;
use std::time::Duration;

/// A segment ahead of what is held, as its playlist lists it.
#[derive(Debug)]
pub(crate) struct Upcoming {
    pub(crate) sequence: u64,
    pub(crate) uri: Box<str>,
    pub(crate) duration: Duration,
    pub(crate) unix_millis: Option<i64>,
    pub(crate) is_gap: bool,
    pub(crate) range: Option<Range>,
    /// Its initialization section; MPEG-TS has none.
    pub(crate) init: Option<Box<Init>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Init {
    pub(crate) uri: Box<str>,
    pub(crate) range: Option<Range>,
}

impl Upcoming {
    pub(crate) fn of(sequence: u64, segment: &reading::Segment<'_>) -> Self {
        let init =
            |init: reading::Init<'_>| Box::new(Init { uri: init.uri.into(), range: init.range.map(range) });
        Self {
            sequence,
            uri: segment.uri.into(),
            duration: segment.duration,
            unix_millis: segment.unix_millis,
            is_gap: segment.is_gap,
            range: segment.range.map(range),
            init: segment.init.map(init),
        }
    }
}

fn range((first, length): (u64, u64)) -> Range {
    Range { first, last: first.saturating_add(length.saturating_sub(1)) }
}
