//! One broadcast's window: its renditions, its clock, its runs.

use crate::limits::{
    BACKFILL_PATIENCE, LONGEST_WINDOW, MOST_RENDITIONS, RENDITION_PATIENCE, SHORTEST_WINDOW,
};
use crate::listing::{Listing, Patience, Shape, Shared};
use crate::runs::Runs;
use crate::{Change, FactsRefusal, Input, Measure, PartFacts, Refusal};
use media::{
    DiscontinuitySequence, MediaSequence, MediaTime, PartIndex, Rendition, RenditionId, RunId, SegmentFacts,
    StreamFacts,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The live window of one broadcast.
///
/// Numbers never go back: a segment is listed only behind the last one that was, and what is listed does not
/// change until it is removed from the front. A hole of up to [`LONGEST_GAP`](crate::limits::LONGEST_GAP)
/// segments becomes gaps. After a longer one, after an end, and where the discontinuity number rises by more
/// than one (everything was restarted, and runs went by that this edge never saw), listing begins anew: the list
/// is emptied and goes on at the new segment's own, higher numbers. To a viewer who was away that is what a
/// window that moved on looks like; it never sees a number twice.
#[derive(Debug)]
pub struct Window<B> {
    facts: StreamFacts,
    shape: Shape,
    standing: Standing,
    /// What was listed last when somebody came who hands over what we missed.
    behind: Option<MediaSequence>,
    listings: BTreeMap<RenditionId, Listing<B>>,
    offered: BTreeSet<RenditionId>,
    runs: Runs,
    clock: MediaTime,
    ended: Option<RunId>,
    has_told_end: bool,
    measure: Measure,
    multivariant: Option<hls::MultivariantPlaylist>,
    out: VecDeque<Change<B>>,
}

#[derive(Debug)]
enum Standing {
    /// What was there before us is being handed over; nothing is listed yet.
    Gathering { newest_at_first: Option<MediaSequence> },
    /// What comes is listed.
    Listing,
}

impl<B: Clone> Window<B> {
    /// An empty window for this broadcast. Listing begins with [`Input::CaughtUp`].
    pub fn new(facts: StreamFacts) -> Self {
        let shape = Shape {
            pitch: facts.segment,
            target: hls::TargetDuration::of_pitch(facts.segment),
            window: clamped(facts.window),
        };
        let measure = Measure::new(facts.segment);
        let nothing = StreamFacts { renditions: Vec::new(), ..facts.clone() };
        let mut window = Self {
            facts: nothing,
            shape,
            standing: Standing::Gathering { newest_at_first: None },
            listings: BTreeMap::new(),
            offered: BTreeSet::new(),
            behind: None,
            runs: Runs::default(),
            clock: MediaTime::default(),
            ended: None,
            has_told_end: false,
            measure,
            multivariant: None,
            out: VecDeque::new(),
        };
        window.push(Input::Facts(facts));
        window
    }

    /// An empty window in the place of one that was given up: numbers do not go back behind what that one has shown.
    #[must_use]
    pub fn in_place_of(self, former: &Self) -> Self {
        let is_untouched =
            former.runs.newest().is_none() && former.runs.highest() == DiscontinuitySequence(0);
        let runs = if is_untouched { Runs::default() } else { Runs::above(former.runs.highest()) };
        Self { runs, ..self }
    }

    /// Takes what arrived.
    pub fn push(&mut self, input: Input<B>) {
        match input {
            Input::Facts(facts) => self.take_facts(facts),
            Input::Segment { rendition, facts, body } => self.take_segment(&rendition, facts, body),
            Input::Part { rendition, sequence, facts, body } => {
                self.take_part(&rendition, sequence, facts, body);
            }
            Input::Behind => {
                let last = |listing: &Listing<B>| Some(listing.last()?.facts.sequence);
                self.behind = self.listings.values().filter_map(last).max();
            }
            Input::CaughtUp => {
                self.behind = None;
                self.standing = Standing::Listing;
                self.settle_all(Patience::ForShortHoles);
            }
            Input::Ended { run } => self.end(run),
        }
        self.compare_multivariant();
        for listing in self.listings.values_mut() {
            listing.expire(self.clock, &mut self.out);
        }
        self.listings.retain(|id, listing| self.offered.contains(id) || !listing.holds_nothing());
    }

    /// What changed, oldest first.
    pub fn pull(&mut self) -> Option<Change<B>> {
        self.out.pop_front()
    }

    /// What this rendition's media playlist says now; `None` while it lists nothing, and once it is withdrawn.
    pub fn media_playlist(&self, rendition: &RenditionId) -> Option<hls::MediaPlaylist> {
        self.listings.get(rendition).filter(|_| self.offered.contains(rendition))?.playlist(self.ended)
    }

    /// What the multivariant playlist says now, with relative URIs; `None` until every rendition lists a segment.
    /// Later a rendition that lists nothing yet is left out.
    pub fn multivariant(&self) -> Option<hls::MultivariantPlaylist> {
        self.multivariant.clone()
    }

    /// The facts as the multivariant playlist tells them: renditions that list something, with their rates. What
    /// a balancer needs to write the same playlist for all its edges.
    pub fn listed_facts(&self) -> StreamFacts {
        let mut facts = self.facts.clone();
        facts.renditions.retain(|rendition| self.lines_of(&rendition.id) > 0);
        for rendition in facts.renditions.iter_mut().filter(|rendition| rendition.peak.0 == 0) {
            // The ingest has not said yet; what was listed here says it meanwhile.
            if let Some(rates) = self.measure.rates(&rendition.id) {
                (rendition.peak, rendition.average) = (rates.peak, rates.average);
            }
        }
        facts
    }

    /// The body of a segment that can be fetched.
    pub fn segment(&self, rendition: &RenditionId, sequence: MediaSequence) -> Option<&B> {
        self.listings.get(rendition)?.body(sequence)
    }

    /// The body of a part that can be fetched.
    pub fn part(&self, rendition: &RenditionId, sequence: MediaSequence, part: PartIndex) -> Option<&B> {
        self.listings.get(rendition)?.parts.get(sequence, part)
    }

    /// Where the newest segment ends that every rendition lists which lists anything; `None` before the first.
    pub fn newest(&self) -> Option<MediaTime> {
        let end = |rendition: &Rendition| {
            let line = self.listings.get(&rendition.id)?.lines().back()?;
            Some(line.facts.start + line.facts.duration)
        };
        self.facts.renditions.iter().filter_map(end).min()
    }

    /// Bytes of all bodies that can be fetched or wait to be listed.
    pub fn bytes_held(&self) -> u64 {
        self.listings.values().fold(0, |sum, listing| sum.saturating_add(listing.bytes()))
    }

    /// The broadcast's facts as last taken.
    pub fn facts(&self) -> &StreamFacts {
        &self.facts
    }

    /// True once every playlist ends in EXT-X-ENDLIST, until a new run lists something.
    pub fn has_ended(&self) -> bool {
        self.has_told_end
    }

    fn take_facts(&mut self, mut facts: StreamFacts) {
        if let Some(refusal) = self.refuse(&facts) {
            self.out.push_back(Change::FactsRefused(refusal));
            return;
        }
        if facts.run == self.facts.run {
            // Two ingests measure the same run a moment apart: the higher peak is the truer (rule V01).
            for rendition in &mut facts.renditions {
                let known = self.facts.renditions.iter().find(|known| known.id == rendition.id);
                rendition.peak = rendition.peak.max(known.map_or(rendition.peak, |known| known.peak));
            }
        }
        let offered: BTreeSet<RenditionId> = facts.renditions.iter().map(|r| r.id.clone()).collect();
        for gone in self.offered.difference(&offered) {
            if let Some(listing) = self.listings.get_mut(gone) {
                listing.take_down(&Shared {
                    runs: &mut self.runs,
                    clock: &mut self.clock,
                    ended: self.ended,
                    out: &mut self.out,
                });
                self.out.push_back(Change::Withdrawn { rendition: gone.clone() });
            }
        }
        for id in &offered {
            self.listings.entry(id.clone()).or_insert_with(|| Listing::new(id.clone(), self.shape));
        }
        self.shape.window = clamped(facts.window);
        self.listings.values_mut().for_each(|listing| listing.set_window(self.shape.window));
        self.offered = offered;
        let (run, has_ended) = (facts.run, facts.has_ended);
        self.facts = facts;
        if has_ended {
            self.end(run);
        }
    }

    fn refuse(&self, facts: &StreamFacts) -> Option<FactsRefusal> {
        if facts.broadcast != self.facts.broadcast {
            return Some(FactsRefusal::OtherBroadcast(facts.broadcast.clone()));
        }
        if facts.run < self.facts.run {
            return Some(FactsRefusal::OlderRun { offered: facts.run, current: self.facts.run });
        }
        if facts.segment != self.shape.pitch {
            return Some(FactsRefusal::OtherPitch { offered: facts.segment, current: self.shape.pitch });
        }
        let (offered, limit) = (facts.renditions.len(), MOST_RENDITIONS);
        (offered > limit).then_some(FactsRefusal::TooManyRenditions { offered, limit })
    }

    fn take_segment(&mut self, rendition: &RenditionId, facts: SegmentFacts, body: Option<B>) {
        let sequence = facts.sequence;
        let ended = match self.standing {
            // Who joins after the end is handed what there was, and lists it before it lists the end.
            Standing::Gathering { .. } => None,
            Standing::Listing => self.ended,
        };
        let known = self.listings.get_mut(rendition).filter(|_| self.offered.contains(rendition));
        let Some(listing) = known else {
            self.refused(rendition, sequence, Refusal::UnknownRendition);
            return;
        };
        let mut shared = Shared { runs: &mut self.runs, clock: &mut self.clock, ended, out: &mut self.out };
        match listing.store(facts, body, &mut shared) {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => return self.refused(rendition, sequence, why),
        }
        match &mut self.standing {
            Standing::Gathering { newest_at_first } => {
                let first = *newest_at_first.get_or_insert(sequence);
                if sequence.0 >= first.0.saturating_add(BACKFILL_PATIENCE) {
                    self.standing = Standing::Listing;
                    self.settle_all(Patience::ForShortHoles);
                }
            }
            Standing::Listing => {
                let (most, is_full) = (self.shape.window as u64, listing.is_full());
                self.behind.take_if(|last| is_full || sequence.0 > last.0.saturating_add(most));
                let patience = if self.behind.is_some() { Patience::ForBackfill } else { Patience::Usual };
                self.settle(rendition, patience);
            }
        }
    }

    fn take_part(&mut self, rendition: &RenditionId, sequence: MediaSequence, facts: PartFacts, body: B) {
        let known = self.listings.get_mut(rendition).filter(|_| self.offered.contains(rendition));
        let Some(listing) = known else {
            return self.refused(rendition, sequence, Refusal::UnknownRendition);
        };
        let newest = listing.last().map(|last| last.facts.sequence);
        match listing.parts.push(sequence, facts, body.clone(), newest) {
            Ok(true) => {
                let (rendition, part) = (rendition.clone(), facts.part);
                self.out.push_back(Change::PartStored { rendition, sequence, part, body });
            }
            Ok(false) => {}
            Err(why) => self.refused(rendition, sequence, why),
        }
    }

    fn refused(&mut self, rendition: &RenditionId, sequence: MediaSequence, why: Refusal) {
        self.out.push_back(Change::Refused { rendition: rendition.clone(), sequence, why });
    }

    fn settle_all(&mut self, patience: Patience) {
        let ids: Vec<RenditionId> = self.listings.keys().cloned().collect();
        ids.iter().for_each(|id| self.settle(id, patience));
        if self.ended.is_some() {
            self.tell_end();
        }
    }

    fn settle(&mut self, rendition: &RenditionId, patience: Patience) {
        let Some(listing) = self.listings.get_mut(rendition) else { return };
        let before = listing.last().map(|last| last.facts.sequence);
        let mut shared =
            Shared { runs: &mut self.runs, clock: &mut self.clock, ended: self.ended, out: &mut self.out };
        if !listing.settle(&mut shared, patience) {
            return;
        }
        for line in listing.lines().iter().filter(|line| before.is_none_or(|last| line.facts.sequence > last))
        {
            if !line.facts.is_gap {
                self.measure.push(rendition, line.facts.bytes, line.facts.duration);
            }
        }
        if listing.last().is_some_and(|last| self.ended.is_none_or(|ended| last.facts.run > ended)) {
            self.has_told_end = false;
        }
        self.out.push_back(Change::Listed { rendition: rendition.clone() });
    }

    fn end(&mut self, run: RunId) {
        if self.runs.newest().is_some_and(|newest| run < newest)
            || self.ended.is_some_and(|ended| run <= ended)
        {
            return;
        }
        if matches!(self.standing, Standing::Listing) {
            // What still waits behind a hole is listed now or never.
            self.settle_all(Patience::None);
        }
        self.ended = Some(run);
        if matches!(self.standing, Standing::Listing) {
            self.tell_end();
        }
    }

    fn tell_end(&mut self) {
        if self.has_told_end {
            return;
        }
        let Some(ended) = self.ended else { return };
        for (id, listing) in &self.listings {
            if listing.lines().back().is_some_and(|last| last.facts.run <= ended) {
                self.out.push_back(Change::Listed { rendition: id.clone() });
            }
        }
        self.has_told_end = true;
        self.out.push_back(Change::Ended);
    }

    fn lines_of(&self, rendition: &RenditionId) -> usize {
        self.listings.get(rendition).map_or(0, |listing| listing.lines().len())
    }

    fn compare_multivariant(&mut self) {
        let lines = || self.facts.renditions.iter().map(|rendition| self.lines_of(&rendition.id));
        let is_complete = lines().all(|lines| lines > 0);
        let is_overdue = lines().any(|lines| lines >= RENDITION_PATIENCE);
        if self.multivariant.is_none() && !(is_complete || is_overdue) {
            return;
        }
        let says = hls::MultivariantPlaylist::of(&self.listed_facts(), &[hls::Pathway::here()]);
        if says.is_some() && says != self.multivariant {
            self.multivariant = says;
            self.out.push_back(Change::MultivariantChanged);
        }
    }
}

fn clamped(window: u32) -> usize {
    window.clamp(SHORTEST_WINDOW, LONGEST_WINDOW) as usize
}
