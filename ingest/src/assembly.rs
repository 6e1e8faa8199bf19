//! From what the transcode process reports to what the edges are fed.
//!
//! Lives here: which segments are settled, the measured rates, and when a broadcast's facts are told. Does not live here:
//! what of a restarted process' bytes has been fed already (`assembly/open`), what a segment is made of (`transcode`),
//! what is kept for a restart (`kept`), or how an edge gets it (`edgefan`).

use bytes::Bytes;
use ladder::Report;
use media::{
    BroadcastId, DiscontinuitySequence, Grid, MediaSequence, MediaSpan, MediaTime, ObjectKey, ObjectKind,
    Rendition, RenditionId, RunId, SegmentFacts, StreamFacts,
};
use std::collections::{BTreeMap, VecDeque};
use window::Measure;

mod open;

use open::{Open, Taken};

/// What the edges are told, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// What the broadcast is.
    Stream(StreamFacts),
    /// A segment begins.
    Open { key: ObjectKey, start: MediaTime, discontinuity: DiscontinuitySequence },
    /// More of it.
    Bytes { key: ObjectKey, bytes: Bytes },
    /// It is whole.
    Close { key: ObjectKey, facts: SegmentFacts },
    /// It will never be.
    Skip { key: ObjectKey, facts: SegmentFacts },
    /// The run is over.
    End { broadcast: BroadcastId, run: RunId },
}

/// One broadcast's segments on their way to the edges. See the module.
#[derive(Debug)]
pub(crate) struct Assembly {
    broadcast: BroadcastId,
    grid: Grid,
    window: u32,
    run: RunId,
    first: MediaSequence,
    /// In the ladder's order; a refused rung leaves.
    rungs: Vec<Rung>,
    measure: Measure,
    /// From which segment on there were how many discontinuities; the last is in force. At most
    /// [`DISCONTINUITIES_KEPT`].
    discontinuities: VecDeque<(MediaSequence, DiscontinuitySequence)>,
    told: Option<StreamFacts>,
    /// What is made before every rung is known: an edge takes no object of a broadcast it has not heard of.
    untold: Vec<Fed>,
    out: VecDeque<Fed>,
    notes: VecDeque<String>,
}

#[derive(Debug)]
struct Rung {
    id: RenditionId,
    rendition: Option<Rendition>,
    /// Every segment before this one is settled.
    next: MediaSequence,
    open: BTreeMap<MediaSequence, Open>,
}

/// Segments of one rung that may be open at once: the process closes one before it opens the next, and a restart
/// may find the one before still open.
pub(crate) const OPEN_SEGMENTS: usize = 4;
/// Reports kept until every rung is known. A rung is known with its first picture; this is a minute of bytes.
pub(crate) const UNTOLD: usize = 4096;
/// Marks kept of where a discontinuity was; older ones are long settled.
pub(crate) const DISCONTINUITIES_KEPT: usize = 16;

impl Assembly {
    /// A broadcast whose last discontinuity sequence was `discontinuity`; no run yet.
    pub(crate) fn new(
        broadcast: BroadcastId,
        grid: Grid,
        window: u32,
        discontinuity: DiscontinuitySequence,
    ) -> Self {
        Self {
            broadcast,
            grid,
            window,
            run: RunId(0),
            first: MediaSequence(0),
            rungs: Vec::new(),
            measure: Measure::new(grid.segment()),
            discontinuities: VecDeque::from([(MediaSequence(0), discontinuity)]),
            told: None,
            untold: Vec::new(),
            out: VecDeque::new(),
            notes: VecDeque::new(),
        }
    }

    /// A run begins at `first` with these rungs, best first; so many discontinuities came before it.
    pub(crate) fn begin(
        &mut self,
        run: RunId,
        first: MediaSequence,
        rungs: Vec<RenditionId>,
        discontinuity: DiscontinuitySequence,
    ) {
        self.end_unfinished();
        self.run = run;
        self.first = first;
        self.told = None;
        self.untold.clear();
        self.measure = Measure::new(self.grid.segment());
        self.rungs = rungs.into_iter().map(|id| Rung::new(id, first)).collect();
        self.discontinuity(first, discontinuity);
    }

    /// The run goes on, told again by who leads it from `from` on, with these rungs. What is not settled here before that
    /// is settled there: nothing is said of it, least of all that it is a gap.
    pub(crate) fn go_on(&mut self, from: MediaSequence, rungs: &[RenditionId]) {
        self.process_restarted();
        let gone: Vec<_> =
            self.rungs.iter().map(|rung| rung.id.clone()).filter(|id| !rungs.contains(id)).collect();
        for id in gone {
            self.skip_open(&id);
            self.rungs.retain(|rung| rung.id != id);
            self.tell();
        }
        self.leave_before(from);
    }

