//! What people write, as far as it is taken: names, passwords, titles, messages.

use serde::Deserialize;
use std::fmt;

/// Letters of a name.
pub const NAME_LETTERS: std::ops::RangeInclusive<usize> = 2..=32;
/// Letters of a password, at least.
pub const PASSWORD_LETTERS: usize = 10;
/// Bytes of a password, at most: what is longer is hashed no better.
pub const PASSWORD_BYTES: usize = 256;
/// Letters of a broadcast's title.
pub const TITLE_LETTERS: usize = 120;
/// Letters of a message.
pub const MESSAGE_LETTERS: usize = 500;

/// Why something is not taken, in words for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoName(pub String);

macro_rules! written {
    ($(#[$doc:meta])* $type:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $type(String);

        impl $type {
            /// If it may be.
            pub fn parse(text: &str) -> Result<Self, NoName> {
                let check: fn(&str) -> Result<String, String> = $check;
                check(text).map(Self).map_err(NoName)
            }

            /// As it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NoName;
            fn try_from(text: String) -> Result<Self, NoName> {
                Self::parse(&text)
            }
        }
    };
}

written!(
    /// What an account is called.
    Name,
    |text| {
        let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        match fits && NAME_LETTERS.contains(&text.len()) {
            true => Ok(text.to_owned()),
            false => Err("a name has 2 to 32 letters of a to z, A to Z, 0 to 9, - and _".into()),
        }
    }
);

impl Name {
    /// As names are compared.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.0)
    }
}

written!(
    /// A new password. Never shown.
    Password,
    |text| match text.chars().count() >= PASSWORD_LETTERS && text.len() <= PASSWORD_BYTES {
        true => Ok(text.to_owned()),
        false => Err(format!("a password has at least {PASSWORD_LETTERS} letters and at most {PASSWORD_BYTES} bytes")),
    }
);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What would turn a line around or hide in it: controls, and Unicode's marks for direction.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn line(text: &str, letters: usize, what: &str) -> Result<String, String> {
    let text: String = text.trim().chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).collect();
    match text.chars().count() {
        count if count > letters => Err(format!("{what} has at most {letters} letters; this has {count}")),
        _ if text.chars().any(is_unseen) => Err(format!("{what} has no control characters")),
        _ => Ok(text),
    }
}

written!(
    /// What a broadcast is called; may be nothing.
    Title,
    |text| line(text, TITLE_LETTERS, "a title")
);

impl fmt::Debug for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Title({:?})", self.0)
    }
}

written!(
    /// What is said in a room: as it is, never as markup; whoever shows it shows text.
    Text,
    |text| match line(text, MESSAGE_LETTERS, "a message")? {
        text if text.is_empty() => Err("a message says something".into()),
        text => Ok(text),
    }
);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert_eq!(Name::parse("Ada_1-x").map(|name| name.folded()), Ok("ada_1-x".into()));
        for bad in ["a", "", "<b>", "a b", "Аda", &"a".repeat(33), "ada'--", "ada\0"] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_password_is_long_and_is_not_shown() {
        assert!(Password::parse("123456789").is_err());
        assert!(Password::parse(&"a".repeat(257)).is_err());
        assert_eq!(format!("{:?}", Password::parse("correct horse").unwrap()), "Password(…)");
    }

    #[test]
    fn a_message_is_one_line_of_text_as_it_was_written() {
        assert_eq!(
            Text::parse(" <script>alert(1)</script>\n").unwrap().as_str(),
            "<script>alert(1)</script>"
        );
        assert!(Text::parse("  ").is_err());
        assert!(Text::parse("turned \u{202e} around").is_err());
        assert!(Text::parse(&"a".repeat(MESSAGE_LETTERS + 1)).is_err());
        assert!(Text::parse(&"ü".repeat(MESSAGE_LETTERS)).is_ok());
    }
}
