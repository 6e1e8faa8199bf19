//! The publisher: five pictures a second, a sync unit every two seconds, to whom it can reach.
//!
//! Lives here: what it sends and to whom, and that it comes back. Does not live here: what an ingest makes of it.

use super::agenda::{MILLI, Micros, SECOND};
use super::weather::{Place, Trouble};
use super::{Day, Happens, ingest};
use bytes::Bytes;
use flv::SourceUnit;
use media::{MediaTime, Track, VideoConfig};
use timeline::Input;

/// One publisher.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    /// Pictures made since it began.
    nth: u64,
    /// By ingest: what it has there.
    pub(crate) at: [Session; 2],
    /// Connects anew then.
    again: Micros,
    /// Who is tried next, where one is fed.
    next: usize,
}

/// What a publisher has with one ingest. A connection is there as long as both ends think so.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Session {
    #[default]
    None,
    /// Since when nothing got through, if so, and what waits.
    There { stuck: Option<Micros>, waiting: Vec<(Input, MediaTime)> },
}

/// A picture's length.
const PICTURE: Micros = 200 * MILLI;
/// How long either end bears silence.
const SILENT: Micros = 5 * SECOND;

pub(crate) fn config() -> Option<VideoConfig> {
    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00,
        0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
    ];
    let mut record = vec![1, 0x64, 0, 0x28, 0xff, 0xe1, 0, SPS.len() as u8];
    record.extend(SPS);
    record.extend([1, 0, 4, 0x68, 0xee, 0x3c, 0x80]);
    VideoConfig::parse(record.into()).ok()
}

impl Day {
    /// A picture is made, and sent where there is a session.
    pub(super) fn publish(&mut self) {
        self.agenda.put(self.now + PICTURE, Happens::Picture);
        let is_there = !self.active().any(|fault| fault.trouble == Trouble::PublisherGone);
        if !is_there {
            for ingest in 0..2 {
                self.end_session(ingest, "the publisher went");
            }
            return;
        }
        self.find_ingests();
        let nth = self.feed.nth;
        self.feed.nth += 1;
        let unit = SourceUnit {
            track: Track::Video,
            decode_ms: nth as i64 * 200,
            composition_ms: 0,
            duration_ms: 200,
            is_sync: nth.is_multiple_of(10),
            payload: Bytes::copy_from_slice(&nth.to_le_bytes()),
        };
        for ingest in 0..2 {
            let wall = ingest::wall(self, ingest);
            self.say_to(ingest, Input::Unit(unit.clone()), wall);
        }
    }

    /// Opens what is not open.
    fn find_ingests(&mut self) {
        if self.now < self.feed.again {
            return;
        }
        if self.feed.at.iter().any(|session| *session != Session::None) {
            return;
        }
        let (ingest, wall) = (self.feed.next, self.wall_of_feed());
        let is_open = self.condition(Place::Publisher, Place::Ingest(ingest)).is_open
            && self.condition(Place::Ingest(ingest), Place::Publisher).is_open;
        if is_open && self.ingests[ingest].life.is_up() {
            self.say(|| format!("the publisher connects to ingest{ingest}"));
            self.feed.at[ingest] = Session::There { stuck: None, waiting: Vec::new() };
            self.say_to(ingest, Input::Arrived, wall);
            if let Some(config) = config() {
                self.say_to(ingest, Input::VideoConfig(config), wall);
            }
            return;
        }
        self.feed.next = 1 - ingest;
        self.feed.again = self.now + SECOND;
    }

    /// What a timeline is stamped with: by the clock of whoever is tried.
    fn wall_of_feed(&self) -> MediaTime {
        ingest::wall(self, self.feed.next)
    }

    fn say_to(&mut self, ingest: usize, input: Input, wall: MediaTime) {
        let now = self.now;
        let is_open = self.condition(Place::Publisher, Place::Ingest(ingest)).is_open
            && self.condition(Place::Ingest(ingest), Place::Publisher).is_open;
        let takes = is_open && self.ingests[ingest].life.is_up();
        let Session::There { stuck, waiting } = &mut self.feed.at[ingest] else { return };
        waiting.push((input, wall));
        if !takes {
            let since = *stuck.get_or_insert(now);
            if now - since >= SILENT {
                self.end_session(ingest, "nothing gets through");
            }
            return;
        }
        *stuck = None;
        // The same for all of a session: what was said first is heard first.
        let delay = 2 * MILLI + ingest as u64 * MILLI;
        let said = std::mem::take(waiting);
        let life = self.ingests[ingest].life.number();
        self.agenda.put(now + delay, Happens::Published { ingest, life, said });
    }

    /// Both ends let go of it, the ingest as soon as it can hear of it.
    pub(super) fn end_session(&mut self, ingest: usize, why: &str) {
        if std::mem::take(&mut self.feed.at[ingest]) == Session::None {
            return;
        }
        self.say(|| format!("the publisher's session with ingest{ingest} is over: {why}"));
        self.feed.again = self.now + SECOND;
        self.feed.next = 1 - ingest;
        let life = self.ingests[ingest].life.number();
        let said = vec![(Input::Left, ingest::wall(self, ingest))];
        self.agenda.put(self.now + 5 * MILLI, Happens::Published { ingest, life, said });
    }
}
