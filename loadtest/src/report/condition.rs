//! `--fail-if`: a condition on a metric, `stall_ratio > 0.1%`. Where it is true, the run has failed.

use super::metric::{Quantile, SpanOf};
use super::plain::{percent, span};
use super::{Metric, Report};
use crate::measure::CoreUse;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of a condition.
pub(crate) const CONDITION_BYTES: usize = 256;

/// Names that are offered for one that is not known.
const OFFERED: usize = 3;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `==`
    Is,
    /// `!=`
    IsNot,
    /// `>`
    Over,
    /// `<`
    Under,
}

impl Op {
    /// Longer ones first, so that `>=` is not read as `>`.
    const ALL: [(Self, &'static str); 6] = [
        (Self::AtLeast, ">="),
        (Self::AtMost, "<="),
        (Self::Is, "=="),
        (Self::IsNot, "!="),
        (Self::Over, ">"),
        (Self::Under, "<"),
    ];

    fn holds(self, value: f64, threshold: f64) -> bool {
        // What is written as 0.1% is 0.001 only nearly.
        let is_same = (value - threshold).abs() <= 1e-9 * value.abs().max(threshold.abs());
        match self {
            Self::AtLeast => value > threshold || is_same,
            Self::AtMost => value < threshold || is_same,
            Self::Is => is_same,
            Self::IsNot => !is_same,
            Self::Over => value > threshold && !is_same,
            Self::Under => value < threshold && !is_same,
        }
    }
}

/// A condition under which a run has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    /// What it is about.
    pub metric: Metric,
    /// How it is compared.
    pub op: Op,
    /// With what, in the metric's own unit: 1, bit/s, microseconds.
    pub threshold: f64,
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Longer than any condition.
    #[error("a condition has at most {CONDITION_BYTES} bytes, this one {found}")]
    TooLong {
        /// How long it is.
        found: usize,
    },
    /// A name that is no metric's.
    #[error("there is no metric {name:?}{}; there are: {}", near(.nearest), known())]
    UnknownMetric {
        /// The name.
        name: String,
        /// Those most like it.
        nearest: Vec<String>,
    },
    /// Something else where an operator should be.
    #[error(
        "after {metric} there is {found:?}; one of > >= < <= == != is expected, as in `stall_ratio > 0.1%`"
    )]
    Operator {
        /// The metric before it.
        metric: String,
        /// What is there.
        found: String,
    },
    /// Something else where a number should be.
    #[error("{found:?} does not begin with a number like 250 or 0.1")]
    Number {
        /// What is there.
        found: String,
    },
    /// A unit that the metric does not have.
    #[error("{metric} has no unit {found:?}; {allowed}")]
    Unit {
        /// Which metric.
        metric: String,
        /// The unit.
        found: String,
        /// What it takes.
        allowed: String,
    },
}

fn near(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!(" (did you mean {}?)", names.join(", ")),
    }
}

/// All names, in one line.
fn known() -> String {
    let simple: Vec<_> = Metric::simple().into_iter().map(|(name, _)| name).collect();
    let spans: Vec<_> = SpanOf::all().map(|(_, name)| name).collect();
    let ends: Vec<_> = Quantile::ALL.iter().map(|(_, end)| format!("_{end}")).collect();
    format!("{}; and with {}: {}", simple.join(", "), ends.join(" "), spans.join(", "))
}

impl Condition {
    /// Reads `metric op value[unit]`.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let text = text.trim();
        if text.len() > CONDITION_BYTES {
            return Err(ConditionError::TooLong { found: text.len() });
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
        let Some((_, metric)) = Metric::all().into_iter().find(|(known, _)| known == name) else {
            // Where it is no name at all, the whole text says more.
            let name = if name.is_empty() { text } else { name };
            return Err(ConditionError::UnknownMetric { name: name.into(), nearest: nearest(name) });
        };
        let rest = rest.trim_start();
        let Some((op, sign)) = Op::ALL.into_iter().find(|(_, sign)| rest.starts_with(sign)) else {
            return Err(ConditionError::Operator { metric: name.into(), found: rest.into() });
        };
        let rest = rest[sign.len()..].trim_start();
        let (digits, unit) =
            rest.split_at(rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len()));
        let value: f64 = match digits.parse() {
            Ok(value) if f64::is_finite(value) => value,
            _ => return Err(ConditionError::Number { found: rest.into() }),
        };
        let unit = unit.trim();
        let factor = match metric.units().iter().find(|(known, _)| *known == unit) {
            Some((_, factor)) => *factor,
            // Nothing is nothing in any unit.
            None if unit.is_empty() && value == 0.0 => 1.0,
            None => {
                let (metric_name, found) = (name.into(), unit.into());
                return Err(ConditionError::Unit { metric: metric_name, found, allowed: allowed(metric) });
            }
        };
        Ok(Self { text: text.into(), metric, op, threshold: value * factor })
    }

    /// Whether the run has failed by it.
    pub fn check(&self, report: &Report) -> Check {
        let value = self.metric.of(report);
        // A run that measured nothing has not shown that all is well.
        let holds = value.is_some_and(|value| !self.op.holds(value, self.threshold));
        let found = value.map_or_else(|| "nothing was measured".into(), |value| self.metric.told(value));
        Check { name: format!("not {self}"), holds, is_advice: false, found }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        Self::parse(text)
    }
}

