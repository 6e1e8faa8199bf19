//! `mascaret demo`: a whole cluster on this machine, every role a real process on an address of its own.
//!
//! ```text
//!  2 sources ─▶ 2 ingests ─▶ 4 edges ◀─ 2 balancers
//!                              ▲
//!                 watch: every edge, every rendition, every segment
//! ```
//!
//! Lives here: the order of things. Does not live here: what runs where (`plan`), one process (`child`), what
//! is seen (`watch`), how it is said (`tell`).

mod child;
mod cluster;
mod plan;
mod ports;
mod tell;
mod terminal;
mod watch;

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use node::Stop;
use serde_json::json;

use crate::fetch::Fetcher;
use crate::{DONE, cli, failed, keys};
use child::{Process, State};
use cluster::Cluster;
use plan::Plan;
pub(crate) use plan::usual_operators;
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
    if let Err(error) = prepare(&plan) {
        return failed(format_args!("{}: {error}", plan.directory.display()));
    }
    let stop = Stop::new();
    if let Err(error) = stop.on_signals() {
        return failed(error);
    }
    let mut demo = Demo::new(args, plan, stop);
    demo.greet(cores);
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

fn usual_directory() -> PathBuf {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let state =
        std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home);
    state.unwrap_or_else(std::env::temp_dir).join("mascaret/demo")
}

fn ports_that_are_taken(plan: &Plan) -> Option<String> {
    let taken = ports::taken(plan.addresses().map(|(_, _, address)| address));
    if taken.is_empty() {
        return None;
    }
    let mut lines = vec!["some addresses are not free:".to_owned()];
    for taken in taken {
        let whose = plan.addresses().find(|(_, _, address)| *address == taken.address);
        let wanted = whose.map(|(name, what, _)| format!("{name}, {what}")).unwrap_or_default();
        let why = match (taken.by, taken.error) {
            (Some(by), _) => format!("taken by {by}"),
            (None, Some(error)) => error,
            (None, None) => "taken by a process of somebody else".into(),
        };
        lines.push(format!("  {} ({wanted}): {why}", taken.address));
    }
    lines.push("end that process, or move all ports with --port-offset 1000".into());
    Some(lines.join("\n"))
}

/// Certificates, keys, folders.
fn prepare(plan: &Plan) -> io::Result<()> {
    fs::create_dir_all(&plan.directory)?;
    node::certs::init(&plan.certificates(), &plan.names()).map_err(io::Error::other)?;
    if !plan.ticket_key().exists() {
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        write_secret(&plan.ticket_key(), &hex)?;
    }
    plan.keys.iter().try_for_each(|(broadcast, key)| write_secret(&plan.key_path(broadcast), key))
}

fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, secret.as_bytes())
}

