//! Reads AMF0 as a flat row of tokens: nesting costs a stranger his budget, and us nothing.

use super::marker;

/// Objects and arrays inside one another. Encoders use two; one more is an error.
pub const MAX_DEPTH: usize = 16;

/// Values in one message. OBS sends 20 in its metadata; one more is an error.
pub const MAX_VALUES: usize = 1024;

/// Bytes of one message. Longer ones are an error before the first byte is looked at.
pub const MAX_BYTES: usize = 64 * 1024;

/// Why these bytes are not AMF0 we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Amf0Error {
    /// Ends inside a value.
    #[error("AMF0 ends inside a value that begins at byte {at}")]
    Short {
        /// Where the value begins.
        at: usize,
    },
    /// A marker that is reserved, or AMF3's.
    #[error("AMF0 marker {marker:#04x} at byte {at} is not taken")]
    Marker {
        /// The marker.
        marker: u8,
        /// Where.
        at: usize,
    },
    /// Too deep.
    #[error("AMF0 nests deeper than {limit} at byte {at}")]
    TooDeep {
        /// How deep is allowed.
        limit: usize,
        /// Where.
        at: usize,
    },
    /// Too many.
    #[error("AMF0 has more than {limit} values (byte {at})")]
    TooMany {
        /// How many are allowed.
        limit: usize,
        /// Where.
        at: usize,
    },
    /// Too long.
    #[error("AMF0 of {len} bytes, at most {limit} are taken")]
    TooLong {
        /// How long it is.
        len: usize,
        /// How long it may be.
        limit: usize,
    },
}

/// A piece of AMF0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// A number.
    Number(f64),
    /// A boolean.
    Boolean(bool),
    /// A string, a long string or an XML document; UTF-8 if the sender keeps to 1.3.1.
    Text(&'a [u8]),
    /// Null, undefined or unsupported.
    Null,
    /// The n-th object of the message once more; nobody follows it.
    Reference(u16),
    /// Milliseconds since the Unix epoch.
    Date(f64),
    /// An object, a typed object or an ECMA array begins: keys and values follow, then [`Token::End`].
    Object,
    /// A strict array of so many values begins, then [`Token::End`].
    Array(u32),
    /// The name of the value that follows.
    Key(&'a [u8]),
    /// The innermost object or array is over.
    End,
}

impl Token<'_> {
    fn opens(&self) -> bool {
        matches!(self, Self::Object | Self::Array(_))
    }
}

/// What is open around the next token.
#[derive(Clone, Copy, Debug)]
enum Around {
    /// An object whose next key, or end, comes.
    Key,
    /// An object whose value comes.
    Value,
    /// A strict array with so many values to come.
    Items(u32),
}

/// Hands out the tokens of one message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
    around: [Around; MAX_DEPTH],
    depth: usize,
}

