//! How many watch each broadcast: the sketches of all cores, and of other balancers, over the last ten seconds.

use media::BroadcastId;
use routing::{Crowd, TTL};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A viewer is counted for this long after it was seen: every player asks again within [`TTL`], one that is late
/// within another.
const COUNTED: Duration = Duration::from_secs(2 * TTL.as_secs());

/// Sketches of one broadcast; the oldest goes when the next begins.
const SLICES: usize = 4;
const SLICE: Duration = Duration::from_millis(COUNTED.as_millis() as u64 / SLICES as u64);

/// Who was seen, by broadcast; as many as the router knows.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    seen: HashMap<BroadcastId, [Crowd; SLICES]>,
    /// The current slice, and when it began.
    current: Option<(usize, Instant)>,
    /// The last count.
    pub(crate) watched: Arc<HashMap<BroadcastId, u64>>,
}

impl Audience {
    /// Viewers seen since the last word; `is_known` says of which broadcasts anything is kept.
    pub(crate) fn see(
        &mut self,
        now: Instant,
        broadcast: &BroadcastId,
        crowd: &Crowd,
        is_known: impl Fn(&BroadcastId) -> bool,
    ) {
        self.turn(now);
        let Some((slice, _)) = self.current else { return };
        if let Some(slices) = self.seen.get_mut(broadcast) {
            slices[slice].merge(crowd);
        } else if is_known(broadcast) {
            let mut slices: [Crowd; SLICES] = Default::default();
            slices[slice].merge(crowd);
            self.seen.insert(broadcast.clone(), slices);
        }
    }

    /// Counts again; what there is to say, if it differs from the last time.
    pub(crate) fn count(&mut self, now: Instant) -> Option<Arc<HashMap<BroadcastId, u64>>> {
        self.turn(now);
        let count = |slices: &[Crowd; SLICES]| {
            let mut all = slices[0].clone();
            slices[1..].iter().for_each(|slice| all.merge(slice));
            all.count()
        };
        let watched: HashMap<BroadcastId, u64> =
            self.seen.iter().map(|(id, slices)| (id.clone(), count(slices))).collect();
        if *self.watched == watched {
            return None;
        }
        self.watched = Arc::new(watched);
        Some(Arc::clone(&self.watched))
    }

    /// Begins the slices that are due, and forgets broadcasts of which nobody was seen in any.
    fn turn(&mut self, now: Instant) {
        let Some((mut slice, mut began)) = self.current else {
            self.current = Some((0, now));
            return;
        };
        for _ in 0..SLICES {
            if now < began + SLICE {
                break;
            }
            (slice, began) = ((slice + 1) % SLICES, began + SLICE);
            self.seen.retain(|_, slices| {
                slices[slice] = Crowd::default();
                !slices.iter().all(Crowd::is_empty)
            });
        }
        // Nobody was seen for long: there is nothing to catch up with.
        self.current = Some((slice, if now >= began + SLICE { now } else { began }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticket::ViewerId;

    fn crowd(viewers: std::ops::Range<u64>) -> Crowd {
        let mut crowd = Crowd::default();
        viewers.for_each(|viewer| crowd.see(ViewerId(viewer)));
        crowd
    }

    #[test]
    fn a_viewer_is_counted_once_for_ten_seconds_wherever_it_was_seen() {
        let (mut audience, began) = (Audience::default(), Instant::now());
        let tide = BroadcastId::parse("tide").unwrap();
        let at = |seconds| began + Duration::from_secs(seconds);
        audience.see(at(0), &tide, &crowd(0..10), |_| true);
        audience.see(at(4), &tide, &crowd(5..15), |_| true);
        assert_eq!(audience.count(at(5)).unwrap()[&tide], 15);
        assert_eq!(audience.count(at(6)), None, "it is no news");
        assert_eq!(audience.count(at(11)).unwrap()[&tide], 10);
        assert_eq!(audience.count(at(30)).unwrap().get(&tide), None);
        audience.see(at(31), &tide, &crowd(0..3), |_| true);
        assert_eq!(audience.count(at(32)).unwrap()[&tide], 3);
    }

    #[test]
    fn of_a_broadcast_nobody_knows_nothing_is_kept() {
        let (mut audience, now) = (Audience::default(), Instant::now());
        audience.see(now, &BroadcastId::parse("ebb").unwrap(), &crowd(0..10), |_| false);
        assert_eq!(audience.count(now), None);
    }
}
