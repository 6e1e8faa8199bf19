//! What settings are made of: numbers with a unit and a range, addresses, names, files with a secret.
//!
//! Each says what is allowed in its own error, so no role checks a range twice.

use std::fmt;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use serde::{Serialize, Serializer};

/// `250 ms` → the number in the smallest unit of `units`; `None` if it is no such text or not whole.
fn parse_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let factor = match unit.trim() {
        "" => 1,
        unit => units.iter().find(|(name, _)| *name == unit)?.1,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let product = number.parse::<f64>().ok()? * factor as f64;
    (product.fract() == 0.0 && product <= 2f64.powi(53)).then_some(product as u64)
}

fn expecting(f: &mut fmt::Formatter<'_>, what: &str, min: u64, max: u64, example: &str) -> fmt::Result {
    match max {
        u64::MAX if min == 0 => write!(f, "{what}")?,
        u64::MAX => write!(f, "{what}, at least {min}")?,
        _ => write!(f, "{what} from {min} to {max}")?,
    }
    if !example.is_empty() {
        write!(f, " (or text with its unit, such as \"{example}\")")?;
    }
    Ok(())
}

macro_rules! unit {
    ($(#[$doc:meta])* $type:ident, $what:literal, $example:literal, $units:expr, $suffix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type<const MIN: u64 = 0, const MAX: u64 = { u64::MAX }>(u64);

        impl<const MIN: u64, const MAX: u64> $type<MIN, MAX> {
            /// For defaults and tests.
            ///
            /// # Panics
            /// When out of range: a default that its own settings would refuse.
            pub const fn new(value: u64) -> Self {
                assert!(MIN <= value && value <= MAX, "a default outside its own range");
                Self(value)
            }

            /// The number, in the unit of the type.
            pub const fn value(self) -> u64 {
                self.0
            }
        }

        impl<const MIN: u64, const MAX: u64> fmt::Display for $type<MIN, MAX> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{}", $suffix), self.0)
            }
        }

        impl<const MIN: u64, const MAX: u64> Serialize for $type<MIN, MAX> {
            /// With its unit where it has one, as it may be written; what is shown is then what can be read.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if $suffix.is_empty() { serializer.serialize_u64(self.0) } else { serializer.collect_str(self) }
            }
        }

        impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for $type<MIN, MAX> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader<const MIN: u64, const MAX: u64>;

                impl<const MIN: u64, const MAX: u64> Visitor<'_> for Reader<MIN, MAX> {
                    type Value = $type<MIN, MAX>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        expecting(f, $what, MIN, MAX, $example)
                    }

                    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                        if (MIN..=MAX).contains(&value) {
                            Ok($type(value))
                        } else {
                            Err(E::invalid_value(Unexpected::Unsigned(value), &self))
                        }
                    }

                    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                        match u64::try_from(value) {
                            Ok(value) => self.visit_u64(value),
                            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
                        }
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                        match parse_with_unit(text, $units) {
                            Some(value) if (MIN..=MAX).contains(&value) => Ok($type(value)),
                            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                        }
                    }
                }

                deserializer.deserialize_any(Reader)
            }
        }
    };
}

unit!(
    /// Milliseconds.
    Millis, "milliseconds", "2 s", &[("ms", 1), ("s", 1_000), ("min", 60_000)], " ms"
);
unit!(
    /// Seconds.
    Seconds, "seconds", "5 min", &[("s", 1), ("min", 60), ("h", 3_600)], " s"
);
unit!(
    /// Kilobits per second.
    Kbps, "kbit/s", "2.5 Mbit/s", &[("kbit/s", 1), ("Mbit/s", 1_000)], " kbit/s"
);
unit!(
    /// Megabits per second.
    Mbps, "Mbit/s", "10 Gbit/s", &[("Mbit/s", 1), ("Gbit/s", 1_000)], " Mbit/s"
);
unit!(
    /// Megabytes of 1,000,000 bytes.
    Megabytes, "megabytes", "2 GB", &[("MB", 1), ("GB", 1_000)], " MB"
);
unit!(
    /// A whole number without a unit.
    Number, "a whole number", "", &[], ""
);

impl<const MIN: u64, const MAX: u64> Millis<MIN, MAX> {
    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> Seconds<MIN, MAX> {
    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> Kbps<MIN, MAX> {
    /// In bit/s.
    pub const fn bits_per_second(self) -> u64 {
        self.0.saturating_mul(1_000)
    }
}

impl<const MIN: u64, const MAX: u64> Mbps<MIN, MAX> {
    /// In bit/s.
    pub const fn bits_per_second(self) -> u64 {
        self.0.saturating_mul(1_000_000)
    }
}

impl<const MIN: u64, const MAX: u64> Megabytes<MIN, MAX> {
    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0.saturating_mul(1_000_000)
    }
}

/// An address and a port, both as numbers: no name is looked up while settings are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub SocketAddr);

impl Address {
    /// 127.0.0.1 with this port.
    pub const fn local(port: u16) -> Self {
        Self(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a numeric address and a port from 0 to 65535, such as \"127.0.0.1:8080\" or \"[::1]:8080\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
                text.parse().map(Address).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Reader)
    }
}

/// Anything that parses itself from text and says well what is wrong with it, such as `media::BroadcastId`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parsed<T>(pub T);

impl<T: fmt::Display> fmt::Display for Parsed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Display> Serialize for Parsed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T> Deserialize<'de> for Parsed<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Refused within the visitor, so that TOML knows which value it was, in an array too.
        struct Reader<T>(PhantomData<T>);

