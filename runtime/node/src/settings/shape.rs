//! Which keys a settings type has, learnt from its own `Deserialize`, so that there is no second list.
//!
//! Each run walks down one path of field numbers and looks what is asked for there; then it gives up with an
//! error, which is how it gets out.

use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, MapAccess, Visitor};
use std::cell::RefCell;
use std::fmt;

/// How deep tables may nest; a type that holds itself ends here.
const DEPTH_MAX: usize = 6;

/// What is to be written at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A table with these keys.
    Table(Vec<(&'static str, Self)>),
    /// Something written as text.
    Text,
    /// A number, a truth, an array, or more than one of these.
    Other,
}

impl Shape {
    pub(super) fn of<T: DeserializeOwned>() -> Self {
        grow::<T>(&mut Vec::new())
    }

    /// Every key that is not a table itself, as its path.
    pub(super) fn leaves(&self) -> Vec<(Vec<&'static str>, &Self)> {
        match self {
            Self::Table(fields) => fields
                .iter()
                .flat_map(|(name, shape)| {
                    shape.leaves().into_iter().map(|(mut path, leaf)| {
                        path.insert(0, *name);
                        (path, leaf)
                    })
                })
                .collect(),
            _ => vec![(Vec::new(), self)],
        }
    }
}

enum Found {
    Fields(&'static [&'static str]),
    Text,
    Other,
}

fn grow<T: DeserializeOwned>(path: &mut Vec<usize>) -> Shape {
    let found = RefCell::new(Found::Other);
    // Always an error; what was learnt is in `found`.
    let _ = T::deserialize(Probe { path, found: &found });
    match found.into_inner() {
        Found::Fields(fields) if path.len() < DEPTH_MAX => Shape::Table(
            fields
                .iter()
                .enumerate()
                .map(|(index, name)| {
                    path.push(index);
                    let shape = grow::<T>(path);
                    path.pop();
                    (*name, shape)
                })
                .collect(),
        ),
        Found::Fields(_) | Found::Other => Shape::Other,
        Found::Text => Shape::Text,
    }
}

#[derive(Debug)]
struct Enough;

impl fmt::Display for Enough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seen enough")
    }
}

impl std::error::Error for Enough {}

impl de::Error for Enough {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

struct Probe<'a> {
    path: &'a [usize],
    found: &'a RefCell<Found>,
}

impl Probe<'_> {
    fn end<T>(self, found: Found) -> Result<T, Enough> {
        *self.found.borrow_mut() = found;
        Err(Enough)
    }
}

macro_rules! ends {
    ($found:expr => $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Enough> {
            self.end($found)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Enough;

    ends!(Found::Text => deserialize_str deserialize_string deserialize_char deserialize_identifier);
    ends!(Found::Other => deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32
        deserialize_f64 deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_seq
        deserialize_map deserialize_ignored_any);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Enough> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Enough> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Enough> {
        match self.path {
            [] => self.end(Found::Fields(fields)),
            [first, rest @ ..] => {
                visitor.visit_map(OneField { name: fields.get(*first).copied(), rest, found: self.found })
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Enough> {
        self.end(Found::Text)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, _: V) -> Result<V::Value, Enough> {
        self.end(Found::Other)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Enough> {
        self.end(Found::Other)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, Enough> {
        self.end(Found::Other)
    }
}

struct OneField<'a> {
    name: Option<&'static str>,
    rest: &'a [usize],
    found: &'a RefCell<Found>,
}

impl<'de> MapAccess<'de> for OneField<'_> {
    type Error = Enough;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Enough> {
        let Some(name) = self.name.take() else { return Err(Enough) };
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Enough> {
        seed.deserialize(Probe { path: self.rest, found: self.found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    #[allow(dead_code, reason = "only its shape is looked at")]
    struct Outer {
        name: Option<String>,
        ports: Vec<u16>,
        inner: Inner,
    }

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    #[allow(dead_code, reason = "only its shape is looked at")]
    struct Inner {
        address: Option<std::net::IpAddr>,
        is_on: bool,
    }

    #[test]
    fn a_type_tells_its_keys() {
        let shape = Shape::of::<Outer>();
        let leaves: Vec<String> =
            shape.leaves().iter().map(|(path, leaf)| format!("{} {leaf:?}", path.join("."))).collect();
        assert_eq!(leaves, ["name Text", "ports Other", "inner.address Text", "inner.is_on Other"]);
    }
}
