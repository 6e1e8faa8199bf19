//! The only clock of the ingest: read by the shell, handed to the rooms.

use media::{MediaSpan, MediaTime};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use timeline::Now;

/// The wall as it stood when the program began, moved on by the clock that never jumps: a step of the wall clock
/// moves nothing that is under way (docs/TIME.md).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    wall_then: MediaTime,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            began: Instant::now(),
            wall_then: MediaTime::default() + MediaSpan::from_duration(since_epoch),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let instant = Instant::now();
        Now { instant, wall: self.wall_then + MediaSpan::from_duration(instant.duration_since(self.began)) }
    }
}
