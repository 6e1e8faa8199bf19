//! The dashboard and the alert rules speak of metrics that there are: docs/METRICS.md lists them all (and
//! `mascaret/tests/metrics.rs` holds it to the programs). With promtool about, the rules' own tests are run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tidy is one level below the root").to_path_buf()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every series there is: a histogram is three.
fn series() -> BTreeSet<String> {
    let page = read("docs/METRICS.md");
    let mut series = BTreeSet::from(["up".to_owned()]);
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, name, kind, ..] = cells.as_slice() else { continue };
        match *kind {
            "histogram" => series.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}"))),
            _ => drop(series.insert((*name).to_owned())),
        }
    }
    series
}

/// Names of metrics in an expression: words with one of our prefixes, outside of quotes, that are no label's name.
fn named(expression: &str) -> Vec<String> {
    let unquoted: String = expression.split('"').step_by(2).collect::<Vec<_>>().join("\"");
    let words = unquoted.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let is_metric =
        |word: &&str| word.starts_with("mascaret_") || word.starts_with("process_") || *word == "up";
    words.filter(is_metric).map(str::to_owned).collect()
}

/// `expr: …` of a rules file, each on one line.
fn rules() -> Vec<String> {
    let text = read("deploy/prometheus/mascaret.rules.yml");
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    lines.map(str::to_owned).collect()
}

fn panels() -> Vec<String> {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/mascaret.json")).expect("the dashboard is JSON");
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push(target["expr"].as_str().expect("an expression").to_owned());
        }
    }
    found
}

fn faults(expressions: &[String]) -> Vec<String> {
    let series = series();
    let names = expressions.iter().flat_map(|expression| named(expression));
    names.filter(|name| !series.contains(name)).map(|name| format!("docs/METRICS.md has no {name}")).collect()
}

#[test]
fn alerts_and_panels_name_metrics_that_there_are() {
    let (rules, panels) = (rules(), panels());
    assert!(
        rules.len() > 15 && panels.len() > 25,
        "{} rules, {} panels were read",
        rules.len(),
        panels.len()
    );
    assert!(series().len() > 100, "docs/METRICS.md was not read");
    for expression in rules.iter().chain(&panels) {
        assert!(!named(expression).is_empty(), "{expression} names no metric");
    }
    let faults = [faults(&rules), faults(&panels)].concat();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_metric_that_is_gone_would_be_found() {
    let expression =
        "sum by (process_of) (rate(mascaret_edge_no_such_total{job=\"mascaret_quoted\"}[5m]))".to_owned();
    assert_eq!(
        faults(&[expression]),
        ["docs/METRICS.md has no process_of", "docs/METRICS.md has no mascaret_edge_no_such_total"]
    );
}

#[test]
fn names_have_their_unit_and_counters_say_so() {
    let page = read("docs/METRICS.md");
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (name, kind) = (cells[1], cells[2]);
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        for unit in ["_milliseconds", "_ms", "_micros", "_kb", "_mb", "_percent"] {
            assert!(!name.ends_with(unit), "{name}: base units only");
        }
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
    }
}

/// `$PROMTOOL`, the one that `make promtool` put beside the build, or one in `$PATH`.
fn promtool() -> Option<PathBuf> {
    let named = std::env::var_os("PROMTOOL").map(PathBuf::from);
    let ours = root().join("target/promtool/usr/bin/promtool");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&paths).map(|folder| folder.join("promtool"));
    named.into_iter().chain([ours]).chain(in_path).find(|path| path.is_file())
}

#[test]
fn promtool_takes_the_rules_and_their_tests_pass() {
    let Some(promtool) = promtool() else {
        return println!("skipped: no promtool (make promtool)");
    };
    let deploy = root().join("deploy/prometheus");
    for words in [
        &["check", "rules", "mascaret.rules.yml"][..],
        &["test", "rules", "mascaret.rules.test.yml"],
        &["check", "config", "--syntax-only", "prometheus.yml"],
    ] {
        let said = Command::new(&promtool).args(words).current_dir(&deploy).output().expect("promtool runs");
        let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "promtool {}: {text}", words.join(" "));
    }
    // The dashboard's expressions, as rules that record.
    let rules: Vec<String> = panels()
        .iter()
        .enumerate()
        .map(|(nth, expression)| {
            format!("  - record: panel:{nth}\n    expr: {}\n", serde_json::json!(expression))
        })
        .collect();
    let file = std::env::temp_dir().join(format!("mascaret-panels-{}.yml", std::process::id()));
    fs::write(&file, format!("groups:\n- name: panels\n  rules:\n{}", rules.concat()))
        .expect("a file to write");
    let said = Command::new(&promtool).args(["check", "rules"]).arg(&file).output().expect("promtool runs");
    let _ = fs::remove_file(&file);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
