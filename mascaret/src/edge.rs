//! `mascaret edge ls|add|drain|ready|maintenance|rm|weight|capacity`: the operator's word on edges, written into the
//! directory that the balancers follow.
//!
//! Does not live here: running an edge (`roles`), or how a record is kept (`node::directory`).

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use node::directory::{
    Change, Directory, DirectoryError, DirectorySettings, Record, Standing, View, change, parse_standing,
    standing_word,
};
use node::settings::{Parsed, Sources, load};
use serde_json::{Value, json};

use crate::fetch::Fetcher;
use crate::{DONE, cli, failed, wrong_usage};

/// How long a node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How often it is asked how far the edge is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// How long an edge must be so: a balancer takes it off at once, the edge itself has heard a heartbeat or two later.
const HOLDS: Duration = Duration::from_secs(1);

/// What an edge is waited to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Nobody watches there, and nobody new is sent.
    Empty,
    /// It takes viewers.
    Ready,
}

impl Goal {
    fn word(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Ready => "ready",
        }
    }

    /// Whether an edge of which a node says this has reached it.
    fn is_reached(self, edge: &Value) -> bool {
        let state = edge["state"].as_str().unwrap_or_default();
        match self {
            Self::Ready => state == "ready",
            // One that has left, or is gone, serves nobody.
            Self::Empty => {
                matches!(state, "left" | "silent")
                    || (state != "ready"
                        && edge["turns_away"] != false
                        // Of one that a balancer has not heard yet nobody knows who is there.
                        && edge["viewers"].as_u64() == Some(0))
            }
        }
    }
}

pub(crate) fn run(command: &cli::EdgeCommand) -> ExitCode {
    crate::sys::end_with_our_reader();
    let set = |standing: Standing| {
        move |record: Option<&Record>| Some(Record { standing, ..record.cloned().unwrap_or_default() })
    };
    match command {
        cli::EdgeCommand::Ls(args) => list(args),
        cli::EdgeCommand::Drain(args) => write(args, Some(Goal::Empty), set(Standing::Drain)),
        cli::EdgeCommand::Maintenance(args) => write(args, Some(Goal::Empty), set(Standing::Maintenance)),
        cli::EdgeCommand::Ready(args) => write(args, Some(Goal::Ready), set(Standing::Active)),
        cli::EdgeCommand::Rm(args) => write(args, None, |_| None),
        cli::EdgeCommand::Add(args) => write(&args.on, Some(Goal::Ready), |record| {
            let record = record.cloned().unwrap_or_default();
            let standing = args.standing.as_deref().and_then(parse_standing).unwrap_or(record.standing);
            let (weight, capacity) = (args.weight.or(record.weight), args.capacity.or(record.capacity));
            Some(Record { standing, weight, capacity })
        }),
        cli::EdgeCommand::Weight(args) => write(&args.on, None, |record| {
            Some(Record { weight: args.weight.0, ..record.cloned().unwrap_or_default() })
        }),
        cli::EdgeCommand::Capacity(args) => write(&args.on, None, |record| {
            Some(Record { capacity: args.capacity.0, ..record.cloned().unwrap_or_default() })
        }),
    }
}

/// The directory, and whom to ask how edges are: by flags, else by the settings of a balancer.
struct Place {
    directory: Box<dyn Directory>,
    ask: Vec<SocketAddr>,
}

/// Where it went wrong, as an exit status.
type Refused = ExitCode;

fn place(args: &cli::InDirectory) -> Result<Place, Refused> {
    let mut settings = DirectorySettings::default();
    let mut ask = args.ask.clone();
    if let Some(file) = &args.settings {
        let sources = Sources::new().file(file).map(Sources::process_environment);
        let loaded = sources.and_then(|sources| load::<lb::Settings>("lb", &sources)).map_err(|error| {
            eprint!("{}", error.picture(false));
            ExitCode::from(2)
        })?;
        settings = loaded.settings.directory;
        if ask.is_empty() {
            ask.push(loaded.node.operator.listen.0);
        }
    }
    if let Some(at) = &args.directory {
        settings.at = Some(Parsed(at.clone()));
    }
    if let Some(ca) = &args.ca {
        settings.ca = Some(ca.clone());
    }
    if ask.is_empty() {
        ask.push(SocketAddr::from(([127, 0, 0, 1], 9090)));
    }
    match settings.open() {
        Ok(Some(directory)) => Ok(Place { directory, ask }),
        Ok(None) => Err(wrong_usage(
            "no directory is named; say --directory FILE-OR-URL, or --settings with a balancer's settings that have \
             [directory]",
        )),
        Err(error) => Err(failed(error)),
    }
}

