//! What the system refuses: io_uring (as Docker's seccomp profile does), descriptors, a port; and a service that
//! panics.

mod common;

use std::collections::BTreeMap;

use common::*;
use percore::{Config, ConnectionId, CoreIndex, Driver, Listen, Service, StartError, Turn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Runs `story` on a thread that is refused io_uring_setup(2), and so are the threads it starts.
fn without_io_uring(story: impl FnOnce() + Send + 'static) {
    let refused = BTreeMap::from([(libc::SYS_io_uring_setup, vec![])]);
    let arch = std::env::consts::ARCH.try_into().expect("seccomp knows this machine");
    let filter =
        SeccompFilter::new(refused, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32), arch);
    let program: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter of one rule");
    let thread = std::thread::spawn(move || {
        seccompiler::apply_filter(&program).expect("a thread may restrict itself");
        story();
    });
    thread.join().expect("the story holds");
}

fn on_loopback(driver: Driver) -> Config {
    Config {
        listeners: vec![Listen::plain(([127, 0, 0, 1], 0).into())],
        cores: 2,
        driver,
        ..Config::default()
    }
}

#[test]
fn where_io_uring_is_refused_epoll_runs_and_says_why() {
    without_io_uring(|| {
        let lit = lines(on_loopback(Driver::Auto));
        let driver = lit.running.counters().driver;
        assert_eq!(driver.name, "epoll");
        assert!(driver.why.contains("not permitted"), "{}", driver.why);
        ask(&mut lit.connect(), "echo all the same\n", "all the same\n");
        lit.stop();
    });
}

#[test]
fn where_io_uring_is_refused_and_nothing_else_will_do_nothing_starts() {
    without_io_uring(|| {
        let error = percore::start(on_loopback(Driver::IoUring), |_| Panics).unwrap_err();
        assert!(matches!(error, StartError::Driver(_)), "{error}");
    });
}

#[test]
fn where_io_uring_works_auto_takes_it() {
    let lit = lines(on_loopback(Driver::Auto));
    assert_eq!(lit.running.counters().driver.name, "io_uring");
    lit.stop();
}

#[test]
fn a_port_that_is_taken_is_named() {
    on_each_driver(|config| {
        let lit = lines(config.clone());
        let taken = Config { listeners: vec![Listen::plain(lit.plain)], ..config };
        let error = percore::start(taken, |_| Panics).unwrap_err().to_string();
        assert!(error.contains(&lit.plain.to_string()), "{error}");
        lit.stop();
    });
}

struct Panics;

impl Service for Panics {
    type Message = ();
    type State = ();

    fn received(&mut self, _: &mut Turn<'_>, _: ConnectionId, (): &mut (), _: &[u8]) -> usize {
        panic!("as the story wants");
    }

    fn message(&mut self, _: &mut Turn<'_>, (): ()) {}
}

#[test]
fn a_service_that_panics_takes_its_core_with_it_and_nothing_else() {
    on_each_driver(|config| {
        let running = percore::start(Config { cores: 1, ..config }, |_| Panics).unwrap();
        let mut peer = connect(running.addresses()[0]);
        std::io::Write::write_all(&mut peer, b"x").unwrap();
        assert!(is_closed(&mut peer));
        let error = running.join().unwrap_err();
        assert_eq!(error.core, CoreIndex(0));
    });
}

#[test]
fn out_of_descriptors_accepting_waits_and_goes_on_later() {
    // The limit is the whole process's; the other tests of this file may find it low for a moment, so this one runs in
    // a process of its own.
    const MARK: &str = "PERCORE_TEST_OUT_OF_DESCRIPTORS";
    if std::env::var_os(MARK).is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "out_of_descriptors_accepting_waits_and_goes_on_later";
        let output =
            std::process::Command::new(this).args(["--exact", name]).env(MARK, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    on_each_driver(|config| {
        let mut peers: Vec<_> = (0..60)
            .map(|_| socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap())
            .collect();
        let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        let before = getrlimit(Resource::Nofile);
        // Before the start: a multishot accept keeps the limit of when it was armed.
        setrlimit(Resource::Nofile, Rlimit { current: Some(used + 40), ..before }).unwrap();
        let lit = lines(Config { cores: 1, ..config });
        peers.iter().for_each(|it| it.connect(&lit.plain.into()).unwrap());
        lit.until("accepting fails", |it| it.accept_failed > 0);
        assert!((it_open(&lit) as usize) < peers.len(), "some wait to be accepted");
        setrlimit(Resource::Nofile, before).unwrap();
        peers.iter_mut().for_each(|it| ask(it, "echo at last\n", "at last\n"));
        assert_eq!(it_open(&lit) as usize, peers.len());
        lit.stop();
    });
}

fn it_open(lit: &Lit) -> u64 {
    lit.running.counters().total.open
}
