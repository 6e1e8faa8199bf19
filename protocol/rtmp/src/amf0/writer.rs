//! Writes AMF0.

use super::marker;

/// Puts AMF0 values one after the other.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Whether each open container is an object, which has an end marker; an array has none.
    open: Vec<bool>,
}

impl Writer {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A number.
    pub fn number(&mut self, value: f64) -> &mut Self {
        self.bytes.push(marker::NUMBER);
        self.bytes.extend(value.to_be_bytes());
        self
    }

    /// A boolean.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.bytes.extend([marker::BOOLEAN, u8::from(value)]);
        self
    }

    /// A string, long if it must be.
    pub fn text(&mut self, value: &str) -> &mut Self {
        match u16::try_from(value.len()) {
            Ok(len) => {
                self.bytes.push(marker::STRING);
                self.bytes.extend(len.to_be_bytes());
            }
            Err(_) => {
                self.bytes.push(marker::LONG_STRING);
                self.bytes.extend((value.len() as u32).to_be_bytes());
            }
        }
        self.bytes.extend(value.as_bytes());
        self
    }

    /// A null.
    pub fn null(&mut self) -> &mut Self {
        self.bytes.push(marker::NULL);
        self
    }

    /// An undefined.
    pub fn undefined(&mut self) -> &mut Self {
        self.bytes.push(marker::UNDEFINED);
        self
    }

    /// Opens an object; keys and values follow, then [`Writer::end`].
    pub fn object(&mut self) -> &mut Self {
        self.bytes.push(marker::OBJECT);
        self.open.push(true);
        self
    }

    /// Opens a strict array of so many values, then [`Writer::end`].
    pub fn array(&mut self, count: u32) -> &mut Self {
        self.bytes.push(marker::STRICT_ARRAY);
        self.bytes.extend(count.to_be_bytes());
        self.open.push(false);
        self
    }

    /// The name of the value that follows, at most 65,535 bytes of it.
    pub fn key(&mut self, name: &str) -> &mut Self {
        let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
        self.bytes.extend((name.len() as u16).to_be_bytes());
        self.bytes.extend(name);
        self
    }

    /// Closes the innermost open object or array.
    pub fn end(&mut self) -> &mut Self {
        if self.open.pop() == Some(true) {
            self.bytes.extend([0, 0, marker::OBJECT_END]);
        }
        self
    }

    /// What has been written, with what is still open closed.
    pub fn bytes(&mut self) -> &[u8] {
        while !self.open.is_empty() {
            self.end();
        }
        &self.bytes
    }

    /// As [`Writer::bytes`], to keep.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes();
        self.bytes
    }
}
