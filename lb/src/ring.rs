//! The ticket keys of this balancer, and where a rotation stands. No clock, no file, no link.
//!
//! ```text
//! rotated   a new key is told to edges and balancers ─ EDGES_FIRST ─▶ tokens are sealed with it
//! open      the one that seals, the one that comes, the one before, what other balancers open with
//! ```
//!
//! Balancers agree without a leader: each says what it seals with and when that was made, and whoever hears of a
//! younger one takes it over. So one rotation reaches all, one that was away learns of it when it is back, and two
//! that made their own keys at start end up with one.

use edgefan::NodeId;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use ticket::{Key, Keys};

/// From telling the edges of a key to sealing with it: four heartbeats. Whoever has not heard it by then has no
/// link, and is told when it has one.
pub(crate) const EDGES_FIRST: Duration = Duration::from_secs(1);

/// Balancers whose keys are remembered. One more is not listened to.
const RING_PEERS: usize = 16;

/// A key and how young it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) key: Key,
    /// In Unix seconds; 0 for one that was made at start because no file is named.
    pub(crate) made: u64,
}

impl Seal {
    /// Which of two all balancers should seal with: the younger, of two that are equally young any one, as long
    /// as everybody means the same.
    fn wins_over(&self, other: &Self) -> bool {
        (self.made, self.key.secret()).cmp(&(other.made, other.key.secret())) == Ordering::Greater
    }
}

/// Why keys are not rotated now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotNow {
    #[error("a rotation is under way; it takes {} s", EDGES_FIRST.as_secs())]
    UnderWay,
    #[error(
        "tokens of the key before this one are good for another {wait_secs} s and would be refused; force it if they may"
    )]
    TooSoon { wait_secs: u64 },
}

/// All the keys.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    sealing: Seal,
    previous: Option<Key>,
    coming: Option<(Seal, Instant)>,
    peers: BTreeMap<NodeId, Keys>,
}

impl Ring {
    /// What the files said, or a key of our own.
    pub(crate) fn new(sealing: Seal, previous: Option<Key>) -> Self {
        Self { sealing, previous, coming: None, peers: BTreeMap::new() }
    }

    /// What tokens are sealed with now.
    pub(crate) fn sealing(&self) -> &Seal {
        &self.sealing
    }

    /// What was sealed with before.
    pub(crate) fn previous(&self) -> Option<&Key> {
        self.previous.as_ref()
    }

    /// What tokens are opened with, here and at edges; the first is what seals.
    pub(crate) fn openers(&self) -> Keys {
        let ours = self.coming.iter().map(|(seal, _)| &seal.key).chain(&self.previous);
        let theirs = self.peers.values().flat_map(Keys::iter);
        Keys::of(self.sealing.key.clone(), ours.chain(theirs).cloned())
    }

    /// What other balancers are told: the first is what we seal with, or will in a moment.
    pub(crate) fn said(&self) -> (Vec<Key>, u64) {
        let first = self.newest();
        let rest = [Some(&self.sealing.key), self.previous.as_ref()].into_iter().flatten();
        let keys = std::iter::once(&first.key).chain(rest.filter(|key| **key != first.key));
        (keys.cloned().collect(), first.made)
    }

    /// The operator wants another key. `lifetime` is a token's, and `None` to do it in any case.
    pub(crate) fn rotate(
        &mut self,
        now: Instant,
        mut seal: Seal,
        lifetime: Option<Duration>,
    ) -> Result<(), NotNow> {
        if self.coming.is_some() {
            return Err(NotNow::UnderWay);
        }
        if let (Some(lifetime), true) = (lifetime, self.previous.is_some()) {
            let wait_secs = (self.sealing.made + lifetime.as_secs()).saturating_sub(seal.made);
            if wait_secs > 0 {
                return Err(NotNow::TooSoon { wait_secs });
            }
        }
        // A clock that was set back makes no old key of a new one.
        seal.made = seal.made.max(self.sealing.made + 1);
        self.coming = Some((seal, now + EDGES_FIRST));
        Ok(())
    }

    /// The files were read again.
    pub(crate) fn read_again(&mut self, now: Instant, seal: Seal, previous: Option<Key>) {
        if seal.key == self.sealing.key {
            self.sealing.made = self.sealing.made.max(seal.made);
            self.previous = previous.or_else(|| self.previous.take());
        } else {
            let made = seal.made.max(self.sealing.made + 1);
            self.coming = Some((Seal { made, ..seal }, now + EDGES_FIRST));
        }
    }

    /// Another balancer says what it seals with and opens with. True if anything is to be told on.
    pub(crate) fn heard(&mut self, now: Instant, node: NodeId, keys: Keys, made: u64) -> bool {
        if !self.peers.contains_key(&node) && self.peers.len() >= RING_PEERS {
            return false;
        }
        let seal = Seal { key: keys.current().clone(), made };
        let is_news = self.peers.insert(node, keys.clone()) != Some(keys);
        if seal.key == self.newest().key {
            return is_news;
        }
        if seal.wins_over(self.newest()) {
            self.coming = Some((seal, now + EDGES_FIRST));
            return true;
        }
        is_news
    }

