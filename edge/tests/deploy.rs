//! What `deploy/` promises: that an edge runs under the seccomp profile for Docker, with io_uring, and that the units are
//! such that systemd reads them.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use media::MediaSpan;
use percore::Driver;
use stage::process::{EdgeProcess, be_one_if_told};
use stage::{Cluster, Viewer, body, listed, segment_path, settings};
use std::path::{Path, PathBuf};
use std::process::Command;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

#[test]
fn one_of_the_processes() {
    be_one_if_told(|be, _| panic!("nothing is called {be}"));
}

/// The profile's words as seccompiler's, without what `leave_out` names.
fn filter(leave_out: &str) -> String {
    let profile = std::fs::read_to_string(deploy().join("seccomp-io_uring.json")).unwrap();
    let profile: serde_json::Value = serde_json::from_str(&profile).unwrap();
    assert_eq!(
        (&profile["defaultAction"], &profile["defaultErrnoRet"]),
        (&"SCMP_ACT_ERRNO".into(), &1.into())
    );
    let allowed =
        profile["syscalls"].as_array().unwrap().iter().flat_map(|rule| rule["names"].as_array().unwrap());
    let allowed: Vec<_> = allowed
        .filter(|name| !name.as_str().unwrap().starts_with(leave_out))
        .map(|name| serde_json::json!({ "syscall": name }))
        .collect();
    let filter = serde_json::json!({ "mascaret": {
        "mismatch_action": { "errno": 1 }, "match_action": "allow", "filter": allowed,
    }});
    filter.to_string()
}

/// Serves a segment under this filter, and says by which driver.
fn serves(driver: Driver, filter: &str) -> String {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(MediaSpan::from_secs(2));
    let edge = EdgeProcess::filtered(&cluster, &settings(driver, &[&ingest]), filter);
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(edge.address(), "720p", 2);
    assert!(Viewer::at(edge.address()).get(&segment_path("720p", 2)).body == body("720p", 2));
    let metrics = Viewer::at(edge.operator).get("/metrics").text();
    let driver =
        metrics.lines().find_map(|line| line.strip_prefix("mascaret_edge_driver{driver=\"")).unwrap();
    let driver = driver.split('"').next().unwrap().to_owned();
    edge.terminate();
    edge.ended();
    driver
}

#[test]
fn under_the_profile_for_docker_an_edge_serves_by_io_uring() {
    assert_eq!(serves(Driver::Auto, &filter("no such")), "io_uring");
}

#[test]
fn without_the_calls_of_io_uring_it_serves_by_epoll_as_under_dockers_own_profile() {
    assert_eq!(serves(Driver::Auto, &filter("io_uring_")), "epoll");
}

#[test]
fn systemd_reads_the_units() {
    let directory = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in std::fs::read_dir(deploy()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "service" || it == "socket") {
            // It wants the program to be there.
            let text =
                std::fs::read_to_string(&path).unwrap().replace("/usr/local/bin/mascaret", "/bin/true");
            let name = path.file_name().unwrap().to_str().unwrap().replace('@', "@1");
            std::fs::write(directory.path().join(&name), text).unwrap();
            units.push(directory.path().join(name));
        }
    }
    assert_eq!(units.len(), 7);
    let verify = |units: &[PathBuf]| {
        let output = Command::new("systemd-analyze").arg("verify").args(units).output();
        let output = output.expect("Debian's package systemd has systemd-analyze; `make test` installs it");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = verify(&units);
    assert!(said.is_empty(), "{said}");
    let service = units.iter().find(|it| it.extension().unwrap() == "service").unwrap();
    std::fs::write(service, "[Service]\nExecStart=/bin/true\nProtectSistem=yes\n").unwrap();
    assert!(verify(std::slice::from_ref(service)).contains("ProtectSistem"), "a mistake would be found");
}
