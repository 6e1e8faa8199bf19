//! An edge as viewers reach it.

use edgefan::{EdgeFacts, Hello};
use media::BitRate;
use routing::Declared;
use ticket::EdgeId;

/// Where viewers reach an edge: at least one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pathway {
    http: Option<String>,
    https: Option<String>,
    /// Its software, for the operator.
    pub(crate) version: String,
}

/// Why an edge that says hello cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error(transparent)]
    Id(#[from] ticket::EdgeIdError),
    #[error("it says nothing of itself as an edge")]
    NoEdge,
    #[error("it names no public URL; `http://host:port` or `https://host:port` is needed")]
    NoUrl,
    #[error("its public URL {0:?} is not `http://host[:port]` or `https://host[:port]`")]
    BadUrl(String),
}

impl Pathway {
    /// What an edge's hello comes to.
    pub(crate) fn of(hello: &Hello) -> Result<(Declared, Self), Unusable> {
        let id = EdgeId::parse(hello.node.as_str())?;
        let EdgeFacts { http, https, capacity, weight, .. } = hello.edge.as_ref().ok_or(Unusable::NoEdge)?;
        let pathway = Self {
            http: url(http, "http://")?,
            https: url(https, "https://")?,
            version: hello.version.clone(),
        };
        if pathway.http.is_none() && pathway.https.is_none() {
            return Err(Unusable::NoUrl);
        }
        Ok((Declared { id, capacity: BitRate(capacity.0), weight: *weight }, pathway))
    }

    /// Scheme, host and port for a viewer that came by TLS, or did not. An edge that has only the other kind is
    /// better than none.
    pub(crate) fn origin(&self, is_tls: bool) -> &str {
        let (first, second) = if is_tls { (&self.https, &self.http) } else { (&self.http, &self.https) };
        first.as_deref().or(second.as_deref()).unwrap_or_default()
    }

    /// By plain HTTP, if so.
    pub(crate) fn http(&self) -> Option<&str> {
        self.http.as_deref()
    }

    /// By HTTPS, if so.
    pub(crate) fn https(&self) -> Option<&str> {
        self.https.as_deref()
    }
}

fn url(text: &str, scheme: &str) -> Result<Option<String>, Unusable> {
    if text.is_empty() {
        return Ok(None);
    }
    origin(text)
        .filter(|origin| origin.starts_with(scheme))
        .map(Some)
        .ok_or_else(|| Unusable::BadUrl(text.into()))
}

/// Scheme, host and port of `http://host[:port][/]`; `None` of anything else. The characters are those that need
/// no escape in a playlist, a Location field or JSON.
pub(crate) fn origin(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    (!host.is_empty() && text.len() <= 255 && host.bytes().all(plain)).then(|| text.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use edgefan::{NodeId, Role};

    pub(crate) fn hello(id: &str, http: &str, https: &str) -> Hello {
        Hello {
            node: NodeId::parse(id).unwrap(),
            role: Role::Edge,
            version: "0.1.0".into(),
            link: 1,
            connection: 0,
            media_connections: 0,
            edge: Some(EdgeFacts {
                http: http.into(),
                https: https.into(),
                capacity: BitRate(100_000_000),
                weight: 100,
                relay: None,
            }),
            process: 1,
            layer: edgefan::Layer::LAST,
        }
    }

    #[test]
    fn the_scheme_follows_the_viewer_where_it_can() {
        let both = Pathway::of(&hello("e", "http://e:8080/", "https://e:8443")).unwrap().1;
        assert_eq!((both.origin(false), both.origin(true)), ("http://e:8080", "https://e:8443"));
        let one = Pathway::of(&hello("e", "", "https://e:8443")).unwrap().1;
        assert_eq!((one.origin(false), one.origin(true)), ("https://e:8443", "https://e:8443"));
    }

    #[test]
    fn what_viewers_cannot_reach_is_no_pathway() {
        assert_eq!(Pathway::of(&hello("e", "", "")), Err(Unusable::NoUrl));
        for bad in ["e:8080", "https://e", "http://e/path", "http://", "http://e\"", "ftp://e"] {
            assert_eq!(Pathway::of(&hello("e", bad, "")), Err(Unusable::BadUrl(bad.into())), "{bad:?}");
        }
        assert!(matches!(Pathway::of(&hello(".", "http://e", "")), Err(Unusable::Id(_))));
    }
}
