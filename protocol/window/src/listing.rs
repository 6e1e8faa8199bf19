//! One rendition's segments: waiting, listed, fetchable, gone.
//!
//! ```text
//!      expired │ tail: fetchable, listed no more │ lines: the playlist │ hole │ waiting: settled, behind a hole
//! ```

use crate::limits::{
    BACKFILL_PATIENCE, GAP_PATIENCE, LEAST_TARGETS, LONGEST_GAP, MOST_HELD_WINDOWS, OVERSHOOT, TAIL_MARGIN,
};
use crate::parts::Parts;
use crate::runs::Runs;
use crate::{Change, Refusal};
use media::{DiscontinuitySequence, MediaSequence, MediaSpan, MediaTime, RenditionId, RunId, SegmentFacts};
use std::collections::{BTreeMap, VecDeque};

/// One rendition's part of a window.
#[derive(Debug)]
pub(crate) struct Listing<B> {
    id: RenditionId,
    shape: Shape,
    waiting: BTreeMap<MediaSequence, SegmentFacts>,
    lines: VecDeque<Line>,
    /// The last line there ever was: what comes next is after it, even if the playlist was emptied since.
    last: Option<Line>,
    /// The newest segment that waited when the hole before it was first seen.
    hole_seen: Option<MediaSequence>,
    stored: BTreeMap<MediaSequence, Stored<B>>,
    bytes: u64,
    listed: MediaSpan,
    longest: MediaSpan,
    pub(crate) parts: Parts<B>,
}

/// What all renditions of a broadcast have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) pitch: MediaSpan,
    pub(crate) target: hls::TargetDuration,
    pub(crate) window: usize,
}

/// What all renditions of a broadcast share while they list.
pub(crate) struct Shared<'a, B> {
    pub(crate) runs: &'a mut Runs,
    /// The end of the newest segment any rendition lists: the window's clock.
    pub(crate) clock: &'a mut MediaTime,
    pub(crate) ended: Option<RunId>,
    pub(crate) out: &'a mut VecDeque<Change<B>>,
}

/// A segment as its playlist shows it; once here it does not change (rule T05).
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) facts: SegmentFacts,
    pub(crate) shown: DiscontinuitySequence,
    pub(crate) is_discontinuous: bool,
}

#[derive(Debug)]
struct Stored<B> {
    body: B,
    bytes: u64,
    /// By the window's clock; `None` as long as it is listed.
    expires: Option<MediaTime>,
}

/// What to do next with what waits.
enum Step {
    /// List this one: it follows the last.
    Take(MediaSequence),
    /// List a gap where this one should be.
    Gap(MediaSequence),
    /// Take down what is listed and begin at this one.
    Anew(MediaSequence),
    /// Leave this gap out: it stands between an end and the first segment of the next run.
    Skip(MediaSequence),
}

/// How long to wait for what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As the limits say.
    Usual,
    /// The backfill is under way: holes wait for it.
    ForBackfill,
    /// The backfill is done: long holes stay, short ones may still be repaired.
    ForShortHoles,
    /// Nothing more will come.
    None,
}

impl<B: Clone> Listing<B> {
    pub(crate) fn new(id: RenditionId, shape: Shape) -> Self {
        Self {
            id,
            shape,
            waiting: BTreeMap::new(),
            lines: VecDeque::new(),
            last: None,
            hole_seen: None,
            stored: BTreeMap::new(),
            bytes: 0,
            listed: MediaSpan::ZERO,
            longest: MediaSpan::ZERO,
            parts: Parts::new(),
        }
    }

    pub(crate) fn lines(&self) -> &VecDeque<Line> {
        &self.lines
    }

    pub(crate) fn last(&self) -> Option<&Line> {
        self.last.as_ref()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.saturating_add(self.parts.bytes())
    }

    pub(crate) fn body(&self, sequence: MediaSequence) -> Option<&B> {
        self.stored.get(&sequence).map(|stored| &stored.body)
    }

    pub(crate) fn holds_nothing(&self) -> bool {
        self.stored.is_empty() && self.lines.is_empty() && self.parts.bytes() == 0
    }

