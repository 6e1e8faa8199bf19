//! Fields of a word, as everywhere on `edgefan/1`: `tag length value`, both as varints; an unknown tag is skipped.

use crate::WordError;
use crate::limits::TEXT_BYTES;

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn bytes(out: &mut Vec<u8>, tag: u64, value: &[u8]) {
    varint(out, tag);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A number, which is 0 where it is not said.
pub(crate) fn number(out: &mut Vec<u8>, tag: u64, value: u64) {
    if value == 0 {
        return;
    }
    let mut digits = Vec::with_capacity(10);
    varint(&mut digits, value);
    bytes(out, tag, &digits);
}

/// Walks fields.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// One field.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) tag: u64,
    pub(crate) value: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, WordError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (tag, rest) = take(self.rest)?;
        let (len, rest) = take(rest)?;
        let left = rest.len();
        let (value, rest) = usize::try_from(len)
            .ok()
            .and_then(|len| rest.split_at_checked(len))
            .ok_or(WordError::Short { needed: len, left })?;
        self.rest = rest;
        Ok(Some(Field { tag, value }))
    }
}

pub(crate) fn take(from: &[u8]) -> Result<(u64, &[u8]), WordError> {
    let mut value = 0_u64;
    for (index, &byte) in from.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if index == 9 && bits > 1 {
            return Err(WordError::BadNumber);
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, &from[index + 1..]));
        }
    }
    match from.len() {
        0..10 => Err(WordError::Short { needed: from.len() as u64 + 1, left: from.len() }),
        _ => Err(WordError::BadNumber),
    }
}

impl<'a> Field<'a> {
    pub(crate) fn number(&self) -> Result<u64, WordError> {
        match take(self.value)? {
            (value, []) => Ok(value),
            _ => Err(WordError::BadNumber),
        }
    }

    /// A number of at most 32 bits.
    pub(crate) fn small(&self) -> Result<u32, WordError> {
        u32::try_from(self.number()?).map_err(|_| WordError::BadNumber)
    }

    pub(crate) fn text(&self, what: &'static str) -> Result<&'a str, WordError> {
        let (count, limit) = (self.value.len(), TEXT_BYTES);
        if count > limit {
            return Err(WordError::TooMuch { what, count, limit });
        }
        std::str::from_utf8(self.value).map_err(|_| WordError::Bad { what })
    }

    pub(crate) fn group(&self) -> Fields<'a> {
        Fields { rest: self.value }
    }
}
