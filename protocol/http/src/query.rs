//! The query of a target: pairs of key and value, as they stand.
//!
//! Nothing is percent-decoded, here or in the path: no name, number or directive of the house needs an escape,
//! so an escaped one is another text and finds nothing.

/// What follows the `?`, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a>(Option<&'a str>);

impl<'a> Query<'a> {
    /// Of a target that has been looked at.
    pub fn new(text: Option<&'a str>) -> Self {
        Self(text)
    }

    /// The text after the `?`.
    pub fn as_str(self) -> Option<&'a str> {
        self.0
    }

    /// Keys and values in their order; a key without `=` has an empty value.
    pub fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let text = self.0.unwrap_or_default();
        text.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// The first value of that key.
    pub fn value(self, key: &str) -> Option<&'a str> {
        self.pairs().find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_it_stands() {
        let query = Query::new(Some("_HLS_msn=7&&flag&x=a=b&_HLS_msn=8&y=%41"));
        assert_eq!(query.value("_HLS_msn"), Some("7"));
        assert_eq!(query.value("flag"), Some(""));
        assert_eq!(query.value("x"), Some("a=b"));
        assert_eq!(query.value("y"), Some("%41"));
        assert_eq!(query.value("z"), None);
        assert_eq!(Query::default().pairs().count(), 0);
    }
}
