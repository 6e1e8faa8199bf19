//! `mascaret plan`: how many edges, of which size, and what the loss of one does to the others.
//!
//! Lives here: how it is said. Does not live here: the sums (`sum`), what was measured (`costs`).

mod costs;
mod sum;

use std::fmt::Write;
use std::process::ExitCode;

use serde_json::json;

use crate::{DONE, cli, failed};
use costs::Costs;
use sum::{Fleet, Layers, Wanted};

pub(crate) fn run(args: &cli::Plan) -> ExitCode {
    let Some(costs) = Costs::measured() else {
        return failed("benches/results/edge.json, as it was when this program was built, has other rows");
    };
    let wanted = Wanted {
        viewers: u64::from(args.viewers),
        bitrate: args.bitrate,
        link: args.link,
        redundancy: u64::from(args.redundancy),
        broadcasts: u64::from(args.broadcasts),
        ladder: if args.ladder.is_empty() { vec![args.bitrate] } else { args.ladder.clone() },
        segment: args.segment.as_secs_f64(),
        window: u64::from(args.window),
        ingest_link: args.ingest_link.unwrap_or(args.link),
        tls: args.tls,
    };
    let fleet = wanted.fleet(&costs);
    if args.json {
        println!("{}", json!({ "wanted": wanted, "fleet": fleet, "cpu_measured": costs.source }));
    } else {
        print!("{}", page(&wanted, &fleet, &costs));
    }
    DONE
}

fn page(wanted: &Wanted, fleet: &Fleet, costs: &Costs) -> String {
    let mut page = String::new();
    // Writing to memory does not fail.
    let _ = write_page(&mut page, wanted, fleet, costs);
    page
}

fn write_page(page: &mut String, wanted: &Wanted, fleet: &Fleet, costs: &Costs) -> std::fmt::Result {
    let (usual, lost) = (&fleet.usual, &fleet.lost);
    writeln!(
        page,
        "{} viewers at {} each are {} of media.",
        wanted.viewers,
        rate(wanted.bitrate),
        rate(wanted.viewers * wanted.bitrate)
    )?;
    writeln!(page, "\n{} edges with a line of {} each.", fleet.edges, rate(wanted.link))?;
    writeln!(page, "\n{:<28} {:>14} {:>22}", "", "all there", lost_heading(wanted.redundancy))?;
    let rows = [
        ("viewers of an edge", usual.viewers.to_string(), lost.viewers.to_string()),
        ("media from an edge", rate(usual.egress), rate(lost.egress)),
        ("of its capacity", percent(usual.filled), percent(lost.filled)),
        ("of its line, with headers", percent(usual.of_link), percent(lost.of_link)),
    ];
    for (what, all, fewer) in rows {
        writeln!(page, "{what:<28} {all:>14} {fewer:>22}")?;
    }
    if fleet.edges > 1 {
        writeln!(
            page,
            "\nOne edge lost: {} viewers move, {} more to each of the other {}.",
            fleet.moving,
            fleet.moving.div_ceil(fleet.edges - 1),
            fleet.edges - 1
        )?;
    } else {
        writeln!(page, "\nOne edge alone: its loss ends the broadcast for everybody (--redundancy 1).")?;
    }
    write_feed(page, wanted, fleet)?;
    let memory = &fleet.memory;
    writeln!(
        page,
        "\nAn edge's memory: {} for windows, {} for connections, and up to {} in the kernel's sockets.",
        bytes(memory.windows),
        bytes(memory.connections),
        bytes(memory.sockets)
    )?;
    writeln!(
        page,
        "An edge's CPU:    {:.2} cores busy with {}; have {}.",
        fleet.cpu.busy,
        if wanted.redundancy == 0 { "all its viewers" } else { "its viewers and those of lost edges" },
        fleet.cpu.cores
    )?;
    write_settings(page, wanted, fleet)?;
    write_assumptions(page, wanted, costs)
}

fn lost_heading(redundancy: u64) -> String {
    match redundancy {
        0 => "none may be lost".into(),
        1 => "one lost".into(),
        more => format!("{more} lost"),
    }
}

fn write_feed(page: &mut String, wanted: &Wanted, fleet: &Fleet) -> std::fmt::Result {
    let feed = &fleet.feed;
    let each = rate(feed.media);
    match feed.layers {
        Layers::Star => writeln!(
            page,
            "\nFeeding: a star. Each ingest sends {each} to each of {} edges, {} of its line; it could feed {}.",
            fleet.edges,
            percent(feed.of_ingest_link),
            feed.direct_max
        ),
        Layers::Relays(relays) => writeln!(
            page,
            "\nFeeding: {} edges are more than the {} an ingest's line of {} can feed with {each} each: one relay \
             layer of {relays} nodes beside the edges (lines as theirs), {} of the ingest's line.",
            fleet.edges,
            feed.direct_max,
            rate(wanted.ingest_link),
            percent(feed.of_ingest_link)
        ),
        Layers::TooMany => writeln!(
            page,
            "\nFeeding: {} edges with {each} each are more than one relay layer behind an ingest's line of {} can feed. \
             Give ingests a larger line, or spread the broadcasts over more ingests.",
            fleet.edges,
            rate(wanted.ingest_link)
        ),
    }
}

