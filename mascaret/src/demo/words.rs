//! What is said: the greeting, a status a second, the verdict.

use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;

use super::child::State;
use super::crowd::{Crowd, Mood};
use super::host::HOST;
use super::{Demo, watch};
use crate::DONE;
use crate::status::counted;

impl Demo {
    /// What was chosen, and what a person does now.
    pub(super) fn greet(&self, cores: usize, password: &str) {
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
        let lobby = plan.nodes.iter().find(|node| node.role == "lobby").and_then(|it| it.http());
        let lobby = lobby.map(|at| at.to_string()).unwrap_or_default();
        let (watch, tls) = (plan.watch("http"), plan.watch("https"));
        let (servers, stream_key) = plan.publish();
        let (watch_0, tls_0) = (watch[0], tls[0]);
        let ca = plan.certificates().join("ca.pem");
        let text = format!(
            "{} sources → {} ingests → {} edges ← {} balancers, and a lobby, sized for {cores} cores:\n\
             pattern {picture}, copied; made beside it: {}\n\n\
             watch    http://{watch_0}/   (or http://{}/)\n\
             \x20        https://{tls_0}/  once the browser trusts {}\n\
             play     ffplay http://{watch_0}/live/{}/index.m3u8\n\
             chat     http://{lobby}/watch/{}   sign in at http://{lobby}/ as {HOST}, password {password}\n\
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
            plan.expected.first().map_or("studio", String::as_str),
            servers[0],
            servers[0],
            plan.directory.display(),
            "keys     k kill an edge · r revive it · d drain one · l add 100 viewers · q quit\n"
        );
        let fields = json!({
            "cores": cores,
            "pattern": { "width": size.width, "height": size.height, "frame_rate": size.frame_rate, "kbits": size.bitrate },
            "rungs": size.rungs,
            "broadcasts": plan.expected,
            "watch": watch.iter().map(|at| format!("http://{at}/")).collect::<Vec<_>>(),
            "watch_tls": tls.iter().map(|at| format!("https://{at}/")).collect::<Vec<_>>(),
            "ca": ca.display().to_string(),
            "lobby": { "at": format!("http://{lobby}/"), "name": HOST, "password": password },
            "publish": { "servers": servers, "stream_key": stream_key },
            "edges": plan.nodes.iter().filter(|node| node.role == "edge")
                .filter_map(|node| Some(json!({ "id": node.name, "http": node.http()?.to_string() }))).collect::<Vec<_>>(),
            "directory": plan.directory.display().to_string(),
        });
        self.teller.event("start", &text, fields);
    }

    pub(super) fn say(&self, text: &str) {
        self.teller.event("note", text, json!({ "text": text }));
    }

    /// Once: when every edge lists every expected broadcast.
    pub(super) fn tell_first_picture(&self) -> bool {
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

    pub(super) fn tell_status(&self) {
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
            format!("{}, {mbits:.1} Mbit/s", counted(viewers, "viewer")),
        ];
        parts.extend(states);
        let mood = self.crowds.iter().map(Crowd::mood).reduce(Mood::and);
        if let Some(mood) = mood {
            // Who pressed the key looks for it, and a narrow terminal cuts the end of the line.
            parts.insert(2, mood.told());
        }
        let fields = json!({
            "edges": edges.len(), "edges_fed": fed, "newest": newest, "segments_compared": compared,
            "faults": faults, "viewers": viewers, "mbits": mbits,
            "simulated": mood.map(|mood| json!({
                "fine": mood.fine, "starting": mood.starting, "stalled": mood.stalled, "gave_up": mood.gave_up,
            })),
        });
        self.teller.status(&parts.join(" · "), fields);
    }

    pub(super) fn tell_verdict(&self, wrong: &[String]) -> ExitCode {
        let board = self.shared.board();
        let compared = board.compared;
        let gaps: u64 = board.seen.values().map(|seen| seen.gaps).sum();
        let cores = self.cores_used();
        let fields = json!({
            "ok": wrong.is_empty(), "wrong": wrong, "segments_compared": compared, "gaps": gaps, "cores_used": cores,
        });
        let text = if wrong.is_empty() {
            format!(
                "video reached every edge: {compared} segments fetched, the same bytes on all edges, {gaps} gaps; \
                 the cluster used {cores:.2} cores"
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
        let Some(cpu) = crate::sys::cpu_of_children() else { return 0.0 };
        let cores = cpu.as_secs_f64() / self.begin.elapsed().as_secs_f64();
        (cores * 100.0).round() / 100.0
    }
}
