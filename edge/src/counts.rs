//! What each core counts of its requests: plain adds to memory that no other core writes.

use crate::histogram::{Answering, Count, Holding, Times};
use chat::ReadersCounts;
use delivery::{Kind, TicketCounts};
use http::Status;

/// One core's counters; read by the operator's thread.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CoreRequests {
    /// By kind, then by status in the order of [`Status::ALL`].
    answers: [[Count; Status::ALL.len()]; Kind::ALL.len()],
    /// From a request to the last byte of its answer handed to the kernel.
    times: [Answering; Kind::ALL.len()],
    /// The same of reloads that were held, which say how long a segment takes and not how quick an edge is.
    held_times: Holding,
    /// Reloads held now.
    pub(crate) waiting: Count,
    /// Reloads held since the start.
    pub(crate) held: Count,
    tickets: [Count; 4],
    chat: [Count; 7],
}

/// What was answered, and so which histogram it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    AtOnce(Kind),
    WhenItCame,
}

impl CoreRequests {
    pub(crate) fn answered(&self, kind: Kind, status: Status) {
        self.answers[kind as usize][status.place()].one();
    }

    pub(crate) fn took(&self, answered: Answered, micros: u32) {
        match answered {
            Answered::AtOnce(kind) => self.times[kind as usize].took(micros),
            Answered::WhenItCame => self.held_times.took(micros),
        }
    }

    pub(crate) fn see_tickets(&self, seen: TicketCounts) {
        for (place, count) in self.tickets.iter().zip([seen.home, seen.away, seen.unchecked, seen.refused]) {
            place.set(count);
        }
    }

    pub(crate) fn see_chat(&self, seen: ReadersCounts) {
        let ReadersCounts { readers, rooms, joined, refused, entries, sent, lost } = seen;
        for (place, count) in self.chat.iter().zip([readers, rooms, joined, refused, entries, sent, lost]) {
            place.set(count);
        }
    }

    /// Answers of all kinds with that status, and of all statuses with that kind; only what happened.
    fn answers(&self) -> impl Iterator<Item = (Kind, Status, u64)> {
        let each =
            Kind::ALL.into_iter().flat_map(|kind| Status::ALL.iter().map(move |status| (kind, *status)));
        each.map(|(kind, status)| (kind, status, self.answers[kind as usize][status.place()].read()))
            .filter(|(_, _, count)| *count > 0)
    }
}

/// What one core, or all together, have counted so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Requests {
    /// Kind, status code, how many; only what happened.
    pub(crate) answers: Vec<(&'static str, u16, u64)>,
    /// By kind.
    pub(crate) times: Vec<(&'static str, Times)>,
    /// Of all kinds.
    pub(crate) all_times: Times,
    pub(crate) held_times: Times,
    pub(crate) waiting: u64,
    pub(crate) held: u64,
    pub(crate) tickets: TicketCounts,
    /// Summed, but for rooms and entries, of which every core has the same.
    pub(crate) chat: ReadersCounts,
}

impl Requests {
    pub(crate) fn of<'a>(cores: impl Iterator<Item = &'a CoreRequests> + Clone) -> Self {
        let sum = |of: &dyn Fn(&CoreRequests) -> u64| cores.clone().map(of).sum::<u64>();
        let mut answers: Vec<(&'static str, u16, u64)> = Vec::new();
        for (kind, status, count) in cores.clone().flat_map(CoreRequests::answers) {
            let (kind, status) = (kind.as_str(), status.code());
            match answers.iter_mut().find(|(a_kind, a_status, _)| (*a_kind, *a_status) == (kind, status)) {
                Some((_, _, sum)) => *sum += count,
                None => answers.push((kind, status, count)),
            }
        }
        answers.sort_unstable();
        let ticket = |place: usize| sum(&|core| core.tickets[place].read());
        let chat = |place: usize| sum(&|core| core.chat[place].read());
        let any = |place: usize| cores.clone().map(|core| core.chat[place].read()).max().unwrap_or(0);
        let of_kind = |kind: Kind| Times::of(cores.clone().map(move |core| &core.times[kind as usize]));
        Self {
            answers,
            times: Kind::ALL.iter().map(|kind| (kind.as_str(), of_kind(*kind))).collect(),
            all_times: Times::of(cores.clone().flat_map(|core| &core.times)),
            held_times: Times::of(cores.clone().map(|core| &core.held_times)),
            waiting: sum(&|core| core.waiting.read()),
            held: sum(&|core| core.held.read()),
            tickets: TicketCounts {
                home: ticket(0),
                away: ticket(1),
                unchecked: ticket(2),
                refused: ticket(3),
            },
            chat: ReadersCounts {
                readers: chat(0),
                rooms: any(1),
                joined: chat(2),
                refused: chat(3),
                entries: any(4),
                sent: chat(5),
                lost: chat(6),
            },
        }
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
        cores[0].took(Answered::AtOnce(Kind::Segment), 100);
        cores[1].took(Answered::AtOnce(Kind::Media), 100);
        cores[1].took(Answered::WhenItCame, 2_000_000);
        cores[0].see_tickets(TicketCounts { away: 2, ..TicketCounts::default() });
        let requests = Requests::of(cores.iter());
        assert_eq!(requests.answers, [("media", 404, 1), ("segment", 200, 2)]);
        assert_eq!(requests.tickets.away, 2);
        let counts: Vec<_> = requests.times.iter().map(|(kind, times)| (*kind, times.count)).collect();
        assert_eq!(
            counts,
            [("multivariant", 0), ("media", 1), ("segment", 1), ("thumb", 0), ("chat", 0), ("other", 0)]
        );
        assert_eq!((requests.all_times.count, requests.held_times.sum_seconds), (2, 2.0));
    }
}
