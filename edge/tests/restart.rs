//! A restart refuses nobody: viewers connect anew all the while, and every one of them is answered.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

#[path = "../../mascaret/tests/stage/page.rs"]
mod page;
mod stage;

use edge::Settings;
use media::MediaSpan;
use node::settings::{Address, Millis};
use percore::Driver;
use percore::rustls::ClientConfig;
use stage::process::{EdgeProcess, be_one_if_told};
use stage::{
    Cluster, FIRST, Ingest, Viewer, Wire, any, body, listed, on_both_drivers, segment_path, settings,
};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

on_both_drivers! {
    three_edges_relieve_each_other_and_nobody_is_refused,
    sockets_of_systemd_outlive_three_edges_and_nobody_is_refused,
    a_successor_that_is_not_filled_gives_up_and_the_predecessor_goes_on,
}

/// Connections that are opened over all restarts, at least.
const CONNECTS: usize = 5_000;
const RESTARTS: usize = 3;

#[test]
fn one_of_the_processes() {
    be_one_if_told(|be, _| panic!("nothing is called {be}"));
}

/// Viewers who come anew for every playlist and segment, and some who stay as long as they may.
struct Crowd {
    is_over: Arc<AtomicBool>,
    connects: Arc<AtomicUsize>,
    viewers: Vec<JoinHandle<Duration>>,
}

impl Crowd {
    fn comes(plain: SocketAddr, tls: Option<(SocketAddr, Arc<ClientConfig>)>) -> Self {
        let (is_over, connects) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let connect_plain = move || Viewer::at(plain).boxed();
        let mut viewers = Vec::new();
        for stays in [false, false, false, true, true] {
            viewers.push(watch(connect_plain, stays, &is_over, &connects));
        }
        if let Some((address, trust)) = tls {
            for stays in [false, true] {
                let trust = Arc::clone(&trust);
                let connect = move || Viewer::by_tls(address, &trust).boxed();
                viewers.push(watch(connect, stays, &is_over, &connects));
            }
        }
        Self { is_over, connects, viewers }
    }

