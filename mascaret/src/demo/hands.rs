//! What the keys do: an edge is killed, drained, taken back; viewers come.

use serde_json::json;

use super::Demo;
use super::crowd::{CROWDS_MAX, Crowd, VIEWERS};

impl Demo {
    pub(super) fn kill_an_edge(&mut self) {
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

    pub(super) fn revive(&mut self) {
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

    pub(super) fn drain_an_edge(&mut self) {
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

    pub(super) fn add_viewers(&mut self) {
        if self.crowds.len() >= CROWDS_MAX {
            return self.say(&format!("{} simulated viewers are all there are", CROWDS_MAX as u64 * VIEWERS));
        }
        // What is on the air, one after the other; in alphabetical order, as it is told.
        let broadcasts = self.shared.watched().broadcasts.clone();
        let broadcast = broadcasts.iter().cycle().nth(self.crowds.len());
        let lb = self.plan.nodes.iter().find(|node| node.role == "lb").and_then(|lb| lb.http());
        let (Some(broadcast), Some(lb)) = (broadcast, lb) else {
            return self.say("nothing is on the air that viewers could watch");
        };
        match Crowd::start(lb, broadcast, self.crowds.len()) {
            Ok(crowd) => {
                self.crowds.push(crowd);
                let text = format!("{VIEWERS} simulated viewers of {broadcast} arrive over 5 s");
                self.teller.event("viewers", &text, json!({ "viewers": VIEWERS, "broadcast": broadcast }));
            }
            Err(error) => self.say(&format!("simulated viewers could not be started: {error}")),
        }
    }
}