        impl<T> Visitor<'_> for Reader<T>
        where
            T: FromStr,
            T::Err: fmt::Display,
        {
            type Value = Parsed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Parsed<T>, E> {
                text.parse().map(Parsed).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Reader(PhantomData))
    }
}

/// The name of a file with a secret in it; never the secret.
///
/// A relative name is looked for in systemd's `$CREDENTIALS_DIRECTORY` first.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, Serialize)]
#[serde(transparent)]
pub struct SecretFile(pub PathBuf);

/// Most bytes a file with a secret may have. What it is for is keys of a line; a wrong file is found out here.
const SECRET_BYTES_MAX: u64 = 4096;

impl SecretFile {
    /// What is in the file, without white space around it.
    pub fn read(&self) -> std::io::Result<Secret> {
        let path = self.path(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).as_deref());
        let say = |why: String| std::io::Error::other(format!("secret file {}: {why}", path.display()));
        let length = std::fs::metadata(&path).map_err(|error| say(error.to_string()))?.len();
        if length > SECRET_BYTES_MAX {
            return Err(say(format!("{length} bytes; at most {SECRET_BYTES_MAX} are taken")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| say(error.to_string()))?;
        match text.trim() {
            "" => Err(say("is empty".into())),
            secret => Ok(Secret(secret.into())),
        }
    }

    fn path(&self, credentials: Option<&Path>) -> PathBuf {
        if let Some(credential) = credentials.map(|directory| directory.join(&self.0))
            && self.0.is_relative()
            && credential.exists()
        {
            return credential;
        }
        self.0.clone()
    }
}

/// A text that does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// The text itself. Whoever calls this must not log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Row {
        wait: Millis<100, 60_000>,
    }

    fn wait(text: &str) -> Result<u64, String> {
        toml::from_str::<Row>(&format!("wait = {text}"))
            .map(|row| row.wait.value())
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_time_is_a_number_or_says_its_unit() {
        assert_eq!(wait("250"), Ok(250));
        assert_eq!(wait("'250 ms'"), Ok(250));
        assert_eq!(wait("'2s'"), Ok(2_000));
        assert_eq!(wait("'1.5 s'"), Ok(1_500));
    }

    #[test]
    fn a_time_out_of_range_is_told_the_range() {
        let allowed = "milliseconds from 100 to 60000 (or text with its unit, such as \"2 s\")";
        assert_eq!(wait("99"), Err(format!("invalid value: integer `99`, expected {allowed}")));
        assert_eq!(wait("-1"), Err(format!("invalid value: integer `-1`, expected {allowed}")));
        assert_eq!(wait("'2 h'"), Err(format!("invalid value: string \"2 h\", expected {allowed}")));
        assert_eq!(wait("'61 s'"), Err(format!("invalid value: string \"61 s\", expected {allowed}")));
        assert_eq!(wait("true"), Err(format!("invalid type: boolean `true`, expected {allowed}")));
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for (shown, factor) in [
            (toml::Value::try_from(<Millis>::new(5_000)), 5_000),
            (toml::Value::try_from(<Seconds>::new(90)), 90),
            (toml::Value::try_from(<Kbps>::new(800)), 800),
            (toml::Value::try_from(<Mbps>::new(10_000)), 10_000),
            (toml::Value::try_from(<Megabytes>::new(256)), 256),
        ] {
            let text = shown.unwrap().as_str().unwrap().to_owned();
            let units = [("ms", 1), ("s", 1), ("kbit/s", 1), ("Mbit/s", 1), ("MB", 1)];
            assert!(text.contains(' '), "{text} has no unit");
            assert_eq!(parse_with_unit(&text, &units), Some(factor), "{text}");
        }
        assert_eq!(toml::Value::try_from(<Number>::new(7)).unwrap(), toml::Value::Integer(7));
    }

    #[test]
    fn a_secret_is_read_without_its_line_end_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "hunter2\n").unwrap();
        let secret = SecretFile(path).read().unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn a_credential_of_systemd_wins_over_a_relative_file() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("publish.key"), "x").unwrap();
        let file = SecretFile("publish.key".into());
        assert_eq!(file.path(Some(directory.path())), directory.path().join("publish.key"));
        assert_eq!(file.path(None), PathBuf::from("publish.key"));
    }
}
