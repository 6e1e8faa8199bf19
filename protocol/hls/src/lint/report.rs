//! What a checker has to say in the end.

use super::finding::Finding;
use crate::rules::{Level, RULES, Reach, RuleId};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The result of watching a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was watched.
    pub url: String,
    /// For how long.
    pub watched_ms: u64,
    /// Playlists loaded, each load counted.
    pub loads: u64,
    /// Segments fetched.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What was found, oldest first.
    pub findings: Vec<Finding>,
    /// What could not be fetched at all, and why.
    pub unreached: Vec<String>,
    /// Rules that were not checked, and why.
    pub unchecked: Vec<(RuleId, String)>,
    /// Rules that were checked in part, and in which.
    pub partly: Vec<(RuleId, &'static str)>,
}

impl Report {
    /// True if a rule that must be kept was not, or if there was nothing to check.
    pub fn has_failures(&self) -> bool {
        !self.unreached.is_empty() || self.findings.iter().any(|finding| finding.level == Level::Must)
    }

    /// Rules that were checked and kept.
    pub fn kept(&self) -> usize {
        let broken: BTreeSet<RuleId> = self.findings.iter().map(|finding| finding.rule).collect();
        RULES.len() - broken.len() - self.unchecked.len()
    }

    /// For people.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{}: watched for {:.1} s, {} playlist loads, {} segments, {:.1} MB",
            self.url,
            self.watched_ms as f64 / 1000.0,
            self.loads,
            self.segments,
            self.bytes as f64 / 1e6
        );
        for text in &self.unreached {
            let _ = writeln!(out, "failed {text}");
        }
        for finding in &self.findings {
            let _ = writeln!(out, "{finding}");
        }
        let count = |level| {
            let rules: BTreeSet<_> =
                self.findings.iter().filter(|f| f.level == level).map(|f| f.rule).collect();
            rules.len()
        };
        let _ = writeln!(
            out,
            "{} rules kept, {} broken, {} with advice not taken, {} not checked",
            self.kept(),
            count(Level::Must),
            count(Level::Should),
            self.unchecked.len()
        );
        for (rule, why) in &self.unchecked {
            let _ = writeln!(out, "not checked    {rule} {why}");
        }
        for (rule, what) in &self.partly {
            let _ = writeln!(out, "checked partly {rule} {what}");
        }
        out
    }

    /// For programs: one JSON object.
    pub fn render_json(&self) -> String {
        let finding = |finding: &Finding| {
            serde_json::json!({
                "rule": finding.rule.0, "level": finding.level.to_string(), "place": finding.place,
                "text": finding.text, "at_ms": finding.at_ms, "times": finding.times,
            })
        };
        let reason = |rule: &RuleId, why: &str| serde_json::json!({ "rule": rule.0, "why": why });
        serde_json::json!({
            "url": self.url, "watched_ms": self.watched_ms, "loads": self.loads, "segments": self.segments,
            "bytes": self.bytes, "failed": self.has_failures(), "kept": self.kept(), "unreached": self.unreached,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "not_checked": self.unchecked.iter().map(|(rule, why)| reason(rule, why)).collect::<Vec<_>>(),
            "checked_partly": self.partly.iter().map(|(rule, why)| reason(rule, why)).collect::<Vec<_>>(),
        })
        .to_string()
    }
}

/// Rules that need something to happen or to be there, which may not be while watching.
pub(crate) const NEED_OCCASION: &[(&str, &str)] = &[
    ("S09", "no segment was fetched"),
    ("M06", "no two neighbouring transport stream segments were fetched"),
    ("M11", "no EXT-X-BITRATE on a segment that was fetched"),
    ("M14", "no segment was fetched"),
    ("M17", "no transport stream segment was fetched"),
    ("T07", "no segment was fetched"),
    ("T08", "no segment was removed long enough before the end"),
    ("T10", "nothing ended"),
    ("T12", "nothing was withdrawn"),
    ("T14", "no playlist was loaded twice"),
    ("T15", "nothing restarted"),
    ("C01", "no second rendition's transport stream segments with a date were fetched"),
    ("C02", "no two neighbouring transport stream segments were fetched"),
    ("C03", "no transport stream segment was fetched"),
    ("C05", "there is one media playlist"),
    ("C06", "no segment was fetched of a variant stream"),
    ("C07", "no transport stream segment was fetched"),
    ("V06", "there is one media playlist"),
    ("V11", "there is no content steering"),
];

/// How far a rule reaches by itself.
pub(crate) fn reach_of(id: RuleId) -> Reach {
    RULES.iter().find(|rule| rule.id == id).map_or(Reach::Whole, |rule| rule.reach)
}
