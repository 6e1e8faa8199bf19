//! Takes a row's windows, one of each contender in turn, and refuses those that say nothing.

use crate::cast::Cast;
use crate::error::BenchError;
use crate::ground::{SERVER_CORE, VIEWER_CORE};
use crate::meter::{Reading, Strangers, pace, process_seconds};
use crate::report::{Compared, Measured, RowReport};
use crate::rows::{Kind, Row, Who};
use crate::spread::Spread;
use crate::take::Taken;
use node::Stop;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// How windows are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) windows: usize,
    pub(crate) window: Duration,
    pub(crate) is_quick: bool,
    /// Goes on where a quiet machine is wanted and not had.
    pub(crate) is_noisy: bool,
}

/// Share of a core that strangers, or idling servers, may use.
const STRANGERS_MOST: f64 = 0.05;
/// How often it is looked what the server's core does by itself, and for how long: the kernel counts in ticks of 10 ms,
/// so half a second would be exact to 2 % of a core, a tenth of what far viewers cost.
const IDLE_LOOKS: usize = 3;
/// See [`IDLE_LOOKS`].
const IDLE_LOOK: Duration = Duration::from_secs(2);
/// How often a disturbed window is taken again.
const AGAIN: usize = 3;

/// How much of the server's core is used while nobody asks for anything, as a share of it. What the machine does by
/// itself is nobody's cost; what our own processes do while they idle is ours, and not a peer's.
#[derive(Clone, Copy, Debug)]
struct Idle {
    all: f64,
    /// Without our processes.
    machine: f64,
}

/// What the windows of one contender said, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    pub(crate) values: Vec<f64>,
    /// Shares of the server's and the viewers' core.
    pub(crate) busy: Vec<[f64; 2]>,
    pub(crate) steal: f64,
    /// How fast the processor was.
    pub(crate) paces: Vec<f64>,
    /// What the last window had to say beside its figure.
    pub(crate) notes: Vec<String>,
}

/// The stage, and how it is used.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) cast: &'a mut Cast,
    pub(crate) manner: Manner,
    pub(crate) stop: &'a Stop,
}

