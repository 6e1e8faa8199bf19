//! x264, fresh for every segment.

use super::{AvError, Picture, failed, raw};
use crate::bitstream;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Dictionary, codec, frame};
use ladder::{Encoding, Preset};
use media::FrameRate;

/// How one encoder is set up.
#[derive(Clone, Debug)]
pub(crate) struct X264 {
    pub(crate) encoding: Encoding,
    pub(crate) rate: FrameRate,
    /// `None`: as the preset has it.
    pub(crate) b_pictures: Option<u8>,
    /// No pictures are held back to look ahead.
    pub(crate) looks_ahead: bool,
    /// Every how many pictures a sync unit; `None`: the first alone.
    pub(crate) gop: Option<u32>,
    /// Constant rate instead of constant quality under a ceiling; parameter sets apart instead of in front.
    pub(crate) is_source: bool,
}

/// One coded picture, Annex B; times are those the encoder was given.
pub(crate) struct CodedPicture {
    pub(crate) presentation: i64,
    pub(crate) decode: i64,
    pub(crate) is_sync: bool,
    pub(crate) bytes: Vec<u8>,
}

impl X264 {
    /// A rung's encoder: one segment, capped constant quality.
    pub(crate) fn of_segment(encoding: &Encoding, rate: FrameRate) -> Self {
        let encoding = encoding.clone();
        Self { encoding, rate, b_pictures: None, looks_ahead: true, gop: None, is_source: false }
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        let ceiling = self.encoding.bitrate.0;
        // A shorter lookahead is a cheaper preset as well: superfast is what x264's own speed tables put there.
        let preset =
            if self.looks_ahead { self.encoding.preset } else { self.encoding.preset.min(Preset::Superfast) };
        // `cpu-independent`: the same bytes on every machine. `vbv-init`: each segment may begin half a buffer ahead,
        // so a 2 s segment peaks at 1.25 times its ceiling. `keyint=infinite`: the segment is one picture group.
        let mut x264 = String::from("cpu-independent=1:sliced-threads=0");
        match self.gop {
            None => x264 += ":keyint=infinite:vbv-init=0.5",
            Some(gop) => x264 += &format!(":keyint={gop}:min-keyint={gop}:scenecut=0"),
        }
        if !self.looks_ahead {
            x264 += ":rc-lookahead=0:sync-lookahead=0";
        }
        if let Some(count) = self.b_pictures {
            x264 += &format!(":bframes={count}");
        }
        let mut options = vec![
            ("preset", preset.to_string()),
            ("threads", "1".to_owned()),
            ("maxrate", ceiling.to_string()),
            ("bufsize", ceiling.to_string()),
            // Captions would have to be carried through every scaler; until then none are.
            ("a53cc", "0".to_owned()),
            ("x264-params", x264),
        ];
        match self.is_source {
            false => options.push(("crf", self.encoding.crf.to_string())),
            true => {
                options.push(("b", ceiling.to_string()));
                options.push(("flags", "+global_header".to_owned()));
            }
        }
        options
    }
}

/// One opened encoder. Times given to it must grow.
pub(crate) struct VideoEncoder {
    encoder: codec::encoder::video::Encoder,
    /// Shares the pixels of the picture that is being taken in.
    view: frame::Video,
    times: DecodeTimes,
    is_first: bool,
}

impl VideoEncoder {
    /// Opens x264 for pictures like `first`.
    pub(crate) fn open(settings: &X264, first: &Picture) -> Result<Self, AvError> {
        let failed = failed("x264 does not open");
        let codec =
            codec::encoder::find_by_name("libx264").ok_or_else(|| failed(ffmpeg::Error::EncoderNotFound))?;
        let mut encoder = codec::Context::new_with_codec(codec).encoder().video().map_err(&failed)?;
        encoder.set_width(first.width());
        encoder.set_height(first.height());
        encoder.set_format(Pixel::YUV420P);
        encoder.set_time_base((1, 90_000));
        encoder.set_frame_rate(Some((settings.rate.0 as i32, 1000)));
        encoder.set_aspect_ratio(first.0.aspect_ratio());
        encoder.set_colorspace(first.0.color_space());
        encoder.set_color_range(first.0.color_range());
        let options: Dictionary<'_> =
            settings.options().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let encoder = encoder.open_as_with(codec, options).map_err(failed)?;
        let reorder = raw::reorder(&encoder);
        let frame_ticks = 90_000_000 / i64::from(settings.rate.0.max(1));
        Ok(Self {
            encoder,
            view: frame::Video::empty(),
            times: DecodeTimes::new(reorder, frame_ticks),
            is_first: true,
        })
    }

