//! `mascaret status`: the whole cluster, once, in rows.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sight::{Asked, Broadcast, Edge, Intake, Node, Sight};
use crate::{DONE, cli, failed};

/// Events that a person reads; `--json` has them all.
const EVENTS_SHOWN: usize = 8;

pub(crate) fn run(args: &cli::Status) -> ExitCode {
    let sight = Asked::new(&args.nodes).look();
    if sight.nodes.is_empty() {
        return failed("no node answers; start `mascaret demo`, or name operator listeners (10.0.0.5:9090)");
    }
    crate::sys::end_with_our_reader();
    if args.json {
        match serde_json::to_string(&sight) {
            Ok(json) => println!("{json}"),
            Err(error) => return failed(error),
        }
    } else {
        print!("{}", page(&sight));
    }
    if sight.is_any_silent() { ExitCode::from(1) } else { DONE }
}

fn page(sight: &Sight) -> String {
    let mut page = String::new();
    // Writing to memory does not fail.
    let _ = write_page(&mut page, sight);
    page
}

fn write_page(page: &mut String, sight: &Sight) -> std::fmt::Result {
    writeln!(page, "{}", summary(sight))?;
    writeln!(
        page,
        "\n{:<8} {:<18} {:<16} {:>6} {:>9}  readiness",
        "role", "operator", "id", "cores", "memory"
    )?;
    for node in &sight.nodes {
        writeln!(
            page,
            "{:<8} {:<18} {:<16} {:>6} {:>9}  {}",
            node.role,
            node.operator.to_string(),
            node.id,
            node.cpu_cores.map_or_else(none, |cores| format!("{cores:.2}")),
            node.resident_bytes.map_or_else(none, |bytes| format!("{} MB", bytes / 1_000_000)),
            with_lobby(node)
        )?;
    }
    if !sight.edges.is_empty() {
        writeln!(
            page,
            "\n{:<12} {:<11} {:>8} {:>10} {:>6} {:>10} {:>9} {:>14} {:>8}",
            "edge", "state", "viewers", "Mbit/s", "full", "promised", "p99", "newest segment", "late"
        )?;
    }
    for edge in &sight.edges {
        writeln!(
            page,
            "{:<12} {:<11} {:>8} {:>10} {:>6} {:>10} {:>9} {:>14} {:>8}",
            edge.id,
            state(edge),
            edge.viewers.map_or_else(none, |viewers| viewers.to_string()),
            edge.egress_bits.map_or_else(none, mbit),
            edge.filled().map_or_else(none, |part| format!("{:.0} %", part * 100.0)),
            edge.promised_bits.map_or_else(none, mbit),
            edge.p99_ms.map_or_else(none, |p99| format!("{p99:.1} ms")),
            edge.newest_segment_age_ms.map_or_else(none, ago),
            edge.lag_ms.map_or_else(none, late),
        )?;
    }
    for broadcast in &sight.broadcasts {
        writeln!(page, "\n{}", of_broadcast(broadcast))?;
        for intake in &broadcast.ingests {
            writeln!(page, "  {}", of_intake(intake))?;
        }
    }
    if !sight.events.is_empty() {
        writeln!(page, "\nwhat happened (UTC)")?;
    }
    for event in sight.events.iter().rev().take(EVENTS_SHOWN).rev() {
        writeln!(page, "  {} {}", event.clock(), event.text)?;
    }
    Ok(())
}

/// How ready it is, and how long it has had its lobby, or has not.
fn with_lobby(node: &Node) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    match &node.lobby {
        Some(lobby) => format!("{} · {}", node.readiness, lobby.shown(now)),
        None => node.readiness.clone(),
    }
}

/// `1 viewer`, `2 viewers`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// One line for all of it.
pub(crate) fn summary(sight: &Sight) -> String {
    let ready = sight.edges.iter().filter(|edge| edge.state == "ready").count();
    let saturation = sight.saturation.as_deref().map_or_else(String::new, |word| format!(" · {word}"));
    format!(
        "{ready}/{} edges ready · {} · {} · {} Mbit/s{saturation}",
        sight.edges.len(),
        counted(sight.broadcasts.len() as u64, "broadcast"),
        sight.viewers.map_or_else(|| format!("{} viewers", none()), |viewers| counted(viewers, "viewer")),
        sight.egress_bits.map_or_else(none, mbit),
    )
}

/// Its state, and what the operator says of it where that is something else.
pub(crate) fn state(edge: &Edge) -> String {
    match edge.standing.as_deref() {
        Some(standing) if standing != "active" && edge.state != "draining" => {
            format!("{} ({standing})", edge.state)
        }
        _ => edge.state.clone(),
    }
}

