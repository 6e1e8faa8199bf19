//! What a checker must know of URLs as texts: findings name them as they are written.

use crate::Url;

/// The absolute form of a reference found in the resource at `base`; the reference itself where it has none that is
/// HTTP, which whoever loads it then says.
pub(crate) fn resolve(base: &str, reference: &str) -> String {
    let resolved = Url::parse(base).and_then(|base| base.resolve(reference));
    resolved.map_or_else(|_| reference.to_owned(), |url| url.to_string())
}

/// Scheme, host and port.
pub(crate) fn origin(url: &str) -> &str {
    let from = url.find("://").map_or(0, |at| at + 3);
    let len = url[from..].find(['/', '?', '#']).unwrap_or(url.len() - from);
    &url[..from + len]
}

/// The last path element.
pub(crate) fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// What stands behind the last dot of the last path element, in lower case.
pub(crate) fn extension(url: &str) -> String {
    file_name(url).rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_http_stays_as_it_is_written() {
        assert_eq!(resolve("https://e1:8443/a/b.m3u8", "../c.ts"), "https://e1:8443/c.ts");
        for reference in ["a:b", "seg:1/x", "data:text/plain,x"] {
            assert_eq!(resolve("https://e1:8443/a/b.m3u8", reference), reference);
        }
    }

    #[test]
    fn a_url_has_parts() {
        let url = "https://e1:8443/a/b.TS?x=/y.m3u8";
        assert_eq!((origin(url), file_name(url)), ("https://e1:8443", "b.TS"));
        assert_eq!(extension(url), "ts");
        assert_eq!(extension("http://e1"), "");
    }
}
