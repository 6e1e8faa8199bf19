//! The fault matrix: real processes in network namespaces, struck one by one, watched by `mascaret loadtest`.
//!
//! Lives here: the order of a cell: warm-up, fault, healing, judgement. Does not live here: what runs where (`cluster`),
//! which cells there are (`cell`), what is done to a node (`strike`), how late an edge is (`newest`), what is a success
//! (`judge`), where it is kept (`record`), what joins the namespaces (`switch`).

mod cell;
mod cluster;
mod judge;
mod newest;
mod record;
mod strike;

use crate::space;
use cell::{Cell, Target, Trouble, cells, fits};
use cluster::{Cluster, edge_at};
use indicatif::{ProgressBar, ProgressStyle};
use judge::{Seen, Verdict, judge};
use newest::Newest;
use node::Stop;
use record::{Manner, Record};
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};
use strike::{faked, heal, strike};

/// How the matrix is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which cells, `*` being anything; empty for all.
    pub only: Vec<String>,
    /// All the randomness there is.
    pub seed: u64,
    /// Simulated viewers.
    pub viewers: u32,
    /// Where results go.
    pub results: PathBuf,
    /// The program under test.
    pub program: PathBuf,
    /// Where libfaketime is.
    pub faketime: PathBuf,
    /// The cells that take minutes too.
    pub long: bool,
    /// As short as a cell can be and still say something.
    pub brisk: bool,
    /// Those alone of which the results have no row of this manner: a run goes on where another ended.
    pub missing: bool,
}

impl Plan {
    fn manner(&self) -> Manner {
        Manner { is_brisk: self.brisk, seed: self.seed, viewers: self.viewers }
    }
}

/// Until viewers hold what they hold.
const WARM_UP: Duration = Duration::from_secs(9);
/// Until viewers are judged.
const AFTER: Duration = Duration::from_secs(7);
/// Both, where a cell is brisk.
const BRISK: Duration = Duration::from_secs(4);
/// How often a struck edge is asked how it is.
const ASK_STATE: Duration = Duration::from_millis(300);
/// Until everything must be well again.
const WELL_WITHIN: Duration = Duration::from_secs(25);
/// Until a cluster must be well that was just started.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// The cells' names.
pub fn names() -> Vec<String> {
    cells().iter().map(ToString::to_string).collect()
}

/// Whether namespaces can be made here.
pub fn can_run() -> bool {
    space::can_be_made()
}

/// Runs it; true if every cell holds.
pub fn run(plan: &Plan, stop: &Stop) -> io::Result<bool> {
    // Two labs at once would remove each other's namespaces.
    let lock = File::create(std::env::temp_dir().join("mascaret-lab.lock"))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| io::Error::other("another lab is running on this machine"))?;
    for left in space::sweep()? {
        eprintln!("removed {left}, which an earlier run has left");
    }
    node::descriptors::raise();
    let has_etcd = cluster::has_etcd();
    let record = Record::read(&plan.results)?;
    let is_there = |cell: &Cell| record.has(&plan.manner().title(&cell.to_string()));
    let is_chosen = |cell: &Cell| {
        let is_named = plan.only.iter().any(|pattern| fits(pattern, &cell.to_string()));
        (is_named || (plan.only.is_empty() && (plan.long || !cell.is_long())))
            && (has_etcd || cell.target != Target::Etcd)
            && !(plan.missing && is_there(cell))
    };
    let chosen: Vec<Cell> = cells().into_iter().filter(is_chosen).collect();
    fs::create_dir_all(&plan.results)?;
    let directory = std::path::absolute(&plan.results)?.join("cluster");
    let _ = fs::remove_dir_all(&directory);
    let bar = ProgressBar::new(chosen.len() as u64);
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len} {elapsed_precise} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(500));
    let mut lab = Lab { plan, stop, directory, cluster: None, began: Instant::now(), record };
    let mut verdicts = Vec::new();
    for cell in &chosen {
        if stop.is_stopping() {
            break;
        }
        bar.set_message(cell.to_string());
        let seen = lab
            .live(cell)
            .unwrap_or_else(|error| Seen { trouble: Some(error.to_string()), ..Seen::default() });
        if stop.is_stopping() {
            break;
        }
        if seen.trouble.is_some() || seen.well_after.is_none() {
            // Whatever it is, it is not to be seen in the next cell.
            lab.cluster = None;
        }
        let verdict = judge(cell, &seen);
        match bar.is_hidden() {
            true => println!("{}/{} {}", verdicts.len() + 1, chosen.len(), line(&verdict)),
            false => bar.println(line(&verdict)),
        }
        bar.inc(1);
        lab.tell(&verdict)?;
        verdicts.push(verdict);
    }
    bar.finish_and_clear();
    let failed = verdicts.iter().filter(|verdict| !verdict.wrong.is_empty()).count();
    println!(
        "{} of {} cells hold, {:.0} s; {}",
        verdicts.len() - failed,
        verdicts.len(),
        lab.began.elapsed().as_secs_f64(),
        plan.results.join("matrix.md").display()
    );
    Ok(failed == 0 && verdicts.len() == chosen.len())
}

