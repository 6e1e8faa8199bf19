//! How an edge stands: fed or not, active, in a drain, in maintenance; and that it comes back by itself.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use edgefan::{EdgeState, NodeId, Standing};
use media::MediaSpan;
use node::fan::control::server::{self, ControlEvent, ControlServer};
use node::settings::{Millis, Parsed};
use percore::Driver;
use stage::process::{Process, be_one_if_told, ready};
use stage::{
    Cluster, Edge, Ingest, Viewer, any, body, listed, on_both_drivers, segment_path, settings, until,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

on_both_drivers! {
    an_ingest_that_hangs_makes_edges_unready_until_it_wakes,
    an_edge_in_a_black_hole_says_so_and_comes_back_by_itself,
    a_drained_edge_is_empty_goes_on_running_and_takes_viewers_again,
    in_maintenance_nobody_is_waited_for,
}

const PLAYLIST: &str = "/live/tide/360p/index.m3u8";
const PITCH: MediaSpan = MediaSpan::from_millis(500);

#[test]
fn one_of_the_processes() {
    be_one_if_told(|be, words| {
        assert_eq!(be, "ingest");
        let cluster = Cluster::of(words);
        let ingest = Arc::new(cluster.ingest(PITCH));
        let address = ingest.publishing.address();
        let is_over = Arc::new(AtomicBool::new(false));
        let feeding = feed(&ingest, &is_over);
        ready(&address.to_string());
        is_over.store(true, Ordering::Release);
        feeding.join().unwrap();
    });
}

/// A segment each half second until told otherwise, and which is the next.
fn feed(ingest: &Arc<Ingest>, is_over: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (ingest, is_over) = (Arc::clone(ingest), Arc::clone(is_over));
    std::thread::spawn(move || {
        ingest.begins();
        for nth in 0.. {
            if is_over.load(Ordering::Acquire) {
                return;
            }
            ingest.segment(nth);
            std::thread::sleep(Duration::from_millis(500));
        }
    })
}

fn status(edge: &Edge) -> u16 {
    Viewer::at(edge.address()).get(PLAYLIST).status
}

fn an_ingest_that_hangs_makes_edges_unready_until_it_wakes(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = Process::of("ingest", cluster.directory.path().to_str().unwrap(), &cluster);
    let address: SocketAddr = ingest.said[0].parse().unwrap();
    let edge =
        cluster.edge(edge::Settings { ingests: vec![Parsed(address.into())], ..settings(driver, &[]) });
    until("it to be fed", || (status(&edge) == 200 && edge.operator("/readyz").0 == 200).then_some(()));
    let hung = Instant::now();
    ingest.signal(rustix::process::Signal::STOP);
    until("404", || (status(&edge) == 404).then_some(()));
    // A target duration of 1 s: 2.5 s after its newest segment, which is less than half a second old.
    assert!(hung.elapsed() >= Duration::from_millis(1_900), "{:?}", hung.elapsed());
    until("not fed", || (edge.operator("/readyz").0 == 503).then_some(()));
    ingest.signal(rustix::process::Signal::CONT);
    until("200 again", || (status(&edge) == 200).then_some(()));
    until("ready again", || (edge.operator("/readyz").0 == 200).then_some(()));
    edge.ends();
    ingest.ends();
}

/// Passes connections on until it is told to swallow everything, both ways.
fn black_hole(to: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind(any()).unwrap();
    let (address, swallows) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
    let swallowing = Arc::clone(&swallows);
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(to).unwrap();
            for (mut from, mut into) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                let swallowing = Arc::clone(&swallowing);
                std::thread::spawn(move || {
                    let mut bytes = vec![0; 64 << 10];
                    while let Ok(len @ 1..) = from.read(&mut bytes) {
                        if !swallowing.load(Ordering::Acquire) && into.write_all(&bytes[..len]).is_err() {
                            break;
                        }
                    }
                    let _ = into.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    (address, swallows)
}

fn an_edge_in_a_black_hole_says_so_and_comes_back_by_itself(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = Arc::new(cluster.ingest(PITCH));
    let is_over = Arc::new(AtomicBool::new(false));
    let feeding = feed(&ingest, &is_over);
    let (hole, swallows) = black_hole(ingest.publishing.address());
    let balancer = Balancer::start(&cluster);
    let edge = cluster.edge(edge::Settings {
        ingests: vec![Parsed(hole.into())],
        lbs: vec![Parsed(balancer.control.address().into())],
        ..settings(driver, &[])
    });
    until("it to be fed", || (status(&edge) == 200).then_some(()));
    balancer.hears(EdgeState::Ready);
    swallows.store(true, Ordering::Release);
    until("404", || (status(&edge) == 404).then_some(()));
    balancer.hears(EdgeState::NotFed);
    assert_eq!(edge.operator("/readyz").0, 503);
    swallows.store(false, Ordering::Release);
    until("200 again", || (status(&edge) == 200).then_some(()));
    balancer.hears(EdgeState::Ready);
    is_over.store(true, Ordering::Release);
    feeding.join().unwrap();
    edge.ends();
}

/// What a feed that loses packets does to an edge, by the ingest's word of when it made what: the edge has all of it, and
/// all of it late.
#[test]
fn an_edge_whose_feed_is_late_says_so_goes_on_answering_and_comes_back_by_itself() {
    let cluster = Cluster::new();
    let balancer = Balancer::start(&cluster);
    let ingest = cluster.ingest(PITCH);
    let edge = cluster.edge(edge::Settings {
        lbs: vec![Parsed(balancer.control.address().into())],
        ..settings(Driver::Epoll, &[&ingest])
    });
    ingest.begins();
    let mut nth = 0;
    let mut segment = |late: Duration| {
        ingest.segment_made(nth, Instant::now() - late);
        nth += 1;
        std::thread::sleep(Duration::from_millis(250));
    };
    until("it to be ready", || {
        segment(Duration::ZERO);
        (edge.operator("/readyz").0 == 200).then_some(())
    });
    // Made before its link was up would count for nothing.
    (0..6).for_each(|_| segment(Duration::ZERO));
    assert_eq!(edge.operator("/readyz").0, 200);
    // Half a target duration is half a second.
    until("it to lag", || {
        segment(Duration::from_millis(800));
        (edge.operator("/readyz").0 == 503).then_some(())
    });
    let (_, said) = edge.operator("/readyz");
    assert!(said.starts_with("lagging: segments of tide come late"), "{said}");
    balancer.hears(EdgeState::Lagging);
    let (_, metrics) = edge.operator("/metrics");
    assert!(metrics.contains("mascaret_edge_lagging 1"), "{metrics}");
    assert_eq!(status(&edge), 200, "slow, not wrong");
    let calm = Instant::now();
    until("it to keep up", || {
        segment(Duration::ZERO);
        (edge.operator("/readyz").0 == 200).then_some(())
    });
    assert!(calm.elapsed() >= Duration::from_secs(7), "eight target durations: {:?}", calm.elapsed());
    balancer.hears(EdgeState::Ready);
    edge.ends();
}

/// The control door of a balancer, and the state it heard last.
struct Balancer {
    control: ControlServer,
    last: Arc<Mutex<Option<EdgeState>>>,
    viewers: Arc<AtomicU64>,
}

impl Balancer {
    fn start(cluster: &Cluster) -> Self {
        let (last, viewers) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU64::new(0)));
        let (hears, counts) = (Arc::clone(&last), Arc::clone(&viewers));
        let settings = server::Settings {
            node: NodeId::parse("lb1").unwrap(),
            version: "test".into(),
            listen: any(),
            ingests: Vec::new(),
            keys: Vec::new(),
        };
        let tls = cluster.node("lb").certificates.cluster_server_config().unwrap();
        let control = server::start(settings, tls, move |event| {
            if let ControlEvent::Load { load, .. } = event {
                *hears.lock().unwrap() = Some(load.state);
                counts.store(load.viewers, Ordering::Release);
            }
        });
        Self { control: control.unwrap(), last, viewers }
    }

    fn hears(&self, state: EdgeState) {
        until(&format!("{state:?}"), || (*self.last.lock().unwrap() == Some(state)).then_some(()));
    }

    fn says(&self, standing: Standing) {
        self.control.set_standing(NodeId::parse("edge").unwrap(), standing);
    }
}

/// An edge with three segments, on this balancer.
fn fed(driver: Driver, cluster: &Cluster, balancer: &Balancer, drain_steer: u64) -> (Edge, Ingest) {
    let ingest = cluster.ingest(MediaSpan::from_secs(2));
    let edge = cluster.edge(edge::Settings {
        lbs: vec![Parsed(balancer.control.address().into())],
        drain_steer: Millis::new(drain_steer),
        ..settings(driver, &[&ingest])
    });
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(edge.address(), "360p", 2);
    balancer.hears(EdgeState::Ready);
    (edge, ingest)
}

fn a_drained_edge_is_empty_goes_on_running_and_takes_viewers_again(driver: Driver) {
    let cluster = Cluster::new();
    let balancer = Balancer::start(&cluster);
    let (edge, ingest) = fed(driver, &cluster, &balancer, 1_000);
    let (mut watches, mut idles) = (Viewer::at(edge.address()), Viewer::at(edge.address()));
    assert_eq!((watches.get(PLAYLIST).status, idles.get(&segment_path("360p", 2)).status), (200, 200));
    until("two viewers", || (balancer.viewers.load(Ordering::Acquire) >= 2).then_some(()));

    let told = Instant::now();
    balancer.says(Standing::Drain);
    balancer.hears(EdgeState::Draining);
    // Steering has its time, and segments are served all the while.
    assert_eq!(watches.get(PLAYLIST).status, 200);
    let answer = until("404", || Some(watches.get(PLAYLIST)).filter(|answer| answer.status == 404));
    assert!(told.elapsed() >= Duration::from_millis(900), "{:?}", told.elapsed());
    assert_eq!(answer.field("Connection"), Some("close"), "who is told to go is not kept");
    assert!(watches.is_closed());
    assert!(idles.is_closed(), "who asks for nothing is let go");
    until("nobody to be left", || (balancer.viewers.load(Ordering::Acquire) == 0).then_some(()));
    println!("empty {:?} after the command", told.elapsed());
    let got = Viewer::at(edge.address()).get(&segment_path("360p", 2));
    assert_eq!((got.status, got.body.len()), (200, body("360p", 2).len()), "what is buffered may be fetched");

    // It is fed on, and back at once.
    ingest.segment(3);
    balancer.says(Standing::Active);
    balancer.hears(EdgeState::Ready);
    listed(edge.address(), "360p", 3);
    let mut again = Viewer::at(edge.address());
    assert_eq!(again.get(PLAYLIST).field("Connection"), None);
    assert_eq!(again.get(PLAYLIST).status, 200, "and kept");
    edge.ends();
}

fn in_maintenance_nobody_is_waited_for(driver: Driver) {
    let cluster = Cluster::new();
    let balancer = Balancer::start(&cluster);
    let (edge, _ingest) = fed(driver, &cluster, &balancer, 600_000);
    balancer.says(Standing::Drain);
    balancer.hears(EdgeState::Draining);
    assert_eq!(status(&edge), 200, "steering has ten minutes");
    balancer.says(Standing::Maintenance);
    until("404", || (status(&edge) == 404).then_some(()));
    balancer.says(Standing::Active);
    until("200", || (status(&edge) == 200).then_some(()));
    edge.ends();
}
