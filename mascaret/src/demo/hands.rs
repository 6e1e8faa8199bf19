//! What the keys do: an edge is killed, drained, taken back.

use serde_json::json;

use super::Demo;

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
}
