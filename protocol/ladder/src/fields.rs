//! The fields of a payload, little-endian; names and texts with a length in front, media bytes last.

use crate::WireError;
use bytes::{Buf, Bytes};
use media::{
    AudioConfig, AudioShape, BitRate, FrameRate, MediaSequence, MediaSpan, MediaTime, VideoConfig, VideoShape,
};

/// Appends fields.
pub(crate) struct Put<'a>(pub(crate) &'a mut Vec<u8>);

impl Put<'_> {
    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn time(&mut self, value: MediaTime) -> &mut Self {
        self.u64(value.ticks())
    }

    pub(crate) fn span(&mut self, value: MediaSpan) -> &mut Self {
        self.u64(value.ticks())
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.rest(value)
    }

    pub(crate) fn text(&mut self, value: impl AsRef<str>) -> &mut Self {
        self.bytes(value.as_ref().as_bytes())
    }

    pub(crate) fn rest(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn optional<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            None => {
                self.u8(0);
            }
            Some(value) => {
                self.u8(1);
                put(self, value);
            }
        }
        self
    }

    pub(crate) fn video_shape(&mut self, shape: &VideoShape) {
        self.u32(shape.width).u32(shape.height).u32(shape.frame_rate.0).text(&shape.codec);
    }

    pub(crate) fn audio_shape(&mut self, shape: &AudioShape) {
        self.u32(shape.sample_rate).u8(shape.channels).text(&shape.codec);
    }
}

/// Takes fields off the front of a payload.
pub(crate) struct Take {
    kind: u8,
    len: usize,
    payload: Bytes,
}

impl Take {
    pub(crate) fn new(kind: u8, payload: Bytes) -> Self {
        Self { kind, len: payload.len(), payload }
    }

    fn need(&self, field: &'static str, bytes: usize) -> Result<(), WireError> {
        if self.payload.len() < bytes {
            return Err(WireError::Short { kind: self.kind, field, len: self.len });
        }
        Ok(())
    }

    pub(crate) fn bad(&self, field: &'static str, why: impl ToString) -> WireError {
        WireError::Bad { kind: self.kind, field, why: why.to_string() }
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        self.need(field, 1)?;
        Ok(self.payload.get_u8())
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        self.need(field, 4)?;
        Ok(self.payload.get_u32_le())
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, WireError> {
        self.need(field, 8)?;
        Ok(self.payload.get_u64_le())
    }

    pub(crate) fn is(&mut self, field: &'static str) -> Result<bool, WireError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.bad(field, format_args!("{other} is neither 0 nor 1"))),
        }
    }

    pub(crate) fn time(&mut self, field: &'static str) -> Result<MediaTime, WireError> {
        self.u64(field).map(MediaTime::from_ticks)
    }

    pub(crate) fn span(&mut self, field: &'static str) -> Result<MediaSpan, WireError> {
        self.u64(field).map(MediaSpan::from_ticks)
    }

    pub(crate) fn sequence(&mut self, field: &'static str) -> Result<MediaSequence, WireError> {
        self.u64(field).map(MediaSequence)
    }

    pub(crate) fn rate(&mut self, field: &'static str) -> Result<BitRate, WireError> {
        self.u64(field).map(BitRate)
    }

    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<Bytes, WireError> {
        let len = self.u32(field)? as usize;
        self.need(field, len)?;
        Ok(self.payload.split_to(len))
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, WireError> {
        let bytes = self.bytes(field)?;
        String::from_utf8(bytes.to_vec()).map_err(|fault| self.bad(field, fault))
    }

    /// A name or anything else that is checked where it is made.
    pub(crate) fn parsed<T: std::str::FromStr<Err: ToString>>(
        &mut self,
        field: &'static str,
    ) -> Result<T, WireError> {
        self.text(field)?.parse().map_err(|fault: T::Err| self.bad(field, fault.to_string()))
    }

    pub(crate) fn optional<T>(
        &mut self,
        field: &'static str,
        take: impl FnOnce(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<T>, WireError> {
        if self.is(field)? { take(self).map(Some) } else { Ok(None) }
    }

    pub(crate) fn video_config(&mut self, field: &'static str) -> Result<VideoConfig, WireError> {
        let record = self.bytes(field)?;
        VideoConfig::parse(record).map_err(|fault| self.bad(field, fault))
    }

    pub(crate) fn audio_config(&mut self, field: &'static str) -> Result<AudioConfig, WireError> {
        let record = self.bytes(field)?;
        AudioConfig::parse(record).map_err(|fault| self.bad(field, fault))
    }

    pub(crate) fn video_shape(&mut self) -> Result<VideoShape, WireError> {
        Ok(VideoShape {
            width: self.u32("width")?,
            height: self.u32("height")?,
            frame_rate: FrameRate(self.u32("frame rate")?),
            codec: self.text("video codec")?,
        })
    }

    pub(crate) fn audio_shape(&mut self) -> Result<AudioShape, WireError> {
        Ok(AudioShape {
            sample_rate: self.u32("sample rate")?,
            channels: self.u8("channels")?,
            codec: self.text("audio codec")?,
        })
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> Bytes {
        self.payload
    }

    /// The payload must end here.
    pub(crate) fn end<T>(self, value: T) -> Result<T, WireError> {
        match self.payload.len() {
            0 => Ok(value),
            left => Err(self.bad("end", format_args!("{left} bytes are left over"))),
        }
    }
}
