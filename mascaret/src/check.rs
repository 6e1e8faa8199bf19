//! `mascaret check FILE`: every mistake with its place, or what holds and where it came from.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use node::settings::{Effective, Mistake, Place, SettingsError, Sources, is_for_all, load};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{DONE, cli, wrong_usage};

/// The roles this program has settings for.
const ROLES: [&str; 5] = ["edge", "ingest", "lb", "lobby", "source"];

type Checked = Result<Vec<Effective>, SettingsError>;

pub(crate) fn run(args: &cli::Check) -> ExitCode {
    crate::sys::end_with_our_reader();
    let mut sources = match Sources::new().file(&args.file) {
        Ok(sources) => sources,
        Err(error) => return tell_mistakes(args, &error.mistakes),
    };
    if !args.no_environment {
        sources = sources.process_environment();
    }
    let text = std::fs::read_to_string(&args.file).unwrap_or_default();
    let roles: Vec<&str> = match (&args.role, is_for_all(&text)) {
        (Some(role), _) => vec![role.as_str()],
        (None, tables) if !tables.is_empty() => {
            let known: Vec<&str> = tables.into_iter().filter(|table| ROLES.contains(table)).collect();
            // Tables of roles that are not there yet are not looked into, but the file as a whole is.
            if known.is_empty() { vec!["edge"] } else { known }
        }
        (None, _) => match by_name(&args.file) {
            Some(role) => vec![role],
            None => {
                return wrong_usage(format_args!(
                    "{}: no [edge], [ingest], [lb], [lobby] or [source] table in it, and its name does not say whose it is; \
                     say it with --role",
                    args.file.display()
                ));
            }
        },
    };
    let mut effective = BTreeMap::new();
    let mut mistakes: Vec<Mistake> = Vec::new();
    for role in roles {
        match check(role, &sources) {
            Ok(rows) => drop(effective.insert(role, rows)),
            // What is wrong with the file as a whole is wrong for each role.
            Err(error) => mistakes.extend(
                error
                    .mistakes
                    .into_iter()
                    .filter(|mistake| {
                        !mistakes
                            .iter()
                            .any(|told| told.place == mistake.place && told.problem == mistake.problem)
                    })
                    .collect::<Vec<_>>(),
            ),
        }
    }
    if !mistakes.is_empty() {
        return tell_mistakes(args, &mistakes);
    }
    tell_effective(args, &effective);
    DONE
}

fn by_name(file: &Path) -> Option<&'static str> {
    let stem = file.file_stem()?.to_str()?;
    ROLES.into_iter().find(|role| stem.starts_with(role))
}

fn check(role: &str, sources: &Sources) -> Checked {
    fn of<T: DeserializeOwned + Serialize>(role: &'static str, sources: &Sources) -> Checked {
        load::<T>(role, sources).map(|loaded| loaded.effective())
    }
    match role {
        "edge" => of::<edge::Settings>("edge", sources),
        "ingest" => of::<ingest::Settings>("ingest", sources),
        "lb" => of::<lb::Settings>("lb", sources),
        "lobby" => of::<lobby::Settings>("lobby", sources),
        _ => of::<source::Settings>("source", sources),
    }
}

fn tell_mistakes(args: &cli::Check, mistakes: &[Mistake]) -> ExitCode {
    if args.json {
        let rows: Vec<_> = mistakes.iter().map(as_json).collect();
        println!("{}", serde_json::json!({ "ok": false, "mistakes": rows }));
    } else {
        let error = SettingsError { mistakes: mistakes.to_vec() };
        eprint!("{}", error.picture(std::io::stderr().is_terminal()));
        let count = mistakes.len();
        eprintln!("{}: {count} {}", args.file.display(), if count == 1 { "mistake" } else { "mistakes" });
    }
    ExitCode::from(1)
}

fn as_json(mistake: &Mistake) -> serde_json::Value {
    let (line, column) = match &mistake.place {
        Place::File { line, column, .. } => (Some(*line), Some(*column)),
        _ => (None, None),
    };
    serde_json::json!({
        "place": mistake.place.to_string(),
        "line": line,
        "column": column,
        "problem": mistake.problem,
        "allowed": mistake.allowed,
        "did_you_mean": mistake.meant,
    })
}

fn tell_effective(args: &cli::Check, effective: &BTreeMap<&str, Vec<Effective>>) {
    if args.json {
        let roles: BTreeMap<&str, Vec<_>> = effective
            .iter()
            .map(|(role, rows)| {
                let rows = rows.iter().map(|row| {
                    serde_json::json!({ "key": row.key, "value": row.value, "from": row.origin.to_string() })
                });
                (*role, rows.collect())
            })
            .collect();
        println!("{}", serde_json::json!({ "ok": true, "settings": roles }));
        return;
    }
    for (role, rows) in effective {
        println!("[{role}]");
        let key_width = rows.iter().map(|row| row.key.len()).max().unwrap_or(0);
        let shown = |row: &Effective| row.value.clone().unwrap_or_else(|| "(not set)".into());
        let value_width = rows.iter().map(|row| shown(row).chars().count()).max().unwrap_or(0).min(40);
        for row in rows {
            println!("{:key_width$}  {:value_width$}  # {}", row.key, shown(row), row.origin);
        }
        println!();
    }
    println!("{}: all right", args.file.display());
}
