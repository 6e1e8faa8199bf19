//! Mistakes made on purpose: a law that finds none of them is no law.

use super::Day;
use super::agenda::SECOND;
use bytes::Bytes;
use delivery::Update;
use edgefan::{Event, Lane, LaneStanding, SourceId};
use media::{MediaSequence, ObjectKey};
use std::time::Duration;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// An edge lists one number more than it has.
    ListsUnsettled,
    /// An edge lists a segment that its core was never given.
    ForgetsListed,
    /// One edge's copy of a segment has another byte.
    OtherBytes,
    /// An edge shows an old playlist again.
    GoesBack,
    /// An edge says another discontinuity sequence than the others.
    CountsOtherwise,
    /// An object becomes visible a second time.
    ShowsTwice,
    /// An ingest's word of a hash is not what the bytes have.
    OtherHash,
    /// A balancer sends viewers to an edge that is down.
    AssignsDown,
    /// Edges declare a hundred times what they have.
    Overstates,
    /// Nothing is shown to viewers for a while.
    ShowsNothing,
    /// An edge does not dial again.
    NeverDials,
    /// An edge shows what an ingest makes that another has relieved.
    OldTerm,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::ListsUnsettled,
        Self::ForgetsListed,
        Self::OtherBytes,
        Self::GoesBack,
        Self::CountsOtherwise,
        Self::ShowsTwice,
        Self::OtherHash,
        Self::AssignsDown,
        Self::Overstates,
        Self::ShowsNothing,
        Self::NeverDials,
        Self::OldTerm,
    ];
}

impl Day {
    /// What is planted now.
    pub(super) fn planted(&self) -> Option<Planted> {
        self.manner.planted.filter(|_| self.now > 14 * SECOND)
    }

    /// What an edge's core is told instead; `None` for nothing.
    pub(super) fn spoil(&mut self, index: usize, update: Update<Bytes>) -> Option<Update<Bytes>> {
        let Some(planted) = self.planted() else { return Some(update) };
        if index != 0 && planted != Planted::ShowsNothing {
            return Some(update);
        }
        match (planted, update) {
            (Planted::ForgetsListed, Update::Stored { .. }) => None,
            (Planted::ShowsNothing, _) if self.now < 34 * SECOND => None,
            (Planted::OtherBytes, Update::Stored { broadcast, rendition, sequence, mut segment }) => {
                let mut bytes = segment.body.to_vec();
                if let Some(first) = bytes.first_mut() {
                    *first ^= 1;
                }
                segment.body = bytes.into();
                Some(Update::Stored { broadcast, rendition, sequence, segment })
            }
            (
                Planted::ListsUnsettled | Planted::GoesBack | Planted::CountsOtherwise,
                Update::Playlist { broadcast, rendition, page, last, has_ended },
            ) => {
                let told = Update::Playlist {
                    broadcast: broadcast.clone(),
                    rendition: rendition.clone(),
                    page,
                    last,
                    has_ended,
                };
                let moment = self.moment(index);
                self.edges[index].core.push(moment, told);
                let (_, text) = self.read(index, &format!("/live/tide/{rendition}/index.m3u8"))?;
                let text = String::from_utf8_lossy(&text).into_owned();
                let text = match planted {
                    Planted::ListsUnsettled => format!("{text}#EXTINF:2.000,\n{}.ts\n", last.0 + 1),
                    Planted::GoesBack => renumbered(&text, "#EXT-X-MEDIA-SEQUENCE:", -3),
                    _ => renumbered(&text, "#EXT-X-DISCONTINUITY-SEQUENCE:", 1),
                };
                let cors = http::Cors::anybody();
                let page = delivery::playlist(
                    &text,
                    None,
                    u64::from(last.0 as u32),
                    Duration::from_secs(1),
                    delivery::Access::Public,
                    &cors,
                );
                let last = MediaSequence(last.0);
                Some(Update::Playlist { broadcast, rendition, page, last, has_ended })
            }
            (_, update) => Some(update),
        }
    }

    /// What an edge hears instead.
    pub(super) fn spoil_event(&self, index: usize, event: Event) -> Event {
        match event {
            Event::Complete { key, facts, body, mut hash, source }
                if index == 0 && self.planted() == Some(Planted::OtherHash) =>
            {
                hash.0[31] ^= 1;
                Event::Complete { key, facts, body, hash, source }
            }
            Event::Complete { key, facts, body, hash, source: SourceId(1) }
                if index == 0 && self.planted() == Some(Planted::OldTerm) =>
            {
                Event::Complete { key, facts, body, hash, source: SourceId(0) }
            }
            event => event,
        }
    }

    /// A term that nobody has given: the second ingest relieves the first from here on.
    pub(super) fn usurped(&self, index: usize, key: &ObjectKey) -> Option<Lane> {
        let (broadcast, from, standing) = (key.broadcast.clone(), key.sequence.next(), LaneStanding::Leads);
        (index == 1 && self.planted() == Some(Planted::OldTerm)).then_some(Lane {
            broadcast,
            term: u64::MAX,
            from,
            standing,
        })
    }

    /// The edge a spoilt balancer sends to.
    pub(super) fn spoilt_assignment(&self, assigned: usize) -> usize {
        if self.planted() != Some(Planted::AssignsDown) {
            return assigned;
        }
        let down = (0..self.edges.len()).find(|edge| !self.edges[*edge].life.is_up());
        down.unwrap_or(assigned)
    }

    /// How many times what it has an edge says it can send.
    pub(super) fn overstates(&self) -> u64 {
        if self.manner.planted == Some(Planted::Overstates) { 100 } else { 1 }
    }
}

/// The playlist with the number of one tag moved.
fn renumbered(text: &str, tag: &str, by: i64) -> String {
    let line = |line: &str| match line.strip_prefix(tag).and_then(|number| number.parse::<u64>().ok()) {
        Some(number) => format!("{tag}{}\n", number.saturating_add_signed(by)),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}