    /// From this segment on there were so many discontinuities.
    pub(crate) fn discontinuity(&mut self, from: MediaSequence, number: DiscontinuitySequence) {
        self.discontinuities.retain(|(at, _)| *at < from);
        self.discontinuities.push_back((from, number));
        while self.discontinuities.len() > DISCONTINUITIES_KEPT {
            self.discontinuities.pop_front();
        }
    }

    /// What is known of discontinuities from this segment on: how many came before it, and where there were more.
    pub(crate) fn discontinuities_from(
        &self,
        from: MediaSequence,
    ) -> (DiscontinuitySequence, Vec<(MediaSequence, DiscontinuitySequence)>) {
        let later = self.discontinuities.iter().filter(|(at, _)| *at > from).copied();
        (self.discontinuity_at(from), later.collect())
    }

    /// One thing the process said.
    pub(crate) fn push(&mut self, report: Report) {
        match report {
            Report::Rung(rendition) => self.shape(rendition),
            Report::Refused { rung, why } => {
                self.notes.push_back(format!("rung {rung} is not made: {why}"));
                // What the edges have of it will never be whole.
                self.skip_open(&rung);
                self.rungs.retain(|known| known.id != rung);
                self.tell();
            }
            Report::Open { rendition, sequence, start } => self.open(&rendition, sequence, start),
            Report::Bytes { rendition, sequence, bytes } => self.bytes(&rendition, sequence, bytes),
            Report::Close { rendition, sequence, duration } => self.close(&rendition, sequence, duration),
            Report::Skip { rendition, sequence, start, duration, why } => {
                self.notes.push_back(format!("{rendition}/{sequence} is skipped: {why}"));
                self.skip(&rendition, sequence, start, duration);
            }
            Report::Ready { .. } | Report::Progress { .. } | Report::Note { .. } => {}
        }
    }

    /// A new process will make again what was open.
    pub(crate) fn process_restarted(&mut self) {
        for open in self.rungs.iter_mut().flat_map(|rung| rung.open.values_mut()) {
            open.is_made_again();
        }
    }

    /// The process could not get past these segments: they will never be, up to `from`.
    pub(crate) fn give_up_before(&mut self, from: MediaSequence) {
        let ids: Vec<_> = self.rungs.iter().map(|rung| rung.id.clone()).collect();
        for id in ids {
            while let Some(next) = self.rung(&id).map(|rung| rung.next).filter(|next| *next < from) {
                self.skip(&id, next, self.grid.start_of(next), self.grid.segment());
            }
        }
    }

    /// These segments stay as they are, open and never whole, up to `from`: edges have them from elsewhere.
    fn leave_before(&mut self, from: MediaSequence) {
        let ids: Vec<_> = self.rungs.iter().map(|rung| rung.id.clone()).collect();
        for id in ids {
            while let Some(next) = self.rung(&id).map(|rung| rung.next).filter(|next| *next < from) {
                // One that was not begun would be taken for a number that is left out.
                self.open(&id, next, self.grid.start_of(next));
                if let Some(rung) = self.rungs.iter_mut().find(|rung| rung.id == id) {
                    rung.open.remove(&next);
                    rung.next = next.next();
                }
            }
        }
    }

    /// The run is over: what is open will never be whole.
    pub(crate) fn end(&mut self) {
        self.end_unfinished();
        if let Some(mut facts) = self.told.take() {
            facts.has_ended = true;
            self.out.push_back(Fed::Stream(facts));
            self.out.push_back(Fed::End { broadcast: self.broadcast.clone(), run: self.run });
        }
        self.rungs.clear();
        self.untold.clear();
    }

    /// What goes to the edges next.
    pub(crate) fn pull(&mut self) -> Option<Fed> {
        self.out.pop_front()
    }

    /// What the log should say next.
    pub(crate) fn pull_note(&mut self) -> Option<String> {
        self.notes.pop_front()
    }

    /// The run that is made, or was last.
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// Every rung has settled everything before this segment.
    pub(crate) fn settled_before(&self) -> MediaSequence {
        self.rungs.iter().map(|rung| rung.next).min().unwrap_or(self.first)
    }

    /// The discontinuity sequence in force now.
    pub(crate) fn newest_discontinuity(&self) -> DiscontinuitySequence {
        self.discontinuities.back().map_or(DiscontinuitySequence(0), |mark| mark.1)
    }