fn write_settings(page: &mut String, wanted: &Wanted, fleet: &Fleet) -> std::fmt::Result {
    // Over nine tenths of it no new broadcast is taken; and half as much again for what nobody foresaw.
    let window_memory = ((fleet.memory.windows as f64 * 1.5 / 1e6) as u64).max(256).next_multiple_of(64);
    // Two for a page that asks two edges, spread unevenly by the kernel.
    let connections =
        (fleet.lost.viewers * 3).div_ceil(fleet.cpu.cores).next_multiple_of(1024).clamp(32_768, 1_000_000);
    writeln!(page, "\nSettings that follow:")?;
    writeln!(page, "  # edge.toml")?;
    writeln!(page, "  capacity = \"{} Mbit/s\"", fleet.capacity / 1_000_000)?;
    writeln!(page, "  window_memory = \"{window_memory} MB\"")?;
    writeln!(page, "  cores = {}", fleet.cpu.cores)?;
    if connections > 32_768 {
        writeln!(page, "  [limits]\n  connections_per_core = {connections}")?;
    }
    writeln!(page, "  # ingest.toml")?;
    writeln!(page, "  segment = \"{} ms\"\n  window = {}", (wanted.segment * 1e3).round(), wanted.window)
}

fn write_assumptions(page: &mut String, wanted: &Wanted, costs: &Costs) -> std::fmt::Result {
    writeln!(
        page,
        "\nAssumed:
  - a line carries 1448 bytes of media in 1538 on the wire (Ethernet, IPv4, TCP with timestamps);
  - balancers fill an edge to 90 % of `capacity`, and from 85 % of that new viewers get no top rendition: the plan
    stays below with {} lost; viewers spread evenly;
  - the bit rate is what a viewer takes on average, sound included; {} rungs of {} in all are made;
  - an edge holds a window twice and three segments more of each rung, {} segments of {} s;
  - both ingests feed every edge; an ingest's line is filled to 70 % at most;
  - CPU as measured on one machine ({}): {:.2} s for a GB to viewers 20 Mbit/s away, {:.1} µs for a playlist{}.
    Another machine differs: `make bench`. Cores are planned to be 70 % busy. The ladder's CPU is the ingests',
    and not in this plan: benches/results/transcode.txt.",
        match wanted.redundancy {
            0 => "no edge".to_owned(),
            1 => "one edge".to_owned(),
            more => format!("{more} edges"),
        },
        wanted.ladder.len(),
        rate(wanted.ladder.iter().sum()),
        wanted.window * 2 + 3,
        wanted.segment,
        costs.source,
        costs.far_seconds_per_gb,
        costs.playlist_micros,
        match wanted.tls {
            true => format!(", {:.2} times as much by TLS", costs.tls_seconds_per_gb / costs.seconds_per_gb),
            false => ", in the clear".to_owned(),
        },
    )
}

fn rate(bits: u64) -> String {
    match bits as f64 {
        giga if giga >= 1e9 => format!("{:.2} Gbit/s", giga / 1e9),
        mega if mega >= 1e6 => format!("{:.1} Mbit/s", mega / 1e6),
        less => format!("{:.0} kbit/s", less / 1e3),
    }
}

fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        giga if giga >= 1e9 => format!("{:.1} GB", giga / 1e9),
        less => format!("{:.1} MB", less / 1e6),
    }
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn said(words: &[&str]) -> String {
        let cli = cli::Cli::parse_from([&["mascaret", "plan"], words].concat());
        let cli::Command::Plan(args) = cli.command else { panic!("a plan") };
        let wanted = Wanted {
            viewers: u64::from(args.viewers),
            bitrate: args.bitrate,
            link: args.link,
            redundancy: u64::from(args.redundancy),
            broadcasts: u64::from(args.broadcasts),
            ladder: vec![args.bitrate],
            segment: args.segment.as_secs_f64(),
            window: u64::from(args.window),
            ingest_link: args.ingest_link.unwrap_or(args.link),
            tls: args.tls,
        };
        let costs = Costs::measured().unwrap();
        page(&wanted, &wanted.fleet(&costs), &costs)
    }

    #[test]
    fn the_seeds_question_is_answered() {
        let said = said(&["--viewers", "5000", "--bitrate", "3.5M", "--link", "10G"]);
        for part in [
            "5000 viewers at 3.5 Mbit/s each are 17.50 Gbit/s of media.",
            "4 edges with a line of 10.00 Gbit/s each.",
            "viewers of an edge                     1250                   1667",
            "One edge lost: 1250 viewers move, 417 more to each of the other 3.",
            "Feeding: a star.",
            "capacity = \"9414 Mbit/s\"",
        ] {
            assert!(said.contains(part), "{part:?} is not in\n{said}");
        }
    }

    #[test]
    fn an_edge_alone_and_a_thin_ingest_are_said_to_be_so() {
        let alone = said(&["--viewers", "10", "--bitrate", "1M", "--link", "1G", "--redundancy", "0"]);
        assert!(alone.contains("1 edges") && alone.contains("One edge alone"), "{alone}");
        let thin = ["--viewers", "100000", "--bitrate", "4M", "--link", "10G", "--ingest-link", "100M"];
        assert!(said(&thin).contains("one relay layer"), "{}", said(&thin));
    }

    #[test]
    fn settings_that_are_suggested_are_taken() {
        let said = said(&["--viewers", "200000", "--bitrate", "3.5M", "--link", "100G"]);
        let edge = said.split("# edge.toml\n").nth(1).unwrap().split("  # ingest.toml").next().unwrap();
        let ingest = said.split("# ingest.toml\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let load = |role: &'static str, text: &str| {
            let sources = node::settings::Sources::new().text("plan", text);
            match role {
                "edge" => node::settings::load::<edge::Settings>("edge", &sources).map(drop),
                _ => node::settings::load::<ingest::Settings>("ingest", &sources).map(drop),
            }
        };
        load("edge", edge).unwrap_or_else(|error| panic!("{}\n{edge}", error.picture(false)));
        load("ingest", ingest).unwrap_or_else(|error| panic!("{}\n{ingest}", error.picture(false)));
    }
}