impl Bench<'_> {
    /// One row, told as it comes.
    pub(crate) fn row(&mut self, row: &Row) -> Result<RowReport, BenchError> {
        let who: Vec<Who> = if self.manner.is_quick { row.quick.to_vec() } else { row.who.to_vec() };
        println!("\n{} ({}, {}) [{}]", row.title, row.network.word(), row.unit.name(), row.key);
        self.cast.call(&who)?;
        let idle = self.idle()?;
        let mut series: BTreeMap<Who, Series> = BTreeMap::new();
        let windows = match row.kind {
            // Memory hardly varies, and takes long to fill.
            Kind::Idle { .. } => self.manner.windows.min(if self.manner.is_quick { 1 } else { 3 }),
            _ => self.manner.windows,
        };
        for round in 1..=windows {
            print!("  {round}/{windows}");
            // The other way round every other time: who comes first is never the same one's luck.
            let order: Vec<Who> =
                if round % 2 == 1 { who.clone() } else { who.iter().rev().copied().collect() };
            for who in order {
                let _ = std::io::stdout().flush();
                let series = series.entry(who).or_default();
                self.window(row, who, &idle, series)?;
                let value = series.values.last().copied().unwrap_or_default();
                print!("  {} {}", who.name(), figure(value));
            }
            println!();
        }
        Ok(report(row, &who, &series, idle.all))
    }

    /// One window that nobody disturbed.
    fn window(&mut self, row: &Row, who: Who, idle: &Idle, series: &mut Series) -> Result<(), BenchError> {
        for attempt in 1..=AGAIN {
            let pids = self.cast.pids();
            let before = Strangers::now(&pids);
            let pace = row.network.viewers().within(|| Ok(pace()))?;
            let taken = self.take(row, who, if who.is_ours() { idle.machine } else { idle.all })?;
            let mut pids_after = self.cast.pids();
            pids_after.extend(pids);
            let strangers = before.share_until(&Strangers::now(&pids_after));
            // Memory is not a matter of time.
            if strangers > STRANGERS_MOST && !matches!(row.kind, Kind::Idle { .. }) {
                if attempt < AGAIN {
                    print!(" (again)");
                    continue;
                }
                if !self.manner.is_noisy {
                    return Err(BenchError::Refused(format!(
                        "other programs used {:.0} % of a core while {} was measured, {:.0} % is allowed; \
                         --noisy goes on all the same",
                        strangers * 100.0,
                        who.name(),
                        STRANGERS_MOST * 100.0
                    )));
                }
            }
            series.take(taken);
            series.paces.push(pace);
            return Ok(());
        }
        Ok(())
    }

    /// See [`Idle`].
    fn idle(&self) -> Result<Idle, BenchError> {
        let mut least = Idle { all: f64::INFINITY, machine: f64::INFINITY };
        let ours = self.cast.pids();
        for _ in 0..IDLE_LOOKS {
            let (from, from_ours) = (Reading::now()?, process_seconds(&ours));
            if self.stop.wait_timeout(IDLE_LOOK) {
                return Err(BenchError::Interrupted);
            }
            let usage = from.until(&Reading::now()?);
            let all = usage.busy[SERVER_CORE] / usage.seconds;
            let ours = (process_seconds(&ours) - from_ours) / usage.seconds;
            if all < least.all {
                least = Idle { all, machine: (all - ours).max(0.0) };
            }
        }
        if least.all <= STRANGERS_MOST {
            return Ok(least);
        }
        if self.manner.is_noisy {
            println!("  core {SERVER_CORE} is {:.0} % busy with nobody asking", least.all * 100.0);
            return Ok(Idle { all: 0.0, machine: 0.0 });
        }
        Err(BenchError::Refused(format!(
            "core {SERVER_CORE} is {:.0} % busy with nobody asking, {:.0} % is allowed; --noisy goes on all the same",
            least.all * 100.0,
            STRANGERS_MOST * 100.0
        )))
    }
}

impl Series {
    fn take(&mut self, taken: Taken) {
        self.values.push(taken.value);
        if let Some(usage) = taken.usage {
            let share = |core: usize| usage.busy.get(core).copied().unwrap_or_default() / usage.seconds;
            self.busy.push([share(SERVER_CORE), share(VIEWER_CORE)]);
            self.steal += usage.steal;
        }
        self.notes = taken.notes;
    }
}

fn report(row: &Row, who: &[Who], series: &BTreeMap<Who, Series>, idle: f64) -> RowReport {
    let mut measured = Vec::new();
    for who in who {
        let Some((series, spread)) = series.get(who).and_then(|it| Some((it, Spread::of(&it.values)?)))
        else {
            continue;
        };
        let middle = |core: usize| {
            Spread::of(&series.busy.iter().map(|busy| busy[core]).collect::<Vec<_>>())
                .map_or(0.0, |it| it.median)
        };
        measured.push(Measured {
            who: who.name(),
            is_ours: who.is_ours(),
            spread,
            windows: series.values.clone(),
            server_busy: middle(0),
            viewers_busy: middle(1),
            steal_seconds: series.steal,
            pace: Spread::of(&series.paces),
        });
    }
    let mut compared = Vec::new();
    for goal in row.goals {
        let values = |who: Who| series.get(&who).map(|series| series.values.as_slice());
        let spread = match goal.theirs {
            Some(theirs) => values(goal.ours).zip(values(theirs)).and_then(|(a, b)| Spread::of_ratio(a, b)),
            None => values(goal.ours).and_then(Spread::of),
        };
        if let Some(spread) = spread {
            compared.push(Compared::new(goal, spread));
        }
    }
    let notes = series.values().flat_map(|series| series.notes.clone()).collect();
    let report = RowReport::new(row, idle, measured, compared, notes);
    report.tell();
    report
}

/// Three digits that matter.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 1_000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
