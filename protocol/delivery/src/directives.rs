//! Delivery directives of a playlist reload (rfc8216bis 6.2.5.2; rules D01–D10).

use http::Query;
use media::MediaSequence;

/// What a reload asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// The playlist as it is.
    Plain,
    /// The playlist once it lists this segment or a later one.
    Until(MediaSequence),
}

/// A directive that is no directive: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadDirective(pub(crate) &'static str);

/// How far past its end a playlist may be asked for (rule D04).
const MOST_AHEAD: u64 = 2;

impl Reload {
    /// Reads `_HLS_msn` and `_HLS_part`; other names are ignored (rule D09), `_HLS_skip` among them, as no playlist
    /// here says CAN-SKIP-UNTIL (rule D07).
    ///
    /// No playlist here lists parts, so a part of a segment is there when the segment is: whoever asks for part N
    /// of M is answered once M is listed, which holds M's parts whatever N is (rule D02).
    pub(crate) fn parse(query: Query<'_>) -> Result<Self, BadDirective> {
        let (mut sequence, mut part) = (None, None);
        for (name, value) in query.pairs() {
            // Of several the first.
            match name {
                "_HLS_msn" if sequence.is_none() => sequence = Some(value),
                "_HLS_part" if part.is_none() => part = Some(value),
                _ => {}
            }
        }
        match (sequence.map(number).transpose(), part.map(number).transpose()) {
            (Err(()), _) => Err(BadDirective("_HLS_msn is no number")),
            (_, Err(())) => Err(BadDirective("_HLS_part is no number")),
            (Ok(None), Ok(Some(_))) => Err(BadDirective("_HLS_part needs _HLS_msn")),
            (Ok(None), Ok(None)) => Ok(Self::Plain),
            (Ok(Some(sequence)), Ok(_)) => Ok(Self::Until(MediaSequence(sequence))),
        }
    }

    /// Which segment is still to come before this may be answered; `last` is the newest that is listed.
    pub(crate) fn missing(self, last: MediaSequence) -> Result<Option<MediaSequence>, BadDirective> {
        match self {
            Self::Until(wanted) if wanted.0 > last.0.saturating_add(MOST_AHEAD) => {
                Err(BadDirective("_HLS_msn is more than 2 past the playlist's end"))
            }
            // A stale number is answered at once (rule D06).
            Self::Until(wanted) if wanted > last => Ok(Some(wanted)),
            _ => Ok(None),
        }
    }
}

fn number(text: &str) -> Result<u64, ()> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(());
    }
    text.parse().map_err(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(query: &str) -> Result<Option<u64>, BadDirective> {
        let reload = Reload::parse(Query::new(Some(query)))?;
        Ok(reload.missing(MediaSequence(10))?.map(|sequence| sequence.0))
    }

    #[test]
    fn a_reload_waits_for_what_is_not_listed_yet_and_no_further_than_two() {
        assert_eq!(missing(""), Ok(None));
        assert_eq!(missing("_HLS_msn=9"), Ok(None), "D06: stale");
        assert_eq!(missing("_HLS_msn=10"), Ok(None));
        assert_eq!(missing("_HLS_msn=11"), Ok(Some(11)), "D01");
        assert_eq!(missing("_HLS_msn=12&_HLS_part=3"), Ok(Some(12)), "D02");
        assert!(missing("_HLS_msn=13").is_err(), "D04");
        assert!(missing("_HLS_msn=18446744073709551615").is_err(), "D04");
    }

    #[test]
    fn nonsense_is_refused_and_the_unknown_is_ignored() {
        assert!(missing("_HLS_part=0").is_err(), "D03");
        for bad in ["_HLS_msn=", "_HLS_msn=x", "_HLS_msn=-1", "_HLS_msn=+1", "_HLS_msn=18446744073709551616"]
        {
            assert!(missing(bad).is_err(), "{bad}");
        }
        assert!(missing("_HLS_msn=11&_HLS_part=x").is_err());
        assert_eq!(missing("_HLS_future=1&x=2&_HLS_skip=YES"), Ok(None), "D09");
    }
}
