//! Fields that are lists: If-None-Match and Accept-Encoding.

/// Whether an If-None-Match list names this entity tag, quotes included (RFC 9110, 13.1.2: weak comparison).
pub fn etag_matches(list: &str, etag: &str) -> bool {
    if list.trim() == "*" {
        return true;
    }
    // Our own tags hold no comma, so a list may be cut at every one.
    let wanted = opaque(etag);
    list.split(',').any(|tag| opaque(tag) == wanted)
}

/// An entity tag without its mark of weakness.
fn opaque(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/")
}

/// Whether an Accept-Encoding list takes gzip (RFC 9110, 12.5.3): named, or `*`, and not with `q=0`.
pub fn accepts_gzip(list: &str) -> bool {
    let mut any = false;
    for coding in list.split(',') {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let takes = !is_zero(weight);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => return takes,
            "*" => any = takes,
            _ => {}
        }
    }
    any
}

/// `q=0`, `q=0.0`, `q=0.00`, `q=0.000`: not acceptable.
fn is_zero(weight: &str) -> bool {
    let Some((name, value)) = weight.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("q")
        && value.trim().starts_with('0')
        && value.trim().bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_not() {
        assert!(etag_matches("\"a\"", "\"a\""));
        assert!(etag_matches("\"x\", W/\"a\"", "\"a\""));
        assert!(etag_matches(" * ", "\"a\""));
        assert!(!etag_matches("\"ab\"", "\"a\""));
        assert!(!etag_matches("", "\"a\""));
    }

    #[test]
    fn gzip_is_taken_when_named_and_not_weighed_away() {
        for yes in ["gzip", "deflate, gzip;q=1.0, *;q=0.5", "GZIP", "*", "br;q=1, gzip;q=0.001", "x-gzip"] {
            assert!(accepts_gzip(yes), "{yes:?}");
        }
        for no in ["", "identity", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "gzipped"] {
            assert!(!accepts_gzip(no), "{no:?}");
        }
    }
}