    /// Waits until so many more have connected.
    fn goes_on_for(&self, connects: usize) {
        let (began, before) = (Instant::now(), self.connects.load(Ordering::Relaxed));
        while self.connects.load(Ordering::Relaxed) < before + connects {
            assert!(self.viewers.iter().all(|viewer| !viewer.is_finished()), "somebody was not served");
            assert!(began.elapsed() < Duration::from_secs(60), "{connects} connections take too long");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn leaves(self) {
        self.is_over.store(true, Ordering::Release);
        let slowest = self.viewers.into_iter().map(|viewer| viewer.join().expect("was served all the while"));
        let slowest = slowest.max().unwrap();
        let connects = self.connects.load(Ordering::Relaxed);
        println!("{connects} connections, none refused, none reset; the slowest answer in {slowest:?}");
        assert!(connects >= CONNECTS, "{connects} connections only");
    }
}

/// One viewer; how long its slowest answer took. It panics when anything at all goes wrong.
fn watch(
    connect: impl Fn() -> Viewer<Box<dyn Wire>> + Send + 'static,
    stays: bool,
    is_over: &Arc<AtomicBool>,
    connects: &Arc<AtomicUsize>,
) -> JoinHandle<Duration> {
    let (is_over, connects) = (Arc::clone(is_over), Arc::clone(connects));
    std::thread::spawn(move || {
        let (mut viewer, mut slowest, mut last) = (None, Duration::ZERO, 0);
        while !is_over.load(Ordering::Acquire) {
            let mut ask = |path: &str| {
                let asked = Instant::now();
                let mut here = viewer.take().unwrap_or_else(|| {
                    connects.fetch_add(1, Ordering::Relaxed);
                    connect()
                });
                let answer = here.get(path);
                slowest = slowest.max(asked.elapsed());
                assert_eq!(answer.status, 200, "{path}: {}", answer.head);
                let is_told_to_go = answer.field("Connection") == Some("close");
                viewer = (stays && !is_told_to_go).then_some(here);
                answer
            };
            let playlist = ask("/live/tide/360p/index.m3u8").text();
            let newest = playlist.lines().rev().find_map(|line| line.strip_suffix(".ts")).expect("a segment");
            let nth = newest.parse::<u64>().unwrap() - FIRST;
            // Of two edges one may be a segment behind, for a moment.
            assert!(nth + 2 >= last, "segment {nth} is the newest after {last} was");
            last = nth.max(last);
            if stays {
                assert!(
                    ask(&segment_path("360p", nth)).body == body("360p", nth),
                    "segment {nth} has other bytes"
                );
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        slowest
    })
}

#[test]
fn systemd_is_told_how_it_goes() {
    page::line("systemctl status");
    let scene = Scene::of(Driver::Auto);
    let path = scene.cluster.directory.path().join("notify");
    let systemd = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let hears = |word: &str| {
        let began = Instant::now();
        loop {
            let mut said = [0; 1024];
            let len = systemd.recv(&mut said).unwrap();
            let said = String::from_utf8_lossy(&said[..len]).into_owned();
            assert!(began.elapsed() < Duration::from_secs(10), "it does not say {word}");
            if said.contains(word) {
                return said;
            }
        }
    };
    let edge = EdgeProcess::managed(&scene.cluster, &scene.settings, &path, Duration::from_millis(400));
    hears("READY=1");
    hears("STATUS=ready; 0 broadcasts, 0 connections of viewers");
    let feeding = scene.begins(edge.address());
    hears("STATUS=ready; 1 broadcasts");
    hears("WATCHDOG=1");
    edge.hang_up();
    let reloading = hears("RELOADING=1");
    let micros =
        reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("the time with it");
    assert!(micros.parse::<u64>().unwrap() > 0);
    hears("READY=1");
    scene.is_over.store(true, Ordering::Release);
    feeding.join().unwrap();
    edge.terminate();
    hears("STOPPING=1");
    edge.ended();
}

/// A segment each half second until told otherwise.
fn feed(ingest: &Arc<Ingest>, is_over: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (ingest, is_over) = (Arc::clone(ingest), Arc::clone(is_over));
    std::thread::spawn(move || {
        for nth in 3.. {
            if is_over.load(Ordering::Acquire) {
                return;
            }
            ingest.segment(nth);
            std::thread::sleep(Duration::from_millis(500));
        }
    })
}

/// Feed, settings of an edge with HTTPS, and what keeps both.
struct Scene {
    cluster: Cluster,
    ingest: Arc<Ingest>,
    settings: Settings,
    is_over: Arc<AtomicBool>,
}

impl Scene {
    fn of(driver: Driver) -> Self {
        let cluster = Cluster::new();
        let ingest = Arc::new(cluster.ingest(MediaSpan::from_secs(1)));
        let settings = Settings {
            https: Some(Address(any())),
            cores: node::settings::Number::new(2),
            drain: Millis::new(1_500),
            ..settings(driver, &[&ingest])
        };
        Self { cluster, ingest, settings, is_over: Arc::default() }
    }

    fn begins(&self, address: SocketAddr) -> JoinHandle<()> {
        self.ingest.begins();
        (0..3).for_each(|nth| self.ingest.segment(nth));
        listed(address, "360p", 2);
        feed(&self.ingest, &self.is_over)
    }
}

fn three_edges_relieve_each_other_and_nobody_is_refused(driver: Driver) {
    page::line("systemctl start mascaret-edge@2");
    let scene = Scene::of(driver);
    let path = scene.cluster.directory.path().join("edge.sock");
    let mut edge = EdgeProcess::relieving(&scene.cluster, &scene.settings, &path);
    let feeding = scene.begins(edge.address());
    let crowd = Crowd::comes(edge.address(), Some((edge.addresses[1], scene.cluster.trust())));
    for restart in 1..=RESTARTS {
        crowd.goes_on_for(CONNECTS / (RESTARTS + 1));
        let began = Instant::now();
        let next = EdgeProcess::relieving(&scene.cluster, &scene.settings, &path);
        assert_eq!((next.addresses.clone(), next.operator), (edge.addresses.clone(), edge.operator));
        let took_over = began.elapsed();
        let former = std::mem::replace(&mut edge, next);
        former.ended();
        println!(
            "restart {restart}: taken over in {took_over:?}, the former one is gone after {:?}",
            began.elapsed()
        );
    }
    crowd.goes_on_for(CONNECTS / (RESTARTS + 1));
    crowd.leaves();
    scene.is_over.store(true, Ordering::Release);
    feeding.join().unwrap();
    edge.terminate();
    edge.ended();
    assert!(!path.exists(), "who ends without a successor takes its offer back");
}

fn sockets_of_systemd_outlive_three_edges_and_nobody_is_refused(driver: Driver) {
    page::line("systemctl restart mascaret-edge@1");
    let scene = Scene::of(driver);
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind(any()).unwrap());
    let sockets = listeners.each_ref().map(|listener| listener.as_fd());
    let mut edge = EdgeProcess::activated(&scene.cluster, &scene.settings, &sockets);
    assert_eq!(edge.address(), listeners[0].local_addr().unwrap());
    let feeding = scene.begins(edge.address());
    let crowd = Crowd::comes(edge.address(), Some((edge.addresses[1], scene.cluster.trust())));
    for _ in 1..=RESTARTS {
        crowd.goes_on_for(CONNECTS / (RESTARTS + 1));
        edge.terminate();
        edge.ended();
        edge = EdgeProcess::activated(&scene.cluster, &scene.settings, &sockets);
    }
    crowd.goes_on_for(CONNECTS / (RESTARTS + 1));
    crowd.leaves();
    scene.is_over.store(true, Ordering::Release);
    feeding.join().unwrap();
    edge.terminate();
    edge.ended();
}

fn a_successor_that_is_not_filled_gives_up_and_the_predecessor_goes_on(driver: Driver) {
    let scene = Scene::of(driver);
    let path = scene.cluster.directory.path().join("edge.sock");
    let edge = EdgeProcess::relieving(&scene.cluster, &scene.settings, &path);
    let feeding = scene.begins(edge.address());
    // It knows of no ingest, so it is never filled; and is killed before it has given up by itself.
    let unfed = Settings { ingests: Vec::new(), ..scene.settings.clone() };
    let lost = EdgeProcess::spawn(&scene.cluster, &unfed, Some(&path));
    std::thread::sleep(Duration::from_millis(1_500));
    // While the other waits for what does not come, nothing is missing here: not even a segment is late.
    let newest = || {
        let playlist = Viewer::at(edge.address()).get("/live/tide/360p/index.m3u8");
        assert_eq!(playlist.status, 200);
        playlist.text().lines().rev().find_map(|line| line.strip_suffix(".ts")?.parse::<u64>().ok()).unwrap()
    };
    let seen = newest();
    listed(edge.address(), "360p", seen - FIRST + 3);
    drop(lost);
    let seen = newest();
    listed(edge.address(), "360p", seen - FIRST + 2);
    scene.is_over.store(true, Ordering::Release);
    feeding.join().unwrap();
    edge.terminate();
    edge.ended();
}
