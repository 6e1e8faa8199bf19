//! One byte range of a body (RFC 9110, 14).

/// What the Range field asks for. Several ranges, other units and nonsense are no range: the whole is sent,
/// which the RFC allows for any range (14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// `bytes=a-` or `bytes=a-b`, both ends included.
    From {
        /// First byte wanted.
        first: u64,
        /// Last byte wanted; the body's last when absent.
        last: Option<u64>,
    },
    /// `bytes=-n`: the last n bytes.
    Suffix(u64),
}

/// The bytes of a body that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first.
    pub from: u64,
    /// How many, at least 1.
    pub len: u64,
}

/// The range has no byte in the body: 416.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the range lies outside of the {whole} bytes there are")]
pub struct Unsatisfiable {
    /// Length of the body.
    pub whole: u64,
}

impl Range {
    /// Reads the field's value; `None` where the field is to be ignored.
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, set) = value.split_once('=')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = set.trim_matches([' ', '\t']).split_once('-')?;
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Suffix(digits(last)?)),
            (false, true) => Some(Self::From { first: digits(first)?, last: None }),
            (false, false) => {
                let (first, last) = (digits(first)?, digits(last)?);
                (first <= last).then_some(Self::From { first, last: Some(last) })
            }
        }
    }

    /// What of a body of `whole` bytes that is.
    pub fn of(self, whole: u64) -> Result<Span, Unsatisfiable> {
        let unsatisfiable = Unsatisfiable { whole };
        match self {
            Self::From { first, .. } if first >= whole => Err(unsatisfiable),
            Self::From { first, last } => {
                let last = last.map_or(whole - 1, |last| last.min(whole - 1));
                Ok(Span { from: first, len: last - first + 1 })
            }
            Self::Suffix(len) => match len.min(whole) {
                0 => Err(unsatisfiable),
                len => Ok(Span { from: whole - len, len }),
            },
        }
    }
}

/// Digits only (`+1` is a number to Rust and not to HTTP). More than 64 bits hold is as good as the end of any
/// body, so it saturates.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(value: &str, whole: u64) -> Option<Result<(u64, u64), Unsatisfiable>> {
        Range::parse(value).map(|range| range.of(whole).map(|span| (span.from, span.len)))
    }

    #[test]
    fn single_open_and_suffix_ranges_are_cut_to_the_body() {
        assert_eq!(sent("bytes=0-0", 10), Some(Ok((0, 1))));
        assert_eq!(sent("bytes=2-5", 10), Some(Ok((2, 4))));
        assert_eq!(sent("bytes=2-", 10), Some(Ok((2, 8))));
        assert_eq!(sent("bytes=2-99", 10), Some(Ok((2, 8))));
        assert_eq!(sent("bytes=-3", 10), Some(Ok((7, 3))));
        assert_eq!(
            sent("Bytes= 2-5\t", 10),
            Some(Ok((2, 4))),
            "white space around a list's element is allowed"
        );
        assert_eq!(sent("bytes=-99", 10), Some(Ok((0, 10))));
    }

    #[test]
    fn a_range_outside_is_unsatisfiable() {
        assert_eq!(sent("bytes=10-", 10), Some(Err(Unsatisfiable { whole: 10 })));
        assert_eq!(sent("bytes=-0", 10), Some(Err(Unsatisfiable { whole: 10 })));
        assert_eq!(sent("bytes=0-", 0), Some(Err(Unsatisfiable { whole: 0 })));
        assert_eq!(sent("bytes=99999999999999999999-", 10), Some(Err(Unsatisfiable { whole: 10 })));
    }

    #[test]
    fn what_is_not_one_range_is_no_range() {
        for ignored in [
            "bytes=0-1,3-4",
            "bytes=5-2",
            "bytes=-",
            "bytes=",
            "bytes",
            "items=0-1",
            "bytes =0-1",
            "bytes=0 -1",
            "bytes=+1-2",
            "bytes=a-",
        ] {
            assert_eq!(sent(ignored, 10), None, "{ignored:?}");
        }
    }

    proptest! {
        #[test]
        fn no_range_ever_leaves_the_body(value in "bytes=[0-9]{0,21}-[0-9]{0,21}", whole: u64) {
            if let Some(Ok(span)) = Range::parse(&value).map(|range| range.of(whole)) {
                prop_assert!(span.len >= 1);
                prop_assert!(span.from.checked_add(span.len).is_some_and(|end| end <= whole));
            }
        }
    }
}
