//! Text that is safe where it goes: what servers say is never trusted with a terminal, with XML or with HTML.

use std::borrow::Cow;
use std::fmt::{Display, Write};

/// Without anything that is not shown: control characters (a terminal obeys them), what turns the direction of writing
/// (a reader is deceived by it), and what XML 1.0 has no place for.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let is_shown = |c: char| {
        !(c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}'))
    };
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_shown(c) { c } else { '\u{fffd}' }).collect())
}

/// Elements, written so that they parse as XML and as HTML. Only what is in the program's own source is taken as it is;
/// everything else is escaped.
#[derive(Debug, Default)]
pub(crate) struct Markup {
    text: String,
}

impl Markup {
    /// As it is.
    pub(crate) fn raw(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Escaped.
    pub(crate) fn text(&mut self, text: impl Display) -> &mut Self {
        self.escaped(&text.to_string());
        self
    }

    /// `<tag a="b">`
    pub(crate) fn open(
        &mut self,
        tag: &'static str,
        attributes: &[(&'static str, &dyn Display)],
    ) -> &mut Self {
        self.begin(tag, attributes);
        self.raw(">")
    }

    /// `</tag>`
    pub(crate) fn close(&mut self, tag: &'static str) -> &mut Self {
        self.raw("</").raw(tag).raw(">")
    }

    /// `<tag a="b"/>`
    pub(crate) fn leaf(
        &mut self,
        tag: &'static str,
        attributes: &[(&'static str, &dyn Display)],
    ) -> &mut Self {
        self.begin(tag, attributes);
        self.raw("/>")
    }

    /// `<tag a="b">text</tag>`
    pub(crate) fn element(
        &mut self,
        tag: &'static str,
        attributes: &[(&'static str, &dyn Display)],
        text: impl Display,
    ) -> &mut Self {
        self.open(tag, attributes).text(text).close(tag)
    }

    fn begin(&mut self, tag: &'static str, attributes: &[(&'static str, &dyn Display)]) {
        self.raw("<").raw(tag);
        for (name, value) in attributes {
            self.raw(" ").raw(name).raw("=\"").text(value).raw("\"");
        }
    }

    fn escaped(&mut self, text: &str) {
        for c in plain(text).chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\'' => self.text.push_str("&#39;"),
                c => self.text.push(c),
            }
        }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// `1,234,567`
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three figures of a number: `1.23`, `12.3`, `123`.
pub(crate) fn figures(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// `850 µs`, `12.3 ms`, `2.34 s`, `3 min 20 s`
pub(crate) fn span(span_us: u64) -> String {
    match span_us {
        0..1_000 => format!("{span_us} µs"),
        1_000..1_000_000 => format!("{} ms", figures(span_us as f64 / 1e3)),
        1_000_000..120_000_000 => format!("{} s", figures(span_us as f64 / 1e6)),
        _ => format!("{} min {} s", span_us / 60_000_000, span_us / 1_000_000 % 60),
    }
}

/// `1.23 Gbit/s`
pub(crate) fn rate(bits_per_second: f64) -> String {
    match bits_per_second {
        rate if rate >= 1e9 => format!("{} Gbit/s", figures(rate / 1e9)),
        rate if rate >= 1e6 => format!("{} Mbit/s", figures(rate / 1e6)),
        rate if rate >= 1e3 => format!("{} kbit/s", figures(rate / 1e3)),
        rate => format!("{rate:.0} bit/s"),
    }
}

/// `0 %`, `0.0042 %`, `12.3 %`
pub(crate) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    match percent {
        percent if percent <= 0.0 => "0 %".into(),
        percent if percent < 0.0001 => "< 0.0001 %".into(),
        percent if percent < 0.1 => format!("{percent:.4} %"),
        percent => format!("{} %", figures(percent)),
    }
}

/// `1.23 GB`
pub(crate) fn size(bytes: u64) -> String {
    match bytes as f64 {
        size if size >= 1e9 => format!("{} GB", figures(size / 1e9)),
        size if size >= 1e6 => format!("{} MB", figures(size / 1e6)),
        size if size >= 1e3 => format!("{} kB", figures(size / 1e3)),
        size => format!("{size:.0} B"),
    }
}

/// A moment of a run: `1:05`, `1:01:05`
pub(crate) fn clock(seconds: u64) -> String {
    let mut text = String::new();
    if seconds >= 3600 {
        let _ = write!(text, "{}:{:02}:", seconds / 3600, seconds / 60 % 60);
    } else {
        let _ = write!(text, "{}:", seconds / 60);
    }
    let _ = write!(text, "{:02}", seconds % 60);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_server_cannot_speak_to_the_terminal() {
        assert_eq!(
            plain("edge\u{1b}[2J\u{7}\r\n\u{9b}31m"),
            "edge\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}31m"
        );
        assert_eq!(plain("http://a/\u{202e}gpj.exe"), "http://a/\u{fffd}gpj.exe");
        assert!(matches!(plain("http://127.0.0.1:8080/ß"), Cow::Borrowed(_)));
    }

    #[test]
    fn figures_are_told_as_people_write_them() {
        assert_eq!([0, 12, 1234, 1234567].map(number), ["0", "12", "1,234", "1,234,567"]);
        assert_eq!(
            [0, 999, 1_000, 12_345, 999_999, 2_340_000, 200_000_000].map(span),
            ["0 µs", "999 µs", "1.00 ms", "12.3 ms", "1000 ms", "2.34 s", "3 min 20 s"]
        );
        assert_eq!(
            [0.0, 950.0, 1.5e6, 1.234e9].map(rate),
            ["0 bit/s", "950 bit/s", "1.50 Mbit/s", "1.23 Gbit/s"]
        );
        assert_eq!(
            [0.0, 0.00001, 0.001, 0.123, 1.0].map(percent),
            ["0 %", "0.0010 %", "0.10 %", "12.3 %", "100 %"]
        );
        assert_eq!([5, 65, 3665].map(clock), ["0:05", "1:05", "1:01:05"]);
        assert_eq!([17, 1_500, 2_000_000_000].map(size), ["17 B", "1.50 kB", "2.00 GB"]);
    }

    proptest! {
        #[test]
        fn whatever_is_said_parses_as_xml_and_comes_back_as_it_was(text in any::<String>()) {
            let mut page = Markup::default();
            page.element("p", &[("title", &text)], &text);
            let page = page.finish();
            let tree = roxmltree::Document::parse(&page).expect("well-formed");
            prop_assert_eq!(tree.root_element().text().unwrap_or_default(), plain(&text));
            prop_assert_eq!(tree.root_element().attribute("title").unwrap_or_default(), plain(&text));
        }
    }
}