    /// Bytes of segments that are being made.
    pub(crate) fn bytes_held(&self) -> u64 {
        self.rungs.iter().flat_map(|rung| rung.open.values()).map(|open| open.fed_len()).sum()
    }

    fn shape(&mut self, rendition: Rendition) {
        let Some(rung) = self.rungs.iter_mut().find(|rung| rung.id == rendition.id) else { return };
        rung.rendition = Some(rendition);
        self.tell();
    }

    fn open(&mut self, id: &RenditionId, sequence: MediaSequence, start: MediaTime) {
        let discontinuity = self.discontinuity_at(sequence);
        let key = self.key(id, sequence);
        let Some(rung) = self.rungs.iter_mut().find(|rung| rung.id == *id) else { return };
        // Settled before the restart, or open already: the same bytes come again.
        if sequence < rung.next || rung.open.contains_key(&sequence) || rung.open.len() >= OPEN_SEGMENTS {
            return;
        }
        rung.open.insert(sequence, Open::new(start));
        self.say(Fed::Open { key, start, discontinuity });
    }

    fn bytes(&mut self, id: &RenditionId, sequence: MediaSequence, bytes: Bytes) {
        let key = self.key(id, sequence);
        let discontinuity = self.discontinuity_at(sequence);
        let Some(rung) = self.rungs.iter_mut().find(|rung| rung.id == *id) else { return };
        let Some(open) = rung.open.get_mut(&sequence) else { return };
        match open.take(bytes) {
            Taken::Again => {}
            Taken::New(bytes) => self.say(Fed::Bytes { key, bytes }),
            Taken::Differs { at } => {
                // Nobody has it whole yet, so nobody has shown it: opened again, it takes the place of what was sent.
                self.notes.push_back(format!(
                    "{key}: a restarted process made other bytes from {at} on; the segment is sent anew"
                ));
                let (start, again) = (open.start, open.fed().to_vec());
                self.say(Fed::Open { key: key.clone(), start, discontinuity });
                for bytes in again {
                    self.say(Fed::Bytes { key: key.clone(), bytes });
                }
            }
        }
    }

    fn close(&mut self, id: &RenditionId, sequence: MediaSequence, duration: MediaSpan) {
        let key = self.key(id, sequence);
        let discontinuity = self.discontinuity_at(sequence);
        let Some(rung) = self.rungs.iter_mut().find(|rung| rung.id == *id) else { return };
        let Some(open) = rung.open.remove(&sequence) else { return };
        rung.next = rung.next.max(sequence.next());
        self.measure.push(id, open.fed_len(), duration);
        let facts = SegmentFacts {
            sequence,
            run: self.run,
            start: open.start,
            duration,
            discontinuity,
            bytes: open.fed_len(),
            is_gap: false,
        };
        self.say(Fed::Close { key, facts });
        self.tell();
    }

    fn skip(&mut self, id: &RenditionId, sequence: MediaSequence, start: MediaTime, duration: MediaSpan) {
        let key = self.key(id, sequence);
        let discontinuity = self.discontinuity_at(sequence);
        let Some(rung) = self.rungs.iter_mut().find(|rung| rung.id == *id) else { return };
        if sequence < rung.next {
            return;
        }
        rung.open.remove(&sequence);
        rung.next = sequence.next();
        let facts =
            SegmentFacts { sequence, run: self.run, start, duration, discontinuity, bytes: 0, is_gap: true };
        self.say(Fed::Skip { key, facts });
    }

    fn end_unfinished(&mut self) {
        let ids: Vec<_> = self.rungs.iter().map(|rung| rung.id.clone()).collect();
        ids.iter().for_each(|id| self.skip_open(id));
    }

    fn skip_open(&mut self, id: &RenditionId) {
        let open = self.rung(id).into_iter().flat_map(|rung| &rung.open);
        for (sequence, start) in open.map(|(sequence, open)| (*sequence, open.start)).collect::<Vec<_>>() {
            self.skip(id, sequence, start, self.grid.segment());
        }
    }

    /// Tells the edges what the broadcast is, once every rung is known, and again when that changes.
    fn tell(&mut self) {
        let mut renditions = Vec::with_capacity(self.rungs.len());
        for rung in &self.rungs {
            let Some(rendition) = &rung.rendition else { return };
            renditions.push(rendition.clone());
        }
        if renditions.is_empty() {
            return;
        }
        let mut facts = StreamFacts {
            broadcast: self.broadcast.clone(),
            run: self.run,
            segment: self.grid.segment(),
            window: self.window,
            renditions,
            has_ended: false,
        };
        self.measure.apply(&mut facts);
        if self.told.as_ref() != Some(&facts) {
            self.told = Some(facts.clone());
            self.out.push_back(Fed::Stream(facts));
            self.out.extend(self.untold.drain(..));
        }
    }

