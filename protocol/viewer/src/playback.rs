//! What is held and where the playhead is. Time is exact: a stall begins when the buffer was empty, not when
//! somebody looked.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Changes of the calendar within what is held. More, and the oldest goes: latency is then off until the playhead
/// is past it.
const ANCHORS: usize = 16;

/// Dates that are this near to where they would be anyway need no anchor of their own.
const ANCHOR_SLACK_MILLIS: i64 = 20;

/// A playhead and the media before it. Media time counts from 0 at the first segment held.
#[derive(Debug)]
pub(crate) struct Playback {
    head: Head,
    /// Where what is held ends.
    end: Duration,
    /// Segments that came since it last stood.
    segments: u32,
    /// Where on the calendar media is: from this media time on, this many milliseconds since the epoch.
    anchors: VecDeque<(Duration, i64)>,
    /// Nothing comes any more: the end is the end.
    is_last: bool,
    stalled: Duration,
    stalls: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Head {
    /// Before the first picture.
    Waiting,
    Playing {
        since: Instant,
        from: Duration,
    },
    Stalled {
        since: Instant,
        position: Duration,
    },
    Ended,
}

/// What time, or a segment, did to the playhead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Started,
    Stalled,
    Resumed { after: Duration },
    Ended,
}

impl Playback {
    pub(crate) fn new() -> Self {
        Self {
            head: Head::Waiting,
            end: Duration::ZERO,
            segments: 0,
            anchors: VecDeque::new(),
            is_last: false,
            stalled: Duration::ZERO,
            stalls: 0,
        }
    }

    /// A segment is held from here on.
    pub(crate) fn append(&mut self, duration: Duration, unix_millis: Option<i64>) {
        if let Some(millis) = unix_millis {
            let expected = self.calendar(self.end);
            if expected.is_none_or(|at| (at - millis).abs() > ANCHOR_SLACK_MILLIS) {
                if self.anchors.len() == ANCHORS {
                    self.anchors.pop_front();
                }
                self.anchors.push_back((self.end, millis));
            }
        }
        self.end += duration;
        self.segments = self.segments.saturating_add(1);
    }

    /// The last segment of all is held.
    pub(crate) fn finish(&mut self) {
        self.is_last = true;
    }

    /// Plays, if it waits for enough and has it: so many segments and so much media.
    pub(crate) fn play(&mut self, at: Instant, segments: u32, held: Duration) -> Option<Turn> {
        let (from, turn) = match self.head {
            Head::Waiting => (Duration::ZERO, Turn::Started),
            Head::Stalled { since, position } => {
                (position, Turn::Resumed { after: at.saturating_duration_since(since) })
            }
            Head::Playing { .. } | Head::Ended => return None,
        };
        let is_enough = self.segments >= segments.max(1) && self.held(at) >= held;
        if self.is_last && self.held(at).is_zero() {
            self.count_stall(at);
            self.head = Head::Ended;
            return Some(Turn::Ended);
        }
        if !is_enough && !self.is_last {
            return None;
        }
        self.count_stall(at);
        self.head = Head::Playing { since: at, from };
        Some(turn)
    }

    fn count_stall(&mut self, at: Instant) {
        if let Head::Stalled { since, .. } = self.head {
            self.stalled += at.saturating_duration_since(since);
        }
    }

    /// Lets the buffer run empty up to `at`; the moment it was, and what that means.
    pub(crate) fn pass(&mut self, at: Instant) -> Option<(Instant, Turn)> {
        let empty = self.empties_at().filter(|empty| *empty <= at)?;
        if self.is_last {
            self.head = Head::Ended;
            return Some((empty, Turn::Ended));
        }
        self.head = Head::Stalled { since: empty, position: self.end };
        self.stalls = self.stalls.saturating_add(1);
        self.segments = 0;
        Some((empty, Turn::Stalled))
    }

    /// When nothing will be held any more, if nothing comes.
    pub(crate) fn empties_at(&self) -> Option<Instant> {
        self.held_is(Duration::ZERO)
    }

    /// When so much will be held; in the past if it is less already. `None` while it stands.
    pub(crate) fn held_is(&self, held: Duration) -> Option<Instant> {
        match self.head {
            Head::Playing { since, from } => {
                let ahead = self.end - from;
                Some(if ahead >= held { since + (ahead - held) } else { since })
            }
            _ => None,
        }
    }

    /// Media held ahead of the playhead.
    pub(crate) fn held(&self, at: Instant) -> Duration {
        self.end.saturating_sub(self.position(at))
    }

