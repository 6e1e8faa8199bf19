//! What the process is to the machine: shut in, bounded, gone with its parent, plain about mistakes.

#![allow(clippy::unwrap_used, reason = "what cannot be is a failure of the test")]

mod support;

use ladder::Order;
use std::process::{Command, Stdio};
use support::*;

/// One line of the process's `/proc/PID/status`.
fn status(pid: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.trim_start_matches(':').trim().to_owned()
}

#[test]
fn it_keeps_no_right_but_its_pipes() {
    let source = source(&plain(), 1);
    let mut child = spawn(&[]);
    let mut pipe = child.stdin.take().unwrap();
    send(&mut pipe, &begin(&source, 0));
    // Its first report says that it is past the door.
    let mut first = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    let pid = child.id();
    assert_eq!(status(pid, "Seccomp"), "2");
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(limit("Max address space").contains("4294967296"), "{limits}");
    assert!(limit("Max core file size").contains(" 0 "), "{limits}");
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert_eq!(open, 3);
    send(&mut pipe, &Order::End);
    drop(child.stdout.take());
    assert!(child.wait().is_ok());
}

#[test]
fn it_ends_when_its_parent_closes_the_pipe() {
    let source = source(&plain(), 1);
    let mut child = spawn(&[]);
    let mut pipe = child.stdin.take().unwrap();
    send(&mut pipe, &begin(&source, 0));
    drop(pipe);
    let made = collect(&mut child);
    assert!(child.wait().unwrap().success());
    assert!(made.ready.is_some() && made.segments.is_empty());
}

#[test]
fn a_memory_limit_too_small_ends_it_and_hangs_nobody() {
    let source = source(&plain(), 2);
    let mut child = Command::new(env!("CARGO_BIN_EXE_mascaret-transcode"))
        .args(["--memory-limit", "96"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let orders: Vec<Order> =
        [begin(&source, 0)].into_iter().chain(source.orders()).chain([Order::End]).collect();
    let writer = std::thread::spawn(move || orders.iter().for_each(|order| send(&mut pipe, order)));
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(child.stdout.as_mut().unwrap(), &mut bytes).unwrap();
    writer.join().unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn rubbish_on_the_pipe_is_named_and_ends_it() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mascaret-transcode"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &[0, 0, 0, 0, 77]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("message type 77 is not one of the orders"), "{said}");
}

#[test]
fn its_words_are_explained() {
    let say = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mascaret-transcode")).args(words).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = say(&["--help"]);
    assert!(code == Some(0) && text.contains("--memory-limit"));
    let (code, text) = say(&["--version"]);
    assert!(code == Some(0) && text.contains("x264 core") && text.contains("lavc"));
    let (code, text) = say(&["--loud"]);
    assert!(code == Some(2) && text.contains("--loud"));
}
