//! One address, several cores, and one process after another: who accepts, where, and from when.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::*;
use percore::{Config, Limits, Listen, bind};
use rustix::thread::{CpuSet, sched_getaffinity};

#[test]
fn two_thousand_connections_are_shared_out_among_the_cores() {
    on_each_driver(|config| {
        let lit = lines(Config { cores: 2, ..config });
        let _peers: Vec<_> = (0..2000).map(|_| TcpStream::connect(lit.plain).unwrap()).collect();
        lit.until("all are in", |it| it.open == 2000);
        let of: Vec<_> = lit.running.counters().cores.iter().map(|core| core.open).collect();
        println!("2000 connections on two cores: {of:?}");
        // By hash: each is a coin's throw, of which 2000 are 1000 ± 22; six times that is as good as never.
        assert!(of.iter().all(|it| (868..=1132).contains(it)), "{of:?}");
        lit.stop();
    });
}

/// Where each of our threads called `core-…` may run, by name.
fn processors() -> Vec<(String, Vec<usize>)> {
    let mut all = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let Ok(name) = std::fs::read_to_string(task.join("comm")) else { continue };
        if name.starts_with("core-") {
            let id = task.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let allowed = sched_getaffinity(rustix::process::Pid::from_raw(id)).unwrap();
            let list = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
            all.push((name.trim_end().to_owned(), list));
        }
    }
    all.sort();
    all
}

#[test]
fn a_core_that_is_pinned_has_one_processor_of_its_own() {
    // In a process of its own: the cores of the other tests have the same names.
    const MARK: &str = "PERCORE_TEST_PINNED";
    if std::env::var_os(MARK).is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "a_core_that_is_pinned_has_one_processor_of_its_own";
        let output =
            std::process::Command::new(this).args(["--exact", name]).env(MARK, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let ours = sched_getaffinity(None).unwrap();
    let ours: Vec<_> = (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu)).collect();
    on_each_driver(|config| {
        let lit = lines(Config { cores: 2, pin: true, ..config.clone() });
        let expected: Vec<_> =
            (0..2).map(|core| (format!("core-{core}"), vec![ours[core % ours.len()]])).collect();
        assert_eq!(processors(), expected);
        lit.stop();
        let lit = lines(Config { cores: 2, pin: false, ..config });
        assert!(processors().iter().all(|(_, allowed)| *allowed == ours), "{:?}", processors());
        lit.stop();
    });
}

#[test]
fn who_comes_before_the_cores_accept_waits_and_is_not_refused() {
    on_each_driver(|config| {
        let lit = lines(Config { waits: true, ..config });
        let mut early: Vec<_> = (0..50).map(|_| lit.connect()).collect();
        early.iter_mut().for_each(|it| it.write_all(b"echo early\n").unwrap());
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(lit.running.counters().total.accepted, 0);
        lit.running.accept();
        early.iter_mut().for_each(|it| assert_eq!(hear(it, 6), b"early\n"));
        lit.stop();
    });
}

#[test]
fn sockets_in_two_hands_lose_nobody_and_who_is_connected_is_let_go_with_an_answer() {
    on_each_driver(|config| {
        let sockets = bind(&config.listeners[0], &Limits::default(), 2).unwrap();
        // The next one has other numbers of cores: every socket needs somebody, and everybody a socket.
        for cores in [1, 3] {
            let on = |cores| Config {
                listeners: vec![Listen::plain(config.listeners[0].address).on(sockets.clone())],
                cores,
                ..config.clone()
            };
            let former = lines(on(2));
            let mut staying = former.connect();
            ask(&mut staying, "echo one\n", "one\n");
            let mut queued: Vec<_> = (0..100).map(|_| former.connect()).collect();
            let next = lines(on(cores));
            assert_eq!(next.plain, former.plain);
            let (handle, began) = (former.running.handle(), Instant::now());
            handle.hand_over(Duration::from_secs(2));
            queued.extend((0..100).map(|_| next.connect()));
            queued.iter_mut().for_each(|it| ask(it, "echo somebody\n", "somebody\n"));
            // It is still there, and is let go in order at the end of the time.
            ask(&mut staying, "echo two\n", "two\n");
            assert_eq!(hear_all(&mut staying), b"");
            assert!(began.elapsed() >= Duration::from_secs(2));
            former.running.join().unwrap();
            assert_eq!(handle.counters().total.cut_draining, 0);
            ask(&mut next.connect(), "echo on\n", "on\n");
            next.stop();
        }
    });
}
