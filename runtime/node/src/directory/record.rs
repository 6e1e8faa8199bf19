//! What is written of one edge.

use crate::settings::{Mbps, Number};
use edgefan::Standing;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the operator has decided of one edge. What is not written here holds as the edge says it of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Record {
    /// `active`: takes viewers; `drain`: its viewers are led elsewhere, then it stands empty; `maintenance`: the same at
    /// once. Default `active`.
    #[serde(serialize_with = "write_standing", deserialize_with = "read_standing")]
    pub standing: Standing,
    /// Its share of viewers in per cent of what its capacity would give it, 0 to 1000; 0 keeps new ones away. Default:
    /// as the edge says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Number<0, 1000>>,
    /// What it may send, in Mbit/s, 1 to 1,000,000. Default: as the edge says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Mbps<1, 1_000_000>>,
}

impl Default for Record {
    fn default() -> Self {
        Self { standing: Standing::Active, weight: None, capacity: None }
    }
}

/// What a record may say, by name.
const FIELDS: [&str; 3] = ["standing", "weight", "capacity"];

impl Record {
    /// From the JSON that etcd keeps. What a later version wrote beside what we know is passed over.
    pub(super) fn of_json(bytes: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let serde_json::Value::Object(mut fields) = value else {
            return Err("it is no JSON object".into());
        };
        fields.retain(|name, _| FIELDS.contains(&name.as_str()));
        serde_json::from_value(serde_json::Value::Object(fields)).map_err(|error| error.to_string())
    }

    /// As etcd keeps it.
    pub(super) fn to_json(&self) -> String {
        // Text, numbers and options of both: there is nothing in it that could not be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// As it is written and shown.
pub fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Drain => "drain",
        Standing::Maintenance => "maintenance",
    }
}

/// The standing of that name.
pub fn parse_standing(word: &str) -> Option<Standing> {
    [Standing::Active, Standing::Drain, Standing::Maintenance]
        .into_iter()
        .find(|standing| standing_word(*standing) == word)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn write_standing<S: Serializer>(standing: &Standing, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(standing_word(*standing))
}

fn read_standing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Standing, D::Error> {
    let word = String::deserialize(deserializer)?;
    parse_standing(&word).ok_or_else(|| {
        serde::de::Error::custom(format!("{word:?} is no standing; allowed: active, drain, maintenance"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_adds_is_passed_over_and_what_is_wrong_is_said() {
        let record = Record::of_json(br#"{"standing":"drain","weight":50,"colour":"blue"}"#).unwrap();
        assert_eq!((record.standing, record.weight), (Standing::Drain, Some(Number::new(50))));
        assert_eq!(Record::of_json(record.to_json().as_bytes()), Ok(record));
        for (bytes, says) in [
            (&br#"{"standing":"asleep"}"#[..], "allowed: active, drain, maintenance"),
            (br#"{"weight":1001}"#, "from 0 to 1000"),
            (b"[]", "no JSON object"),
            (b"\xff", "expected value"),
        ] {
            let why = Record::of_json(bytes).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }
}
