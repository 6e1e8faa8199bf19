//! Whether a request that changes something was meant by the page it seems to come from.
//!
//! A browser sends the session's cookie along with whatever any page makes it send. Two things it does not do for a strange
//! page: leave out where the request comes from, and tell that page the token, which is a hash of the cookie.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What a request says of where it comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct From<'a> {
    /// `Origin`.
    pub(crate) origin: Option<&'a str>,
    /// `Sec-Fetch-Site`.
    pub(crate) site: Option<&'a str>,
    /// `Host`.
    pub(crate) host: Option<&'a str>,
}

/// Why a request is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    /// From another page.
    #[error("this request comes from another page than ours")]
    OtherOrigin,
    /// Without the session's token.
    #[error("the token of your session is missing or wrong; load the page again")]
    Token,
}

/// Whether it may come from a page of ours. Programs that are no browsers say nothing of it; the token is asked of them too.
pub(crate) fn is_ours(from: From<'_>, public: Option<&str>) -> Result<(), Stranger> {
    if !matches!(from.site, None | Some("same-origin" | "none")) {
        return Err(Stranger::OtherOrigin);
    }
    let Some(origin) = from.origin else { return Ok(()) };
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    match (authority, public, from.host) {
        (_, Some(public), _) if origin.eq_ignore_ascii_case(public) => Ok(()),
        (Some(authority), None, Some(host)) if authority.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Stranger::OtherOrigin),
    }
}

/// The token of a session, made of its cookie.
pub(crate) fn token(cookie: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"mascaret lobby token\0");
    hash.update(cookie.as_bytes());
    crate::secret::hex(&hash.finalize()[..20])
}

/// Whether it is the right one.
pub(crate) fn check_token(cookie: &str, sent: Option<&str>) -> Result<(), Stranger> {
    let right = token(cookie);
    match sent {
        Some(sent) if bool::from(right.as_bytes().ct_eq(sent.as_bytes())) => Ok(()),
        _ => Err(Stranger::Token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_page_is_a_stranger() {
        let from = |origin, site| From { origin, site, host: Some("live.example.org:8443") };
        assert_eq!(is_ours(from(Some("https://live.example.org:8443"), Some("same-origin")), None), Ok(()));
        assert_eq!(is_ours(from(None, None), None), Ok(()));
        for (origin, site) in [
            (Some("https://evil.example"), None),
            (Some("null"), None),
            (Some("https://live.example.org"), None),
            (None, Some("cross-site")),
            (Some("https://live.example.org:8443"), Some("same-site")),
        ] {
            assert_eq!(is_ours(from(origin, site), None), Err(Stranger::OtherOrigin), "{origin:?} {site:?}");
        }
        // What stands before us may change the Host.
        let behind = from(Some("https://live.example.org"), None);
        assert_eq!(is_ours(behind, Some("https://live.example.org")), Ok(()));
        assert_eq!(is_ours(behind, Some("https://other.example")), Err(Stranger::OtherOrigin));
    }

    #[test]
    fn the_token_is_of_one_cookie() {
        assert_eq!(check_token("cookie", Some(&token("cookie"))), Ok(()));
        assert_eq!(check_token("other", Some(&token("cookie"))), Err(Stranger::Token));
        assert_eq!(check_token("cookie", None), Err(Stranger::Token));
    }
}
