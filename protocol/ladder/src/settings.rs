//! The ladder as an operator writes it, and the rungs a source gets of it.

use crate::{Encoding, Preset, Rung, RungVideo, SourceShape};
use media::{BitRate, NameError, RenditionId};
use std::fmt;
use std::str::FromStr;

/// Which renditions a broadcast is made into. The default is 1080p 5M, 720p 2.5M, 480p 1.0M and 360p 0.6M, with the
/// source copied as the top rung where it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// Copy the source's own pictures as the top rung (`source`), in place of a step of its size.
    pub copy: bool,
    /// Best first. Steps larger than the source are left out.
    pub steps: Vec<Step>,
}

/// One line of the ladder: `720p 2.5M`, or with everything said `720p 2.5M veryfast crf=23`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rendition's path element: the size's name.
    pub id: RenditionId,
    /// Pixels of the shorter side, so that an upright picture keeps its rung; even.
    pub lines: u32,
    /// The ceiling of the pictures' rate.
    pub bitrate: BitRate,
    /// How hard x264 tries.
    pub preset: Preset,
    /// The constant rate factor under the ceiling.
    pub crf: u8,
}

/// Why a text is not a step of the ladder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// A word that is missing.
    #[error("a rung is written like \"720p 2.5M\": the {what} is missing in {text:?}")]
    Missing {
        /// What the word would say.
        what: &'static str,
        /// The whole text.
        text: String,
    },
    /// A word that says nothing allowed.
    #[error("the rung's {what} {found:?} is not allowed; allowed is {allowed}")]
    Bad {
        /// What the word should say.
        what: &'static str,
        /// The word.
        found: String,
        /// What it may be.
        allowed: String,
    },
    /// The size's name cannot be a path element.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Ladder {
    /// The most steps a ladder may have: each is a thread with an encoder; a machine that carries more is not known
    /// yet. More are refused where settings are read.
    pub const MAX_STEPS: usize = 8;

    /// The rendition that is the source itself.
    pub const SOURCE: &str = "source";

    /// The rendition that is sound alone.
    pub const AUDIO: &str = "audio";

    /// The rungs for that source, best first; `video` is `None` for sound alone. Empty only if there is neither.
    ///
    /// No rung is larger than the source, and one at least is encoded: that one is cut on the grid whatever the
    /// source does, so a source smaller than every step gets one at its own size.
    pub fn rungs(&self, video: Option<&SourceShape>, has_audio: bool) -> Vec<Rung> {
        let Some(source) = video else {
            let id = RenditionId::parse(Self::AUDIO).ok().filter(|_| has_audio);
            return id.into_iter().map(|id| Rung { id, video: RungVideo::None, has_audio }).collect();
        };
        let copies = self.copy && source.can_be_copied();
        let mut rungs = Vec::with_capacity(self.steps.len() + 1);
        if copies
            && let Ok(id) = RenditionId::parse(Self::SOURCE)
            && let Some(step) =
                self.steps.iter().rfind(|step| step.lines >= source.lines()).or_else(|| self.steps.first())
        {
            let instead = step.encoding(source, source.lines());
            rungs.push(Rung { id, video: RungVideo::Copy { instead }, has_audio });
        }
        let fits = |step: &&Step| match copies {
            true => step.lines < source.lines(),
            false => step.lines <= source.lines(),
        };
        for step in self.steps.iter().filter(fits) {
            let video = RungVideo::Encode(step.encoding(source, step.lines));
            rungs.push(Rung { id: step.id.clone(), video, has_audio });
        }
        if rungs.len() == usize::from(copies)
            && let Some(least) = self.steps.last()
        {
            let video = RungVideo::Encode(least.encoding(source, source.lines()));
            rungs.push(Rung { id: least.id.clone(), video, has_audio });
        }
        rungs
    }
}

impl Default for Ladder {
    fn default() -> Self {
        let steps = [
            ("1080p", 1080, 5_000_000),
            ("720p", 720, 2_500_000),
            ("480p", 480, 1_000_000),
            ("360p", 360, 600_000),
        ];
        let steps = steps.into_iter().filter_map(|(name, lines, rate)| {
            let (id, bitrate) = (RenditionId::parse(name).ok()?, BitRate(rate));
            Some(Step { id, lines, bitrate, preset: Preset::default(), crf: Step::CRF })
        });
        Self { copy: true, steps: steps.collect() }
    }
}

impl Step {
    /// x264's own default: what a viewer takes for the original at arm's length.
    pub const CRF: u8 = 23;

    /// How this step is made of that source, at so many lines: the source's proportions, in even numbers.
    fn encoding(&self, source: &SourceShape, lines: u32) -> Encoding {
        let even = |pixels: u32| (pixels & !1).max(16);
        let across = u64::from(source.width.max(source.height)) * u64::from(lines);
        let across = (across / u64::from(source.lines().max(1))).min(8192) as u32;
        // Rounded up to even, unless that is past the source.
        let across = even(across + 1).min(even(source.width.max(source.height)));
        let (width, height) = if source.width >= source.height { (across, lines) } else { (lines, across) };
        Encoding {
            width: even(width),
            height: even(height),
            bitrate: self.bitrate,
            preset: self.preset,
            crf: self.crf,
        }
    }
}

