//! Commands of the page that need nobody: certificates, publish keys, settings, a plan.

use super::page;
use super::stage::{ETC, MASCARET};
use serde_json::Value;
use std::path::Path;

#[test]
fn what_is_made_before_anything_runs_is_made_as_the_page_shows_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (at, program) = (folder.path(), Path::new(MASCARET));
    let etc = at.display().to_string();
    let made = page::line("mascaret certs init --dir /etc/mascaret/certs --name live.example.org");
    made.runs(program, at, &[(ETC, &etc)]);
    let made = page::line("mascaret certs init --node edge1");
    made.runs(program, at, &[]);
    assert!(at.join("certs/node-edge1.pem").exists());

    let key = page::line("mascaret ingest key studio").runs(program, at, &[]);
    let hash = key.split('"').find(|word| word.starts_with("sha256:")).expect("a hash");
    // Every settings file of the page, with a hash where the page has dots.
    let files = page::settings();
    assert!(files.len() > 5, "{files:?}");
    for (name, text) in &files {
        std::fs::write(at.join(name), text.replace("sha256:…", hash)).expect("written");
        let check = page::line("mascaret check edge.toml");
        check.runs(program, at, &[("edge.toml", name)]);
    }
    let all: Vec<&str> =
        files.iter().filter(|(name, _)| name == "lobby.toml").map(|(_, text)| &**text).collect();
    std::fs::write(at.join("all.toml"), all.concat()).expect("written");
    let said = page::line("mascaret check all.toml --json").runs(program, at, &[]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert!(said["ok"] == true && said["settings"]["lobby"].is_array(), "{said:#}");
}

#[test]
fn the_plan_of_the_page_is_the_plan_that_is_made() {
    let (at, program) = (std::env::temp_dir(), Path::new(MASCARET));
    page::line("mascaret plan --viewers 5000 --bitrate 3.5M --link 10G").runs(program, &at, &[]);
    let more = page::line("mascaret plan --viewers 5000 --bitrate 3.5M --link 10G --redundancy 2 --json");
    let plan: Value = serde_json::from_str(&more.runs(program, &at, &[])).expect("JSON");
    assert_eq!(plan["fleet"]["edges"], 5, "one more than with one that may be lost");
}
