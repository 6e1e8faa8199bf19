//! HAVE: which objects an end has, as bitmaps over sequence numbers; and how far a publisher's backfill is.

use crate::WireError;
use crate::facts::{NAME_ALLOWED, read_key, read_kind, write_key};
use crate::hello::at_most;
use crate::limits::{LIST_ENTRIES, SPAN_SEQUENCES};
use crate::tlv::{Fields, Writer};
use media::{BroadcastId, MediaSequence, ObjectKey, ObjectKind, RenditionId, RunId};

/// From a subscriber: what it has of a broadcast. From a publisher: how far its backfill has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// Of which broadcast.
    pub broadcast: BroadcastId,
    /// What is settled at the subscriber: complete, or a gap for good.
    pub ranges: Vec<HaveRange>,
    /// What it has the beginning of.
    pub partials: Vec<Partial>,
    /// True in the answer to a STREAM: whatever is not named is not there, so let it flow.
    pub is_whole: bool,
    /// From a publisher only.
    pub reached: Option<Reached>,
}

/// Settled objects of one rendition, run and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaveRange {
    /// Which run.
    pub run: RunId,
    /// Which rendition.
    pub rendition: RenditionId,
    /// Which kind; parts are never named, they are worth nothing late.
    pub kind: ObjectKind,
    /// The number the bitmap's first bit stands for.
    pub base: MediaSequence,
    /// Bit `i % 8` of byte `i / 8` is set if `base + i` is settled.
    pub bitmap: Vec<u8>,
}

/// The beginning of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Its name.
    pub key: ObjectKey,
    /// How many of its bytes are there.
    pub bytes: u32,
}

/// How far a publisher's backfill of a broadcast has come. The numbers are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reached {
    /// The newest three segments of every rendition are sent.
    Ready = 1,
    /// All the window is sent.
    CaughtUp = 2,
}

impl HaveRange {
    /// The range that names exactly these numbers, which must ascend; only the newest
    /// [`SPAN_SEQUENCES`] of them fit. `None` if there are none.
    pub fn of(
        run: RunId,
        rendition: RenditionId,
        kind: ObjectKind,
        sequences: impl DoubleEndedIterator<Item = MediaSequence> + Clone,
    ) -> Option<Self> {
        let newest = sequences.clone().next_back()?;
        let oldest = newest.0.saturating_sub(SPAN_SEQUENCES - 1);
        let mut fitting = sequences.filter(|sequence| sequence.0 >= oldest).peekable();
        let base = *fitting.peek()?;
        let mut bitmap = vec![0_u8; ((newest.0 - base.0) / 8 + 1) as usize];
        for sequence in fitting {
            let index = sequence.0 - base.0;
            bitmap[(index / 8) as usize] |= 1 << (index % 8);
        }
        Some(Self { run, rendition, kind, base, bitmap })
    }

    /// The numbers it names.
    pub fn sequences(&self) -> impl Iterator<Item = MediaSequence> {
        let bits = self.bitmap.iter().enumerate();
        bits.flat_map(move |(byte, &bits)| {
            (0..8_u64)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| MediaSequence(self.base.0.saturating_add(byte as u64 * 8 + bit)))
        })
    }
}

impl Have {
    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        w.text(1, self.broadcast.as_str());
        w.number_unless_zero(2, u64::from(self.is_whole));
        for range in self.ranges.iter().take(LIST_ENTRIES) {
            w.group(3, |w| {
                w.number(1, range.run.0);
                w.text(2, range.rendition.as_str());
                w.number(3, range.kind as u64);
                w.number(4, range.base.0);
                w.bytes(5, &range.bitmap);
            });
        }
        for partial in self.partials.iter().take(LIST_ENTRIES) {
            w.group(4, |w| {
                w.group(1, |w| write_key(&partial.key, w));
                w.number(2, u64::from(partial.bytes));
            });
        }
        if let Some(reached) = self.reached {
            w.number(5, reached as u64);
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let (mut broadcast, mut ranges, mut partials) = (None, Vec::new(), Vec::new());
        let (mut is_whole, mut reached) = (false, None);
        let mut fields = Fields::new(WHAT, payload);
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => broadcast = Some(field.parse("broadcast", NAME_ALLOWED)?),
                2 => is_whole = field.number()? != 0,
                3 => {
                    ranges.push(read_range(field.group())?);
                    at_most(WHAT, "ranges", ranges.len(), LIST_ENTRIES)?;
                }
                4 => {
                    partials.push(read_partial(field.group())?);
                    at_most(WHAT, "partials", partials.len(), LIST_ENTRIES)?;
                }
                5 => {
                    reached = match field.number()? {
                        1 => Some(Reached::Ready),
                        2 => Some(Reached::CaughtUp),
                        _ => None,
                    }
                }
                _ => {}
            }
        }
        let broadcast = broadcast.ok_or(WireError::Missing { what: WHAT, field: "broadcast" })?;
        Ok(Self { broadcast, ranges, partials, is_whole, reached })
    }
}

const WHAT: &str = "HAVE";

fn read_range(mut fields: Fields<'_>) -> Result<HaveRange, WireError> {
    let (mut run, mut rendition, mut kind, mut base, mut bitmap) = (None, None, None, None, Vec::new());
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => run = Some(RunId(field.number()?)),
            2 => rendition = Some(field.parse("rendition", NAME_ALLOWED)?),
            3 => kind = Some(read_kind(&field)?),
            4 => base = Some(MediaSequence(field.number()?)),
            5 => {
                at_most(WHAT, "bitmap bytes", field.value.len(), SPAN_SEQUENCES as usize / 8)?;
                bitmap = field.value.to_vec();
            }
            _ => {}
        }
    }
    let missing = |field| WireError::Missing { what: WHAT, field };
    Ok(HaveRange {
        run: run.ok_or_else(|| missing("run"))?,
        rendition: rendition.ok_or_else(|| missing("rendition"))?,
        kind: kind.ok_or_else(|| missing("kind"))?,
        base: base.ok_or_else(|| missing("base"))?,
        bitmap,
    })
}

fn read_partial(mut fields: Fields<'_>) -> Result<Partial, WireError> {
    let (mut key, mut bytes) = (None, 0);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => key = Some(read_key(WHAT, field.group())?),
            2 => bytes = field.number_to("bytes of a partial", crate::limits::OBJECT_BYTES)? as u32,
            _ => {}
        }
    }
    Ok(Partial { key: key.ok_or(WireError::Missing { what: WHAT, field: "key" })?, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_names_what_it_was_made_of() {
        let rendition = RenditionId::parse("720p").unwrap();
        let numbers = [100, 101, 103, 108, 115, 116].map(MediaSequence);
        let range =
            HaveRange::of(RunId(1), rendition.clone(), ObjectKind::Segment, numbers.into_iter()).unwrap();
        assert_eq!(range.base, MediaSequence(100));
        assert_eq!(range.bitmap, [0b0000_1011, 0b1000_0001, 1]);
        assert!(range.sequences().eq(numbers));
        assert_eq!(HaveRange::of(RunId(1), rendition, ObjectKind::Segment, std::iter::empty()), None);
    }

    #[test]
    fn only_the_newest_fit_a_bitmap() {
        let rendition = RenditionId::parse("720p").unwrap();
        let numbers = (0..5000).map(MediaSequence);
        let range = HaveRange::of(RunId(1), rendition, ObjectKind::Segment, numbers).unwrap();
        assert_eq!(range.bitmap.len(), 128);
        assert_eq!(range.sequences().map(|sequence| sequence.0).min(), Some(5000 - 1024));
    }
}