fn allowed(metric: Metric) -> String {
    let units = metric.units().iter().map(|(unit, _)| *unit).filter(|unit| !unit.is_empty());
    let units = units.collect::<Vec<_>>().join(", ");
    let may_be_bare = metric.units().iter().any(|(unit, _)| unit.is_empty());
    if may_be_bare { format!("it takes {units} or none") } else { format!("it takes one of {units}") }
}

fn nearest(name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    let within = (name.chars().count() / 3).max(2);
    let far = |known: &str| {
        // Part of a name is meant as the whole of it.
        if name.len() > 2 && known.contains(&name) { 1 } else { strsim::damerau_levenshtein(&name, known) }
    };
    let mut near: Vec<_> =
        Metric::all().into_iter().map(|(known, _)| (far(&known), known.len(), known)).collect();
    near.retain(|(distance, ..)| *distance <= within);
    near.sort();
    near.into_iter().take(OFFERED).map(|(.., known)| known).collect()
}

/// One thing that was looked at when the run was over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What should hold.
    pub name: String,
    /// Whether it does.
    pub holds: bool,
    /// Whether it only says how far to trust the rest, and does not fail the run.
    pub is_advice: bool,
    /// What was found.
    pub found: String,
}

impl Check {
    fn own(report: &Report) -> String {
        if report.own.was_the_limit {
            return report.own.verdict.clone();
        }
        let busiest = report.own.cores.iter().map(CoreUse::cpu_share).fold(0.0, f64::max);
        let lag = report.own.lag.map_or_else(|| "none".into(), |lag| span(lag.p99_us));
        format!("lag p99 {lag}, busiest thread {}: the figures are the server's", percent(busiest))
    }