impl<'a> Reader<'a> {
    /// A reader of these bytes, if there are not too many.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Amf0Error> {
        if bytes.len() > MAX_BYTES {
            return Err(Amf0Error::TooLong { len: bytes.len(), limit: MAX_BYTES });
        }
        Ok(Self { bytes, at: 0, values: 0, around: [Around::Key; MAX_DEPTH], depth: 0 })
    }

    /// How many objects and arrays are open around the next token.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The next token; `None` at the end of the bytes, outside of everything.
    pub fn next_token(&mut self) -> Result<Option<Token<'a>>, Amf0Error> {
        let Some(around) = self.depth.checked_sub(1).map(|top| &mut self.around[top]) else {
            return if self.at == self.bytes.len() { Ok(None) } else { self.value().map(Some) };
        };
        match *around {
            Around::Key => {
                let begin = self.at;
                let key = self.text(begin, 2)?;
                if key.is_empty() && self.bytes.get(self.at) == Some(&marker::OBJECT_END) {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(Some(Token::End));
                }
                self.around[self.depth - 1] = Around::Value;
                Ok(Some(Token::Key(key)))
            }
            Around::Value => {
                *around = Around::Key;
                self.value().map(Some)
            }
            Around::Items(0) => {
                self.depth -= 1;
                Ok(Some(Token::End))
            }
            Around::Items(left) => {
                *around = Around::Items(left - 1);
                self.value().map(Some)
            }
        }
    }

    /// Goes past the rest of what this token opened, if it opened anything.
    pub fn skip(&mut self, token: Token<'a>) -> Result<(), Amf0Error> {
        if token.opens() {
            let outside = self.depth.saturating_sub(1);
            while self.depth > outside {
                self.next_token()?;
            }
        }
        Ok(())
    }

    fn value(&mut self) -> Result<Token<'a>, Amf0Error> {
        let at = self.at;
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Amf0Error::TooMany { limit: MAX_VALUES, at });
        }
        let [marker] = self.take(at)?;
        Ok(match marker {
            marker::NUMBER => Token::Number(f64::from_be_bytes(self.take(at)?)),
            marker::BOOLEAN => Token::Boolean(self.take::<1>(at)? != [0]),
            marker::STRING => Token::Text(self.text(at, 2)?),
            marker::LONG_STRING | marker::XML_DOCUMENT => Token::Text(self.text(at, 4)?),
            marker::NULL | marker::UNDEFINED | marker::UNSUPPORTED => Token::Null,
            marker::REFERENCE => Token::Reference(u16::from_be_bytes(self.take(at)?)),
            marker::DATE => {
                let date = f64::from_be_bytes(self.take(at)?);
                // A time zone that "should be 0x0000 and not be used" (2.13).
                self.take::<2>(at)?;
                Token::Date(date)
            }
            marker::OBJECT => self.open(at, Token::Object, Around::Key)?,
            marker::TYPED_OBJECT => {
                self.text(at, 2)?;
                self.open(at, Token::Object, Around::Key)?
            }
            marker::ECMA_ARRAY => {
                // The count is a hint that many get wrong; the end marker rules (2.10).
                self.take::<4>(at)?;
                self.open(at, Token::Object, Around::Key)?
            }
            marker::STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.take(at)?);
                self.open(at, Token::Array(count), Around::Items(count))?
            }
            marker => return Err(Amf0Error::Marker { marker, at }),
        })
    }

    fn open(&mut self, at: usize, token: Token<'a>, around: Around) -> Result<Token<'a>, Amf0Error> {
        let Some(top) = self.around.get_mut(self.depth) else {
            return Err(Amf0Error::TooDeep { limit: MAX_DEPTH, at });
        };
        *top = around;
        self.depth += 1;
        Ok(token)
    }

    /// A text with its length in front, in so many bytes.
    fn text(&mut self, begin: usize, length_bytes: usize) -> Result<&'a [u8], Amf0Error> {
        let short = Amf0Error::Short { at: begin };
        let length = self.bytes.get(self.at..self.at + length_bytes).ok_or_else(|| short.clone())?;
        let length = length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        let from = self.at + length_bytes;
        let text = self.bytes.get(from..from.saturating_add(length)).ok_or(short)?;
        self.at = from + length;
        Ok(text)
    }

    fn take<const N: usize>(&mut self, begin: usize) -> Result<[u8; N], Amf0Error> {
        let bytes = self.bytes[self.at..].first_chunk().ok_or(Amf0Error::Short { at: begin })?;
        self.at += N;
        Ok(*bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Writer;
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Token<'_>>, Amf0Error> {
        let mut reader = Reader::new(bytes)?;
        std::iter::from_fn(|| reader.next_token().transpose()).collect()
    }

    #[test]
    fn what_the_writer_writes_the_reader_reads() {
        let mut writer = Writer::new();
        writer.text("connect").number(1.0).object().key("app").text("live").key("fourCcList").array(2);
        writer.text("hvc1").null().end().end().boolean(true);
        let told = read(writer.bytes()).unwrap();
        let expected = [
            Token::Text(b"connect"),
            Token::Number(1.0),
            Token::Object,
            Token::Key(b"app"),
            Token::Text(b"live"),
            Token::Key(b"fourCcList"),
            Token::Array(2),
            Token::Text(b"hvc1"),
            Token::Null,
            Token::End,
            Token::End,
            Token::Boolean(true),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn date_long_string_reference_xml_and_both_arrays_are_read() {
        let mut bytes = vec![0x0b];
        bytes.extend(1.5_f64.to_be_bytes());
        bytes.extend([0, 60]);
        bytes.extend([0x0c, 0, 0, 0, 2, b'h', b'i']);
        bytes.extend([0x07, 0, 3]);
        bytes.extend([0x0f, 0, 0, 0, 1, b'x']);
        bytes.extend([0x08, 0, 0, 0, 9, 0, 1, b'a', 0x06, 0, 0, 9]);
        bytes.extend([0x0a, 0, 0, 0, 1, 0x0d]);
        bytes.extend([0x10, 0, 1, b'T', 0, 0, 9]);
        let told = read(&bytes).unwrap();
        let expected = [
            Token::Date(1.5),
            Token::Text(b"hi"),
            Token::Reference(3),
            Token::Text(b"x"),
            Token::Object,
            Token::Key(b"a"),
            Token::Null,
            Token::End,
            Token::Array(1),
            Token::Null,
            Token::End,
            Token::Object,
            Token::End,
        ];
        assert_eq!(told, expected);
        for len in 1..bytes.len() {
            // Either a whole number of values, or an error that says where; never a panic.
            if let Err(error) = read(&bytes[..len]) {
                assert!(matches!(error, Amf0Error::Short { at } if at <= len), "{len}: {error}");
            }
        }
    }

    #[test]
    fn nesting_is_refused_at_its_bound_and_not_before() {
        let nested =
            |depth: usize| [0x0a, 0, 0, 0, 1].repeat(depth).into_iter().chain([5]).collect::<Vec<_>>();
        assert!(read(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(
            read(&nested(MAX_DEPTH + 1)),
            Err(Amf0Error::TooDeep { limit: MAX_DEPTH, at: 5 * MAX_DEPTH })
        );
        // 60 KB of it, the longest that is looked at.
        assert!(matches!(read(&nested(12_000)), Err(Amf0Error::TooDeep { .. })));
    }

    #[test]
    fn one_byte_values_are_counted_and_not_collected() {
        assert_eq!(read(&[5; MAX_VALUES]).unwrap().len(), MAX_VALUES);
        assert_eq!(read(&[5; MAX_VALUES + 1]), Err(Amf0Error::TooMany { limit: MAX_VALUES, at: MAX_VALUES }));
        assert!(matches!(read(&vec![5; 16_000_000]), Err(Amf0Error::TooLong { .. })));
    }

    #[test]
    fn an_array_that_claims_four_billion_values_costs_nothing() {
        assert_eq!(read(&[0x0a, 255, 255, 255, 255]), Err(Amf0Error::Short { at: 5 }));
    }

    #[test]
    fn skipping_an_object_goes_to_its_own_end() {
        let mut writer = Writer::new();
        writer.object().key("a").object().key("b").number(1.0).end().end().text("after");
        let mut reader = Reader::new(writer.bytes()).unwrap();
        let object = reader.next_token().unwrap().unwrap();
        reader.skip(object).unwrap();
        assert_eq!(reader.next_token(), Ok(Some(Token::Text(b"after"))));
    }
}