pub(crate) fn of_broadcast(broadcast: &Broadcast) -> String {
    let renditions: Vec<String> = broadcast
        .renditions
        .iter()
        .map(|it| match it.bandwidth_bits {
            Some(bits) => format!("{} {}M", it.id, mbit(bits)),
            None => it.id.clone(),
        })
        .collect();
    let codecs = broadcast.renditions.first().and_then(|it| it.codecs.as_deref());
    let codecs = codecs.map_or_else(String::new, |codecs| format!(" · {codecs}"));
    let age =
        broadcast.newest_segment_age_ms.map_or_else(String::new, |age| format!(" · newest {}", ago(age)));
    let viewers =
        broadcast.viewers.map_or_else(String::new, |viewers| format!(" · {}", counted(viewers, "viewer")));
    let (id, edges, ladder) = (&broadcast.id, counted(broadcast.edges, "edge"), renditions.join(", "));
    format!("{id}{viewers} · on {edges} · {ladder}{codecs}{age}")
}

pub(crate) fn of_intake(intake: &Intake) -> String {
    let mut said = intake.ingest.clone();
    let mut add = |part: String| {
        said.push_str(" · ");
        said.push_str(&part);
    };
    if let Some(part) = &intake.part {
        add(part.clone());
    }
    match &intake.publisher {
        Some(publisher) => add(format!("from {publisher}")),
        None => add("no publisher".into()),
    }
    if let Some(bits) = intake.input_bits {
        add(format!("{} Mbit/s in", mbit(bits)));
    }
    if let Some(group) = intake.picture_group_ms {
        add(format!("a picture group each {:.1} s", group as f64 / 1e3));
    }
    if let Some(behind) = intake.behind_ms.filter(|behind| *behind >= 1000) {
        add(format!("the encoder is {:.1} s behind", behind as f64 / 1e3));
    }
    if let Some(shed) = &intake.shed {
        add(format!("given up: {shed}"));
    }
    if let Some(gaps) = intake.gaps.filter(|gaps| *gaps > 0) {
        add(format!("{gaps} gaps"));
    }
    said
}

pub(crate) fn mbit(bits: u64) -> String {
    format!("{:.1}", bits as f64 / 1e6)
}

pub(crate) fn ago(ms: u64) -> String {
    format!("{:.1} s ago", ms as f64 / 1e3)
}

/// How late segments become complete somewhere; of seven letters for almost three hours.
pub(crate) fn late(ms: u64) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { format!("{} s", ms / 1000) }
}

fn none() -> String {
    "-".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sight::Happened;
    use crate::sight::rows::Linked;

    #[test]
    fn every_part_of_the_cluster_has_a_row() {
        let intake = Intake {
            ingest: "ingest1".into(),
            publisher: Some("10.0.0.9:4000".into()),
            part: Some("leads".into()),
            input_bits: Some(3_100_000),
            picture_group_ms: Some(2000),
            behind_ms: Some(1500),
            gaps: Some(2),
            ..Intake::default()
        };
        let sight = Sight {
            viewers: Some(300),
            egress_bits: Some(900_000_000),
            saturation: Some("plenty".into()),
            nodes: vec![Node {
                operator: "127.0.0.31:9090".parse().unwrap(),
                role: "lb".into(),
                id: "lb1".into(),
                answers: true,
                readiness: "ready".into(),
                version: None,
                cpu_cores: Some(0.5),
                resident_bytes: Some(9_000_000),
                lobby: Some(Linked { is_up: false, since_ms: 0 }),
            }],
            edges: vec![Edge {
                id: "edge1".into(),
                state: "ready".into(),
                standing: Some("drain".into()),
                viewers: Some(300),
                egress_bits: Some(900_000_000),
                capacity_bits: Some(1_000_000_000),
                p99_ms: Some(3.24),
                newest_segment_age_ms: Some(900),
                lag_ms: Some(1240),
                ..Edge::default()
            }],
            broadcasts: vec![Broadcast {
                id: "tide".into(),
                edges: 1,
                ingests: vec![intake],
                ..Broadcast::default()
            }],
            events: vec![Happened {
                number: 1,
                unix_ms: 36_192_000,
                level: "warn".into(),
                kind: "edge_lost".into(),
                text: "edge2 is lost".into(),
            }],
        };
        let page = page(&sight);
        for part in [
            "1/1 edges ready · 1 broadcast · 300 viewers · 900.0 Mbit/s · plenty",
            "lb       127.0.0.31:9090    lb1                0.50      9 MB  ready · NO LOBBY for ",
            "edge1        ready (drain)      300      900.0   90 %",
            "    3.2 ms      0.9 s ago  1240 ms",
            "ingest1 · leads · from 10.0.0.9:4000 · 3.1 Mbit/s in · a picture group each 2.0 s · the encoder is 1.5 s behind · 2 gaps",
            "10:03:12 edge2 is lost",
        ] {
            assert!(page.contains(part), "{part:?} is not in\n{page}");
        }
    }
}
