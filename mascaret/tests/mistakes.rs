//! Twenty and two mistakes that people make, each in a file of its own; each must be answered with its place,
//! what was allowed, and where something near exists, what was meant.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

struct Planted {
    file: &'static str,
    /// `None`: the file has a table per role.
    role: Option<&'static str>,
    /// Line and column of the mistake, counted from 1.
    at: (u64, u64),
    /// A part of what is said to be wrong.
    problem: &'static str,
    /// A part of what is said to be allowed; empty where nothing is to be said.
    allowed: &'static str,
    meant: Option<&'static str>,
}

const PLANTED: [Planted; 22] = [
    planted("01-unknown-key", Some("edge"), (2, 1), "unknown key `capcity`", "capacity", Some("capacity")),
    planted("02-unknown-table", None, (4, 2), "unknown table `ingset`", "ingest", Some("ingest")),
    planted("03-unknown-nested-key", Some("edge"), (5, 1), "unknown key `headr`", "header", Some("header")),
    planted("04-wrong-kind", Some("edge"), (2, 7), "string \"yes\"", "true or false", None),
    planted("05-number-for-address", Some("edge"), (1, 8), "integer `8080`", "\"127.0.0.1:8080\"", None),
    planted(
        "06-name-for-address",
        Some("lb"),
        (2, 8),
        "\"localhost:8080\"",
        "a numeric address and a port",
        None,
    ),
    planted("07-port-too-large", Some("ingest"), (1, 8), "\"0.0.0.0:70000\"", "a port from 0 to 65535", None),
    planted(
        "08-time-too-short",
        Some("ingest"),
        (2, 11),
        "\"100 ms\"",
        "milliseconds from 500 to 20000",
        None,
    ),
    planted("09-unit-of-something-else", Some("ingest"), (1, 11), "\"2 Mbit/s\"", "such as \"2 s\"", None),
    planted("10-negative", Some("edge"), (1, 12), "integer `-1`", "Mbit/s from 1 to 1000000", None),
    planted("11-not-one-of-the-choices", Some("edge"), (1, 10), "`kqueue`", "auto, epoll, io_uring", None),
    planted("12-misspelt-choice", Some("ingest"), (1, 20), "`takover`", "refuse, takeover", Some("takeover")),
    planted("13-key-in-the-clear", Some("ingest"), (3, 7), "a key is stored as its hash", "sha256:", None),
    planted("14-missing-key", Some("ingest"), (1, 1), "the key `key` is missing", "", None),
    planted(
        "15-broadcast-with-a-space",
        Some("ingest"),
        (2, 13),
        "has ' ' at byte 2",
        "letters, digits",
        None,
    ),
    planted(
        "16-odd-rung",
        Some("ingest"),
        (2, 23),
        "361p",
        "an even number of lines from 96p to 4320p",
        None,
    ),
    planted(
        "17-url-of-another-kind",
        Some("source"),
        (1, 9),
        "http://127.0.0.1",
        "rtmp://127.0.0.1:1935",
        None,
    ),
    planted("18-unclosed-text", Some("edge"), (1, 12), "not TOML", "\"", None),
    planted("19-key-twice", Some("lb"), (3, 1), "duplicate key", "", None),
    planted("20-log-level", Some("edge"), (4, 9), "`verbose`", "debug, error, info, trace, warn", None),
    planted("21-public-url-with-path", Some("edge"), (1, 14), "is no such URL", "http://host[:port]", None),
    planted("22-operator-of-a-role-in-a-file-for-all", None, (8, 10), "\"127.0.0.1\"", "and a port", None),
];

const fn planted(
    file: &'static str,
    role: Option<&'static str>,
    at: (u64, u64),
    problem: &'static str,
    allowed: &'static str,
    meant: Option<&'static str>,
) -> Planted {
    Planted { file, role, at, problem, allowed, meant }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes")
}

fn check(file: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mascaret"))
        .arg("check")
        .arg(file)
        .arg("--no-environment")
        .args(more)
        .output()
        .expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_planted_mistake_is_found_at_its_place_and_told_what_was_allowed() {
    let mut wrong = Vec::new();
    for planted in &PLANTED {
        let file = folder().join(planted.file).with_extension("toml");
        let role: Vec<&str> = planted.role.map_or(vec![], |role| vec!["--role", role]);
        let (status, out, err) = check(&file, &[role, vec!["--json"]].concat());
        let answer: Value =
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{}: {out}{err}", planted.file));
        let mistakes = answer["mistakes"].as_array().cloned().unwrap_or_default();
        let [mistake] = mistakes.as_slice() else {
            wrong.push(format!("{}: {} mistakes: {out}", planted.file, mistakes.len()));
            continue;
        };
        let text = |key: &str| mistake[key].as_str().unwrap_or_default().to_owned();
        let place = format!("{}:{}:{}", file.display(), planted.at.0, planted.at.1);
        let is_right = status == Some(1)
            && text("place") == place
            && (mistake["line"].as_u64(), mistake["column"].as_u64())
                == (Some(planted.at.0), Some(planted.at.1))
            && text("problem").contains(planted.problem)
            && text("allowed").contains(planted.allowed)
            && mistake["did_you_mean"].as_str() == planted.meant;
        if !is_right {
            wrong.push(format!("{}: wanted {:?}: {mistake}", planted.file, planted.at));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_of_the_folder_is_looked_at() {
    let files = std::fs::read_dir(folder()).expect("the folder").count();
    assert_eq!(files, PLANTED.len());
}

#[test]
fn a_person_sees_the_line_and_a_caret() {
    let (status, _, err) = check(&folder().join("01-unknown-key.toml"), &["--role", "edge"]);
    assert_eq!(status, Some(1));
    for part in [
        "01-unknown-key.toml:2:1: unknown key `capcity`",
        "capcity = \"1 Gbit/s\"",
        "did you mean `capacity`?",
    ] {
        assert!(err.contains(part), "{part} is not in\n{err}");
    }
}

#[test]
fn a_secret_that_was_written_into_settings_is_not_repeated() {
    for more in [vec!["--role", "ingest", "--json"], vec!["--role", "ingest"]] {
        let (status, out, err) = check(&folder().join("13-key-in-the-clear.toml"), &more);
        assert_eq!(status, Some(1));
        assert!(!out.contains("hunter2") && !err.contains("hunter2"), "{out}{err}");
    }
}

#[test]
fn settings_that_are_right_are_shown_with_where_they_came_from() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("all.toml");
    std::fs::write(&file, "[log]\nlevel = \"warn\"\n[edge]\nid = \"edge7\"\n[lb]\nid = \"lb7\"\n")
        .expect("a file");
    let (status, out, err) = check(&file, &[]);
    assert_eq!(status, Some(0), "{err}");
    let row = |start: &str| {
        out.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {out}"))
    };
    assert!(out.contains("[edge]") && out.contains("[lb]"), "{out}");
    assert!(row("id ").ends_with("all.toml:4:6") && row("id ").contains("\"edge7\""), "{out}");
    assert!(row("log.level ").ends_with("all.toml:2:9"), "{out}");
    assert!(row("capacity ").ends_with("# default"), "{out}");
}

#[test]
fn a_role_that_is_told_nonsense_ends_with_status_2() {
    let file = folder().join("01-unknown-key.toml");
    let output = Command::new(env!("CARGO_BIN_EXE_mascaret"))
        .args(["edge", "--settings"])
        .arg(file)
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("capcity"));
}
