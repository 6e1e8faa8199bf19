//! The table of goals as one picture: a bar for every goal, as long as our cost is of theirs, with a mark where it was to
//! be. It reads on light and on dark ground: colours are mid-toned, and text takes the ground's own colour where the
//! viewer says which it is.

use crate::report::{Compared, Report, RowReport};
use std::fmt::Write as _;

const WIDTH: f64 = 920.0;
/// Where bars begin and end.
const LEFT: f64 = 330.0;
const RIGHT: f64 = 790.0;
const LINE: f64 = 34.0;
const TOP: f64 = 96.0;
/// The quotient at the right end.
const MOST: f64 = 1.25;

/// One bar.
struct Bar<'a> {
    row: &'a RowReport,
    compared: &'a Compared,
    /// Our cost over theirs, or the figure over its bound; less is better.
    value: f64,
    min: f64,
    max: f64,
    goal: f64,
}

impl<'a> Bar<'a> {
    fn of(row: &'a RowReport, compared: &'a Compared) -> Option<Self> {
        let spread = compared.spread;
        let (value, min, max) = (spread.median, spread.min, spread.max);
        match (compared.theirs, compared.at_most, compared.at_least) {
            (Some(_), Some(goal), _) => Some(Self { row, compared, value, min, max, goal }),
            // Of rates more is better: as costs they are the other way round.
            (Some(_), _, Some(least)) => Some(Self {
                row,
                compared,
                value: 1.0 / value,
                min: 1.0 / max,
                max: 1.0 / min,
                goal: 1.0 / least,
            }),
            _ => None,
        }
    }
}

fn x(value: f64) -> f64 {
    LEFT + (value / MOST).clamp(0.0, 1.0) * (RIGHT - LEFT)
}