    /// When [`Ring::turn`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.coming.as_ref().map(|(_, at)| *at)
    }

    /// True if tokens are sealed with another key from now on.
    pub(crate) fn turn(&mut self, now: Instant) -> bool {
        let Some((seal, _)) = self.coming.take_if(|(_, at)| now >= *at) else { return false };
        let before = std::mem::replace(&mut self.sealing, seal);
        self.previous = Some(before.key);
        true
    }

    fn newest(&self) -> &Seal {
        self.coming.as_ref().map_or(&self.sealing, |(seal, _)| seal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_800_000_000;

    fn seal(byte: u8, made: u64) -> Seal {
        Seal { key: Key::from_secret([byte; 32]), made }
    }

    fn ids(keys: &Keys) -> Vec<u8> {
        keys.iter().map(|key| key.secret()[0]).collect()
    }

    fn node(name: &str) -> NodeId {
        NodeId::parse(name).unwrap()
    }

    /// Everything `from` says, heard by `to`.
    fn tell(now: Instant, from: (&str, &Ring), to: &mut Ring) -> bool {
        let (keys, made) = from.1.said();
        to.heard(now, node(from.0), Keys::from_secrets(keys.iter().map(|key| *key.secret())).unwrap(), made)
    }

    #[test]
    fn a_new_key_opens_a_second_before_it_seals_and_the_old_one_goes_on_opening() {
        let now = Instant::now();
        let mut ring = Ring::new(seal(1, NOON), None);
        assert_eq!(ring.rotate(now, seal(2, NOON + 5), Some(Duration::from_secs(86_400))), Ok(()));
        assert_eq!(ids(&ring.openers()), [1, 2]);
        assert_eq!(ring.rotate(now, seal(3, NOON + 5), None), Err(NotNow::UnderWay));
        assert!(!ring.turn(now + EDGES_FIRST / 2));
        assert!(ring.turn(ring.deadline().unwrap()));
        assert_eq!((ids(&ring.openers()), ring.deadline()), (vec![2, 1], None));
    }

    #[test]
    fn a_second_rotation_waits_until_tokens_of_the_key_before_are_over() {
        let (now, day) = (Instant::now(), Duration::from_secs(86_400));
        let mut ring = Ring::new(seal(2, NOON), Some(seal(1, 0).key));
        let refused = ring.rotate(now, seal(3, NOON + 100), Some(day));
        assert_eq!(refused, Err(NotNow::TooSoon { wait_secs: 86_300 }));
        assert_eq!(ring.rotate(now, seal(3, NOON + 86_400), Some(day)), Ok(()));
        let mut forced = Ring::new(seal(2, NOON), Some(seal(1, 0).key));
        assert_eq!(forced.rotate(now, seal(3, NOON), None), Ok(()));
    }

    #[test]
    fn a_rotation_at_one_balancer_is_one_at_all() {
        let now = Instant::now();
        let (mut one, mut two) = (Ring::new(seal(1, NOON), None), Ring::new(seal(1, NOON), None));
        one.rotate(now, seal(2, NOON + 9), None).unwrap();
        assert!(tell(now, ("one", &one), &mut two));
        // Before either seals with it, both open it.
        assert_eq!((ids(&one.openers()), ids(&two.openers())), (vec![1, 2], vec![1, 2]));
        assert!(one.turn(now + EDGES_FIRST) && two.turn(now + EDGES_FIRST));
        assert_eq!((ids(&one.openers()), ids(&two.openers())), (vec![2, 1], vec![2, 1]));
        assert!(!tell(now, ("two", &two), &mut one) || one.deadline().is_none(), "it goes on for ever");
        assert_eq!(one.deadline(), None);
    }

    #[test]
    fn who_was_away_learns_of_it_and_two_that_made_their_own_agree() {
        let now = Instant::now();
        let mut away = Ring::new(seal(1, NOON), None);
        let there = Ring::new(seal(2, NOON + 60), Some(seal(1, 0).key));
        assert!(tell(now, ("there", &there), &mut away));
        assert!(away.turn(now + EDGES_FIRST));
        assert_eq!(ids(&away.openers()), [2, 1]);

        let (mut one, mut two) = (Ring::new(seal(7, 0), None), Ring::new(seal(8, 0), None));
        let (said_one, said_two) = (one.clone(), two.clone());
        tell(now, ("one", &said_one), &mut two);
        tell(now, ("two", &said_two), &mut one);
        assert!(one.turn(now + EDGES_FIRST) && !two.turn(now + EDGES_FIRST));
        assert_eq!((one.sealing(), ids(&two.openers())), (two.sealing(), vec![8, 7]));
    }

    #[test]
    fn files_that_changed_are_a_rotation_too() {
        let now = Instant::now();
        let mut ring = Ring::new(seal(1, NOON), None);
        ring.read_again(now, seal(1, NOON), None);
        assert_eq!(ring.deadline(), None);
        ring.read_again(now, seal(2, NOON - 50), Some(seal(1, 0).key));
        assert!(ring.turn(now + EDGES_FIRST));
        assert_eq!((ids(&ring.openers()), ring.sealing().made), (vec![2, 1], NOON + 1));
    }
}