    /// What is looked at in every run.
    pub(crate) fn always(report: &Report) -> Vec<Self> {
        let check = |name: &str, holds, is_advice, found| Self { name: name.into(), holds, is_advice, found };
        let (viewers, bytes) = (&report.viewers, &report.bytes);
        vec![
            check(
                "somebody played",
                viewers.started > 0,
                false,
                format!("{} of {} viewers began to play", viewers.started, viewers.arrived),
            ),
            check(
                "the same bytes everywhere",
                bytes.differing == 0,
                false,
                format!("{} segments differ between edges, {} compared", bytes.differing, bytes.compared),
            ),
            check("the load tester kept up", !report.own.was_the_limit, true, Self::own(report)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::a_report;
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> (Metric, Op, f64) {
        let condition = Condition::parse(text).unwrap();
        (condition.metric, condition.op, condition.threshold)
    }

    #[test]
    fn a_condition_is_read_with_its_unit() {
        use super::super::metric::{CountOf, RateOf, RatioOf};
        use crate::measure::{Kind, Phase};
        let segment = SpanOf::FirstByte(Kind::Segment);
        for (text, metric, op, threshold) in [
            ("stall_ratio > 0.1%", Metric::Ratio(RatioOf::Stall), Op::Over, 0.001),
            ("stall_ratio>0.001", Metric::Ratio(RatioOf::Stall), Op::Over, 0.001),
            ("  errors  != 0 ", Metric::Count(CountOf::Errors), Op::IsNot, 0.0),
            ("requests < 10k", Metric::Count(CountOf::Requests), Op::Under, 10_000.0),
            ("ttfb_segment_p99 >= 250ms", Metric::Span(segment, Quantile::P99), Op::AtLeast, 250_000.0),
            (
                "startup_p999 > 2 s",
                Metric::Span(SpanOf::Startup(Phase::Total), Quantile::P999),
                Op::Over,
                2e6,
            ),
            ("lag_max <= 0", Metric::Span(SpanOf::Lag, Quantile::Max), Op::AtMost, 0.0),
            ("throughput_min < 1.5 Gbit/s", Metric::Rate(RateOf::Min), Op::Under, 1.5e9),
            ("throughput<800M", Metric::Rate(RateOf::Mean), Op::Under, 8e8),
        ] {
            assert_eq!(parsed(text), (metric, op, threshold), "{text}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_told_with_the_nearest_and_all() {
        let told = |text: &str| Condition::parse(text).unwrap_err().to_string();
        assert!(told("stal_ratio > 1%").contains("did you mean stall_ratio"), "{}", told("stal_ratio > 1%"));
        assert!(told("segment_p99 > 1s").contains("ttfb_segment_p99"), "{}", told("segment_p99 > 1s"));
        let all = told("xyzzy > 1");
        for name in
            ["stall_ratio", "throughput_min", "differing", "ttfb_blocking", "_p999", "startup_first_segment"]
        {
            assert!(all.contains(name), "{name} is not in: {all}");
        }
        assert!(!all.contains("did you mean"), "{all}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let told = |text: &str| Condition::parse(text).unwrap_err().to_string();
        assert!(told("errors").contains("after errors there is \"\""));
        assert!(told("errors = 1").contains("one of > >= < <= == !="));
        assert!(told("errors > many").contains("\"many\" does not begin with a number"));
        assert!(told("errors > 1.2.3").contains("\"1.2.3\""));
        assert!(told("stall_ratio > 5 ms").contains("takes % or none"));
        assert!(told("latency_p99 > 3").contains("takes one of ms, s, us"));
        assert!(told("throughput_min < 3 apples").contains("no unit \"apples\""));
        assert!(told(&"e".repeat(300)).contains("300"));
        assert!(told("").contains("no metric \"\""));
    }

    #[test]
    fn a_run_fails_by_what_was_measured() {
        let report = a_report();
        let holds = |text: &str| Condition::parse(text).unwrap().check(&report).holds;
        assert!(
            !holds("errors > 0") && holds("errors > 3") && !holds("errors == 3") && !holds("errors >= 3")
        );
        assert!(
            !holds("errors < 4") && holds("errors < 3") && !holds("errors != 2") && !holds("errors <= 3")
        );
        assert!(!holds("differing > 0"));
        assert!(!holds("throughput_min < 900 Gbit/s") && holds("throughput_min < 1 kbit/s"));
        let check = Condition::parse("ttfb_segment_p99 > 1us").unwrap().check(&report);
        assert!(!check.holds && check.found.ends_with("ms"), "{check:?}");
        assert_eq!(check.name, "not ttfb_segment_p99 > 1us");
    }

    #[test]
    fn what_was_not_measured_has_not_held() {
        let check = Condition::parse("ttfb_other_p99 > 100s").unwrap().check(&a_report());
        assert_eq!((check.holds, check.found.as_str()), (false, "nothing was measured"));
    }

    #[test]
    fn a_tenth_of_a_percent_is_not_over_a_tenth_of_a_percent() {
        assert!(!Op::Over.holds(0.001, 0.1 * 0.01) && Op::AtLeast.holds(0.001, 0.1 * 0.01));
        assert!(Op::Is.holds(0.001, 0.1 * 0.01) && !Op::Under.holds(0.001, 0.1 * 0.01));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = Condition::parse(&text).map_err(|error| error.to_string());
        }

        #[test]
        fn no_text_like_a_condition_does_either(text in "[a-z_0-9]{0,20} ?[<>=!]{0,3} ?[0-9.]{0,30} ?[a-zA-Z%µ/]{0,7}") {
            let _ = Condition::parse(&text).map_err(|error| error.to_string());
        }

        #[test]
        fn every_metric_is_read_back_as_it_was_written(
            metric in 0usize..Metric::all().len(),
            op in 0usize..6,
            unit in 0usize..9,
            value in 0u32..1_000_000,
            space in "[ ]{0,2}",
        ) {
            let (name, metric) = Metric::all().swap_remove(metric);
            let (op, sign) = Op::ALL[op];
            let units = metric.units();
            let (unit, factor) = units[unit % units.len()];
            let text = format!("{name}{space}{sign}{space}{value}{space}{unit}");
            let condition = Condition::parse(&text).expect("it is one");
            prop_assert_eq!((condition.metric, condition.op), (metric, op));
            prop_assert!((condition.threshold - f64::from(value) * factor).abs() <= 1e-9 * condition.threshold);
            prop_assert_eq!(condition.to_string(), text.trim());
        }
    }
}
