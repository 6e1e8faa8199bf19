//! Fields that are lists: If-Match, If-None-Match and Accept-Encoding.

/// Whether an If-None-Match list names this entity tag, quotes included (RFC 9110, 13.1.2: weak comparison).
pub fn etag_matches(list: &str, etag: &str) -> bool {
    names(list, |tag| tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// Whether an If-Match list names it (RFC 9110, 13.1.1: strong comparison; a weak tag is none of ours).
pub fn etag_is_among(list: &str, etag: &str) -> bool {
    names(list, |tag| tag == etag)
}

/// Our own tags hold no comma, so a list may be cut at every one.
fn names(list: &str, is_it: impl Fn(&str) -> bool) -> bool {
    list.trim() == "*" || list.split(',').any(|tag| is_it(tag.trim()))
}

/// What Accept-Encoding says, over all its lines (RFC 9110, 12.5.3). Weights in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Codings {
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Codings {
    pub(crate) fn read(&mut self, list: &[u8]) {
        for coding in list.split(|&byte| byte == b',') {
            let mut parts = coding.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let place = match name.len() {
                4 if name.eq_ignore_ascii_case(b"gzip") => &mut self.gzip,
                6 if name.eq_ignore_ascii_case(b"x-gzip") => &mut self.gzip,
                8 if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
                1 if name == b"*" => &mut self.any,
                _ => continue,
            };
            *place = Some(parts.find_map(weight).unwrap_or(1000));
        }
    }

    /// Whether gzip is taken, and not less gladly than plain. Nobody names plain who does not mean it.
    pub(crate) fn prefer_gzip(self) -> bool {
        let gzip = self.gzip.or(self.any).unwrap_or(0);
        gzip > 0 && self.identity.is_none_or(|identity| identity <= gzip)
    }
}

/// Whether an Accept-Encoding list takes gzip.
pub fn accepts_gzip(list: &str) -> bool {
    let mut codings = Codings::default();
    codings.read(list.as_bytes());
    codings.prefer_gzip()
}

/// `q=0.8` in thousandths; what is no weight is none, what is a wrong one counts as 0.
fn weight(parameter: &[u8]) -> Option<u16> {
    let at = parameter.iter().position(|&byte| byte == b'=')?;
    if !parameter[..at].trim_ascii().eq_ignore_ascii_case(b"q") {
        return None;
    }
    let (whole, part) = match parameter[at + 1..].trim_ascii() {
        [whole, b'.', part @ ..] => (*whole, part),
        [whole] => (*whole, &[][..]),
        _ => return Some(0),
    };
    let is_part = part.len() <= 3 && part.iter().all(u8::is_ascii_digit);
    let digits = part.iter().chain(b"000").take(3);
    let thousandths = || digits.clone().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Some(match whole {
        b'0' if is_part => thousandths(),
        b'1' if is_part && thousandths() == 0 => 1000,
        _ => 0,
    })
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
        assert!(!etag_matches("", "\"a\"") && !etag_matches("W/W/\"a\"", "\"a\""));
        assert!(etag_is_among("\"x\", \"a\"", "\"a\"") && etag_is_among("*", "\"a\""));
        assert!(!etag_is_among("W/\"a\"", "\"a\""), "weak tags are no strong ones");
    }

    #[test]
    fn lines_of_a_list_are_one_list() {
        let mut codings = Codings::default();
        [&b"gzip;q=0"[..], b"*"].into_iter().for_each(|line| codings.read(line));
        assert!(!codings.prefer_gzip());
    }

    #[test]
    fn gzip_is_taken_when_named_and_not_weighed_away() {
        for yes in [
            "gzip",
            "deflate, gzip;q=1.0, *;q=0.5",
            "GZIP",
            "*",
            "br;q=1, gzip;q=0.001",
            "x-gzip",
            "gzip ; Q = 0.5",
            "gzip;level=9;q=1.000",
            "identity;q=0.5, gzip;q=0.5",
            "gzip, identity;q=0",
        ] {
            assert!(accepts_gzip(yes), "{yes:?}");
        }
        for no in [
            "",
            "identity",
            "gzip;q=0",
            "gzip; q=0.000, *",
            "*;q=0",
            "gzipped",
            "gzip;level=9;q=0",
            "gzip;q=0.5, identity",
            "gzip;q=2",
            "gzip;q=x",
            "gzip;q=0.0001",
            "identity, *;q=0.5",
        ] {
            assert!(!accepts_gzip(no), "{no:?}");
        }
    }
}
