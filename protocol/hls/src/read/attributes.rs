//! Attribute lists (R 4.2): `NAME=value,NAME="value"`.

use super::Complaints;
use super::tags::shortened;
use crate::text;
use media::MediaSpan;

/// The attributes of one tag, and where to complain about them.
pub(crate) struct Attributes<'a> {
    pairs: Vec<(String, Value)>,
    line: u32,
    tag: &'a str,
    /// The rule that a missing or malformed attribute of this tag breaks.
    rule: &'static str,
}

enum Value {
    Quoted(String),
    Plain(String),
}

impl<'a> Attributes<'a> {
    /// Reads a tag's value; complains of its form under S04.
    pub(crate) fn read(
        value: &str,
        line: u32,
        tag: &'a str,
        rule: &'static str,
        complaints: &mut Complaints,
    ) -> Self {
        let mut attributes = Self { pairs: Vec::new(), line, tag, rule };
        let mut rest = value;
        while !rest.is_empty() {
            let Some((name, after)) = rest.split_once('=') else {
                let text = format!("{:?} is no attribute, NAME=value is allowed", shortened(rest));
                complaints.must("S04", line, tag, text);
                break;
            };
            let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
            if name.is_empty() || !name.bytes().all(is_name) {
                let text =
                    format!("the attribute name {:?}; A to Z, 0 to 9 and '-' are allowed", shortened(name));
                complaints.must("S04", line, tag, text);
            }
            let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
                let Some((quoted, after)) = quoted.split_once('"') else {
                    complaints.must("S04", line, tag, format!("the value of {name} has no closing quote"));
                    break;
                };
                (Value::Quoted(quoted.into()), after)
            } else {
                let end = after.find(',').unwrap_or(after.len());
                let (plain, after) = after.split_at(end);
                if plain.is_empty() || plain.contains(['"', ' ', '\t']) {
                    let text = format!(
                        "{name} has the value {:?}, without spaces or quotes in it",
                        shortened(plain)
                    );
                    complaints.must("S04", line, tag, text);
                }
                (Value::Plain(plain.into()), after)
            };
            if attributes.pairs.iter().any(|(known, _)| known == name) {
                complaints.must("S04", line, tag, format!("{name} stands twice, once is allowed"));
            }
            attributes.pairs.push((name.trim().into(), value));
            rest = match after.strip_prefix(',') {
                Some(rest) => {
                    if rest.is_empty() {
                        complaints.must("S04", line, tag, "a comma with nothing behind it");
                    }
                    rest
                }
                None if after.is_empty() => after,
                None => {
                    let text = format!("{:?} where a comma should be", shortened(after));
                    complaints.must("S04", line, tag, text);
                    break;
                }
            };
        }
        attributes
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Name and value as written, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| match value {
            Value::Quoted(value) | Value::Plain(value) => (name.as_str(), value.as_str()),
        })
    }

    fn wrong(&self, name: &str, found: &str, allowed: &str, complaints: &mut Complaints) {
        let text = format!("{name} is {:?}, allowed is {allowed}", shortened(found));
        complaints.must("S04", self.line, self.tag, text);
    }

    /// Complains if an attribute is not there.
    pub(crate) fn needs(&self, name: &str, complaints: &mut Complaints) -> bool {
        if !self.has(name) {
            complaints.must(self.rule, self.line, self.tag, format!("{name} is missing"));
        }
        self.has(name)
    }

    pub(crate) fn quoted(&self, name: &str, complaints: &mut Complaints) -> Option<String> {
        match self.find(name)? {
            Value::Quoted(value) => Some(value.clone()),
            Value::Plain(value) => {
                self.wrong(name, value, "a quoted-string", complaints);
                Some(value.clone())
            }
        }
    }

    pub(crate) fn word(&self, name: &str, complaints: &mut Complaints) -> Option<String> {
        match self.find(name)? {
            Value::Plain(value) => Some(value.clone()),
            Value::Quoted(value) => {
                self.wrong(name, value, "a word without quotes", complaints);
                Some(value.clone())
            }
        }
    }

    pub(crate) fn yes(&self, name: &str, complaints: &mut Complaints) -> Option<bool> {
        let word = self.word(name, complaints)?;
        match word.as_str() {
            "YES" => Some(true),
            "NO" => Some(false),
            other => {
                self.wrong(name, other, "YES or NO", complaints);
                None
            }
        }
    }

    pub(crate) fn integer(&self, name: &str, complaints: &mut Complaints) -> Option<u64> {
        let word = self.word(name, complaints)?;
        let number = digits(&word);
        if number.is_none() {
            self.wrong(name, &word, "a decimal integer below 2^64", complaints);
        }
        number
    }

    pub(crate) fn seconds(&self, name: &str, complaints: &mut Complaints) -> Option<MediaSpan> {
        let word = self.word(name, complaints)?;
        let span = text::parse_seconds(&word);
        if span.is_none() {
            self.wrong(name, &word, "seconds as a decimal number", complaints);
        }
        span
    }

    pub(crate) fn resolution(&self, name: &str, complaints: &mut Complaints) -> Option<(u32, u32)> {
        let word = self.word(name, complaints)?;
        let parsed = word.split_once('x').and_then(|(width, height)| {
            Some((u32::try_from(digits(width)?).ok()?, u32::try_from(digits(height)?).ok()?))
        });
        if parsed.is_none() {
            self.wrong(name, &word, "<width>x<height>", complaints);
        }
        parsed
    }
}

/// A decimal-integer of R 4.2: one to twenty digits.
pub(crate) fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}
