//! Plots, drawn by hand into SVG: what all of them are made of, and those over time. Others: [`super::curves`],
//! [`super::bars`].
//!
//! Each is a figure with a title, a sentence that says what is to be seen, a legend, and the same figures as a table.

use super::super::plain::{Markup, number};
use super::moment;
use std::fmt::Write;

/// Units of the picture's own space; a unit is a little less than a pixel on a phone, a little more elsewhere.
pub(super) const WIDTH: f64 = 380.0;
pub(super) const HEIGHT: f64 = 216.0;
pub(super) const LEFT: f64 = 54.0;
pub(super) const RIGHT: f64 = 10.0;
pub(super) const TOP: f64 = 20.0;
pub(super) const BOTTOM: f64 = 24.0;

/// Steps drawn at most, and those that say their values when pointed at.
pub(super) const COLUMNS: usize = 180;
const HOVERS: usize = 60;

/// Rows of a table beside a plot.
const ROWS: usize = 12;

/// How something is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Drawn {
    Line,
    Dashed,
    /// A line with a light area below.
    Filled,
    /// On top of the ones before it.
    Stacked,
    Bars,
}

/// One thing over time.
pub(super) struct Trace {
    pub(super) name: &'static str,
    /// A class of the style sheet.
    pub(super) color: &'static str,
    pub(super) drawn: Drawn,
    /// A value a step; nothing where nothing was measured.
    pub(super) values: Vec<Option<f64>>,
}

/// How the values of a plot are said, on its axis and elsewhere.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// A value, with its unit.
    pub(super) say: fn(f64) -> String,
    /// For an axis that goes up to so much: what is one of its units, and what that is called.
    pub(super) axis: fn(f64) -> (f64, &'static str),
    /// Nothing between two whole numbers.
    pub(super) is_whole: bool,
}

/// A number on an axis: round there, so without zeros that say nothing.
fn mark(value: f64) -> String {
    match value {
        value if value >= 1000.0 => number(value.round() as u64),
        value => format!("{}", (value * 1e4).round() / 1e4),
    }
}

/// Something over time.
pub(super) struct OverTime<'a> {
    /// Its name in the document.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// What is to be seen.
    pub(super) says: String,
    /// The begin of each step and of what comes after the last, seconds.
    pub(super) times: &'a [f64],
    pub(super) traces: Vec<Trace>,
    pub(super) unit: Unit,
}

/// 1, 2 or 5 times a power of ten, so that about `count` of them make `most`.
fn step(most: f64, count: f64, unit: Unit) -> f64 {
    let rough = (most / count).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    if unit.is_whole { step.max(1.0) } else { step }
}

/// Seconds between marks of a time axis.
fn time_step(seconds: f64) -> f64 {
    const STEPS: [f64; 15] =
        [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0];
    STEPS
        .into_iter()
        .find(|step| seconds / step <= 6.0)
        .unwrap_or_else(|| (seconds / 6.0 / 3600.0).ceil() * 3600.0)
}

/// Where it is in the picture, with a tenth of a unit.
fn at(value: f64) -> String {
    format!("{value:.1}")
}

pub(super) fn line(page: &mut Markup, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
    let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(at);
    page.leaf("line", &[("class", &class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)]);
}

pub(super) fn label(page: &mut Markup, anchor: &str, class: &str, x: f64, y: f64, text: &str) {
    page.element("text", &[("class", &class), ("text-anchor", &anchor), ("x", &at(x)), ("y", &at(y))], text);
}

pub(super) fn rectangle(page: &mut Markup, class: &str, [x, y, width, height]: [f64; 4], title: &str) {
    let [x, y, width, height] = [x, y, width.max(0.0), height.max(0.0)].map(at);
    page.open("rect", &[("class", &class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)]);
    page.element("title", &[], title).close("rect");
}

/// `<figure>` and what stands above the picture. `legend`: name, colour, how it is drawn.
pub(super) fn begin(page: &mut Markup, id: &str, title: &str, says: &str, legend: &[(&str, &str, Drawn)]) {
    page.open("figure", &[("id", &id)]).raw("<figcaption>").element("h3", &[], title);
    page.element("p", &[("class", &"says")], says);
    if legend.len() > 1 {
        page.raw("<ul class=\"legend\">");
        for (name, color, drawn) in legend {
            page.raw("<li><svg viewBox=\"0 0 18 10\" aria-hidden=\"true\">");
            let dashed = if *drawn == Drawn::Dashed { " dashed" } else { "" };
            match drawn {
                Drawn::Stacked | Drawn::Bars => {
                    rectangle(page, &format!("bar {color}"), [0.0, 0.0, 18.0, 10.0], name)
                }
                _ => line(page, &format!("trace {color}{dashed}"), [1.0, 5.0, 17.0, 5.0]),
            }
            page.raw("</svg>").element("span", &[], name).raw("</li>");
        }
        page.raw("</ul>");
    }
    page.raw("</figcaption>\n");
}