fn write(args: &cli::OnEdge, goal: Option<Goal>, to: impl Fn(Option<&Record>) -> Option<Record>) -> ExitCode {
    if args.wait.is_some() && goal.is_none() {
        return wrong_usage(
            "--wait is for add, drain, maintenance and ready: nothing else has an end to wait for",
        );
    }
    let mut place = match place(&args.place) {
        Ok(place) => place,
        Err(refused) => return refused,
    };
    let change = match change(&mut *place.directory, &args.edge, args.dry_run, to) {
        Ok(change) => change,
        Err(error) => return failed(error),
    };
    if !args.place.json {
        tell(args, &change);
    }
    let mut row = json!({
        "edge": args.edge.as_str(), "before": shown(change.before.as_ref()), "after": shown(change.after.as_ref()),
        "changed": change.is_any(), "dry_run": args.dry_run,
    });
    let (Some(limit), Some(goal), false) = (args.wait, goal, args.dry_run) else {
        if args.place.json {
            println!("{row}");
        }
        return DONE;
    };
    let (waited, seen) = wait(&place.ask, args.edge.as_str(), goal, limit);
    row["waited_ms"] = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX).into();
    row["is"] =
        seen.as_ref().map_or_else(|why| json!({ "not": goal.word(), "why": why }), |()| goal.word().into());
    if args.place.json {
        println!("{row}");
    }
    match seen {
        Ok(()) => {
            if !args.place.json {
                println!("{} is {} after {:.1} s", args.edge, goal.word(), waited.as_secs_f64());
            }
            DONE
        }
        Err(why) => failed(format_args!("{} is not {} after {limit:?}: {why}", args.edge, goal.word())),
    }
}

fn tell(args: &cli::OnEdge, change: &Change) {
    let words = |record: Option<&Record>| record.map_or_else(|| "not written".to_owned(), words);
    let (before, after) = (words(change.before.as_ref()), words(change.after.as_ref()));
    match (change.is_any(), args.dry_run) {
        (false, _) => println!("{}: {after} already", args.edge),
        (true, false) => println!("{}: {before} → {after}", args.edge),
        (true, true) => println!("{}: {before} → {after} (would be written)", args.edge),
    }
}

fn words(record: &Record) -> String {
    let mut words = standing_word(record.standing).to_owned();
    if let Some(weight) = record.weight {
        words += &format!(", weight {weight} %");
    }
    if let Some(capacity) = record.capacity {
        words += &format!(", capacity {capacity}");
    }
    words
}

fn shown(record: Option<&Record>) -> Value {
    record.map_or(Value::Null, |record| {
        json!({
            "standing": standing_word(record.standing),
            "weight": record.weight.map(node::settings::Number::value),
            "capacity_bits": record.capacity.map(node::settings::Mbps::bits_per_second),
        })
    })
}