    /// Media played.
    pub(crate) fn position(&self, at: Instant) -> Duration {
        match self.head {
            Head::Waiting => Duration::ZERO,
            Head::Playing { since, from } => (from + at.saturating_duration_since(since)).min(self.end),
            Head::Stalled { position, .. } => position,
            Head::Ended => self.end,
        }
    }

    /// Time stood after the first picture, a stall that lasts included.
    pub(crate) fn stalled(&self, at: Instant) -> Duration {
        match self.head {
            Head::Stalled { since, .. } => self.stalled + at.saturating_duration_since(since),
            _ => self.stalled,
        }
    }

    /// Stalls begun.
    pub(crate) fn stalls(&self) -> u32 {
        self.stalls
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.head == Head::Waiting
    }

    pub(crate) fn is_playing(&self) -> bool {
        matches!(self.head, Head::Playing { .. })
    }

    pub(crate) fn is_stalled(&self) -> bool {
        matches!(self.head, Head::Stalled { .. })
    }

    /// Where the playhead is on the calendar.
    pub(crate) fn unix_millis(&mut self, at: Instant) -> Option<i64> {
        let position = self.position(at);
        self.forget_anchors(position);
        self.calendar(position)
    }

    fn calendar(&self, position: Duration) -> Option<i64> {
        let &(from, millis) = self.anchors.iter().rev().find(|(from, _)| *from <= position)?;
        Some(millis + (position - from).as_millis() as i64)
    }

    fn forget_anchors(&mut self, position: Duration) {
        while self.anchors.get(1).is_some_and(|(from, _)| *from <= position) {
            self.anchors.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn playing(start: Instant, held: u64) -> Playback {
        let mut playback = Playback::new();
        (0..held / 2).for_each(|_| playback.append(secs(2), None));
        assert_eq!(playback.play(start, 1, Duration::ZERO), Some(Turn::Started));
        playback
    }

    #[test]
    fn a_stall_is_as_long_as_nothing_was_held() {
        let start = crate::epoch();
        let mut playback = playing(start, 4);
        assert_eq!(playback.pass(start + secs(3)), None);
        assert_eq!(playback.empties_at(), Some(start + secs(4)));
        // Looked at late, it began in time.
        assert_eq!(playback.pass(start + secs(9)), Some((start + secs(4), Turn::Stalled)));
        assert_eq!((playback.stalled(start + secs(9)), playback.stalls()), (secs(5), 1));
        playback.append(secs(2), None);
        assert_eq!(playback.position(start + secs(9)), secs(4));
        assert_eq!(playback.play(start + secs(10), 1, secs(4)), None);
        playback.append(secs(2), None);
        assert_eq!(playback.play(start + secs(11), 1, secs(4)), Some(Turn::Resumed { after: secs(7) }));
        assert_eq!(playback.stalled(start + secs(20)), secs(7));
        assert_eq!(playback.position(start + secs(12)), secs(5));
        assert_eq!(playback.held(start + secs(12)), secs(3));
        assert_eq!(playback.held_is(secs(1)), Some(start + secs(14)));
    }

    #[test]
    fn it_waits_for_what_it_was_told_to_wait_for() {
        let start = crate::epoch();
        let mut playback = Playback::new();
        assert_eq!(playback.play(start, 0, Duration::ZERO), None);
        playback.append(secs(2), None);
        assert_eq!(playback.play(start, 2, Duration::ZERO), None);
        playback.append(secs(2), None);
        assert_eq!(playback.play(start, 2, secs(5)), None);
        playback.finish();
        assert_eq!(playback.play(start, 2, secs(5)), Some(Turn::Started));
        assert_eq!(playback.pass(start + secs(5)), Some((start + secs(4), Turn::Ended)));
        assert_eq!((playback.stalls(), playback.position(start + secs(5))), (0, secs(4)));
    }

    #[test]
    fn the_calendar_leaps_where_the_dates_do() {
        let start = crate::epoch();
        let mut playback = Playback::new();
        playback.append(secs(2), Some(100_000));
        playback.append(secs(2), Some(102_010));
        playback.append(secs(2), None);
        playback.append(secs(2), Some(200_000));
        assert_eq!(playback.anchors.len(), 2);
        playback.play(start, 1, Duration::ZERO);
        assert_eq!(playback.unix_millis(start), Some(100_000));
        assert_eq!(playback.unix_millis(start + secs(5)), Some(105_000));
        assert_eq!(playback.unix_millis(start + secs(7)), Some(201_000));
        assert_eq!(playback.anchors.len(), 1);
    }

    #[test]
    fn changes_of_the_calendar_are_bounded() {
        let mut playback = Playback::new();
        (0..100).for_each(|n| playback.append(secs(2), Some(n * 100_000)));
        assert_eq!(playback.anchors.len(), ANCHORS);
    }
}
