//! URLs, as far as a checker must know them (RFC 3986, 5.2).

/// The absolute form of a reference found in the resource at `base`.
pub(crate) fn resolve(base: &str, reference: &str) -> String {
    let Some((scheme, rest)) = base.split_once("://") else { return reference.to_owned() };
    if is_absolute(reference) {
        return reference.to_owned();
    }
    if let Some(rest) = reference.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, path_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = path_query.split('?').next().unwrap_or_default();
    let reference = reference.split('#').next().unwrap_or_default();
    let (target, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let merged = if target.is_empty() && query.is_empty() {
        return format!("{scheme}://{authority}{path_query}");
    } else if target.is_empty() {
        path.to_owned()
    } else if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("{}/{target}", path.rsplit_once('/').map_or("", |(folder, _)| folder))
    };
    format!("{scheme}://{authority}{}{query}", without_dots(&merged))
}

fn is_absolute(reference: &str) -> bool {
    let scheme = reference.split(['/', '?', '#']).next().unwrap_or_default();
    scheme.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut pieces = path.split('/').skip(1).peekable();
    while let Some(piece) = pieces.next() {
        let is_last = pieces.peek().is_none();
        match piece {
            "." | ".." => {
                if piece == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            piece => kept.push(piece),
        }
    }
    format!("/{}", kept.join("/"))
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
    fn references_resolve_as_in_a_browser() {
        let base = "https://e1:8443/v/tok/demo/720p/index.m3u8?x=1#f";
        for (reference, absolute) in [
            ("7.ts", "https://e1:8443/v/tok/demo/720p/7.ts"),
            ("../360p/index.m3u8", "https://e1:8443/v/tok/demo/360p/index.m3u8"),
            ("./a/./b/../7.ts?q=../x", "https://e1:8443/v/tok/demo/720p/a/7.ts?q=../x"),
            ("/7.ts", "https://e1:8443/7.ts"),
            ("//e2/7.ts", "https://e2/7.ts"),
            ("http://e2/7.ts", "http://e2/7.ts"),
            ("?y=2", "https://e1:8443/v/tok/demo/720p/index.m3u8?y=2"),
            ("../../../../../../7.ts", "https://e1:8443/7.ts"),
            ("", "https://e1:8443/v/tok/demo/720p/index.m3u8?x=1"),
            ("a:b", "a:b"),
            ("seg:1/x", "seg:1/x"),
        ] {
            assert_eq!(resolve(base, reference), absolute, "{reference}");
        }
        assert_eq!(resolve("http://e1", "a/b.ts"), "http://e1/a/b.ts");
    }

    #[test]
    fn a_url_has_parts() {
        let url = "https://e1:8443/a/b.TS?x=/y.m3u8";
        assert_eq!((origin(url), file_name(url)), ("https://e1:8443", "b.TS"));
        assert_eq!(extension(url), "ts");
        assert_eq!(extension("http://e1"), "");
    }
}
