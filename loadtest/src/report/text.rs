//! The report as text: a table of the figures, then what was looked at.

use super::Report;
use super::plain::{number, percent, rate, size, span};
use crate::measure::{Figures, Phase};
use std::fmt::Write;

/// Columns of names.
const NAMES: usize = 34;

impl Report {
    /// For a terminal, or a log.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to memory does not fail.
        let _ = self.write_text(&mut out);
        out
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{}", self.target)?;
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(out, "{} · {:.1} s from {}", settings.join(", "), self.seconds, self.begun_at)?;

        writeln!(out)?;
        let (viewers, playback) = (&self.viewers, &self.playback);
        let row = |out: &mut String, name: &str, said: String| writeln!(out, "{name:<NAMES$}{said}");
        let at_end = viewers.at_end;
        row(
            out,
            "viewers",
            format!(
                "{} came, {} played, {} at once at most; {} left before the end, {} gave up",
                number(viewers.arrived),
                number(viewers.started),
                number(viewers.most_watching),
                number(viewers.left),
                number(viewers.gave_up)
            ),
        )?;
        row(
            out,
            "at the end",
            format!(
                "{} fine, {} starting, {} stalled, {} ended, {} gave up",
                number(at_end.fine),
                number(at_end.starting),
                number(at_end.stalled),
                number(at_end.ended),
                number(at_end.gave_up)
            ),
        )?;
        row(
            out,
            "stalls",
            format!(
                "{}, {} of {:.0} s watched",
                number(playback.stalls),
                percent(playback.stall_ratio),
                playback.played_seconds + playback.stalled_seconds
            ),
        )?;
        row(out, "throughput", self.throughput_told())?;
        row(
            out,
            "errors",
            format!("{}, {} of requests", number(self.errors.total), percent(self.errors.ratio)),
        )?;
        row(out, "broken promises", number(self.faults.total))?;
        row(
            out,
            "bytes between edges",
            format!("{} of {} segments differ", number(self.bytes.differing), number(self.bytes.compared)),
        )?;

        self.write_spans(out)?;
        self.write_counts(out)?;

        writeln!(out)?;
        for core in &self.own.cores {
            let waited = core
                .waited_share()
                .map_or(String::new(), |share| format!(", made to wait for a CPU {}", percent(share)));
            row(out, "own thread", format!("computed {}{waited}", percent(core.cpu_share())))?;
        }
        for check in &self.checks {
            let mark = match (check.holds, check.is_advice) {
                (true, _) => "ok  ",
                (false, true) => "NOTE",
                (false, false) => "FAIL",
            };
            writeln!(out, "{mark} {}: {}", check.name, check.found)?;
        }
        Ok(())
    }

    pub(crate) fn throughput_told(&self) -> String {
        let throughput = &self.throughput;
        let mut said = format!("{} in {}", rate(throughput.bits_per_second), size(throughput.bytes));
        if let (Some(least), Some(most)) = (throughput.bits_per_second_min, throughput.bits_per_second_max) {
            let _ = write!(said, "; {} to {} in a second with all viewers", rate(least), rate(most));
        }
        said
    }

    /// All spans, one a row: for the tables.
    pub(crate) fn spans(&self) -> Vec<(String, Figures)> {
        let mut spans: Vec<(String, Figures)> = Vec::new();
        // All of it first: that is what one looks for.
        if let Some(total) = self.startup.get(&Phase::Total) {
            spans.push(("startup".into(), *total));
        }
        let phases = self.startup.iter().filter(|(phase, _)| **phase != Phase::Total);
        spans.extend(phases.map(|(phase, figures)| (format!("  {}", phase.title()), *figures)));
        let playback = &self.playback;
        for (name, figures) in [
            ("behind live", playback.live_latency),
            ("stalls", playback.stalled_for),
            ("playlists that stood still", playback.staleness),
            ("missed, to elsewhere", playback.got_away),
        ] {
            spans.extend(figures.map(|figures| (name.into(), figures)));
        }
        for (kind, requests) in &self.requests {
            let is_held = *kind == crate::measure::Kind::Blocking;
            let first = if is_held { "held" } else { "first byte" };
            spans.extend(requests.first_byte.map(|figures| (format!("{}, {first}", kind.title()), figures)));
            spans.extend(requests.total.map(|figures| (format!("{}, all", kind.title()), figures)));
        }
        spans.extend(self.own.lag.map(|figures| ("own lag".into(), figures)));
        spans
    }

    fn write_spans(&self, out: &mut String) -> std::fmt::Result {
        let spans = self.spans();
        if spans.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let heads = ["count", "p50", "p90", "p99", "p99.9", "max"].map(|head| format!("{head:>11}")).concat();
        writeln!(out, "{:<NAMES$}{heads}", "")?;
        for (name, figures) in spans {
            let values = [figures.p50_us, figures.p90_us, figures.p99_us, figures.p999_us, figures.max_us];
            write!(out, "{name:<NAMES$}{:>11}", number(figures.count))?;
            values.into_iter().try_for_each(|value| write!(out, "{:>11}", span(value)))?;
            writeln!(out)?;
        }
        Ok(())
    }

    fn write_counts(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out)?;
        for (kind, requests) in &self.requests {
            let statuses: Vec<_> = requests
                .statuses
                .iter()
                .map(|(status, times)| format!("{status}: {}", number(*times)))
                .collect();
            let (asked, bytes) = (number(requests.asked), size(requests.bytes));
            writeln!(out, "{:<NAMES$}{asked} asked, {bytes}; {}", kind.title(), statuses.join(", "))?;
        }
        for (class, times) in &self.errors.by_class {
            writeln!(out, "{:<NAMES$}{}", format!("error: {}", class.title()), number(*times))?;
        }
        for (kind, times) in &self.faults.by_kind {
            writeln!(out, "{:<NAMES$}{}", format!("fault: {}", kind.title()), number(*times))?;
        }
        for (kind, times) in &self.notices {
            writeln!(out, "{:<NAMES$}{}", kind.title(), number(*times))?;
        }
        for differing in &self.bytes.told {
            let sent: Vec<_> = differing
                .sent
                .iter()
                .map(|(origin, digest)| format!("{origin} {}", &digest[..8.min(digest.len())]))
                .collect();
            writeln!(out, "differs: {} #{}: {}", differing.rendition, differing.sequence, sent.join(", "))?;
        }
        Ok(())
    }
}
