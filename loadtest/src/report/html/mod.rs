//! The report as one HTML file: no script, nothing from elsewhere, light and dark, on a phone too.
//!
//! It parses as XML as well, so that a test can read it strictly. Plots are drawn in [`plot`], [`curves`] and [`bars`];
//! which ones, in [`plots`].

mod bars;
mod curves;
mod plot;
mod plots;
mod tables;

use super::Report;
use super::plain::{Markup, clock, number, percent, rate, span};
use crate::measure::Phase;

/// How it looks.
const STYLE: &str = include_str!("style.css");

impl Report {
    /// As one HTML file.
    pub fn html(&self) -> String {
        let mut page = Markup::default();
        page.raw("<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n");
        page.raw("<meta charset=\"utf-8\"/>\n");
        page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n");
        page.raw("<meta name=\"color-scheme\" content=\"light dark\"/>\n");
        page.element("title", &[], format_args!("Load test: {}", self.target)).raw("\n");
        page.raw("<style>\n").raw(STYLE).raw("</style>\n</head>\n<body>\n");
        self.head(&mut page);
        page.raw("<main>\n");
        self.checks_table(&mut page);
        page.raw("<section aria-labelledby=\"plots\">\n<h2 id=\"plots\">Plots</h2>\n<div class=\"plots\">\n");
        plots::all(self, &mut page);
        page.raw("</div>\n</section>\n");
        tables::all(self, &mut page);
        page.raw("</main>\n<footer>");
        page.text(format_args!(
            "{}. Latencies count from when a request was due. Histograms have two figures: a value is off by at most 1 %.",
            self.tool
        ));
        page.raw("</footer>\n</body>\n</html>\n");
        page.finish()
    }

    fn head(&self, page: &mut Markup) {
        page.raw("<header>\n");
        let (class, word) = if self.passed { ("verdict good", "Passed") } else { ("verdict bad", "Failed") };
        page.raw("<div class=\"top\"><h1>Load test</h1>")
            .element("span", &[("class", &class)], word)
            .raw("</div>\n");
        page.element("p", &[("class", &"target")], &self.target).raw("\n");
        page.raw("<p class=\"settings\">");
        page.text(format_args!(
            "{}, {:.1} s",
            self.begun_at.replace('T', " ").replace('Z', " UTC"),
            self.seconds
        ));
        for (name, value) in &self.settings {
            page.text(" · ").text(name).raw(" <b>").text(value).raw("</b>");
        }
        page.raw("</p>\n");
        if self.own.was_the_limit {
            page.element("p", &[("class", &"warning"), ("role", &"note")], &self.own.verdict).raw("\n");
        }
        page.raw("<dl class=\"tiles\">\n");
        for (name, value, beside, is_bad) in self.tiles() {
            let class = if is_bad { "tile bad" } else { "tile" };
            page.open("div", &[("class", &class)]).element("dt", &[], name).element("dd", &[], value);
            page.element("dd", &[("class", &"beside")], beside).close("div").raw("\n");
        }
        page.raw("</dl>\n</header>\n");
    }

    /// The figures one looks for first: name, value, what belongs to it, whether it is bad.
    fn tiles(&self) -> [(&'static str, String, String, bool); 8] {
        let (viewers, playback) = (&self.viewers, &self.playback);
        let none = || "–".to_owned();
        let startup = self.startup.get(&Phase::Total);
        let live = playback.live_latency.as_ref();
        [
            (
                "viewers at once",
                number(viewers.most_watching),
                format!("{} of {} played", number(viewers.started), number(viewers.arrived)),
                viewers.started == 0,
            ),
            (
                "time stalled",
                percent(playback.stall_ratio),
                format!("{} stalls", number(playback.stalls)),
                playback.stalls > 0,
            ),
            (
                "startup",
                startup.map_or_else(none, |startup| span(startup.p50_us)),
                startup.map_or_else(none, |startup| format!("p99 {}", span(startup.p99_us))),
                false,
            ),
            (
                "behind live",
                live.map_or_else(none, |live| span(live.p50_us)),
                live.map_or_else(none, |live| format!("p99 {}", span(live.p99_us))),
                false,
            ),
            (
                "throughput",
                rate(self.throughput.bits_per_second),
                self.throughput
                    .bits_per_second_min
                    .map_or_else(none, |min| format!("at least {}", rate(min))),
                false,
            ),
            (
                "errors",
                number(self.errors.total),
                format!("{} of {} requests", percent(self.errors.ratio), number(self.asked())),
                self.errors.total > 0,
            ),
            (
                "broken promises",
                number(self.faults.total),
                "sequence and discontinuity faults".into(),
                self.faults.total > 0,
            ),
            (
                "bytes differing",
                number(self.bytes.differing),
                format!("{} segments compared between edges", number(self.bytes.compared)),
                self.bytes.differing > 0,
            ),
        ]
    }

    fn checks_table(&self, page: &mut Markup) {
        page.raw(
            "<section aria-labelledby=\"checks\">\n<h2 id=\"checks\">Checks</h2>\n<ul class=\"checks\">\n",
        );
        for check in &self.checks {
            let (class, word) = match (check.holds, check.is_advice) {
                (true, _) => ("good", "ok"),
                (false, true) => ("note", "note"),
                (false, false) => ("bad", "failed"),
            };
            page.raw("<li>").element("span", &[("class", &format_args!("mark {class}"))], word);
            page.raw("<span><b>").text(&check.name).raw("</b> ").text(&check.found).raw("</span></li>\n");
        }
        page.raw("</ul>\n</section>\n");
    }
}

/// A moment, as axes and tables say it.
fn moment(seconds: f64) -> String {
    clock(seconds.round() as u64)
}
