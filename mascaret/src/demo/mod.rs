//! `mascaret demo`: a whole cluster on this machine, every role a real process on an address of its own.
//!
//! ```text
//!  2 sources ─▶ 2 ingests ─▶ 4 edges ◀─ 2 balancers
//!                   └── lobby ──┘▲
//!                 watch: every edge, every rendition, every segment
//! ```
//!
//! Lives here: the order of things. Does not live here: what runs where (`plan`), one process (`child`),
//! simulated viewers (`crowd`), who may do what (`host`), what is seen (`watch`), how it is said (`tell`).

mod child;
mod cluster;
mod crowd;
mod hands;
mod host;
mod plan;
mod ports;
mod prepare;
mod tell;
mod terminal;
mod watch;
mod words;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use node::Stop;
use serde_json::json;

use crate::fetch::Fetcher;
use crate::{DONE, cli, failed, keys};
use child::{Process, State};
use cluster::Cluster;
use crowd::Crowd;
use plan::Plan;
pub(crate) use plan::usual_operators;
use prepare::{ports_that_are_taken, prepare, usual_directory};
use tell::Teller;

/// How long nodes may take to end by themselves.
const END_MAX: Duration = Duration::from_millis(2_500);
/// How often keys and children are looked at.
const TICK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &cli::Demo) -> ExitCode {
    if let Err(error) = node::program::transcode(None) {
        return failed(error);
    }
    let directory = args.dir.clone().unwrap_or_else(usual_directory);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Settings are found from wherever a child runs.
    let directory = std::path::absolute(&directory).unwrap_or(directory);
    let plan = match Plan::new(args, directory, cores, keys::new_key) {
        Ok(plan) => plan,
        Err(error) => return failed(error),
    };
    if let Some(why) = ports_that_are_taken(&plan) {
        return failed(why);
    }
    let password = match prepare(&plan) {
        Ok(password) => password,
        Err(error) => return failed(format_args!("{}: {error}", plan.directory.display())),
    };
    let stop = Stop::new();
    if let Err(error) = stop.on_signals(None) {
        return failed(error);
    }
    let mut demo = Demo::new(args, plan, stop);
    demo.greet(cores, &password);
    if let Err(error) = demo.start() {
        demo.end();
        return failed(error);
    }
    let is_over = demo.watch_until_the_end();
    // Judged while everybody still runs, told after everybody has ended.
    let wrong = is_over.then(|| demo.verdict());
    demo.end();
    match wrong {
        None => DONE,
        Some(wrong) => demo.tell_verdict(&wrong),
    }
}

struct Demo {
    plan: Plan,
    processes: Vec<Process>,
    teller: Teller,
    shared: watch::Shared,
    cluster: Cluster,
    crowds: Vec<Crowd>,
    fetcher: Fetcher,
    stop: Stop,
    begin: Instant,
    lasts: Option<Duration>,
}

impl Demo {
    fn new(args: &cli::Demo, plan: Plan, stop: Stop) -> Self {
        Self {
            plan,
            processes: Vec::new(),
            teller: Teller::new(args.json),
            shared: watch::Shared::default(),
            cluster: Cluster::default(),
            crowds: Vec::new(),
            fetcher: Fetcher::new(Duration::from_secs(2)),
            stop,
            begin: Instant::now(),
            lasts: args.lasts,
        }
    }

    fn start(&mut self) -> io::Result<()> {
        self.begin = Instant::now();
        // From this thread, which stays: a child ends with the thread that started it.
        for node in self.plan.nodes.clone() {
            self.processes.push(Process::start(node, &self.plan.directory)?);
        }
        let edges = self.edges_that_should_serve();
        {
            let mut watched = self.shared.watched();
            watched.edges.clone_from(&edges);
            watched.broadcasts = self.plan.expected.iter().cloned().collect();
        }
        watch::start(&self.shared, &edges, &self.stop);
        let lbs = self.plan.nodes.iter().filter(|node| node.role == "lb").map(|lb| lb.operator);
        self.cluster.start(lbs.collect(), self.shared.clone(), self.stop.clone());
        Ok(())
    }

