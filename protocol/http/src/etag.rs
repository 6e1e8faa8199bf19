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
    pub(crate) fn read(&mut self, list: &str) {
        for coding in list.split(',') {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let place = match name.len() {
                4 if name.eq_ignore_ascii_case("gzip") => &mut self.gzip,
                6 if name.eq_ignore_ascii_case("x-gzip") => &mut self.gzip,
                8 if name.eq_ignore_ascii_case("identity") => &mut self.identity,
                1 if name == "*" => &mut self.any,
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
    codings.read(list);
    codings.prefer_gzip()
}

/// `q=0.8` in thousandths; what is no weight is none, what is a wrong one counts as 0.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim_end().eq_ignore_ascii_case("q") {
        return None;
    }
    let value = value.trim();
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let is_part = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths =
        part.bytes().chain(*b"000").take(3).fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Some(match whole {
        "0" if is_part => thousandths,
        "1" if is_part && thousandths == 0 => 1000,
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
        ["gzip;q=0", "*"].into_iter().for_each(|line| codings.read(line));
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