/// Asks until the edge is so; how long that took, or why it did not come to it.
fn wait(ask: &[SocketAddr], edge: &str, goal: Goal, limit: Duration) -> (Duration, Result<(), String>) {
    let (fetcher, began) = (Fetcher::new(ANSWER_MAX), Instant::now());
    let mut since: Option<Instant> = None;
    loop {
        let states: Vec<Result<Value, String>> =
            ask.iter().map(|node| state(&fetcher, *node, edge)).collect();
        // Each that answers must say so: two balancers hear of it a moment apart.
        let is_reached = states.iter().flatten().all(|state| goal.is_reached(state));
        since = (is_reached && states.iter().any(Result::is_ok)).then(|| since.unwrap_or_else(Instant::now));
        if since.is_some_and(|since| since.elapsed() >= HOLDS) {
            return (began.elapsed(), Ok(()));
        }
        if began.elapsed() >= limit {
            let why = |state: &Result<Value, String>| match state {
                Ok(state) => match state["viewers"].as_u64() {
                    Some(viewers) => format!("{}, {viewers} viewers", state["state"].as_str().unwrap_or("-")),
                    None => state["state"].as_str().unwrap_or("-").to_owned(),
                },
                Err(why) => why.clone(),
            };
            return (began.elapsed(), Err(states.iter().map(why).collect::<Vec<_>>().join("; ")));
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// What a balancer, or the edge itself, says of the edge.
fn state(fetcher: &Fetcher, node: SocketAddr, edge: &str) -> Result<Value, String> {
    let status = status(fetcher, node)?;
    let own = (status["role"] == "edge" && status["id"] == edge).then(|| status.clone());
    let all = status["edges"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told = own.or_else(|| all.iter().find(|it| it["id"] == edge).cloned());
    // A balancer that has never seen it, or has forgotten it, sends nobody there.
    told.or_else(|| (status["role"] == "lb").then(|| json!({ "state": "left" })))
        .ok_or_else(|| format!("{node} is neither a balancer nor {edge}"))
}

fn status(fetcher: &Fetcher, node: SocketAddr) -> Result<Value, String> {
    let answer = fetcher.get(&format!("http://{node}/status"))?;
    serde_json::from_slice(&answer.body).map_err(|error| format!("{node}: {error}"))
}

fn list(args: &cli::InDirectory) -> ExitCode {
    let mut place = match place(args) {
        Ok(place) => place,
        Err(refused) => return refused,
    };
    let view = match place.directory.read() {
        Err(DirectoryError::Missing { .. }) => View::default(),
        Err(error) => return failed(error),
        Ok(view) => view,
    };
    // How they are just now, if a balancer answers; nobody is missed where nobody was named.
    let fetcher = Fetcher::new(ANSWER_MAX);
    let mut live: Vec<Value> = Vec::new();
    for node in &place.ask {
        match status(&fetcher, *node) {
            Ok(status) if live.is_empty() => live = status["edges"].as_array().cloned().unwrap_or_default(),
            Err(why) if !args.ask.is_empty() => eprintln!("mascaret: {why}"),
            Ok(_) | Err(_) => {}
        }
    }
    let mut ids: Vec<String> = view.edges.keys().map(ToString::to_string).collect();
    ids.extend(view.unread.keys().cloned());
    ids.extend(live.iter().filter_map(|edge| edge["id"].as_str().map(str::to_owned)));
    ids.sort_unstable();
    ids.dedup();
    let row = |id: &String| {
        let record = view.edges.iter().find(|(edge, _)| edge.as_str() == id).map(|(_, entry)| &entry.record);
        let seen = live.iter().find(|edge| edge["id"] == id.as_str());
        json!({
            "edge": id, "written": shown(record), "unread": view.unread.get(id),
            "state": seen.map(|edge| &edge["state"]), "viewers": seen.map(|edge| &edge["viewers"]),
            "lag_ms": seen.map(|edge| &edge["lag_ms"]),
            "weight": seen.map(|edge| &edge["weight"]), "capacity_bits": seen.map(|edge| &edge["capacity_bits"]),
        })
    };
    let rows: Vec<Value> = ids.iter().map(row).collect();
    if args.json {
        println!("{}", Value::Array(rows));
    } else {
        show(&rows);
    }
    if view.unread.is_empty() { DONE } else { ExitCode::from(1) }
}

fn show(rows: &[Value]) {
    println!(
        "{:<12} {:<12} {:>7} {:>14}   {:<12} {:>7} {:>9}",
        "edge", "standing", "weight", "capacity", "state", "viewers", "late"
    );
    for row in rows {
        let written = &row["written"];
        let number = |value: &Value| value.as_u64().map_or_else(|| "-".into(), |number| number.to_string());
        let bits = written["capacity_bits"].as_u64();
        let capacity = bits.map_or_else(|| "-".into(), |bits| format!("{} Mbit/s", bits / 1_000_000));
        let standing = match (row["unread"].as_str(), written["standing"].as_str()) {
            (Some(_), _) => "unreadable",
            (None, standing) => standing.unwrap_or("active"),
        };
        println!(
            "{:<12} {standing:<12} {:>7} {capacity:>14}   {:<12} {:>7} {:>9}",
            row["edge"].as_str().unwrap_or("-"),
            number(&written["weight"]),
            row["state"].as_str().unwrap_or("-"),
            number(&row["viewers"]),
            row["lag_ms"].as_u64().map_or_else(|| "-".into(), crate::status::late),
        );
    }
    for row in rows {
        if let (Some(edge), Some(why)) = (row["edge"].as_str(), row["unread"].as_str()) {
            eprintln!("mascaret: what is written of {edge} cannot be read: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_empty_when_nobody_is_left_and_nobody_new_is_sent() {
        let of = |goal: Goal, state: &str, viewers: Option<u64>| {
            goal.is_reached(&json!({ "state": state, "viewers": viewers }))
        };
        assert!(!of(Goal::Empty, "ready", Some(0)), "somebody may come at any moment");
        assert!(!of(Goal::Empty, "draining", Some(3)));
        for state in ["draining", "maintenance", "not fed"] {
            assert!(
                !of(Goal::Empty, state, None),
                "a balancer that has just begun does not know who is there"
            );
        }
        let answers = json!({ "state": "draining", "viewers": 0, "turns_away": false });
        assert!(!Goal::Empty.is_reached(&answers), "whoever asks there is answered still");
        for (state, viewers) in
            [("draining", Some(0)), ("left", None), ("silent", Some(7)), ("not fed", Some(0))]
        {
            assert!(of(Goal::Empty, state, viewers), "{state}");
        }
        assert!(of(Goal::Ready, "ready", Some(5)) && !of(Goal::Ready, "not fed", None));
    }
}