    /// An object's word, to be heard after the broadcast's.
    fn say(&mut self, fed: Fed) {
        match self.told {
            Some(_) => self.out.push_back(fed),
            None if self.untold.len() < UNTOLD => self.untold.push(fed),
            None => {
                self.notes.push_back(format!(
                    "a rung is not known after {UNTOLD} reports; what was made is dropped"
                ));
                self.untold.clear();
            }
        }
    }

    fn rung(&self, id: &RenditionId) -> Option<&Rung> {
        self.rungs.iter().find(|rung| rung.id == *id)
    }

    fn discontinuity_at(&self, sequence: MediaSequence) -> DiscontinuitySequence {
        let mark = self.discontinuities.iter().rev().find(|(from, _)| *from <= sequence);
        mark.or_else(|| self.discontinuities.front()).map_or(DiscontinuitySequence(0), |mark| mark.1)
    }

    fn key(&self, rendition: &RenditionId, sequence: MediaSequence) -> ObjectKey {
        ObjectKey {
            broadcast: self.broadcast.clone(),
            run: self.run,
            rendition: rendition.clone(),
            sequence,
            part: None,
            kind: ObjectKind::Segment,
        }
    }
}

impl Rung {
    fn new(id: RenditionId, first: MediaSequence) -> Self {
        Self { id, rendition: None, next: first, open: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::BitRate;

    fn id(name: &str) -> RenditionId {
        RenditionId::parse(name).unwrap()
    }

    fn assembly() -> Assembly {
        let grid = Grid::new(MediaSpan::from_secs(2)).unwrap();
        let broadcast = BroadcastId::parse("tide").unwrap();
        let mut assembly = Assembly::new(broadcast, grid, 6, DiscontinuitySequence(7));
        assembly.begin(
            RunId(1),
            MediaSequence(100),
            vec![id("source"), id("360p")],
            DiscontinuitySequence(7),
        );
        assembly
    }

    /// An assembly whose broadcast has been told.
    fn told() -> Assembly {
        let mut assembly = assembly();
        assembly.push(rendition("source"));
        assembly.push(rendition("360p"));
        assert_eq!(fed(&mut assembly), "stream:2");
        assembly
    }

    fn rendition(name: &str) -> Report {
        let (peak, average) = (BitRate(0), BitRate(0));
        Report::Rung(Rendition { id: id(name), video: None, audio: None, peak, average })
    }

    fn open(name: &str, sequence: u64) -> Report {
        let start = MediaTime::from_ticks(sequence * 180_000);
        Report::Open { rendition: id(name), sequence: MediaSequence(sequence), start }
    }

    fn bytes(name: &str, sequence: u64, text: &'static str) -> Report {
        Report::Bytes {
            rendition: id(name),
            sequence: MediaSequence(sequence),
            bytes: Bytes::from_static(text.as_bytes()),
        }
    }

    fn close(name: &str, sequence: u64) -> Report {
        Report::Close {
            rendition: id(name),
            sequence: MediaSequence(sequence),
            duration: MediaSpan::from_secs(2),
        }
    }

    /// What is fed, a word each.
    fn fed(assembly: &mut Assembly) -> String {
        let mut words = Vec::new();
        while let Some(fed) = assembly.pull() {
            words.push(match fed {
                Fed::Stream(facts) if facts.has_ended => "ended".to_string(),
                Fed::Stream(facts) => format!("stream:{}", facts.renditions.len()),
                Fed::Open { key, discontinuity, .. } => format!("open:{}:d{}", key.sequence, discontinuity.0),
                Fed::Bytes { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
                Fed::Close { facts, .. } => format!("close:{}:{}b", facts.sequence, facts.bytes),
                Fed::Skip { facts, .. } => format!("skip:{}", facts.sequence),
                Fed::End { .. } => "end".to_string(),
            });
        }
        words.join(" ")
    }

    #[test]
    fn a_broadcast_is_told_once_all_its_rungs_are_known() {
        let mut assembly = assembly();
        assembly.push(rendition("source"));
        assert_eq!(fed(&mut assembly), "");
        assembly.push(rendition("360p"));
        assert_eq!(fed(&mut assembly), "stream:2");
        assembly.push(Report::Refused { rung: id("source"), why: "off the grid".into() });
        assert_eq!(fed(&mut assembly), "stream:1");
        assert_eq!(assembly.pull_note().unwrap(), "rung source is not made: off the grid");
    }

    #[test]
    fn what_is_made_before_every_rung_is_known_is_fed_after_the_broadcast_is_told() {
        let mut assembly = assembly();
        assembly.push(rendition("source"));
        assembly.push(open("source", 100));
        assembly.push(bytes("source", 100, "ab"));
        assert_eq!(fed(&mut assembly), "");
        assembly.push(rendition("360p"));
        assert_eq!(fed(&mut assembly), "stream:2 open:100:d7 ab");
    }

    #[test]
    fn a_restarted_process_repeats_itself_and_nobody_hears_it_twice() {
        let mut assembly = told();
        assembly.push(open("360p", 100));
        assembly.push(bytes("360p", 100, "abcd"));
        assembly.push(close("360p", 100));
        assembly.push(open("360p", 101));
        assembly.push(bytes("360p", 101, "efg"));
        assert_eq!(fed(&mut assembly), "open:100:d7 abcd close:100:4b stream:2 open:101:d7 efg");
        assembly.process_restarted();
        for report in [open("360p", 100), bytes("360p", 100, "abcd"), close("360p", 100)] {
            assembly.push(report);
        }
        for report in
            [open("360p", 101), bytes("360p", 101, "ef"), bytes("360p", 101, "gh"), close("360p", 101)]
        {
            assembly.push(report);
        }
        assert_eq!(fed(&mut assembly), "h close:101:4b");
    }

    #[test]
    fn other_bytes_after_a_restart_are_sent_anew_and_never_a_mix() {
        let mut assembly = told();
        assembly.push(open("360p", 100));
        assembly.push(bytes("360p", 100, "abcd"));
        fed(&mut assembly);
        assembly.process_restarted();
        assembly.push(open("360p", 100));
        assembly.push(bytes("360p", 100, "ab"));
        assembly.push(bytes("360p", 100, "X"));
        assembly.push(bytes("360p", 100, "Y"));
        assembly.push(close("360p", 100));
        assert_eq!(fed(&mut assembly), "open:100:d7 ab X Y close:100:4b stream:2");
        assert!(assembly.pull_note().unwrap().contains("other bytes"));
    }

    #[test]
    fn discontinuities_are_counted_from_the_segment_they_begin_with() {
        let mut assembly = told();
        assembly.discontinuity(MediaSequence(102), DiscontinuitySequence(8));
        for sequence in [101, 102] {
            assembly.push(open("360p", sequence));
            assembly.push(close("360p", sequence));
        }
        assert_eq!(fed(&mut assembly), "open:101:d7 close:101:0b open:102:d8 close:102:0b");
        assembly.begin(RunId(2), MediaSequence(110), vec![id("360p")], DiscontinuitySequence(9));
        assembly.push(rendition("360p"));
        assembly.push(open("360p", 110));
        assert_eq!(fed(&mut assembly), "stream:1 open:110:d9");
    }

    #[test]
    fn what_is_open_when_a_run_ends_is_a_gap() {
        let mut assembly = told();
        assembly.push(open("360p", 100));
        fed(&mut assembly);
        assembly.end();
        assert_eq!(fed(&mut assembly), "skip:100 ended end");
        assert_eq!(assembly.bytes_held(), 0);
    }

    /// Seed 676 of the lab: the one that stood in is told by who leads again, from the next whole segment on.
    #[test]
    fn what_who_leads_has_settled_is_no_gap_because_it_was_open_here() {
        let mut assembly = told();
        assembly.push(open("360p", 100));
        fed(&mut assembly);
        assembly.go_on(MediaSequence(102), &[id("source"), id("360p")]);
        let words = fed(&mut assembly);
        assert!(!words.contains("skip"), "{words}");
        assert_eq!(assembly.settled_before(), MediaSequence(102));
        assembly.push(open("360p", 102));
        assembly.push(close("360p", 102));
        assert_eq!(fed(&mut assembly), "open:102:d7 close:102:0b");
    }

    #[test]
    fn a_rung_that_is_behind_holds_what_is_settled() {
        let mut assembly = assembly();
        for sequence in 100..103 {
            assembly.push(open("360p", sequence));
            assembly.push(close("360p", sequence));
        }
        assert_eq!(assembly.settled_before(), MediaSequence(100));
        assembly.give_up_before(MediaSequence(102));
        assert_eq!(assembly.settled_before(), MediaSequence(102));
    }
}
