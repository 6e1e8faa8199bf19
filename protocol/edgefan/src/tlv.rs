//! Payload fields: `tag length value`, tag and length as varints. An unknown tag is skipped by its length.
//!
//! A number's value is itself a varint (LEB128, at most ten bytes); a text's is UTF-8; a group's is fields.

use crate::WireError;

/// Appends fields to a payload.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    pub(crate) fn bytes(&mut self, tag: u64, value: &[u8]) {
        varint(self.out, tag);
        varint(self.out, value.len() as u64);
        self.out.extend_from_slice(value);
    }

    pub(crate) fn number(&mut self, tag: u64, value: u64) {
        let mut scratch = Vec::with_capacity(10);
        varint(&mut scratch, value);
        self.bytes(tag, &scratch);
    }

    /// A number whose absence means 0.
    pub(crate) fn number_unless_zero(&mut self, tag: u64, value: u64) {
        if value != 0 {
            self.number(tag, value);
        }
    }

    pub(crate) fn text(&mut self, tag: u64, value: &str) {
        self.bytes(tag, value.as_bytes());
    }

    pub(crate) fn group(&mut self, tag: u64, fill: impl FnOnce(&mut Writer<'_>)) {
        let mut inner = Vec::new();
        fill(&mut Writer::new(&mut inner));
        self.bytes(tag, &inner);
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Walks the fields of a payload.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
    at: usize,
}

/// One field.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) tag: u64,
    pub(crate) value: &'a [u8],
    what: &'static str,
    at: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(what: &'static str, payload: &'a [u8]) -> Self {
        Self { what, rest: payload, at: 0 }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let needed = self.varint()?;
        let at = self.at;
        let (value, rest) = usize::try_from(needed)
            .ok()
            .and_then(|len| self.rest.split_at_checked(len))
            .ok_or(WireError::Short { what: self.what, at, needed, left: self.rest.len() })?;
        self.rest = rest;
        self.at += value.len();
        Ok(Some(Field { tag, value, what: self.what, at }))
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let (value, rest) = take_varint(self.what, self.rest, self.at)?;
        self.at += self.rest.len() - rest.len();
        self.rest = rest;
        Ok(value)
    }
}

fn take_varint<'a>(what: &'static str, bytes: &'a [u8], at: usize) -> Result<(u64, &'a [u8]), WireError> {
    let mut value: u64 = 0;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if index == 9 && bits > 1 {
            return Err(WireError::BadNumber { what, at });
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[index + 1..]));
        }
    }
    match bytes.len() {
        0..10 => Err(WireError::Short { what, at, needed: bytes.len() as u64 + 1, left: bytes.len() }),
        _ => Err(WireError::BadNumber { what, at }),
    }
}

impl<'a> Field<'a> {
    pub(crate) fn number(&self) -> Result<u64, WireError> {
        let (value, rest) = take_varint(self.what, self.value, self.at)?;
        match rest {
            [] => Ok(value),
            _ => Err(WireError::BadNumber { what: self.what, at: self.at }),
        }
    }

    /// A number of at most `limit`.
    pub(crate) fn number_to(&self, field: &'static str, limit: u64) -> Result<u64, WireError> {
        match self.number()? {
            count if count > limit => Err(WireError::TooMuch { what: self.what, field, count, limit }),
            number => Ok(number),
        }
    }

    pub(crate) fn text(&self, field: &'static str) -> Result<&'a str, WireError> {
        let limit = crate::limits::TEXT_BYTES;
        if self.value.len() > limit {
            let count = self.value.len() as u64;
            return Err(WireError::TooMuch { what: self.what, field, count, limit: limit as u64 });
        }
        std::str::from_utf8(self.value).map_err(|_| self.bad(field, "UTF-8"))
    }

    /// A text that its own type takes or refuses.
    pub(crate) fn parse<T: std::str::FromStr>(
        &self,
        field: &'static str,
        allowed: &'static str,
    ) -> Result<T, WireError> {
        self.text(field)?.parse().map_err(|_| self.bad(field, allowed))
    }

    pub(crate) fn array<const N: usize>(
        &self,
        field: &'static str,
        allowed: &'static str,
    ) -> Result<[u8; N], WireError> {
        self.value.try_into().map_err(|_| self.bad(field, allowed))
    }

    pub(crate) fn group(&self) -> Fields<'a> {
        Fields { what: self.what, rest: self.value, at: self.at }
    }

    pub(crate) fn bad(&self, field: &'static str, allowed: &'static str) -> WireError {
        let found = String::from_utf8_lossy(&self.value[..self.value.len().min(64)]).into_owned();
        WireError::Bad { what: self.what, field, found, allowed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut payload = Vec::new();
            Writer::new(&mut payload).number(300, value);
            let mut fields = Fields::new("test", &payload);
            let field = fields.next().unwrap().unwrap();
            assert_eq!((field.tag, field.number().unwrap()), (300, value));
            assert!(fields.next().unwrap().is_none());
        }
    }

    #[test]
    fn a_number_over_64_bits_is_refused() {
        let mut payload = vec![1, 10];
        payload.extend([0xff; 9]);
        payload.push(2);
        let field = Fields::new("test", &payload).next().unwrap().unwrap();
        assert_eq!(field.number(), Err(WireError::BadNumber { what: "test", at: 2 }));
    }

    #[test]
    fn a_field_longer_than_the_payload_says_where_and_how_much() {
        let refused = Fields::new("HELLO", &[7, 0x80, 0x01, 1, 2]).next().err().unwrap();
        assert_eq!(refused.to_string(), "HELLO: a field at byte 3 needs 128 bytes, 2 are left");
    }
}