impl FromStr for Step {
    type Err = StepError;

    fn from_str(text: &str) -> Result<Self, StepError> {
        let bad = |what, found: &str, allowed: &str| StepError::Bad {
            what,
            found: found.to_owned(),
            allowed: allowed.to_owned(),
        };
        let missing = |what| StepError::Missing { what, text: text.to_owned() };
        let mut words = text.split_whitespace();
        let name = words.next().ok_or_else(|| missing("size"))?;
        let lines = name.strip_suffix('p').unwrap_or(name).parse().ok();
        let lines = lines
            .filter(|lines: &u32| (96..=4320).contains(lines) && lines.is_multiple_of(2))
            .ok_or_else(|| bad("size", name, "an even number of lines from 96p to 4320p"))?;
        let rate = words.next().ok_or_else(|| missing("rate"))?;
        let bitrate = parse_rate(rate)
            .filter(|rate| (50_000..=100_000_000).contains(&rate.0))
            .ok_or_else(|| bad("rate", rate, "50k to 100M (bit/s; k and M for thousand and million)"))?;
        let mut step = Self {
            id: RenditionId::parse(&format!("{lines}p"))?,
            lines,
            bitrate,
            preset: Preset::default(),
            crf: Self::CRF,
        };
        for word in words {
            match word.strip_prefix("crf=") {
                Some(crf) => {
                    let number = crf.parse().ok().filter(|crf| (10..=40).contains(crf));
                    step.crf = number.ok_or_else(|| bad("crf", crf, "10 to 40"))?;
                }
                None => {
                    step.preset = word.parse().map_err(|allowed: String| StepError::Bad {
                        what: "preset",
                        found: word.to_owned(),
                        allowed,
                    })?;
                }
            }
        }
        Ok(step)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}k {} crf={}", self.id, self.bitrate.0 / 1000, self.preset, self.crf)
    }
}

/// `5M`, `2.5M`, `600k`, `800000`.
fn parse_rate(text: &str) -> Option<BitRate> {
    let (number, unit) = match text.as_bytes().last()? {
        b'M' => (&text[..text.len() - 1], 1e6),
        b'k' => (&text[..text.len() - 1], 1e3),
        _ => (text, 1.0),
    };
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)?;
    Some(BitRate((number * unit).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ladder: &Ladder, width: u32, height: u32) -> Vec<String> {
        let rungs = ladder.rungs(Some(&SourceShape::of_size(width, height)), true);
        let name = |rung: Rung| match rung.video {
            RungVideo::Encode(encoding) => format!("{} {}x{}", rung.id, encoding.width, encoding.height),
            RungVideo::Copy { .. } | RungVideo::None => rung.id.to_string(),
        };
        rungs.into_iter().map(name).collect()
    }

    #[test]
    fn a_copied_source_takes_the_place_of_its_own_step() {
        let ladder = Ladder::default();
        assert_eq!(names(&ladder, 1920, 1080), ["source", "720p 1280x720", "480p 854x480", "360p 640x360"]);
        assert_eq!(names(&ladder, 1280, 720), ["source", "480p 854x480", "360p 640x360"]);
    }

    #[test]
    fn no_rung_is_larger_than_its_source() {
        let ladder = Ladder { copy: false, ..Ladder::default() };
        assert_eq!(names(&ladder, 1280, 720), ["720p 1280x720", "480p 854x480", "360p 640x360"]);
        assert_eq!(names(&ladder, 320, 180), ["360p 320x180"]);
        assert_eq!(names(&ladder, 720, 1280), ["720p 720x1280", "480p 480x854", "360p 360x640"]);
    }

    #[test]
    fn one_rung_is_always_encoded() {
        assert_eq!(names(&Ladder::default(), 640, 360), ["source", "360p 640x360"]);
    }

    #[test]
    fn sound_alone_is_one_rung() {
        let rungs = Ladder::default().rungs(None, true);
        assert_eq!(rungs.len(), 1);
        assert_eq!((rungs[0].id.as_str(), &rungs[0].video), ("audio", &RungVideo::None));
        assert!(Ladder::default().rungs(None, false).is_empty());
    }

    #[test]
    fn a_step_is_read_as_people_write_it() {
        let step: Step = "720p 2.5M".parse().unwrap();
        assert_eq!((step.lines, step.bitrate, step.preset), (720, BitRate(2_500_000), Preset::Veryfast));
        let step: Step = "360p 600k superfast crf=26".parse().unwrap();
        assert_eq!((step.bitrate, step.preset, step.crf), (BitRate(600_000), Preset::Superfast, 26));
        assert_eq!(step.to_string().parse::<Step>().unwrap(), step);
    }

    #[test]
    fn a_wrong_step_says_what_is_allowed() {
        for (text, says) in [
            ("", "size is missing"),
            ("720p", "rate is missing"),
            ("721p 1M", "96p to 4320p"),
            ("720p fast", "50k to 100M"),
            ("720p 1M slow", "ultrafast, superfast"),
            ("720p 1M crf=99", "10 to 40"),
        ] {
            let error = text.parse::<Step>().unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }
}
