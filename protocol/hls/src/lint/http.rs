//! What the head of an answer must say (rules S07 to S09, T11, T13).

use super::finding::Findings;
use super::url;
use crate::TargetDuration;
use media::{MediaSpan, MediaTime};

/// An answer's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(String, String)],
}

impl Head<'_> {
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let is_it = |pair: &&(String, String)| pair.0.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_it).map(|(_, value)| value.trim())
    }

    fn content_type(&self) -> String {
        let value = self.value("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    fn is_coded(&self) -> bool {
        self.value("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
    }

    /// Bytes that were announced and did not come; `None` where nothing is wrong or nothing can be said.
    pub(crate) fn missing(&self, came: u64) -> Option<u64> {
        let announced: u64 = self.value("content-length").filter(|_| !self.is_coded())?.parse().ok()?;
        announced.checked_sub(came).filter(|missing| *missing > 0)
    }

    fn max_age(&self) -> Option<u64> {
        let control = self.value("cache-control")?.to_ascii_lowercase();
        let mut words = control.split(',').map(str::trim);
        words.find_map(|word| word.strip_prefix("max-age=")?.trim_matches('"').parse().ok())
    }

    fn forbids_caching(&self) -> bool {
        let control = self.value("cache-control").unwrap_or_default().to_ascii_lowercase();
        control.split(',').any(|word| matches!(word.trim(), "no-cache" | "no-store"))
    }

    /// Rules any playlist's answer must keep.
    pub(crate) fn check_playlist(&self, place: &str, at_ms: u64, findings: &mut Findings) {
        let kind = self.content_type();
        let is_named = matches!(url::extension(self.url).as_str(), "m3u8" | "m3u");
        let is_typed = matches!(kind.as_str(), "application/vnd.apple.mpegurl" | "audio/mpegurl");
        if !is_typed && !is_named {
            let text = format!("the media type is {kind:?} and the path does not end in .m3u8 or .m3u");
            findings.add("S07", place, at_ms, text);
        } else if !is_typed {
            findings.advise("S07", place, at_ms, format!("the media type is {kind:?}"));
        }
        if !self.value("content-encoding").is_some_and(|coding| coding.to_ascii_lowercase().contains("gzip"))
        {
            findings.add("S08", place, at_ms, "gzip was offered and not used");
        }
    }

    /// Caching of a media playlist (rule T13).
    pub(crate) fn check_freshness(
        &self,
        target: TargetDuration,
        place: &str,
        at_ms: u64,
        findings: &mut Findings,
    ) {
        if let Some(age) = self.max_age().filter(|age| *age > target.0) {
            let text =
                format!("max-age is {age} s, at most the target duration of {} s is allowed", target.0);
            findings.add("T13", place, at_ms, text);
        }
        let moment = |name| self.value(name).and_then(parse_http_date);
        if let (Some(modified), Some(date)) = (moment("last-modified"), moment("date")) {
            let old = date.saturating_since(modified);
            if old > target.span() * 3 {
                let text =
                    format!("Last-Modified is {old} before Date, at most three target durations are allowed");
                findings.add("T13", place, at_ms, text);
            }
        }
    }

    /// Media type and caching of a segment.
    pub(crate) fn check_segment(&self, listed: MediaSpan, place: &str, at_ms: u64, findings: &mut Findings) {
        let allowed: &[&str] = match url::extension(self.url).as_str() {
            "ts" => &["video/mp2t"],
            "mp4" | "m4s" | "m4v" | "cmfv" => &["video/mp4", "video/iso.segment", "audio/mp4"],
            "m4a" | "cmfa" => &["audio/mp4", "video/mp4", "video/iso.segment"],
            "aac" => &["audio/aac"],
            "vtt" | "webvtt" => &["text/vtt"],
            _ => &[],
        };
        findings.look("S09");
        let kind = self.content_type();
        if !allowed.is_empty() && !allowed.contains(&kind.as_str()) {
            let text = format!(
                "{} has the media type {kind:?}, allowed is {}",
                file(self.url),
                allowed.join(" or ")
            );
            findings.add("S09", place, at_ms, text);
        }
        if self.forbids_caching() {
            findings.add("T13", place, at_ms, format!("{} may not be cached", file(self.url)));
        } else if self.max_age().is_none_or(|age| age < listed.rounded_secs()) {
            let text = format!("{} may be cached for less time than it is listed", file(self.url));
            findings.add("T13", place, at_ms, text);
        }
    }
}

pub(crate) fn file(url: &str) -> &str {
    url::file_name(url)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7); other forms are obsolete and not read.
fn parse_http_date(text: &str) -> Option<MediaTime> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let [_, day, month, year, time, "GMT"] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    let month = (month.len() == 3).then(|| MONTHS.find(month))?.filter(|at| at % 3 == 0)? / 3 + 1;
    crate::text::parse_date_time(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_http_is_a_moment() {
        let moment = parse_http_date("Tue, 14 Nov 2023 22:13:34 GMT").unwrap();
        assert_eq!(moment.unix_millis(), 1_700_000_014_000);
        for bad in ["", "Tuesday, 14-Nov-23 22:13:34 GMT", "Tue, 14 anF 2023 22:13:34 GMT"] {
            assert_eq!(parse_http_date(bad), None, "{bad}");
        }
    }
}