    fn edges_that_should_serve(&self) -> Vec<(String, std::net::SocketAddr)> {
        let edges =
            self.processes.iter().filter(|it| it.plan.role == "edge" && it.is_running() && !it.is_draining);
        edges.filter_map(|edge| Some((edge.plan.name.clone(), edge.plan.http()?))).collect()
    }

    /// Until the time is over (`true`), or somebody wants it to end.
    fn watch_until_the_end(&mut self) -> bool {
        let keys = if self.teller.is_json() { None } else { terminal::Keys::listen() };
        let mut told_at = self.begin;
        let mut is_first_told = false;
        while !self.stop.wait_timeout(TICK) {
            while let Some(key) = keys.as_ref().and_then(terminal::Keys::pressed) {
                match key {
                    'k' => self.kill_an_edge(),
                    'r' => self.revive(),
                    'd' => self.drain_an_edge(),
                    'l' => self.add_viewers(),
                    'q' => return false,
                    _ => {}
                }
            }
            self.notice_ends();
            if !is_first_told {
                is_first_told = self.tell_first_picture();
            }
            if told_at.elapsed() >= Duration::from_secs(1) {
                told_at += Duration::from_secs(1);
                self.tell_status();
            }
            if self.lasts.is_some_and(|lasts| self.begin.elapsed() >= lasts) {
                return true;
            }
        }
        false
    }

    fn watch_whom(&self) {
        self.shared.watched().edges = self.edges_that_should_serve();
    }

    /// Nodes that end although nobody wanted it.
    fn notice_ends(&mut self) {
        let mut is_any = false;
        for process in &mut self.processes {
            let Some(status) = process.has_just_ended() else { continue };
            is_any = true;
            let (name, log) = (&process.plan.name, process.plan.log_path(&self.plan.directory));
            let last = last_lines(&log, 3);
            let how = child::how(status);
            let text = format!("{name} {how}; its log is {}{}", log.display(), indented(&last));
            let fields = json!({ "node": name, "how": how, "log": log.display().to_string(), "last": last });
            self.teller.event("ended", &text, fields);
        }
        let crowds = self.crowds.len();
        self.crowds.retain_mut(|crowd| !crowd.has_ended());
        if self.crowds.len() < crowds {
            self.say("simulated viewers left by themselves");
        }
        if is_any {
            self.watch_whom();
        }
    }

    /// What is wrong; empty: video reached every edge that was not taken away by a key.
    fn verdict(&mut self) -> Vec<String> {
        self.notice_ends();
        let mut wrong: Vec<String> = self
            .processes
            .iter()
            .filter_map(|process| match process.state {
                State::Ended { status } => Some(format!("{} {}", process.plan.name, child::how(status))),
                _ => None,
            })
            .collect();
        let edges = self.edges_that_should_serve();
        let names: Vec<&str> = edges.iter().map(|(name, _)| name.as_str()).collect();
        let rungs = self.plan.size.renditions();
        wrong.extend(self.shared.board().verdict(&names, &self.plan.expected, rungs, Instant::now()));
        if names.is_empty() {
            wrong.push("no edge is left".into());
        }
        wrong
    }

    /// Everybody ends: asked first, then made to.
    fn end(&mut self) {
        self.stop.signal();
        self.teller.end();
        self.crowds.clear();
        self.processes.iter().for_each(Process::terminate);
        let asked = Instant::now();
        while asked.elapsed() < END_MAX {
            // Nobody is told of an end that was asked for.
            for process in &mut self.processes {
                let _ = process.has_just_ended();
            }
            if !self.processes.iter().any(Process::is_running) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.processes.clear();
    }
}

fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().rev().take(count).map(str::to_owned).collect();
    lines.reverse();
    lines
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n    {line}")).collect()
}
