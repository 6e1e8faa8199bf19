//! What stands in for a transcode process: the same orders make the same bytes, whoever gives them.
//!
//! Lives here: reports made of orders, segment by segment, each a function of its own pictures alone, as the real one's
//! are (docs/decisions/0002). Does not live here: pictures.

use bytes::Bytes;
use ladder::{Begin, Order, Report, RungVideo};
use media::{
    BitRate, FrameRate, Grid, MediaSequence, MediaSpan, MediaTime, Rendition, RenditionId, VideoShape,
};

/// A picture lasts so long, filled or not.
pub(crate) const PICTURE: MediaSpan = MediaSpan::from_millis(200);

/// One process.
#[derive(Debug)]
pub(crate) struct Encoder {
    begin: Option<Begin>,
    grid: Option<Grid>,
    open: Option<MediaSequence>,
    /// The end of everything worked off.
    reached: MediaTime,
    pub(crate) is_over: bool,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { begin: None, grid: None, open: None, reached: MediaTime::default(), is_over: false }
    }

    /// What it reports of this order.
    pub(crate) fn work(&mut self, order: Order, out: &mut Vec<Report>) {
        match order {
            Order::Begin(begin) => {
                out.push(Report::Ready { digest: "rehearsal".into() });
                out.extend(begin.rungs.iter().map(|rung| Report::Rung(shape(&rung.id, &rung.video))));
                self.grid = Grid::new(begin.segment);
                self.reached = self.grid.map_or(self.reached, |grid| grid.start_of(begin.from));
                self.begin = Some(begin);
            }
            Order::Unit(unit) => {
                self.picture(unit.presentation_time, content(&unit.payload), out);
                self.reach(unit.presentation_time + unit.duration, out);
            }
            Order::Fill { until } => {
                let mut at = self.reached;
                while at + PICTURE <= until {
                    self.picture(at, 0, out);
                    at += PICTURE;
                    self.reach(at, out);
                }
            }
            Order::End => {
                if let (Some(grid), Some(sequence)) = (self.grid, self.open) {
                    let duration = self.reached.saturating_since(grid.start_of(sequence));
                    self.close(duration, out);
                }
                self.is_over = true;
            }
            Order::VideoConfig(_) | Order::AudioConfig(_) | Order::Shed { .. } => {}
        }
    }

    fn picture(&mut self, at: MediaTime, content: u64, out: &mut Vec<Report>) {
        let (Some(grid), Some(begin)) = (self.grid, &self.begin) else { return };
        let sequence = grid.sequence_at(at);
        if sequence < begin.from {
            self.reached = at + PICTURE;
            return;
        }
        if self.open != Some(sequence) {
            self.open = Some(sequence);
            let start = grid.start_of(sequence);
            for rung in &begin.rungs {
                out.push(Report::Open { rendition: rung.id.clone(), sequence, start });
            }
        }
        for (place, rung) in begin.rungs.iter().enumerate() {
            let bytes = bytes(place, at, content);
            out.push(Report::Bytes { rendition: rung.id.clone(), sequence, bytes });
        }
    }

    fn reach(&mut self, until: MediaTime, out: &mut Vec<Report>) {
        self.reached = self.reached.max(until);
        if let (Some(grid), Some(sequence)) = (self.grid, self.open)
            && self.reached >= grid.end_of(sequence)
        {
            self.close(grid.segment(), out);
        }
        out.push(Report::Progress { decoded_until: self.reached });
    }

    fn close(&mut self, duration: MediaSpan, out: &mut Vec<Report>) {
        let (Some(sequence), Some(begin)) = (self.open.take(), &self.begin) else { return };
        for rung in &begin.rungs {
            out.push(Report::Close { rendition: rung.id.clone(), sequence, duration });
        }
    }
}

/// The bytes of one picture in one rung.
fn bytes(rung: usize, at: MediaTime, content: u64) -> Bytes {
    let mut random = crate::random::Random::of(at.ticks() ^ content.rotate_left(17), 100 + rung as u64);
    let words = if rung == 0 { random.within(30, 80) } else { random.within(10, 25) };
    (0..words).flat_map(|_| random.next().to_le_bytes()).collect::<Vec<u8>>().into()
}

fn content(payload: &[u8]) -> u64 {
    payload.iter().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

fn shape(id: &RenditionId, video: &RungVideo) -> Rendition {
    let (width, height) = match video {
        RungVideo::Encode(encoding) | RungVideo::Copy { instead: encoding } => {
            (encoding.width, encoding.height)
        }
        RungVideo::None => (0, 0),
    };
    let shape = VideoShape { width, height, frame_rate: FrameRate(5000), codec: "avc1.640028".into() };
    Rendition { id: id.clone(), video: Some(shape), audio: None, peak: BitRate(0), average: BitRate(0) }
}