fn line(verdict: &Verdict) -> String {
    let Verdict { name, wrong, line } = verdict;
    let shown = |key: &str| if line[key].is_null() { "–".into() } else { line[key].to_string() };
    let stalled = line["stall_ratio"].as_f64().unwrap_or(0.0) * 100.0;
    let figures = format!(
        "stalls {} ({stalled:.2} %), errors {}, gaps {}, switched {}, left {} s, entry {} ms, well {} s",
        shown("stalls"),
        shown("errors"),
        shown("gaps"),
        shown("switched"),
        shown("left_seconds"),
        shown("entry_ms"),
        shown("well_after_seconds")
    );
    match wrong.is_empty() {
        true => format!("{name:<24} holds   {figures}"),
        false => format!("{name:<24} BROKEN  {figures}\n{:<24} {}", "", wrong.join("; ")),
    }
}

struct Lab<'a> {
    plan: &'a Plan,
    stop: &'a Stop,
    directory: PathBuf,
    cluster: Option<Cluster>,
    began: Instant,
    record: Record,
}

impl Lab<'_> {
    /// One cell, from a cluster that is well to one that is well.
    fn live(&mut self, cell: &Cell) -> io::Result<Seen> {
        let seed = self.plan.seed;
        let is_over = || self.stop.is_stopping();
        if self.cluster.is_none() {
            let mut cluster = Cluster::new(&self.directory, &self.plan.program, seed)?;
            cluster.start_all()?;
            self.cluster = Some(cluster);
        }
        let Some(cluster) = self.cluster.as_mut() else { return Ok(Seen::default()) };
        cluster.wait_well(UP_WITHIN, &is_over).map_err(io::Error::other)?;
        let places = struck(cluster, cell)?;
        let place = places[0];
        let (warm_up, after) = if self.plan.brisk { (BRISK, BRISK) } else { (WARM_UP, AFTER) };
        let lasts = if self.plan.brisk { Duration::from_secs(7) } else { cell.lasts() };
        let clock = self.directory.join("clock");
        if cell.trouble == Trouble::ClockStep {
            fs::write(&clock, "+0\n")?;
            cluster.kill(place);
            cluster.start(place, &faked(&self.plan.faketime, &clock))?;
            cluster.wait_well(UP_WITHIN, &is_over).map_err(io::Error::other)?;
        }
        let json = self.directory.join("loadtest.json");
        let _ = fs::remove_file(&json);
        let lasts_in_all = warm_up + lasts + after + Duration::from_secs(2);
        let mut watching = Watching(cluster.watch(self.plan.viewers, lasts_in_all, seed, &json)?);
        pause(self.stop, warm_up);

        let mut seen = Seen::default();
        let fault = Fault { since: Instant::now(), lasts };
        for &place in &places {
            strike(cluster, cell.trouble, place, &clock)?;
        }
        look(cluster, cell, place, fault, self.stop, &mut seen)?;
        for &place in &places {
            heal(cluster, cell.trouble, place, &clock)?;
        }
        let healed = Instant::now();
        match cluster.wait_well(WELL_WITHIN, &is_over) {
            Ok(()) => seen.well_after = Some(healed.elapsed()),
            Err(why) => seen.trouble = Some(format!("not well again: {why}")),
        }
        watching.end(Duration::from_secs(20), self.stop);
        seen.watched = fs::read_to_string(&json).ok().and_then(|text| serde_json::from_str(&text).ok());
        if cell.trouble == Trouble::ClockStep {
            cluster.kill(place);
            cluster.start(place, &[])?;
        }
        Ok(seen)
    }

    /// After every cell: what was run stays, whatever comes.
    fn tell(&mut self, verdict: &Verdict) -> io::Result<()> {
        let (manner, ordinary) = (self.plan.manner(), Manner::ORDINARY);
        let title = manner.title(&verdict.name);
        self.record.put(&title, verdict);
        let about = format!(
            "{} viewers, seed {}, where a row says nothing else; a fault lasts 10 s where its name says nothing else, \
             `poor-feed` a minute, and viewers are judged over 16 s more (7 s and 8 s in rows marked \"short\"). They are those of `mascaret \
             loadtest`: players with the page's patience, without its hedges.",
            ordinary.viewers, ordinary.seed,
        );
        record::replace(&self.plan.results.join("matrix.md"), &self.record.markdown(&about))?;
        let json = self.plan.results.join("matrix.json");
        let before = fs::read_to_string(&json).ok().and_then(|text| serde_json::from_str(&text).ok());
        let all = record::with_line(&before.unwrap_or(Value::Null), &title, manner, verdict);
        record::replace(&json, &format!("{all:#}\n"))
    }
}