    /// What goes in front of the first unit when it was asked for apart (`is_source`): SPS and PPS, Annex B.
    pub(crate) fn parameter_sets(&self) -> Vec<u8> {
        raw::extradata(&self.encoder)
    }

    /// Gives it the next picture.
    pub(crate) fn push(&mut self, picture: &Picture, time: i64) -> Result<(), AvError> {
        let failed = failed("x264 does not take a picture");
        if !raw::share(&mut self.view, &picture.0, time) {
            return Err(failed(ffmpeg::Error::Bug));
        }
        self.times.shown(time);
        self.encoder.send_frame(&self.view).map_err(failed)?;
        raw::release(&mut self.view);
        Ok(())
    }

    /// Nothing more will come: what is held back can be pulled.
    pub(crate) fn end(&mut self) -> Result<(), AvError> {
        self.encoder.send_eof().map_err(failed("x264 does not end"))
    }

    /// The next coded picture, in decode order, if one is ready.
    pub(crate) fn pull(&mut self) -> Result<Option<CodedPicture>, AvError> {
        let mut packet = ffmpeg::Packet::empty();
        match self.encoder.receive_packet(&mut packet) {
            Ok(()) => {}
            Err(fault) if super::wants_more(fault) => return Ok(None),
            Err(fault) => return Err(failed("x264 does not encode")(fault)),
        }
        let coded = packet.data().unwrap_or_default();
        // x264 puts its version and settings, some 700 bytes, in front of the first picture.
        let bytes = match std::mem::take(&mut self.is_first) {
            true => bitstream::without_settings_text(coded),
            false => coded.to_vec(),
        };
        let presentation = packet.pts().unwrap_or_default();
        let decode = self.times.next(presentation);
        Ok(Some(CodedPicture { presentation, decode, is_sync: packet.is_key(), bytes }))
    }

    /// x264's own version, as it says it in front of the first picture.
    pub(crate) fn version() -> Result<String, AvError> {
        let encoding = Encoding {
            width: 64,
            height: 64,
            bitrate: media::BitRate(100_000),
            preset: Preset::Ultrafast,
            crf: 40,
        };
        let picture = Picture::black(encoding.width, encoding.height);
        let mut probe = Self::open(&X264::of_segment(&encoding, FrameRate(25_000)), &picture)?;
        probe.push(&picture, 0)?;
        probe.end()?;
        let mut packet = ffmpeg::Packet::empty();
        probe.encoder.receive_packet(&mut packet).map_err(failed("x264 does not encode"))?;
        Ok(bitstream::settings_text(packet.data().unwrap_or_default())
            .unwrap_or_else(|| "x264 unknown".to_owned()))
    }
}

/// When each coded picture is decoded.
///
/// x264's own decode times begin as far before the first picture as its first pictures lie apart; with a varying
/// frame rate that may be before the last segment's last decode time. Here they begin `reorder` times the least
/// distance of the first pictures (and at most of one frame at the nominal rate) early, which cannot be; from then
/// on they are the presentation times, delayed, as x264 has them.
struct DecodeTimes {
    reorder: usize,
    shown: std::collections::VecDeque<i64>,
    start: Option<i64>,
    least: i64,
    count: usize,
}

impl DecodeTimes {
    fn new(reorder: usize, frame: i64) -> Self {
        Self { reorder, shown: std::collections::VecDeque::new(), start: None, least: frame, count: 0 }
    }

    fn shown(&mut self, time: i64) {
        if let Some(last) = self.shown.back()
            && self.count == 0
        {
            self.least = self.least.min(time - last);
        }
        self.start.get_or_insert(time);
        self.shown.push_back(time);
    }

    fn next(&mut self, presentation: i64) -> i64 {
        let count = self.count;
        self.count += 1;
        let early = self.reorder.saturating_sub(count) as i64;
        let decode = match early {
            0 => self.shown.pop_front().unwrap_or(presentation),
            early => self.start.unwrap_or(presentation) - early * self.least,
        };
        decode.min(presentation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_times_grow_and_never_pass_the_presentation() {
        // Shown 0 1 2 3 4 5 6 (one step 3000), coded I P B b b as x264 with a pyramid does.
        let mut times = DecodeTimes::new(2, 3000);
        (0..7).for_each(|at| times.shown(at * 3000));
        let coded = [0, 4, 2, 1, 3, 6, 5].map(|at| at * 3000);
        let decode = coded.map(|presentation| times.next(presentation));
        assert_eq!(decode, [-6000, -3000, 0, 3000, 6000, 9000, 12000]);
    }

    #[test]
    fn a_slow_beginning_does_not_reach_into_the_segment_before() {
        let mut times = DecodeTimes::new(2, 3000);
        [0, 90_000, 180_000].into_iter().for_each(|time| times.shown(time));
        assert_eq!(times.next(0), -6000);
    }
}
