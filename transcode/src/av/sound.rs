//! FFmpeg's AAC encoder: the pattern's sound, and one unit of silence.

use super::{AvError, failed};
use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Sample;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::{ChannelLayout, Dictionary, codec, frame};
use media::AudioConfig;

/// Samples of one unit of AAC-LC.
const UNIT_SAMPLES: usize = 1024;

/// AAC-LC from interleaved 16 bit samples.
pub(crate) struct SoundEncoder {
    encoder: codec::encoder::audio::Encoder,
    rate: u32,
    channels: u8,
    layout: ChannelLayout,
    /// Samples that are not encoded yet, interleaved.
    held: Vec<i16>,
    /// Samples given to the encoder so far.
    sent: i64,
    is_ended: bool,
    /// The encoder has been told so.
    is_told: bool,
}

impl SoundEncoder {
    pub(crate) fn open(rate: u32, channels: u8, bitrate: u64) -> Result<Self, AvError> {
        let failed = failed("the AAC encoder does not open");
        let codec =
            codec::encoder::find(codec::Id::AAC).ok_or_else(|| failed(ffmpeg::Error::EncoderNotFound))?;
        let mut encoder = codec::Context::new_with_codec(codec).encoder().audio().map_err(&failed)?;
        // FFmpeg has a short list of layouts it codes without a program config element (aacenctab.h).
        let layout = match channels {
            1 => ChannelLayout::MONO,
            2 => ChannelLayout::STEREO,
            3 => ChannelLayout::SURROUND,
            4 => ChannelLayout::_4POINT0,
            5 => ChannelLayout::_5POINT0_BACK,
            6 => ChannelLayout::_5POINT1_BACK,
            8 => ChannelLayout::_7POINT1_WIDE_BACK,
            _ => return Err(failed(ffmpeg::Error::InvalidData)),
        };
        encoder.set_rate(i32::try_from(rate).unwrap_or(0));
        encoder.set_format(Sample::F32(Type::Planar));
        encoder.set_channel_layout(layout);
        encoder.set_channels(i32::from(channels));
        encoder.set_bit_rate(usize::try_from(bitrate).unwrap_or(0));
        encoder.set_time_base((1, i32::try_from(rate).unwrap_or(1)));
        let options: Dictionary<'_> =
            [("flags", "+global_header+bitexact"), ("threads", "1")].into_iter().collect();
        let encoder = encoder.open_as_with(codec, options).map_err(failed)?;
        Ok(Self {
            encoder,
            rate,
            channels,
            layout,
            held: Vec::new(),
            sent: 0,
            is_ended: false,
            is_told: false,
        })
    }

    /// The AudioSpecificConfig.
    pub(crate) fn record(&self) -> Vec<u8> {
        super::raw::extradata(&self.encoder)
    }

    /// Gives it samples; whole units of them are encoded as they are pulled.
    pub(crate) fn push(&mut self, samples: impl Iterator<Item = i16>) {
        self.held.extend(samples);
    }

    /// Nothing more will come; what does not fill a unit is left out.
    pub(crate) fn end(&mut self) {
        self.is_ended = true;
    }

    /// The next unit and how many samples come before it; negative for the encoder's priming. `None` when it needs more.
    ///
    /// FFmpeg's encoder holds what two frames make and takes no third before that is fetched, so one is given when there is
    /// nothing to fetch: however many samples came at once, as they do after pictures were left out.
    pub(crate) fn pull(&mut self) -> Result<Option<(i64, Vec<u8>)>, AvError> {
        let mut packet = ffmpeg::Packet::empty();
        loop {
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {
                    let unit = packet.data().unwrap_or_default().to_vec();
                    return Ok(Some((packet.pts().unwrap_or_default(), unit)));
                }
                Err(fault) if !super::wants_more(fault) => {
                    return Err(failed("the AAC encoder does not encode")(fault));
                }
                Err(_) if self.held.len() >= self.unit() => self.send()?,
                Err(_) if self.is_ended && !self.is_told => {
                    self.is_told = true;
                    self.encoder.send_eof().map_err(failed("the AAC encoder does not end"))?;
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// Samples of all channels in one unit.
    fn unit(&self) -> usize {
        UNIT_SAMPLES * usize::from(self.channels)
    }

    fn send(&mut self) -> Result<(), AvError> {
        let unit = self.unit();
        let mut sound = frame::Audio::new(Sample::F32(Type::Planar), UNIT_SAMPLES, self.layout);
        sound.set_rate(self.rate);
        sound.set_pts(Some(self.sent));
        for channel in 0..usize::from(self.channels) {
            let from = self.held[channel..unit].iter().step_by(usize::from(self.channels));
            for (to, sample) in sound.plane_mut::<f32>(channel).iter_mut().zip(from) {
                *to = f32::from(*sample) / 32_768.0;
            }
        }
        self.held.drain(..unit);
        self.sent += UNIT_SAMPLES as i64;
        self.encoder.send_frame(&sound).map_err(failed("the AAC encoder does not take samples"))
    }
}

/// One unit of silence that fits between the units of that source; `None` where FFmpeg cannot encode its layout.
///
/// HE-AAC is answered with a unit of its core without the extension, which a decoder takes as silence too.
pub(crate) fn silent_unit(config: &AudioConfig) -> Option<Vec<u8>> {
    let mut encoder = SoundEncoder::open(config.sample_rate(), config.channels(), 64_000).ok()?;
    // The third unit is past the priming and alike ever after.
    let samples = UNIT_SAMPLES * usize::from(config.channels()) * 3;
    encoder.push(std::iter::repeat_n(0, samples));
    encoder.end();
    let mut last = None;
    while let Ok(Some((_, unit))) = encoder.pull() {
        last = Some(unit);
    }
    last.filter(|unit| !unit.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(encoder: &mut SoundEncoder) -> Vec<i64> {
        std::iter::from_fn(|| encoder.pull().unwrap()).map(|(samples, _)| samples).collect()
    }

    /// As after two seconds of pictures that were left out: so many samples come at once.
    #[test]
    fn many_samples_at_once_are_all_encoded() {
        let mut encoder = SoundEncoder::open(48_000, 2, 96_000).unwrap();
        encoder.push(std::iter::repeat_n(0, 2 * 96_000));
        let mut begins = units(&mut encoder);
        encoder.push(std::iter::repeat_n(0, 2 * 512));
        encoder.end();
        begins.extend(units(&mut encoder));
        // The priming, then 96,512 samples in units of 1,024, the last of which is not filled.
        assert_eq!(begins, (-1..94).map(|nth| nth * 1024).collect::<Vec<_>>());
    }
}
