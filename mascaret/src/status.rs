//! `mascaret status`: asks operator listeners, and shows what they say in rows.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fetch::Fetcher;
use crate::{DONE, cli, demo, failed};

/// How long a node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &cli::Status) -> ExitCode {
    let is_given = !args.nodes.is_empty();
    let nodes = if is_given { args.nodes.clone() } else { usual() };
    let asks: Vec<_> = nodes.into_iter().map(|node| std::thread::spawn(move || (node, ask(node)))).collect();
    let mut rows = Vec::new();
    for (node, answer) in asks.into_iter().filter_map(|ask| ask.join().ok()) {
        match answer {
            Ok(value) => rows.push(value),
            // Where nobody was named, nobody is missed.
            Err(why) if is_given => {
                rows.push(json!({ "operator": node.to_string(), "state": "silent", "why": why }))
            }
            Err(_) => {}
        }
    }
    if rows.is_empty() {
        return failed("no node answers; start `mascaret demo`, or name operator listeners (10.0.0.5:9090)");
    }
    let is_any_silent = rows.iter().any(|row| row["state"] == "silent");
    crate::sys::end_with_our_reader();
    if args.json {
        println!("{}", Value::Array(rows));
    } else {
        show(&rows);
    }
    if is_any_silent { ExitCode::from(1) } else { DONE }
}

fn usual() -> Vec<SocketAddr> {
    let mut nodes = demo::usual_operators();
    nodes.push(SocketAddr::from(([127, 0, 0, 1], 9090)));
    nodes
}

fn ask(node: SocketAddr) -> Result<Value, String> {
    let fetcher = Fetcher::new(ANSWER_MAX);
    let status = fetcher.get(&format!("http://{node}/status"))?;
    let mut value: Value = serde_json::from_slice(&status.body).map_err(|error| error.to_string())?;
    let ready = fetcher.get(&format!("http://{node}/readyz"))?;
    value["operator"] = node.to_string().into();
    value["ready"] = (ready.status == 200).into();
    value["readiness"] = String::from_utf8_lossy(&ready.body).trim().into();
    Ok(value)
}

fn show(rows: &[Value]) {
    println!("{:<8} {:<18} {:<22} readiness", "role", "operator", "id");
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let id = ["id", "balancer", "name"].iter().find_map(|key| row[*key].as_str()).unwrap_or("-");
        let readiness =
            if row["state"] == "silent" { format!("silent: {}", text("why")) } else { text("readiness") };
        println!("{:<8} {:<18} {id:<22} {readiness}", text("role"), text("operator"));
    }
    // Balancers know the cluster; they all know the same, so one is shown.
    let Some(lb) = rows.iter().find(|row| row["role"] == "lb" && row["edges"].is_array()) else { return };
    println!(
        "\n{:<12} {:<10} {:>8} {:>12} {:>12} {:>16}",
        "edge", "state", "viewers", "Mbit/s", "capacity", "newest segment"
    );
    for edge in lb["edges"].as_array().into_iter().flatten() {
        let number = |key: &str| edge[key].as_f64();
        let mbit = |key: &str| number(key).map_or_else(|| "-".into(), |bits| format!("{:.1}", bits / 1e6));
        println!(
            "{:<12} {:<10} {:>8} {:>12} {:>12} {:>16}",
            edge["id"].as_str().unwrap_or("-"),
            edge["state"].as_str().unwrap_or("-"),
            number("viewers").map_or_else(|| "-".into(), |viewers| format!("{viewers}")),
            mbit("egress_bits"),
            mbit("capacity_bits"),
            number("newest_segment_age_ms")
                .map_or_else(|| "-".into(), |age| format!("{:.1} s ago", age / 1e3)),
        );
    }
    for broadcast in lb["broadcasts"].as_array().into_iter().flatten() {
        let renditions: Vec<&str> = broadcast["renditions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|rendition| rendition["id"].as_str())
            .collect();
        println!("\n{:<12} {}", broadcast["id"].as_str().unwrap_or("-"), renditions.join(", "));
    }
}
