//! Bars that lie.

use super::super::plain::Markup;
use super::plot::{WIDTH, begin, label, line, open, rectangle, table};

/// Bars that lie: a name, how much, and how much at worst.
pub(super) struct Bars<'a> {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) says: String,
    pub(super) color: &'static str,
    /// Heads of the table: name, value, worst.
    pub(super) heads: [&'static str; 3],
    /// Name, value, and worst where there is one.
    pub(super) rows: Vec<(&'a str, f64, Option<f64>)>,
    pub(super) say: fn(f64) -> String,
}

impl Bars<'_> {
    pub(super) fn draw(&self, page: &mut Markup) {
        const ROW: f64 = 24.0;
        const NAMES: f64 = 128.0;
        const VALUES: f64 = 62.0;
        const TOP: f64 = 8.0;
        let height = TOP + self.rows.len() as f64 * ROW + 4.0;
        begin(page, self.id, self.title, &self.says, &[]);
        open(page, self.id, self.title, &self.says, height);
        let most =
            self.rows.iter().map(|(_, value, worst)| worst.unwrap_or(0.0).max(*value)).fold(0.0, f64::max);
        let length = |value: f64| value / most.max(f64::MIN_POSITIVE) * (WIDTH - NAMES - VALUES - 6.0);
        for (place, (name, value, worst)) in self.rows.iter().enumerate() {
            let y = TOP + place as f64 * ROW;
            let middle = y + ROW / 2.0 - 2.0;
            label(page, "end", "", NAMES - 8.0, middle + 3.5, name);
            let said = match worst {
                Some(worst) => format!(
                    "{name}: {} {}, {} {}",
                    self.heads[1],
                    (self.say)(*value),
                    self.heads[2],
                    (self.say)(*worst)
                ),
                None => format!("{name}: {}", (self.say)(*value)),
            };
            let bar = [NAMES, y + 3.0, length(*value).max(1.0), ROW - 10.0];
            rectangle(page, &format!("bar {}", self.color), bar, &said);
            let mut end = NAMES + length(*value).max(1.0);
            if let Some(worst) = worst {
                let class = format!("whisker {}", self.color);
                let far = NAMES + length(*worst);
                line(page, &class, [end, middle, far, middle]);
                line(page, &class, [far, middle - 5.0, far, middle + 5.0]);
                end = end.max(far);
            }
            let told = (self.say)(worst.unwrap_or(*value));
            label(page, "start", "value", end + 6.0, middle + 3.5, &told);
        }
        page.raw("</svg>\n");
        let rows = self.rows.iter().map(|(name, value, worst)| {
            let mut row = vec![(*name).to_owned(), (self.say)(*value)];
            row.extend(worst.map(self.say));
            row
        });
        let rows: Vec<_> = rows.collect();
        let has_worst = self.rows.iter().any(|(.., worst)| worst.is_some());
        table(page, if has_worst { &self.heads } else { &self.heads[..2] }, &rows);
    }
}
