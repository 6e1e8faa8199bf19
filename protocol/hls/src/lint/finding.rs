//! What a checker found.

use crate::Complaint;
use crate::rules::{Level, RuleId, rule};
use std::collections::BTreeSet;
use std::fmt;

/// Findings kept, each with its count; a server that breaks more rules in more places is known well enough.
pub const MOST_FINDINGS: usize = 1000;

/// One rule broken in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: RuleId,
    /// How much it matters.
    pub level: Level,
    /// Where: the URL of a playlist or of a host.
    pub place: String,
    /// What was found, the first time.
    pub text: String,
    /// When it was found first: milliseconds since watching began.
    pub at_ms: u64,
    /// How often it was found there.
    pub times: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<6} {} {}: {}", self.level.to_string(), self.rule, self.place, self.text)?;
        match self.times {
            1 => Ok(()),
            times => write!(f, " ({times} times)"),
        }
    }
}

/// Findings, each rule once for each place, and which rules have been looked at.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    told: usize,
    looked: BTreeSet<RuleId>,
}

impl Findings {
    /// All so far, oldest first.
    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// True if a rule that must be kept was not.
    pub fn has_failures(&self) -> bool {
        self.list.iter().any(|finding| finding.level == Level::Must)
    }

    /// The next that was not told before.
    pub fn pull(&mut self) -> Option<Finding> {
        let finding = self.list.get(self.told)?.clone();
        self.told += 1;
        Some(finding)
    }

    /// There was something to check this rule on.
    pub(crate) fn look(&mut self, id: &'static str) {
        self.looked.insert(RuleId(id));
    }

    pub(crate) fn has_looked(&self, id: RuleId) -> bool {
        self.looked.contains(&id)
    }

    /// A finding at the rule's own level.
    pub(crate) fn add(&mut self, id: &'static str, place: &str, at_ms: u64, text: impl Into<String>) {
        let level = rule(id).map_or(Level::Must, |rule| rule.level);
        self.add_at(id, level, place, at_ms, text.into());
    }

    /// A finding that is advice, whatever the rule's level.
    pub(crate) fn advise(&mut self, id: &'static str, place: &str, at_ms: u64, text: impl Into<String>) {
        self.add_at(id, Level::Should, place, at_ms, text.into());
    }

    pub(crate) fn complain(&mut self, complaint: &Complaint, place: &str, at_ms: u64) {
        self.add_at(complaint.rule.0, complaint.level, place, at_ms, complaint.to_string());
    }

    fn add_at(&mut self, id: &'static str, level: Level, place: &str, at_ms: u64, text: String) {
        debug_assert!(rule(id).is_some(), "no rule {id}");
        let rule = RuleId(id);
        let has_room = self.list.len() < MOST_FINDINGS;
        self.look(id);
        let known = self.list.iter_mut().find(|f| f.rule == rule && f.level == level && f.place == place);
        match known {
            Some(known) => known.times += 1,
            None if has_room => {
                self.list.push(Finding { rule, level, place: place.to_owned(), text, at_ms, times: 1 });
            }
            None => {}
        }
    }
}
