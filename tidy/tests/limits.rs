//! docs/LIMITS.md says what is there: every constant it names exists, and every public bound has a row.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tidy is one level below the root").to_path_buf()
}

/// `folder` and `CONSTANT` of every cell that is written `` `folder` `CONSTANT` ``.
fn named(page: &str) -> Vec<(String, String)> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.split('|').nth(3));
    let mut named = Vec::new();
    for cell in cells {
        let words: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
        if let [folder, constants @ ..] = words.as_slice() {
            named.extend(constants.iter().map(|constant| ((*folder).to_string(), (*constant).to_string())));
        }
    }
    named
}

fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).expect("a folder that LIMITS.md names").flatten() {
        let path = entry.path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("a source file is text"));
        }
    }
    text
}

fn faults(page: &str) -> Vec<String> {
    let has = |folder: &str, constant: &str| {
        let source = root().join(folder).join("src");
        source.is_dir() && {
            let text = sources(&source);
            text.contains(&format!("const {constant}:")) || text.contains(&format!("pub {constant}:"))
        }
    };
    let missing = named(page).into_iter().filter(|(folder, constant)| !has(folder, constant));
    missing.map(|(folder, constant)| format!("{folder}/src has no constant or setting {constant}")).collect()
}

#[test]
fn every_bound_on_the_page_is_in_the_code() {
    let page = fs::read_to_string(root().join("docs/LIMITS.md")).expect("docs/LIMITS.md is there");
    assert!(named(&page).len() > 60, "the page's tables were not read");
    let faults = faults(&page);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_bound_that_is_gone_would_be_found() {
    let page = "| what | bound | `protocol/rtmp` `NO_SUCH_BOUND` | why | what happens |";
    assert_eq!(faults(page), ["protocol/rtmp/src has no constant or setting NO_SUCH_BOUND"]);
}
