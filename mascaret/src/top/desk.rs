//! What is selected, what is asked before it is done, and what a key comes to. No terminal, no socket.

use std::net::SocketAddr;

use crate::sight::{Edge, Sight};

/// A key, as far as it means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Up,
    Down,
    Drain,
    Ready,
    Yes,
    No,
    /// Lines of the log among the events, or not.
    Lines,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    None,
    End,
    /// What the operator wants of an edge, said where it is written down; else the edge's own switch. The first that does not
    /// say "not found" is meant.
    Post {
        ways: Vec<(SocketAddr, String)>,
        edge: String,
    },
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) text: String,
    act: Act,
}

/// Everything the screen shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Desk {
    pub(super) sight: Option<Sight>,
    /// By name, so that it stays where it is when an edge before it comes or goes.
    selected: Option<String>,
    pub(super) question: Option<Question>,
    /// What came of the last act.
    pub(super) said: String,
    pub(super) has_lines: bool,
}

impl Desk {
    pub(super) fn see(&mut self, sight: Sight) {
        let is_there = |id: &String| sight.edges.iter().any(|edge| edge.id == *id);
        if !self.selected.as_ref().is_some_and(is_there) {
            self.selected = sight.edges.first().map(|edge| edge.id.clone());
        }
        self.sight = Some(sight);
    }

    pub(super) fn edges(&self) -> &[Edge] {
        self.sight.as_ref().map_or(&[], |sight| &sight.edges)
    }

    /// The selected edge's place.
    pub(super) fn place(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.edges().iter().position(|edge| edge.id == *selected)
    }

    pub(super) fn press(&mut self, key: Key) -> Act {
        if let Some(question) = self.question.take() {
            return match key {
                Key::Yes => question.act,
                // Whoever is asked and wants to leave does not leave the program at once.
                _ => {
                    self.said = "nothing done".into();
                    Act::None
                }
            };
        }
        match key {
            Key::Quit => return Act::End,
            Key::Up => self.step(-1),
            Key::Down => self.step(1),
            Key::Drain => self.ask("drain"),
            Key::Ready => self.ask("ready"),
            Key::Lines => self.has_lines = !self.has_lines,
            Key::Yes | Key::No => {}
        }
        Act::None
    }

    /// What came of an act.
    pub(super) fn hear(&mut self, edge: &str, outcome: Result<String, String>) {
        self.said = match outcome {
            Ok(said) => format!("{edge}: {said}"),
            Err(why) => format!("{edge}: not done: {why}"),
        };
    }

    fn step(&mut self, by: isize) {
        let (Some(place), last) = (self.place(), self.edges().len().saturating_sub(1)) else { return };
        let place = place.saturating_add_signed(by).min(last);
        self.selected = self.edges().get(place).map(|edge| edge.id.clone());
    }

    fn ask(&mut self, switch: &str) {
        let Some(edge) = self.place().and_then(|place| self.edges().get(place)).cloned() else {
            self.said = "no edge is selected".into();
            return;
        };
        let nodes = self.sight.iter().flat_map(|sight| &sight.nodes);
        let balancer = nodes.into_iter().find(|node| node.role == "lb" && node.answers);
        let written = balancer.map(|node| (node.operator, format!("/admin/edges/{}/{switch}", edge.id)));
        let own = edge.operator.map(|operator| (operator, format!("/admin/{switch}")));
        let ways: Vec<_> = written.into_iter().chain(own).collect();
        if ways.is_empty() {
            self.said = format!(
                "{}: neither a balancer's operator listener is known nor its own (lb.nodes)",
                edge.id
            );
            return;
        }
        let text = match switch {
            "drain" => {
                let viewers = edge.viewers.map_or_else(|| "its".into(), |viewers| viewers.to_string());
                format!("drain {}? {viewers} viewers go to other edges", edge.id)
            }
            _ => format!("let {} take viewers again?", edge.id),
        };
        let act = Act::Post { ways, edge: edge.id };
        self.question = Some(Question { text, act });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn seen(names: &[&str]) -> Sight {
        let edge = |name: &&str| Edge {
            id: (*name).into(),
            state: "ready".into(),
            viewers: Some(12),
            egress_bits: Some(400_000_000),
            capacity_bits: Some(1_000_000_000),
            operator: Some("127.0.0.21:9090".parse().unwrap()),
            ..Edge::default()
        };
        Sight { edges: names.iter().map(edge).collect(), viewers: Some(12), ..Sight::default() }
    }

    #[test]
    fn an_edge_is_drained_only_by_yes() {
        let mut desk = Desk::default();
        desk.see(seen(&["edge1", "edge2"]));
        assert_eq!(desk.press(Key::Down), Act::None);
        assert_eq!(desk.press(Key::Drain), Act::None);
        assert_eq!(desk.question.as_ref().unwrap().text, "drain edge2? 12 viewers go to other edges");
        assert_eq!(desk.press(Key::Quit), Act::None, "it leaves the question, not the program");
        desk.press(Key::Drain);
        let Act::Post { ways, edge } = desk.press(Key::Yes) else { panic!("nothing is done") };
        let paths: Vec<&str> = ways.iter().map(|(_, path)| path.as_str()).collect();
        assert_eq!((&paths[..], edge.as_str()), (&["/admin/drain"][..], "edge2"));
        assert_eq!(desk.press(Key::Yes), Act::None, "once");
        assert_eq!(desk.press(Key::Quit), Act::End);
    }

    #[test]
    fn the_selection_stays_with_its_edge_and_within_the_list() {
        let mut desk = Desk::default();
        desk.press(Key::Down);
        desk.press(Key::Drain);
        assert_eq!((desk.question.as_ref(), desk.said.as_str()), (None, "no edge is selected"));
        desk.see(seen(&["b", "c"]));
        (0..5).for_each(|_| drop(desk.press(Key::Down)));
        assert_eq!(desk.place(), Some(1));
        desk.see(seen(&["a", "b", "c"]));
        assert_eq!(desk.place(), Some(2), "c, where it is now");
        desk.see(seen(&["a"]));
        (0..5).for_each(|_| drop(desk.press(Key::Up)));
        assert_eq!(desk.place(), Some(0));
    }

    #[test]
    fn where_a_balancer_answers_it_is_told_and_the_edge_itself_only_if_that_knows_no_way() {
        let mut desk = Desk::default();
        let mut sight = seen(&["edge1"]);
        let lb = crate::sight::Node {
            operator: "127.0.0.31:9090".parse().unwrap(),
            role: "lb".into(),
            id: "lb1".into(),
            answers: true,
            readiness: "ready".into(),
            version: None,
            cpu_cores: None,
            resident_bytes: None,
            lobby: None,
        };
        sight.nodes = vec![lb];
        desk.see(sight);
        desk.press(Key::Ready);
        let Act::Post { ways, .. } = desk.press(Key::Yes) else { panic!("nothing is done") };
        let said: Vec<String> = ways.iter().map(|(at, path)| format!("{at}{path}")).collect();
        assert_eq!(said, ["127.0.0.31:9090/admin/edges/edge1/ready", "127.0.0.21:9090/admin/ready"]);
    }

    #[test]
    fn an_edge_without_an_operator_is_not_asked_about() {
        let mut desk = Desk::default();
        let mut sight = seen(&["edge1"]);
        sight.edges[0].operator = None;
        desk.see(sight);
        desk.press(Key::Drain);
        assert!(desk.question.is_none() && desk.said.contains("lb.nodes"), "{}", desk.said);
    }
}