/// `<svg>` with its title and description.
pub(super) fn open(page: &mut Markup, id: &str, title: &str, says: &str, height: f64) {
    let (title_id, says_id) = (format!("{id}-title"), format!("{id}-says"));
    page.open(
        "svg",
        &[
            ("viewBox", &format_args!("0 0 {WIDTH:.0} {height:.0}")),
            ("role", &"img"),
            ("aria-labelledby", &format_args!("{title_id} {says_id}")),
        ],
    );
    page.element("title", &[("id", &title_id)], title).element("desc", &[("id", &says_id)], says);
}

/// A table behind a fold: heads, then rows.
pub(super) fn table(page: &mut Markup, heads: &[&str], rows: &[Vec<String>]) {
    page.raw("<details><summary>Table</summary><div class=\"scroll\"><table><thead><tr>");
    heads.iter().for_each(|head| {
        page.element("th", &[("scope", &"col")], head);
    });
    page.raw("</tr></thead><tbody>");
    for row in rows {
        page.raw("<tr>");
        for (place, cell) in row.iter().enumerate() {
            match place {
                0 => page.element("th", &[("scope", &"row")], cell),
                _ => page.element("td", &[], cell),
            };
        }
        page.raw("</tr>");
    }
    page.raw("</tbody></table></div></details></figure>\n");
}

/// A figure of which nothing was measured.
pub(super) fn nothing(page: &mut Markup, id: &str, title: &str, says: &str) {
    page.open("figure", &[("id", &id)]).raw("<figcaption>").element("h3", &[], title).raw("</figcaption>");
    page.element("p", &[("class", &"nothing")], says).raw("</figure>\n");
}