struct Demo {
    plan: Plan,
    processes: Vec<Process>,
    teller: Teller,
    shared: watch::Shared,
    cluster: Cluster,
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
            fetcher: Fetcher::new(Duration::from_secs(2)),
            stop,
            begin: Instant::now(),
            lasts: args.lasts,
        }
    }

    /// What was chosen, and what a person does now.
    fn greet(&self, cores: usize) {
        let plan = &self.plan;
        let count = |role: &str| plan.nodes.iter().filter(|node| node.role == role).count();
        let size = &plan.size;
        let picture = format!(
            "{}x{} at {} pictures/s, {:.1} Mbit/s",
            size.width,
            size.height,
            size.frame_rate,
            f64::from(size.bitrate) / 1e3
        );
        let (watch, tls) = (plan.watch("http"), plan.watch("https"));
        let (servers, stream_key) = plan.publish();
        let (watch_0, tls_0) = (watch[0], tls[0]);
        let ca = plan.certificates().join("ca.pem");
        let text = format!(
            "{} sources → {} ingests → {} edges ← {} balancers, sized for {cores} cores:\n\
             pattern {picture}, copied; made beside it: {}\n\n\
             watch    http://{watch_0}/   (or http://{}/)\n\
             \x20        https://{tls_0}/  once the browser trusts {}\n\
             play     ffplay http://{watch_0}/live/{}/index.m3u8\n\
             publish  OBS: server {}   stream key {stream_key}\n\
             \x20        ffmpeg -re -i FILE -c:v libx264 -g 50 -bf 0 -c:a aac -f flv '{}/{stream_key}'\n\
             files    {}\n{}",
            count("source"),
            count("ingest"),
            count("edge"),
            count("lb"),
            if size.rungs.is_empty() { "nothing".into() } else { size.rungs.join(", ") },
            watch[1],
            ca.display(),
            plan.expected.first().map_or("studio", String::as_str),
            servers[0],
            servers[0],
            plan.directory.display(),
            "keys     k kill an edge · r revive it · d drain one · q quit\n"
        );
        let fields = json!({
            "cores": cores,
            "pattern": { "width": size.width, "height": size.height, "frame_rate": size.frame_rate, "kbits": size.bitrate },
            "rungs": size.rungs,
            "broadcasts": plan.expected,
            "watch": watch.iter().map(|at| format!("http://{at}/")).collect::<Vec<_>>(),
            "watch_tls": tls.iter().map(|at| format!("https://{at}/")).collect::<Vec<_>>(),
            "ca": ca.display().to_string(),
            "publish": { "servers": servers, "stream_key": stream_key },
            "edges": plan.nodes.iter().filter(|node| node.role == "edge")
                .filter_map(|node| Some(json!({ "id": node.name, "http": node.http()?.to_string() }))).collect::<Vec<_>>(),
            "directory": plan.directory.display().to_string(),
        });
        self.teller.event("start", &text, fields);
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
                    'l' => self.say("simulated viewers are not in this program yet"),
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

    fn say(&self, text: &str) {
        self.teller.event("note", text, json!({ "text": text }));
    }

    fn kill_an_edge(&mut self) {
        let Some(edge) = self.processes.iter_mut().rfind(|it| it.plan.role == "edge" && it.is_running())
        else {
            return self.say("no edge is left to kill; r revives one");
        };
        edge.kill();
        let name = edge.plan.name.clone();
        self.teller.event(
            "killed",
            &format!("{name} killed (SIGKILL); r revives it"),
            json!({ "node": name }),
        );
        self.watch_whom();
    }

    fn revive(&mut self) {
        if let Some(node) = self.processes.iter_mut().find(|it| !it.is_running()) {
            let name = node.plan.name.clone();
            match node.restart(&self.plan.directory) {
                Ok(()) => {
                    self.teller.event("revived", &format!("{name} started again"), json!({ "node": name }))
                }
                Err(error) => self.say(&format!("{name} could not be started: {error}")),
            }
            self.shared.board().forget_edge(&name);
        } else if let Some(edge) = self.processes.iter_mut().find(|it| it.is_draining) {
            let name = edge.plan.name.clone();
            match self.fetcher.post(&format!("http://{}/admin/ready", edge.plan.operator)) {
                Ok(_) => {
                    edge.is_draining = false;
                    self.shared.board().forget_edge(&name);
                    self.teller.event(
                        "ready",
                        &format!("{name} takes viewers again"),
                        json!({ "node": name }),
                    );
                }
                Err(error) => self.say(&error),
            }
        } else {
            return self.say("everybody is alive; k kills an edge");
        }
        self.watch_whom();
    }

    fn drain_an_edge(&mut self) {
        let mut edges = self.processes.iter_mut();
        let Some(edge) = edges.rfind(|it| it.plan.role == "edge" && it.is_running() && !it.is_draining)
        else {
            return self.say("no edge is left to drain; r takes one back");
        };
        let name = edge.plan.name.clone();
        match self.fetcher.post(&format!("http://{}/admin/drain", edge.plan.operator)) {
            Ok(_) => {
                edge.is_draining = true;
                let text = format!("{name} drains: no new viewers, the others are led away; r takes it back");
                self.teller.event("draining", &text, json!({ "node": name }));
            }
            Err(error) => self.say(&error),
        }
        self.watch_whom();
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
        if is_any {
            self.watch_whom();
        }
    }

    /// Once: when every edge lists every expected broadcast.
    fn tell_first_picture(&self) -> bool {
        let edges = self.edges_that_should_serve();
        let board = self.shared.board();
        let has = |edge: &str, broadcast: &String| {
            let count = board.seen.keys().filter(|place| place.0 == edge && place.1 == *broadcast).count();
            count >= self.plan.size.renditions()
        };
        let is_everywhere = !self.plan.expected.is_empty()
            && edges.iter().all(|(edge, _)| self.plan.expected.iter().all(|broadcast| has(edge, broadcast)));
        drop(board);
        if is_everywhere {
            let after = self.begin.elapsed();
            let text = format!("every edge has every rung, {:.1} s after the start", after.as_secs_f64());
            self.teller.event("fed", &text, json!({ "fed_after_ms": after.as_millis() as u64 }));
        }
        is_everywhere
    }

    fn tell_status(&self) {
        let edges: Vec<_> = self.processes.iter().filter(|it| it.plan.role == "edge").collect();
        let serving = self.edges_that_should_serve();
        let now = Instant::now();
        let board = self.shared.board();
        let is_fresh = |edge: &str| {
            let mut of = board.seen.iter().filter(|(place, _)| place.0 == edge).peekable();
            of.peek().is_some() && of.all(|(_, seen)| now.duration_since(seen.advanced_at) < watch::STALE)
        };
        let fed = serving.iter().filter(|(edge, _)| is_fresh(edge)).count();
        let newest: Vec<String> = board
            .renditions
            .keys()
            .map(|broadcast| {
                let of = board.seen.iter().filter(|(place, _)| place.1 == *broadcast);
                format!("{broadcast} #{}", of.map(|(_, seen)| seen.newest).max().unwrap_or(0))
            })
            .collect();
        let (compared, faults) =
            (board.seen.values().map(|seen| seen.compared).sum::<u64>(), board.fault_count);
        drop(board);
        let (viewers, mbits) = self.cluster.load();
        // An edge counts connections; one at each is ours.
        let viewers = viewers.saturating_sub(serving.len() as u64);
        let states: Vec<String> = edges
            .iter()
            .map(|edge| match &edge.state {
                State::Running { .. } if edge.is_draining => format!("{} draining", edge.plan.name),
                State::Running { .. } => String::new(),
                State::Killed => format!("{} killed", edge.plan.name),
                State::Ended { .. } => format!("{} ended", edge.plan.name),
            })
            .filter(|state| !state.is_empty())
            .collect();
        let seconds = self.begin.elapsed().as_secs();
        let left = self.lasts.map(|lasts| format!(" of {} s", lasts.as_secs())).unwrap_or_default();
        let mut parts = vec![
            format!("{:02}:{:02}{left}", seconds / 60, seconds % 60),
            format!("{fed}/{} edges fed", edges.len()),
            if newest.is_empty() { "nothing on the air yet".into() } else { newest.join(", ") },
            format!("{compared} segments compared, {faults} faults"),
            format!("{viewers} viewers, {mbits:.1} Mbit/s"),
        ];
        parts.extend(states);
        let fields = json!({
            "edges": edges.len(), "edges_fed": fed, "newest": newest, "segments_compared": compared,
            "faults": faults, "viewers": viewers, "mbits": mbits,
        });
        self.teller.status(&parts.join(" · "), fields);
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

    fn tell_verdict(&self, wrong: &[String]) -> ExitCode {
        let board = self.shared.board();
        let compared = board.compared;
        let gaps: u64 = board.seen.values().map(|seen| seen.gaps).sum();
        let fields =
            json!({ "ok": wrong.is_empty(), "wrong": wrong, "segments_compared": compared, "gaps": gaps });
        let text = if wrong.is_empty() {
            format!(
                "video reached every edge: {compared} segments fetched, the same bytes on all edges, {gaps} gaps"
            )
        } else {
            format!(
                "video did not reach every edge:\n  {}\nlogs: {}/logs",
                wrong.join("\n  "),
                self.plan.directory.display()
            )
        };
        self.teller.event("verdict", &text, fields);
        if wrong.is_empty() { DONE } else { ExitCode::from(1) }
    }

    /// CPU of all nodes and their helpers over wall time; known once they have ended.
    fn cores_used(&self) -> f64 {
        // SAFETY: an all-zero rusage is a valid place for getrusage to write to.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` lives over the call; RUSAGE_CHILDREN is a valid subject.
        if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) } != 0 {
            return 0.0;
        }
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        let cores = (seconds(usage.ru_utime) + seconds(usage.ru_stime)) / self.begin.elapsed().as_secs_f64();
        (cores * 100.0).round() / 100.0
    }

    /// Everybody ends: asked first, then made to.
    fn end(&mut self) {
        self.stop.signal();
        self.teller.end();
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
