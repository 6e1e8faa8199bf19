//! What a transcode process must be told again when it is started anew: it makes the same bytes from it.
//!
//! Kept is everything since the sync unit at which the oldest segment that is not settled can be decoded. Does
//! not live here: which segments are settled (`assembly`), or the process itself (`worker`).

use ladder::{Begin, Order};
use media::{AudioConfig, MediaSequence, MediaTime, RenditionId, Track, VideoConfig};
use std::collections::VecDeque;

/// Bytes of access units kept for one broadcast. Two segments and a picture group at 20 Mbit/s are 15 MB; beyond
/// this (an endless picture group) the oldest go, and a restarted process waits for the next sync unit.
pub(crate) const KEPT_BYTES: usize = 48 << 20;

/// Orders for a process that is started anew. See the module.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    begin: Option<Begin>,
    orders: VecDeque<Order>,
    bytes: usize,
    /// What is given up, as far as it was ordered before everything that is kept.
    shed: Option<Order>,
}

impl Kept {
    /// A run begins: nothing of the one before is wanted any more.
    pub(crate) fn begin(&mut self, begin: Begin) {
        *self = Self { begin: Some(begin), ..Self::default() };
    }

    /// A rung that its process has refused is not asked of the next one.
    pub(crate) fn refuse(&mut self, rung: &RenditionId) {
        if let Some(begin) = &mut self.begin {
            begin.rungs.retain(|asked| asked.id != *rung);
        }
    }

    /// One more order that the process was given.
    pub(crate) fn push(&mut self, order: Order) {
        self.bytes += size(&order);
        self.orders.push_back(order);
        while self.bytes > KEPT_BYTES {
            self.drop_first();
        }
    }

    /// Lets go what is not needed to make the segments that end after `from`.
    pub(crate) fn settle(&mut self, from: MediaTime) {
        // The last place where decoding can start without missing anything of `from`.
        let starts = |order: &Order| match order {
            Order::Unit(unit) => unit.track == Track::Video && unit.is_sync && unit.presentation_time <= from,
            _ => false,
        };
        let has_pictures = self.begin.as_ref().is_some_and(|begin| begin.video.is_some());
        let start = if has_pictures {
            self.orders.iter().rposition(starts)
        } else {
            self.orders
                .iter()
                .rposition(|order| matches!(order, Order::Unit(unit) if unit.presentation_time <= from))
        };
        let Some(start) = start else { return };
        // Sound of `from` may have come before that picture: an encoder sends it up to a second early.
        let sound = self.orders.iter().take(start).position(
            |order| matches!(order, Order::Unit(unit) if unit.track == Track::Audio && unit.presentation_time >= from),
        );
        let keep_from = match sound {
            Some(sound) => self.orders.iter().take(sound + 1).rposition(starts).unwrap_or(0),
            None => start,
        };
        for _ in 0..keep_from {
            self.drop_first();
        }
    }

    /// A process died of what is kept, again and again: forget all but what follows the newest sync unit.
    pub(crate) fn skip_to_newest_sync(&mut self) {
        let newest = self.orders.iter().rposition(
            |order| matches!(order, Order::Unit(unit) if unit.is_sync && unit.track == Track::Video),
        );
        for _ in 0..newest.unwrap_or(self.orders.len()) {
            self.drop_first();
        }
    }

    /// Everything a new process is told: to begin at `from`, and all that came since.
    pub(crate) fn retell(&self, from: MediaSequence) -> Vec<Order> {
        let Some(begin) = &self.begin else { return Vec::new() };
        let begin = Order::Begin(Begin { from, ..begin.clone() });
        std::iter::once(begin).chain(self.shed.clone()).chain(self.orders.iter().cloned()).collect()
    }

    /// Bytes of access units kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_first(&mut self) {
        let Some(order) = self.orders.pop_front() else { return };
        self.bytes -= size(&order);
        // A configuration that is let go is how the rest is to be read.
        match (order, &mut self.begin) {
            (Order::VideoConfig(config), Some(begin)) => begin.video = Some::<VideoConfig>(config),
            (Order::AudioConfig(config), Some(begin)) => begin.audio = Some::<AudioConfig>(config),
            (shed @ Order::Shed { .. }, _) => self.shed = Some(shed),
            _ => {}
        }
    }
}

fn size(order: &Order) -> usize {
    match order {
        // The bytes, and what a unit costs beside them.
        Order::Unit(unit) => unit.payload.len() + 96,
        _ => 96,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media::{AccessUnit, MediaSpan};

    const START: MediaTime = MediaTime::from_unix_millis(1_700_000_000_000);

    fn unit(track: Track, ms: u64, is_sync: bool, len: usize) -> Order {
        let time = START + MediaSpan::from_millis(ms);
        Order::Unit(AccessUnit {
            track,
            decode_time: time,
            presentation_time: time,
            duration: MediaSpan::from_millis(500),
            is_sync,
            payload: Bytes::from(vec![0; len]),
        })
    }

    /// `K` is a sync picture, `.` another, `a` sound; one letter each 500 ms.
    fn kept(story: &str) -> Kept {
        let mut kept = Kept::default();
        kept.begin(crate::tests_begin(true));
        for (n, letter) in story.chars().enumerate() {
            let ms = n as u64 * 500;
            kept.push(match letter {
                'a' => unit(Track::Audio, ms, true, 10),
                letter => unit(Track::Video, ms, letter == 'K', 10),
            });
        }
        kept
    }

    fn at(ms: u64) -> MediaTime {
        START + MediaSpan::from_millis(ms)
    }

    #[test]
    fn kept_is_what_follows_the_sync_unit_the_oldest_open_segment_needs() {
        let mut kept = kept("K...K...K...");
        kept.settle(at(2500));
        assert_eq!(kept.retell(MediaSequence(1)).len(), 1 + 8, "from the second K on");
        kept.settle(at(2500));
        assert_eq!(kept.retell(MediaSequence(1)).len(), 1 + 8, "and no further");
    }

    #[test]
    fn sound_that_came_before_its_picture_is_kept() {
        let mut kept = kept("K..aaK..");
        // The segment begins at 2.5 s, with the second K; nothing of it came earlier but sound at 1.5 and 2.0 s.
        kept.settle(at(2500));
        assert_eq!(kept.retell(MediaSequence(1)).len(), 1 + 3);
        let mut kept = self::kept("K..aaK..");
        kept.settle(at(2000));
        assert_eq!(kept.retell(MediaSequence(1)).len(), 1 + 8);
    }

    #[test]
    fn an_endless_picture_group_is_bounded() {
        let mut kept = Kept::default();
        kept.begin(crate::tests_begin(true));
        for n in 0..100 {
            kept.push(unit(Track::Video, n * 500, n == 0, 1 << 20));
        }
        assert!(kept.bytes() <= KEPT_BYTES);
    }

    #[test]
    fn a_configuration_that_is_let_go_is_told_at_the_beginning() {
        let config = AudioConfig::parse(Bytes::from_static(&[0x12, 0x10])).unwrap();
        let mut kept = kept("K...");
        kept.push(Order::AudioConfig(config.clone()));
        kept.push(unit(Track::Video, 2500, true, 10));
        kept.settle(at(3000));
        let retold = kept.retell(MediaSequence(1));
        assert!(matches!(&retold[0], Order::Begin(Begin { audio: Some(audio), .. }) if *audio == config));
        assert_eq!(retold.len(), 2);
    }
}