impl OverTime<'_> {
    pub(super) fn draw(&self, page: &mut Markup) {
        let steps = self.times.len().saturating_sub(1);
        let has_values = self.traces.iter().any(|trace| trace.values.iter().any(Option::is_some));
        if steps == 0 || !has_values {
            return nothing(page, self.id, self.title, "Nothing was measured.");
        }
        let legend: Vec<_> = self.traces.iter().map(|trace| (trace.name, trace.color, trace.drawn)).collect();
        begin(page, self.id, self.title, &self.says, &legend);
        open(page, self.id, self.title, &self.says, HEIGHT);
        let most = (0..steps).map(|step| self.height_of(step)).fold(0.0, f64::max);
        let top = self.axes(page, most);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
        let mut floor = vec![0.0; steps];
        for trace in &self.traces {
            match trace.drawn {
                Drawn::Stacked => self.stacked(page, trace, &mut floor, y),
                Drawn::Bars => self.bars(page, trace, y),
                Drawn::Line | Drawn::Dashed | Drawn::Filled => self.lines(page, trace, y),
            }
        }
        self.hovers(page);
        page.raw("</svg>\n");
        let every = steps.div_ceil(ROWS);
        let rows: Vec<_> = (0..steps).step_by(every).map(|step| self.row(step)).collect();
        let heads: Vec<_> = ["time"].into_iter().chain(self.traces.iter().map(|trace| trace.name)).collect();
        table(page, &heads, &rows);
    }

    /// How high the picture must be at that step.
    fn height_of(&self, step: usize) -> f64 {
        let value = |trace: &Trace| trace.values.get(step).copied().flatten().unwrap_or(0.0);
        let stacked = self.traces.iter().filter(|trace| trace.drawn == Drawn::Stacked).map(value).sum();
        self.traces.iter().filter(|trace| trace.drawn != Drawn::Stacked).map(value).fold(stacked, f64::max)
    }

    fn x(&self, seconds: f64) -> f64 {
        let (first, last) = (self.times[0], self.times[self.times.len() - 1]);
        LEFT + (seconds - first) / (last - first).max(1e-6) * (WIDTH - LEFT - RIGHT)
    }

    fn middle(&self, step: usize) -> f64 {
        self.x((self.times[step] + self.times[step + 1]) / 2.0)
    }

    fn axes(&self, page: &mut Markup, most: f64) -> f64 {
        let (one, name) = (self.unit.axis)(most);
        let each = step(if most > 0.0 { most / one } else { 1.0 }, 4.0, self.unit) * one;
        let top = (most / each).ceil().max(1.0) * each;
        for place in 0..=(top / each).round() as u32 {
            let value = f64::from(place) * each;
            let y = HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
            line(page, if place == 0 { "axis" } else { "grid" }, [LEFT, y, WIDTH - RIGHT, y]);
            label(page, "end", "", LEFT - 5.0, y + 3.5, &mark(value / one));
        }
        label(page, "end", "", LEFT - 5.0, TOP - 10.0, name);
        let (first, last) = (self.times[0], self.times[self.times.len() - 1]);
        let each = time_step(last - first);
        let mut seconds = (first / each).ceil() * each;
        while seconds <= last {
            let x = self.x(seconds);
            line(page, "axis", [x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 4.0]);
            let anchor = if x > WIDTH - RIGHT - 12.0 { "end" } else { "middle" };
            label(page, anchor, "", x, HEIGHT - 7.0, &moment(seconds));
            seconds += each;
        }
        top
    }

    fn stacked(&self, page: &mut Markup, trace: &Trace, floor: &mut [f64], y: impl Fn(f64) -> f64) {
        let mut upper = String::new();
        let mut lower = String::new();
        if trace.values.iter().flatten().all(|value| *value == 0.0) {
            return;
        }
        for (step, below) in floor.iter_mut().enumerate() {
            let above = *below + trace.values.get(step).copied().flatten().unwrap_or(0.0);
            // A step has its value from its begin to its end.
            let (left, right) = (at(self.x(self.times[step])), at(self.x(self.times[step + 1])));
            let command = if step == 0 { 'M' } else { 'L' };
            let _ = write!(upper, "{command}{left} {y}L{right} {y}", y = at(y(above)));
            lower.insert_str(0, &format!("L{right} {y}L{left} {y}", y = at(y(*below))));
            *below = above;
        }
        page.leaf(
            "path",
            &[("class", &format_args!("area {}", trace.color)), ("d", &format_args!("{upper}{lower}Z"))],
        );
    }

    fn bars(&self, page: &mut Markup, trace: &Trace, y: impl Fn(f64) -> f64) {
        let mut path = String::new();
        for (step, value) in trace.values.iter().enumerate() {
            let Some(value) = value.filter(|value| *value > 0.0) else { continue };
            let (left, right) = (self.x(self.times[step]), self.x(self.times[step + 1]));
            let gap = ((right - left) * 0.15).min(1.0);
            let (left, right) = (at(left + gap), at((right - gap).max(left + gap + 0.5)));
            let _ = write!(path, "M{left} {}V{}H{right}V{0}Z", at(y(0.0)), at(y(value)));
        }
        if !path.is_empty() {
            page.leaf("path", &[("class", &format_args!("bar {}", trace.color)), ("d", &path)]);
        }
    }

    fn lines(&self, page: &mut Markup, trace: &Trace, y: impl Fn(f64) -> f64) {
        let points = trace.values.iter().enumerate();
        let points: Vec<_> =
            points.filter_map(|(step, value)| Some((self.middle(step), y((*value)?)))).collect();
        let path = path(&points);
        if trace.drawn == Drawn::Filled && points.len() > 1 {
            let (first, last) = (at(points[0].0), at(points[points.len() - 1].0));
            let ground = at(y(0.0));
            let area = format_args!("{path}L{last} {ground}L{first} {ground}Z").to_string();
            page.leaf("path", &[("class", &format_args!("area light {}", trace.color)), ("d", &area)]);
        }
        let dashed = if trace.drawn == Drawn::Dashed { " dashed" } else { "" };
        match points.as_slice() {
            [(x, y)] => {
                let class = format_args!("dot {}", trace.color).to_string();
                page.leaf("circle", &[("class", &class), ("cx", &at(*x)), ("cy", &at(*y)), ("r", &2.5)]);
            }
            _ => {
                page.leaf("path", &[("class", &format_args!("trace {}{dashed}", trace.color)), ("d", &path)]);
            }
        }
    }

    /// What is to be read when a place is pointed at; no script is needed for it.
    fn hovers(&self, page: &mut Markup) {
        let steps = self.times.len() - 1;
        let every = steps.div_ceil(HOVERS);
        page.raw("<g>");
        for first in (0..steps).step_by(every) {
            let last = (first + every).min(steps);
            let (left, right) = (self.x(self.times[first]), self.x(self.times[last]));
            let values = self.row((first + last) / 2);
            let mut said = values[0].clone();
            for (trace, value) in self.traces.iter().zip(&values[1..]) {
                let _ = write!(said, "\n{} {value}", trace.name);
            }
            rectangle(page, "hover", [left, TOP, right - left, HEIGHT - TOP - BOTTOM], &said);
        }
        page.raw("</g>");
    }

    fn row(&self, step: usize) -> Vec<String> {
        let value = |trace: &Trace| match trace.values.get(step).copied().flatten() {
            Some(value) => (self.unit.say)(value),
            None => "–".into(),
        };
        [moment(self.times[step])].into_iter().chain(self.traces.iter().map(value)).collect()
    }
}

pub(super) fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::with_capacity(points.len() * 12);
    for (place, (x, y)) in points.iter().enumerate() {
        let _ = write!(path, "{}{} {}", if place == 0 { 'M' } else { 'L' }, at(*x), at(*y));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Unit = Unit { say: |value| format!("{value}"), axis: |_| (1.0, ""), is_whole: true };
    const ANY: Unit = Unit { is_whole: false, ..WHOLE };

    #[test]
    fn marks_are_round_numbers() {
        assert_eq!(step(100.0, 4.0, ANY), 50.0);
        assert_eq!(step(7.9, 4.0, ANY), 2.0);
        assert_eq!(step(0.3, 4.0, WHOLE), 1.0);
        assert_eq!((time_step(60.0), time_step(600.0), time_step(86_400.0)), (10.0, 120.0, 14_400.0));
    }

    #[test]
    fn an_axis_says_no_zeros_that_say_nothing() {
        assert_eq!([0.0, 0.5, 0.25, 20.0, 6000.0].map(mark), ["0", "0.5", "0.25", "20", "6,000"]);
    }
}