/// The whole picture.
pub(crate) fn svg(report: &Report) -> String {
    let bars: Vec<Bar<'_>> = report
        .rows
        .iter()
        .flat_map(|row| row.compared.iter().filter_map(move |compared| Bar::of(row, compared)))
        .collect();
    let figures: Vec<(&RowReport, &Compared)> = report
        .rows
        .iter()
        .flat_map(|row| row.compared.iter().map(move |compared| (row, compared)))
        .filter(|(_, compared)| compared.theirs.is_none() && compared.at_most.is_some())
        .collect();
    let axis_end = TOP + bars.len() as f64 * LINE + 6.0;
    let height = axis_end + 64.0 + figures.len() as f64 * 24.0 + 34.0;
    let mut svg = head(height);
    for tenths in [0.0, 0.25, 0.5, 0.75, 1.0, 1.25] {
        let at = x(tenths);
        let class = if tenths == 1.0 { "par" } else { "grid" };
        let _ = writeln!(
            svg,
            r#"<line class="{class}" x1="{at:.1}" y1="{:.1}" x2="{at:.1}" y2="{axis_end:.1}"/>"#,
            TOP - 8.0
        );
        let label = if tenths == 1.0 { "as theirs".to_owned() } else { format!("×{tenths}") };
        let _ = writeln!(
            svg,
            r#"<text class="tick" x="{at:.1}" y="{:.1}" text-anchor="middle">{label}</text>"#,
            TOP - 16.0
        );
    }
    for (nth, bar) in bars.iter().enumerate() {
        draw(&mut svg, bar, TOP + nth as f64 * LINE);
    }
    let mut y = axis_end + 34.0;
    if !figures.is_empty() {
        let _ = writeln!(svg, r#"<text class="head" x="24" y="{y:.1}">by itself</text>"#);
        y += 26.0;
    }
    for (row, compared) in figures {
        let class = if compared.is_met == Some(true) { "met" } else { "missed" };
        let value = compared.spread.median;
        let shown = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") };
        let unit = row.unit.trim_end_matches(" each");
        let _ = writeln!(
            svg,
            r#"<circle class="{class}" cx="30" cy="{:.1}" r="5"/><text class="name" x="44" y="{y:.1}">{}</text><text class="value" x="{:.1}" y="{y:.1}" text-anchor="end">{shown} {unit} <tspan class="dim">(goal ≤ {:.0})</tspan></text>"#,
            y - 4.0,
            escape(row.title),
            WIDTH - 24.0,
            compared.at_most.unwrap_or_default(),
        );
        y += 24.0;
    }
    let facts: Vec<String> = ["machine", "kernel", "nginx", "haproxy", "date", "commit"]
        .iter()
        .filter_map(|wanted| report.machine.iter().find(|(name, _)| name == wanted))
        .map(|(_, value)| {
            value.split(" - ").next().unwrap_or_default().replace("HAProxy version ", "haproxy/")
        })
        .collect();
    let _ = writeln!(
        svg,
        r#"<text class="foot" x="24" y="{:.1}">{}</text>"#,
        height - 14.0,
        escape(&facts.join(" · "))
    );
    svg.push_str("</svg>\n");
    svg
}

fn head(height: f64) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" aria-labelledby="title">
<title id="title">CPU of our edge and balancer, as a share of nginx's and HAProxy's for the same work</title>
<style>
svg {{ --ink: #1f2933; --dim: #66727f; --ground: #ffffff; --grid: #dde3e9; --par: #9aa5b1; --met: #1b8a6b; --missed: #cc6b1d; --mark: #1f2933; font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }}
@media (prefers-color-scheme: dark) {{ svg {{ --ink: #e6ebf0; --dim: #98a4b0; --ground: #14191f; --grid: #2a323b; --par: #66727f; --met: #35b58f; --missed: #e28a3c; --mark: #f5f7fa; }} }}
.ground {{ fill: var(--ground); }} text {{ fill: var(--ink); font-size: 13px; }}
.title {{ font-size: 19px; font-weight: 650; }} .sub, .tick, .foot, .dim, .peer {{ fill: var(--dim); }} .tick, .peer {{ font-size: 11.5px; }} .foot {{ font-size: 11px; }}
.head {{ font-size: 13px; font-weight: 650; }} .value {{ font-variant-numeric: tabular-nums; font-weight: 600; }} .dim {{ font-weight: 400; }}
.grid {{ stroke: var(--grid); }} .par {{ stroke: var(--par); stroke-dasharray: 3 3; }}
.met {{ fill: var(--met); }} .missed {{ fill: var(--missed); }} .spread {{ stroke: var(--ink); stroke-width: 1.5; opacity: .55; }}
.mark {{ stroke: var(--mark); stroke-width: 2.5; }}
</style>
<rect class="ground" width="{WIDTH}" height="{height:.0}" rx="10"/>
<text class="title" x="24" y="36">What our answers cost, beside nginx and HAProxy</text>
<text class="sub" x="24" y="57">CPU of the whole server core for the same work, theirs = 1. Shorter is better; ┃ is the goal, the thin line the spread.</text>
"#
    )
}

fn draw(svg: &mut String, bar: &Bar<'_>, y: f64) {
    let class = if bar.compared.is_met == Some(true) { "met" } else { "missed" };
    let middle = y + 11.0;
    let network = if bar.row.network == "loopback" { ", loopback" } else { "" };
    let _ = writeln!(
        svg,
        r#"<text class="name" x="24" y="{:.1}">{}{network}</text><text class="peer" x="24" y="{:.1}">beside {}</text>"#,
        y + 8.0,
        escape(bar.row.title),
        y + 22.0,
        escape(bar.compared.theirs.unwrap_or_default()),
    );
    let _ = writeln!(
        svg,
        r#"<rect class="{class}" x="{LEFT}" y="{y:.1}" width="{:.1}" height="22" rx="3"/>"#,
        x(bar.value) - LEFT
    );
    let _ = writeln!(
        svg,
        r#"<line class="spread" x1="{:.1}" y1="{middle:.1}" x2="{:.1}" y2="{middle:.1}"/>"#,
        x(bar.min),
        x(bar.max)
    );
    let goal = x(bar.goal);
    let _ = writeln!(
        svg,
        r#"<line class="mark" x1="{goal:.1}" y1="{:.1}" x2="{goal:.1}" y2="{:.1}"/>"#,
        y - 3.0,
        y + 25.0
    );
    let _ = writeln!(
        svg,
        r#"<text class="value" x="{:.1}" y="{:.1}" text-anchor="end">×{:.2} <tspan class="dim">≤ {:.2}</tspan></text>"#,
        WIDTH - 24.0,
        y + 16.0,
        bar.value,
        bar.goal
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Compared, RowReport};
    use crate::rows::{Bound, ROWS};
    use crate::spread::Spread;

    #[test]
    fn a_goal_that_is_missed_has_another_colour_and_a_rate_is_turned_into_a_cost() {
        let of = |key: &str, median: f64| {
            let row = ROWS.iter().find(|row| row.key == key).unwrap();
            let goal = row.goals.iter().find(|goal| goal.bound != Bound::Told).unwrap();
            let spread = Spread { median, min: median * 0.9, max: median * 1.1 };
            RowReport::new(row, 0.0, Vec::new(), vec![Compared::new(goal, spread)], Vec::new())
        };
        let report = Report { machine: vec![("date", "a & b".into())], rows: vec![of("segment", 0.5)] };
        let svg = svg(&report);
        assert!(
            svg.contains("×0.50") && svg.contains(r#"<rect class="met""#) && svg.contains("a &amp; b"),
            "{svg}"
        );
        let report = Report { machine: Vec::new(), rows: vec![of("handshakes", 2.0), of("idle", 300.0)] };
        let svg = super::svg(&report);
        assert!(svg.contains("×0.50") && svg.contains(r#"<rect class="missed""#), "{svg}");
        assert!(svg.contains("300 bytes"), "{svg}");
    }
}