/// Who is struck in this cell; at least one.
fn struck(cluster: &Cluster, cell: &Cell) -> io::Result<Vec<usize>> {
    let place = match cell.target {
        Target::Ingest => cluster.fed_ingest(),
        Target::Edge => cluster.place("edge1"),
        Target::Balancer => cluster.place("lb1"),
        Target::Etcd => cluster.place("etcd1"),
    };
    let second = match (cell.target, cell.trouble) {
        (Target::Balancer, Trouble::AllGone) => cluster.place("lb2"),
        _ => None,
    };
    let place = place.ok_or_else(|| io::Error::other("nobody is there to be struck"))?;
    Ok(std::iter::once(place).chain(second).collect())
}

/// From when, and for how long.
#[derive(Clone, Copy, Debug)]
struct Fault {
    since: Instant,
    lasts: Duration,
}

/// What is looked at while the fault lasts: the node that was struck, and what a new viewer meets.
fn look(
    cluster: &mut Cluster,
    cell: &Cell,
    place: usize,
    fault: Fault,
    stop: &Stop,
    seen: &mut Seen,
) -> io::Result<()> {
    let mut storms = 0;
    let mut newest = Newest::default();
    let mut asked_at = fault.since;
    while fault.since.elapsed() < fault.lasts && !stop.is_stopping() {
        if cell.promise.complete_within.is_some() {
            newest.see(&cluster.newest());
            if asked_at.elapsed() >= ASK_STATE {
                asked_at = Instant::now();
                let status = cluster.nodes[place].status();
                match status.as_ref().and_then(|status| status["state"].as_str()) {
                    Some("ready") => seen.not_ready = None,
                    Some(_) => drop(seen.not_ready.get_or_insert_with(|| fault.since.elapsed())),
                    None => {}
                }
            }
            pause(stop, Duration::from_millis(30));
            continue;
        }
        if cell.promise.entry_within.is_some() {
            let entry = cluster.first_ask(0);
            seen.entries_failed += u32::from(entry.is_none());
            seen.entry = seen.entry.max(entry);
        }
        if cell.trouble == Trouble::RestartStorm
            && storms < 8
            && fault.since.elapsed() > Duration::from_secs(1) * (storms + 1)
        {
            storms += 1;
            match cluster.nodes[place].is_running() {
                true => cluster.kill(place),
                false => cluster.start(place, &[])?,
            }
        }
        pause(stop, Duration::from_millis(400));
    }
    if cell.target == Target::Edge {
        let passed = cluster.switch.passed(cluster.crowd.address(), edge_at(0));
        let left = passed.said.map(|said| said.saturating_duration_since(fault.since));
        let is_promised = cell.promise.left_within.is_some() || cell.promise.complete_within.is_some();
        seen.left = left.filter(|_| is_promised);
    }
    seen.later = newest.later(0);
    seen.others_later = (1..usize::from(cluster::EDGES)).flat_map(|edge| newest.later(edge)).collect();
    Ok(())
}

/// The load test; ended with us.
struct Watching(Child);

impl Watching {
    /// Waits for its end, which should be soon.
    fn end(&mut self, within: Duration, stop: &Stop) {
        let until = Instant::now() + within;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < until && !stop.is_stopping() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pause(stop: &Stop, span: Duration) {
    stop.wait_timeout(span);
}
