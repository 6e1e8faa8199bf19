//! When the encoder is too slow: what is given up, in which order, and when it comes back.
//!
//! The order is lookahead, top rung, picture rate (ingest case 20); sound and the lowest rung are never given up.
//! Does not live here: how a level is carried out (`transcode`), at a segment's boundary.

use ladder::Shed;
use media::MediaSpan;
use std::time::{Duration, Instant};

/// Media the process has been given and has not worked off: from here on it is too slow.
pub(crate) const BEHIND: MediaSpan = MediaSpan::from_millis(2500);
/// Under this it has room again. A closed picture group of lookahead and one segment's flush are 0.9 s.
pub(crate) const IN_TIME: MediaSpan = MediaSpan::from_millis(1200);
/// A level is given this long to work before the next is taken.
pub(crate) const WORSE_AFTER: Duration = Duration::from_secs(4);
/// So long in time before a level is given back, so that levels do not swing.
pub(crate) const BETTER_AFTER: Duration = Duration::from_secs(20);

/// How much is given up at this moment.
#[derive(Debug)]
pub(crate) struct Shedding {
    level: Shed,
    since: Option<Instant>,
    in_time_since: Option<Instant>,
}

impl Default for Shedding {
    fn default() -> Self {
        Self { level: Shed::None, since: None, in_time_since: None }
    }
}

impl Shedding {
    /// What is given up now.
    pub(crate) fn level(&self) -> Shed {
        self.level
    }

    /// How far the process is behind; the new level, if it changes.
    pub(crate) fn push(&mut self, behind: MediaSpan, now: Instant) -> Option<Shed> {
        let held = |since: Option<Instant>, long: Duration| {
            since.is_none_or(|since| now.duration_since(since) >= long)
        };
        if behind > BEHIND {
            self.in_time_since = None;
            let worse = worse(self.level)?;
            return held(self.since, WORSE_AFTER).then(|| self.turn(worse, now));
        }
        if behind > IN_TIME {
            self.in_time_since = None;
            return None;
        }
        let in_time_since = *self.in_time_since.get_or_insert(now);
        let better = better(self.level)?;
        if now.duration_since(in_time_since) < BETTER_AFTER {
            return None;
        }
        self.in_time_since = Some(now);
        Some(self.turn(better, now))
    }

    fn turn(&mut self, level: Shed, now: Instant) -> Shed {
        self.level = level;
        self.since = Some(now);
        level
    }
}

fn worse(level: Shed) -> Option<Shed> {
    match level {
        Shed::None => Some(Shed::Lookahead),
        Shed::Lookahead => Some(Shed::TopRung),
        Shed::TopRung => Some(Shed::FrameRate),
        Shed::FrameRate => None,
    }
}

fn better(level: Shed) -> Option<Shed> {
    match level {
        Shed::None => None,
        Shed::Lookahead => Some(Shed::None),
        Shed::TopRung => Some(Shed::Lookahead),
        Shed::FrameRate => Some(Shed::TopRung),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is given up second by second, for a backlog in seconds each.
    #[allow(
        clippy::disallowed_methods,
        reason = "a story must begin somewhere; only differences are looked at"
    )]
    fn levels(behind: impl IntoIterator<Item = u64>) -> Vec<(u64, Shed)> {
        let (mut shedding, began) = (Shedding::default(), Instant::now());
        let seconds = behind.into_iter().enumerate();
        seconds
            .filter_map(|(at, behind)| {
                let at = at as u64;
                Some((at, shedding.push(MediaSpan::from_secs(behind), began + Duration::from_secs(at))?))
            })
            .collect()
    }

    #[test]
    fn a_slow_process_gives_up_one_thing_after_another_and_no_more_than_all() {
        let slow = levels(std::iter::repeat_n(3, 30));
        assert_eq!(slow, [(0, Shed::Lookahead), (4, Shed::TopRung), (8, Shed::FrameRate)]);
    }

    #[test]
    fn what_was_given_up_comes_back_slowly() {
        let recovers = levels([3].into_iter().chain(std::iter::repeat_n(0, 50)));
        assert_eq!(recovers, [(0, Shed::Lookahead), (21, Shed::None)]);
    }

    #[test]
    fn a_process_at_the_edge_neither_loses_nor_wins() {
        assert_eq!(levels(std::iter::repeat_n(2, 100)), []);
    }
}
