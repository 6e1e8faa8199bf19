//! What an encoder says of its stream: `onMetaData`.
//!
//! Lives here: the handful of values somebody may want to read. Does not live here: belief in them; widths and codecs
//! are taken from the media (`flv`).

use crate::amf0::{Amf0Error, Reader, Token};
use crate::command::describe;

/// What an encoder says of its stream. Every value may be missing, and may be wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// E.g. `Lavf59.27.100`, `obs-output module (libobs version 30.2)`.
    pub encoder: Option<String>,
    /// Pixels.
    pub width: Option<f64>,
    /// Pixels.
    pub height: Option<f64>,
    /// Pictures per second.
    pub frame_rate: Option<f64>,
    /// Kilobits per second.
    pub video_kbps: Option<f64>,
    /// Kilobits per second.
    pub audio_kbps: Option<f64>,
    /// A number, or a FourCC.
    pub video_codec: Option<String>,
    /// A number, or a FourCC.
    pub audio_codec: Option<String>,
}

impl Metadata {
    /// Reads a data message's body: `onMetaData`, in `@setDataFrame` or alone. `None` if it is other data.
    pub fn parse(body: &[u8]) -> Result<Option<Self>, Amf0Error> {
        let mut reader = Reader::new(body)?;
        let mut name = reader.next_token()?;
        if name == Some(Token::Text(b"@setDataFrame")) {
            name = reader.next_token()?;
        }
        if name != Some(Token::Text(b"onMetaData")) || reader.next_token()? != Some(Token::Object) {
            return Ok(None);
        }
        let mut metadata = Self::default();
        while let Some(Token::Key(key)) = reader.next_token()? {
            let Some(value) = reader.next_token()? else { break };
            metadata.set(key, value);
            reader.skip(value)?;
        }
        Ok(Some(metadata))
    }

    fn set(&mut self, key: &[u8], value: Token<'_>) {
        let number = match value {
            Token::Number(number) if number.is_finite() => Some(number),
            _ => None,
        };
        let text = match value {
            Token::Text(text) => Some(describe(text)),
            _ => number.map(|number| number.to_string()),
        };
        match key {
            b"encoder" => self.encoder = text,
            b"width" => self.width = number,
            b"height" => self.height = number,
            b"framerate" => self.frame_rate = number,
            b"videodatarate" => self.video_kbps = number,
            b"audiodatarate" => self.audio_kbps = number,
            b"videocodecid" => self.video_codec = text,
            b"audiocodecid" => self.audio_codec = text,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amf0::Writer;

    #[test]
    fn metadata_is_read_with_and_without_its_envelope() {
        for envelope in [true, false] {
            let mut writer = Writer::new();
            if envelope {
                writer.text("@setDataFrame");
            }
            writer.text("onMetaData").object().key("width").number(1280.0).key("videocodecid").number(7.0);
            writer.key("custom").object().key("width").number(1.0).end().key("encoder").text("Lavf59");
            let metadata = Metadata::parse(writer.bytes()).unwrap().unwrap();
            let expected = Metadata {
                encoder: Some("Lavf59".into()),
                width: Some(1280.0),
                video_codec: Some("7".into()),
                ..Metadata::default()
            };
            assert_eq!(metadata, expected);
        }
    }

    #[test]
    fn a_lone_set_data_frame_is_no_metadata() {
        let mut writer = Writer::new();
        writer.text("@setDataFrame");
        assert_eq!(Metadata::parse(writer.bytes()), Ok(None));
        assert_eq!(Metadata::parse(&[]), Ok(None));
    }
}
