//! What each core counts of its requests: plain adds to memory that no other core writes.

use delivery::{Kind, TicketCounts};
use http::Status;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One core's counters; read by the operator's thread.
#[derive(Debug, Default)]
pub(crate) struct CoreRequests {
    /// By kind, then by status in the order of [`Status::ALL`].
    answers: [[AtomicU64; Status::ALL.len()]; Kind::ALL.len()],
    /// Reloads held now.
    pub(crate) waiting: AtomicU64,
    /// Reloads held since the start.
    pub(crate) held: AtomicU64,
    tickets: [AtomicU64; 4],
}

impl CoreRequests {
    pub(crate) fn answered(&self, kind: Kind, status: Status) {
        if let Some(place) = Status::ALL.iter().position(|known| *known == status) {
            self.answers[kind as usize][place].fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn see_tickets(&self, seen: TicketCounts) {
        for (place, count) in self.tickets.iter().zip([seen.home, seen.away, seen.unchecked, seen.refused]) {
            place.store(count, Relaxed);
        }
    }
}

/// The same summed over all cores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    /// Kind, status code, how many; only what happened.
    pub(crate) answers: Vec<(&'static str, u16, u64)>,
    pub(crate) waiting: u64,
    pub(crate) held: u64,
    pub(crate) tickets: TicketCounts,
}

impl Requests {
    pub(crate) fn of<'a>(cores: impl Iterator<Item = &'a CoreRequests> + Clone) -> Self {
        let sum = |of: &dyn Fn(&CoreRequests) -> u64| cores.clone().map(of).sum::<u64>();
        let mut answers = Vec::new();
        for kind in Kind::ALL {
            for (place, status) in Status::ALL.iter().enumerate() {
                let count = sum(&|core| core.answers[kind as usize][place].load(Relaxed));
                if count > 0 {
                    answers.push((kind.as_str(), status.code(), count));
                }
            }
        }
        let ticket = |place: usize| sum(&|core| core.tickets[place].load(Relaxed));
        let tickets =
            TicketCounts { home: ticket(0), away: ticket(1), unchecked: ticket(2), refused: ticket(3) };
        let waiting = sum(&|core| core.waiting.load(Relaxed));
        let held = sum(&|core| core.held.load(Relaxed));
        Self { answers, waiting, held, tickets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_summed_over_cores_by_kind_and_status() {
        let cores = [CoreRequests::default(), CoreRequests::default()];
        cores[0].answered(Kind::Segment, Status::OK);
        cores[1].answered(Kind::Segment, Status::OK);
        cores[1].answered(Kind::Media, Status::NOT_FOUND);
        cores[0].see_tickets(TicketCounts { away: 2, ..TicketCounts::default() });
        let requests = Requests::of(cores.iter());
        assert_eq!(requests.answers, [("media", 404, 1), ("segment", 200, 2)]);
        assert_eq!(requests.tickets.away, 2);
    }
}
