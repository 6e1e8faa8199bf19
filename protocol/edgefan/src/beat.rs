//! The heartbeat of one connection: when to say "I am here", and when the other end has been silent too long.

use crate::limits::{HEARTBEAT, MISSED_HEARTBEATS};
use std::time::{Duration, Instant};

/// How often a connection's ends speak, and how long one may say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// How often each end says that it is there.
    pub every: Duration,
    /// How many of those may be missed.
    pub missed: u32,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { every: HEARTBEAT, missed: MISSED_HEARTBEATS }
    }
}

impl Heartbeat {
    /// How long a peer may say nothing at all.
    pub fn patience(self) -> Duration {
        self.every * self.missed
    }
}

/// What a look at the clock brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Neither.
    Nothing,
    /// Time to send a PING.
    Say,
    /// Not a byte for [`Heartbeat::patience`].
    Silent,
}

/// One connection's heartbeat.
#[derive(Clone, Debug)]
pub struct Pulse {
    beat: Heartbeat,
    heard: Instant,
    said: Instant,
    looked: Instant,
}

impl Pulse {
    /// A connection that is there since now.
    pub fn new(beat: Heartbeat, now: Instant) -> Self {
        Self { beat, heard: now, said: now, looked: now }
    }

    /// Bytes came, whatever they are.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Looks at the clock.
    pub fn tick(&mut self, now: Instant) -> Tick {
        // Whoever looks late has slept himself (a busy machine, SIGSTOP): the silence was his own, and what the
        // peer said meanwhile still lies in the socket.
        if now.saturating_duration_since(self.looked) > self.beat.every * 2 {
            self.heard = now;
        }
        self.looked = now;
        if now.saturating_duration_since(self.heard) >= self.beat.patience() {
            return Tick::Silent;
        }
        if now.saturating_duration_since(self.said) >= self.beat.every {
            self.said = now;
            return Tick::Say;
        }
        Tick::Nothing
    }

    /// When [`Pulse::tick`] has something to say.
    pub fn deadline(&self) -> Instant {
        (self.said + self.beat.every).min(self.heard + self.beat.patience())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter each 250 ms: `s` said, `.` nothing, `!` silent; the peer is heard where `heard` has an `h`.
    fn beats(heard: &str) -> String {
        let start = crate::epoch();
        let mut pulse = Pulse::new(Heartbeat::default(), start);
        let beat = |(index, letter)| {
            let now = start + Duration::from_millis(250) * (index as u32 + 1);
            if letter == 'h' {
                pulse.heard(now);
            }
            match pulse.tick(now) {
                Tick::Nothing => '.',
                Tick::Say => 's',
                Tick::Silent => '!',
            }
        };
        heard.chars().enumerate().map(beat).collect()
    }

    #[test]
    fn a_peer_is_silent_after_three_missed_beats_and_not_before() {
        assert_eq!(beats("hhhh"), "ssss");
        assert_eq!(beats("h--h--h---"), "sssssssss!");
    }

    #[test]
    fn who_slept_himself_does_not_blame_the_peer() {
        let start = crate::epoch();
        let mut pulse = Pulse::new(Heartbeat::default(), start);
        assert_eq!(pulse.tick(start + Duration::from_secs(60)), Tick::Say);
        assert_eq!(pulse.tick(start + Duration::from_millis(60_250)), Tick::Say);
        assert_eq!(pulse.tick(start + Duration::from_millis(60_500)), Tick::Say);
        assert_eq!(pulse.tick(start + Duration::from_millis(60_750)), Tick::Silent);
    }
}
