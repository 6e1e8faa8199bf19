//! Between the encoder and the publisher: bounded, and what does not fit is left out up to the next sync unit.

use media::Track;
use tokio::sync::mpsc;

use crate::tags::Tag;

/// Coded units waiting for the network: about four seconds of 25 pictures and 47 sound units. A publisher that
/// is further behind is better served by the next sync unit than by old pictures.
pub(crate) const UNITS_MAX: usize = 288;

/// The end that is filled.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Tag>,
    waits_for_sync: bool,
    left_out: u64,
}

impl Queue {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Tag>) {
        let (sender, receiver) = mpsc::channel(UNITS_MAX);
        (Self { sender, waits_for_sync: false, left_out: 0 }, receiver)
    }

    /// Never blocks. Configs are not left out: the publisher could not go on without.
    pub(crate) fn push(&mut self, tag: Tag) {
        match &tag {
            Tag::Config { .. } => {
                // Comes a few times a day; waiting for room is right, and there is room as soon as the
                // publisher takes one unit.
                let _ = self.sender.blocking_send(tag);
                return;
            }
            Tag::Unit { track: Track::Video, is_sync: true, .. } => self.waits_for_sync = false,
            Tag::Unit { .. } => {}
        }
        if self.waits_for_sync || self.sender.try_send(tag).is_err() {
            self.waits_for_sync = true;
            self.left_out += 1;
        }
    }

    /// How many units found no room so far.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn unit(decode_ms: u64, is_sync: bool) -> Tag {
        Tag::Unit { track: Track::Video, decode_ms, is_sync, body: Bytes::new() }
    }

    #[test]
    fn what_finds_no_room_is_left_out_up_to_the_next_sync_unit() {
        let (mut queue, mut receiver) = Queue::new();
        for at in 0..UNITS_MAX as u64 + 3 {
            queue.push(unit(at, at == 0));
        }
        assert_eq!(queue.left_out(), 3);
        for _ in 0..10 {
            receiver.try_recv().unwrap();
        }
        // There is room again, but nothing a decoder could use.
        queue.push(unit(1_000, false));
        assert_eq!(queue.left_out(), 4);
        queue.push(unit(1_001, true));
        queue.push(unit(1_002, false));
        assert_eq!(queue.left_out(), 4);
        let mut last = None;
        while let Ok(tag) = receiver.try_recv() {
            last = Some(tag);
        }
        assert_eq!(last, Some(unit(1_002, false)));
    }
}
