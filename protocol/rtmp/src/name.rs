//! What a publisher calls things: apps, stream names, and the secrets in them.
//!
//! Lives here: cutting the query off a name, and keeping secrets out of logs. Does not live here: which of them is
//! the publish key, or whether it is right (`ingest` compares, in constant time).

use crate::limits::QUERY_PAIRS;
use std::fmt;

/// A text that must not be logged. It cannot be compared, lest somebody does so in variable time.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever has a reason to see it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.0.capacity()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} secret bytes)", self.0.len())
    }
}

/// The `name=value` pairs after a question mark. The names may be logged, the values may not.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, Secret)>);

impl Query {
    fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(QUERY_PAIRS);
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (unescape(name), Secret(unescape(value))))
                .collect(),
        )
    }

    /// The first value of that name.
    pub fn value(&self, name: &str) -> Option<&Secret> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All pairs, in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn held_bytes(&self) -> usize {
        let texts = self.0.iter().map(|(name, value)| name.capacity() + value.held_bytes()).sum::<usize>();
        self.0.capacity() * size_of::<(String, Secret)>() + texts
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `%41` is `A`. A plus stays a plus: keys are often base64.
fn unescape(text: &str) -> String {
    let nibble = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, nibble(after.first()), nibble(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What `connect` names: the application, without slashes around it, and its query.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// `live`, mostly.
    pub name: String,
    /// What followed a question mark.
    pub query: Query,
}

impl App {
    /// Cuts `live?user=1`.
    pub fn parse(text: &str) -> Self {
        let (name, query) = cut(text);
        Self { name: name.trim_matches('/').to_owned(), query }
    }
}

/// A stream name without its query, and its query.
pub(crate) fn cut(text: &str) -> (&str, Query) {
    let (name, query) = text.split_once('?').unwrap_or((text, ""));
    (name, Query::parse(query))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_stand_in_the_query_of_the_name() {
        let (name, query) = cut("tidal-bore?key=s%20e+c&token=1=2&flag");
        assert_eq!(name, "tidal-bore");
        let pairs: Vec<_> = query.pairs().map(|(name, value)| (name, value.reveal())).collect();
        assert_eq!(pairs, [("key", "s e+c"), ("token", "1=2"), ("flag", "")]);
        assert_eq!(query.value("token").unwrap().reveal(), "1=2");
        assert!(query.value("nothing").is_none());
    }

    #[test]
    fn an_app_may_have_a_query_and_slashes() {
        let app = App::parse("/live/?user=1");
        assert_eq!((app.name.as_str(), app.query.value("user").unwrap().reveal()), ("live", "1"));
        assert_eq!(App::parse("live").name, "live");
    }

    #[test]
    fn a_broken_escape_is_left_as_it_is() {
        for text in ["%", "%4", "%zz", "100%"] {
            assert_eq!(unescape(text), text);
        }
    }

    #[test]
    fn a_secret_is_not_in_its_debug_output() {
        let (_, query) = cut("name?key=hunter2");
        let told = format!("{query:?} {:?}", Secret::new("hunter2"));
        assert!(!told.contains("hunter2") && told.contains("7 secret bytes"), "{told}");
    }

    #[test]
    fn a_query_of_a_thousand_pairs_is_cut_off() {
        let (_, query) = cut(&format!("name?{}", "a=b&".repeat(1000)));
        assert_eq!(query.pairs().count(), QUERY_PAIRS);
    }
}
