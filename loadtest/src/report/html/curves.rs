//! Curves of quantiles.

use super::super::plain::Markup;
use super::plot::{
    BOTTOM, Drawn, HEIGHT, LEFT, RIGHT, TOP, WIDTH, begin, label, line, nothing, open, path, table,
};

/// Nines of a share that are told apart: 99.999 %.
const NINES: f64 = 5.0;

/// Quantiles of several things: the share of events against how long they took, both on scales that show the slowest.
pub(super) struct Curves {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) says: String,
    pub(super) curves: Vec<Curve>,
    /// A mark of the axis.
    pub(super) decade: fn(f64) -> String,
    pub(super) say: fn(f64) -> String,
}

/// Name, colour, how it is drawn, points: share and microseconds.
pub(super) type Curve = (&'static str, &'static str, Drawn, Vec<(f64, u64)>);

impl Curves {
    pub(super) fn draw(&self, page: &mut Markup) {
        let points = || self.curves.iter().flat_map(|(.., points)| points);
        let (Some(least), Some(most)) =
            (points().map(|point| point.1).min(), points().map(|point| point.1).max())
        else {
            return nothing(page, self.id, self.title, "Nothing was measured.");
        };
        // Decades, at least one of them.
        let bottom = (least.max(1) as f64).log10().floor();
        let top = (most.max(1) as f64).log10().ceil().max(bottom + 1.0);
        let nines = points().map(|point| nines(point.0)).fold(2.0, f64::max).ceil().min(NINES);
        let x = |share: f64| LEFT + super::curves::nines(share).min(nines) / nines * (WIDTH - LEFT - RIGHT);
        let y = |us: u64| {
            HEIGHT - BOTTOM - ((us.max(1) as f64).log10() - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)
        };
        let legend: Vec<_> =
            self.curves.iter().map(|(name, color, drawn, _)| (*name, *color, *drawn)).collect();
        begin(page, self.id, self.title, &self.says, &legend);
        open(page, self.id, self.title, &self.says, HEIGHT);
        for power in bottom as i32..=top as i32 {
            let value = 10u64.pow(power.clamp(0, 18) as u32);
            line(
                page,
                if f64::from(power) == bottom { "axis" } else { "grid" },
                [LEFT, y(value), WIDTH - RIGHT, y(value)],
            );
            label(page, "end", "", LEFT - 5.0, y(value) + 3.5, &(self.decade)(value as f64));
        }
        for mark in 0..=nines as i32 {
            let share = 1.0 - 10f64.powi(-mark);
            let text = match mark {
                0 => "0 %".into(),
                1 => "90 %".into(),
                mark => format!("{:.*}", (mark - 2) as usize, share * 100.0),
            };
            line(page, "grid", [x(share), TOP, x(share), HEIGHT - BOTTOM]);
            let anchor = if f64::from(mark) >= nines { "end" } else { "middle" };
            label(page, anchor, "", x(share), HEIGHT - 7.0, &text);
        }
        for (name, color, drawn, points) in &self.curves {
            let dashed = if *drawn == Drawn::Dashed { " dashed" } else { "" };
            let drawn: Vec<_> = points.iter().map(|(share, us)| (x(*share), y(*us))).collect();
            page.open("path", &[("class", &format_args!("trace {color}{dashed}")), ("d", &path(&drawn))]);
            page.element("title", &[], name).close("path");
        }
        page.raw("</svg>\n");
        let shares = [0.5, 0.9, 0.99, 0.999, 0.9999];
        let rows: Vec<Vec<String>> = shares.iter().map(|share| self.row(*share)).collect();
        let heads: Vec<_> = ["share"].into_iter().chain(self.curves.iter().map(|(name, ..)| *name)).collect();
        table(page, &heads, &rows);
    }

    fn row(&self, share: f64) -> Vec<String> {
        let value = |points: &[(f64, u64)]| {
            let reached = points.iter().find(|point| point.0 >= share - 1e-9);
            reached.map_or_else(|| "–".into(), |point| (self.say)(point.1 as f64))
        };
        let of = format!("{} %", (share * 1e6).round() / 1e4);
        [of].into_iter().chain(self.curves.iter().map(|(.., points)| value(points))).collect()
    }
}

/// How many nines a share has: 0.9 has one, 0.99 two.
fn nines(share: f64) -> f64 {
    -(1.0 - share).max(1e-9).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_its_nines() {
        let rounded = |share| (nines(share) * 1000.0).round() / 1000.0;
        assert_eq!([0.0, 0.9, 0.99, 0.999].map(rounded), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(nines(1.0), 9.0);
    }
}