    pub(crate) fn set_window(&mut self, window: usize) {
        self.shape.window = window;
    }

    /// Nothing more may wait to be listed.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= self.shape.window
    }

    /// Takes a segment in: fetchable at once, listed by [`Self::settle`]. `Ok(false)`: it is there already.
    pub(crate) fn store(
        &mut self,
        facts: SegmentFacts,
        body: Option<B>,
        shared: &mut Shared<'_, B>,
    ) -> Result<bool, Refusal> {
        let sequence = facts.sequence;
        let is_new = self.last.as_ref().is_none_or(|last| sequence > last.facts.sequence);
        let body = body.filter(|_| !facts.is_gap);
        if self.stored.contains_key(&sequence) || (body.is_none() && self.waiting.contains_key(&sequence)) {
            return Ok(false);
        }
        if is_new {
            let newest_run = self.last.as_ref().map(|last| last.facts.run);
            if newest_run.is_some() && shared.ended.is_some_and(|ended| facts.run <= ended)
                || newest_run.is_some_and(|newest| facts.run < newest)
            {
                return Err(Refusal::RunIsOver);
            }
            if self.last.is_some() && self.is_full() {
                return Err(Refusal::TooManyWaiting);
            }
        } else {
            if self.expiry(&facts) <= *shared.clock {
                return Err(Refusal::TooOld);
            }
            if self.lines.iter().any(|line| line.facts.sequence == sequence && line.facts.is_gap) {
                // A gap pushed twice is a duplicate; a body for a listed gap comes too late.
                return if body.is_none() { Ok(false) } else { Err(Refusal::ListedAsGap) };
            }
        }
        let expires = self.expiry(&facts);
        let bytes = facts.bytes;
        if is_new {
            self.waiting.insert(sequence, SegmentFacts { is_gap: body.is_none(), ..facts });
        }
        if let Some(body) = body {
            self.bytes = self.bytes.saturating_add(bytes);
            shared.out.push_back(Change::Stored { rendition: self.id.clone(), sequence, body: body.clone() });
            self.stored.insert(sequence, Stored { body, bytes, expires: Some(expires) });
        }
        self.keep_to_bound(shared);
        Ok(true)
    }

    /// Lists what can be listed; true if the playlist changed.
    pub(crate) fn settle(&mut self, shared: &mut Shared<'_, B>, patience: Patience) -> bool {
        let mut has_changed = false;
        while let Some(step) = self.step(shared, patience) {
            has_changed |= !matches!(step, Step::Skip(_));
            match step {
                Step::Skip(sequence) => {
                    self.waiting.remove(&sequence);
                }
                Step::Take(sequence) => self.list(sequence, shared),
                Step::Gap(sequence) => self.list_gap(sequence, shared),
                Step::Anew(sequence) => {
                    // The clock first: what is taken down now has its full time from now (rule T08).
                    if let Some(facts) = self.waiting.get(&sequence) {
                        *shared.clock = (*shared.clock).max(facts.start + facts.duration);
                    }
                    self.take_down(shared);
                    self.waiting = self.waiting.split_off(&sequence);
                    self.list(sequence, shared);
                }
            }
            self.trim(shared);
            self.longest = self.longest.max(self.listed);
        }
        if has_changed {
            self.hole_seen = None;
        }
        has_changed
    }

    fn step(&mut self, shared: &Shared<'_, B>, patience: Patience) -> Option<Step> {
        let (&sequence, facts) = self.waiting.first_key_value()?;
        let Some(last) = &self.last else {
            return Some(Step::Anew(self.contiguous_to_newest()));
        };
        let expected = last.facts.sequence.next();
        let has_ended = shared.ended.is_some_and(|ended| last.facts.run <= ended);
        let is_next_run = facts.run > last.facts.run;
        if has_ended && is_next_run && facts.is_gap {
            // It would stand in the run that has ended, whose playlist does not change any more (rule T10).
            return Some(Step::Skip(sequence));
        }
        if self.lines.is_empty() || (has_ended && is_next_run) {
            return Some(Step::Anew(sequence));
        }
        if sequence == expected {
            // One tag counts one discontinuity: a number that rises by more cannot follow in the same list.
            let rise = shared.runs.shown(facts).0.saturating_sub(last.shown.0);
            return Some(if rise > 1 { Step::Anew(sequence) } else { Step::Take(sequence) });
        }
        if patience == Patience::ForBackfill && !is_next_run {
            return None;
        }
        let is_short = sequence.0 - expected.0 <= LONGEST_GAP;
        if is_short {
            let has_waited = patience == Patience::Usual && self.waiting.len() >= GAP_PATIENCE;
            let is_settled = is_next_run || patience == Patience::None || has_waited;
            return is_settled.then_some(Step::Gap(expected));
        }
        if is_next_run {
            return Some(Step::Anew(sequence));
        }
        let newest = self.waiting.last_key_value().map_or(sequence, |(newest, _)| *newest);
        let seen = *self.hole_seen.get_or_insert(newest);
        let is_settled = patience != Patience::Usual || newest.0 - seen.0.min(newest.0) >= BACKFILL_PATIENCE;
        is_settled.then(|| Step::Anew(self.contiguous_to_newest()))
    }

    /// The first of the waiting segments that reach the newest without a hole, at most a window of them.
    fn contiguous_to_newest(&self) -> MediaSequence {
        let mut newest_first = self.waiting.keys().rev().copied();
        let newest = newest_first.next().unwrap_or_default();
        let more = (1..self.shape.window as u64).zip(newest_first);
        let reach = more.take_while(|(back, sequence)| sequence.0 + back == newest.0).count();
        MediaSequence(newest.0 - reach as u64)
    }

    fn list(&mut self, sequence: MediaSequence, shared: &mut Shared<'_, B>) {
        let Some(facts) = self.waiting.remove(&sequence) else { return };
        // A gap begins no run: it stands where the run before it ended, as it does on an edge that has the segment of that
        // run which is missing here.
        if let Some(last) = self.last.as_ref().filter(|last| facts.is_gap && facts.run > last.facts.run) {
            let facts =
                SegmentFacts { run: last.facts.run, discontinuity: last.facts.discontinuity, ..facts };
            let line = Line { facts, shown: last.shown, is_discontinuous: false };
            return self.append(line, shared);
        }
        let before = self.last.as_ref().map(|last| last.shown);
        let shown = shared.runs.list(&facts).max(before.unwrap_or_default());
        if let Some(stored) = self.stored.get_mut(&sequence) {
            stored.expires = None;
        }
        let is_discontinuous = before.is_some_and(|before| shown > before);
        self.append(Line { facts, shown, is_discontinuous }, shared);
    }

    fn list_gap(&mut self, sequence: MediaSequence, shared: &mut Shared<'_, B>) {
        let (Some(last), Some((behind, next))) = (&self.last, self.waiting.first_key_value()) else { return };
        let start = last.facts.start + last.facts.duration;
        let missing = behind.0.saturating_sub(sequence.0).max(1);
        let duration = match next.start.since(start) {
            Some(span) if span > MediaSpan::ZERO => MediaSpan::from_ticks(span.ticks() / missing),
            _ => self.shape.pitch,
        };
        let facts = SegmentFacts {
            sequence,
            start,
            duration: duration.min(self.shape.target.span()),
            bytes: 0,
            is_gap: true,
            ..last.facts.clone()
        };
        let line = Line { facts, shown: last.shown, is_discontinuous: false };
        self.append(line, shared);
    }

    fn append(&mut self, line: Line, shared: &mut Shared<'_, B>) {
        *shared.clock = (*shared.clock).max(line.facts.start + line.facts.duration);
        self.listed += line.facts.duration;
        self.last = Some(line.clone());
        self.lines.push_back(line);
    }

    /// Takes lines off the front while the window is over-full and enough media stays (rules T02, M16).
    fn trim(&mut self, shared: &Shared<'_, B>) {
        let least = self.shape.target.span() * LEAST_TARGETS;
        while let Some(first) = self.lines.front() {
            let stays = self.listed - first.facts.duration;
            let is_over = self.lines.len() > self.shape.window;
            if !(is_over && stays >= least || self.lines.len() > self.shape.window * OVERSHOOT) {
                return;
            }
            self.remove_first(*shared.clock);
        }
    }

    /// Takes every line down; the bodies stay for their time.
    pub(crate) fn take_down(&mut self, shared: &Shared<'_, B>) {
        while !self.lines.is_empty() {
            self.remove_first(*shared.clock);
        }
    }

    fn remove_first(&mut self, clock: MediaTime) {
        let Some(line) = self.lines.pop_front() else { return };
        self.listed = self.listed - line.facts.duration;
        // Rule T08: its own duration plus the longest playlist that held it, from the moment it is removed.
        let margin = self.shape.pitch * TAIL_MARGIN;
        let kept = clock + line.facts.duration + self.longest + margin;
        let expires = kept.max(self.expiry(&line.facts));
        if let Some(stored) = self.stored.get_mut(&line.facts.sequence) {
            stored.expires = Some(expires);
        }
    }

    /// When a segment expires that is never listed here: as if it had been, as it is on other edges.
    fn expiry(&self, facts: &SegmentFacts) -> MediaTime {
        let pitches = 2 * self.shape.window as u64 + TAIL_MARGIN;
        facts.start + facts.duration + facts.duration + self.shape.pitch * pitches
    }

    /// Lets go of what is past its time.
    pub(crate) fn expire(&mut self, clock: MediaTime, out: &mut VecDeque<Change<B>>) {
        while let Some(oldest) = self.stored.first_entry() {
            let is_waiting = self.waiting.contains_key(oldest.key());
            if is_waiting || oldest.get().expires.is_none_or(|expires| expires > clock) {
                break;
            }
            let sequence = *oldest.key();
            self.let_go(sequence, out);
        }
        self.parts.expire(&self.id, self.last.as_ref().map(|last| last.facts.sequence), out);
    }

    fn keep_to_bound(&mut self, shared: &mut Shared<'_, B>) {
        while self.stored.len().max(self.waiting.len()) > self.shape.window * MOST_HELD_WINDOWS {
            let listed = self.lines.front().map(|line| line.facts.sequence);
            let oldest = self.stored.first_key_value().map(|(sequence, _)| *sequence);
            let oldest = oldest.into_iter().chain(self.waiting.keys().next().copied()).min();
            let Some(oldest) = oldest.filter(|oldest| listed.is_none_or(|listed| *oldest < listed)) else {
                return;
            };
            self.waiting.remove(&oldest);
            self.let_go(oldest, shared.out);
        }
    }

    fn let_go(&mut self, sequence: MediaSequence, out: &mut VecDeque<Change<B>>) {
        if let Some(stored) = self.stored.remove(&sequence) {
            self.bytes = self.bytes.saturating_sub(stored.bytes);
            out.push_back(Change::Expired { rendition: self.id.clone(), sequence });
        }
    }

    /// The playlist of what is listed; `None` while that is nothing.
    pub(crate) fn playlist(&self, ended: Option<RunId>) -> Option<hls::MediaPlaylist> {
        let (first, last) = (self.lines.front()?, self.lines.back()?);
        let has_ended = ended.is_some_and(|ended| last.facts.run <= ended);
        let with_parts_from = self.lines.len().saturating_sub(LEAST_TARGETS as usize);
        let segments = self.lines.iter().enumerate().map(|(at, line)| hls::Segment {
            uri: format!("{}.ts", line.facts.sequence),
            duration: line.facts.duration,
            program_date_time: Some(line.facts.start),
            is_discontinuous: line.is_discontinuous,
            is_gap: line.facts.is_gap,
            parts: if at < with_parts_from { Vec::new() } else { self.parts.of(line.facts.sequence) },
            ..hls::Segment::default()
        });
        Some(hls::MediaPlaylist {
            target_duration: self.shape.target,
            media_sequence: first.facts.sequence,
            discontinuity_sequence: DiscontinuitySequence(first.shown.0 - u64::from(first.is_discontinuous)),
            independent_segments: true,
            segments: segments.collect(),
            open_parts: if has_ended { Vec::new() } else { self.parts.of(last.facts.sequence.next()) },
            has_ended,
            ..hls::MediaPlaylist::default()
        })
    }
}
