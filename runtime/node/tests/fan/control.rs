//! The control link: balancers hear edges, edges hear balancers, balancers hear each other; also while a process hands over.

use crate::{Cluster, PATIENCE, broadcast, stream};
use edgefan::{Address, EdgeFacts, EdgeState, Load, NodeId, Standing, TicketKey};
use media::RunId;
use node::fan::control::{client, client::Told, peers, server, server::ControlEvent};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

fn wait<T: std::fmt::Debug>(events: &Receiver<T>, what: &str, mut is_it: impl FnMut(T) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) => {
                if is_it(event) {
                    return;
                }
            }
            Err(_) => panic!("{what} did not come"),
        }
    }
}

fn balancer(cluster: &Cluster, name: &str) -> (server::ControlServer, Receiver<ControlEvent>) {
    let settings = server::Settings {
        node: NodeId::parse(name).unwrap(),
        version: "test".into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        ingests: Vec::new(),
        keys: Vec::new(),
    };
    let (sender, events) = channel();
    let tls = cluster.certificates.cluster_server_config().unwrap();
    (server::start(settings, tls, move |event| drop(sender.send(event))).unwrap(), events)
}

/// A process of the same edge.
fn edge_dials(cluster: &Cluster, balancer: &server::ControlServer, http: &str) -> client::ControlClient {
    let settings = client::Settings {
        node: NodeId::parse("edge-1").unwrap(),
        version: "test".into(),
        edge: EdgeFacts { http: http.into(), ..EdgeFacts::default() },
        balancers: vec![balancer.address().into()],
    };
    let tls = cluster.certificates.cluster_client_config().unwrap();
    client::start(settings, tls, |_| {}).unwrap()
}

#[test]
fn balancers_hear_edges_and_edges_hear_balancers() {
    let cluster = Cluster::new();
    let key = |kid| TicketKey { kid, secret: [kid; 32] };
    let serve = |name: &str| {
        let settings = server::Settings {
            node: NodeId::parse(name).unwrap(),
            version: "test".into(),
            listen: "127.0.0.1:0".parse().unwrap(),
            ingests: vec![Address::parse("127.0.0.11:7001").unwrap()],
            keys: vec![key(1)],
        };
        let (sender, events) = channel();
        let tls = cluster.certificates.cluster_server_config().unwrap();
        (server::start(settings, tls, move |event| drop(sender.send(event))).unwrap(), events)
    };
    let ((first, at_first), (second, at_second)) = (serve("lb-1"), serve("lb-2"));

    let dial = |balancers| {
        let settings = client::Settings {
            node: NodeId::parse("edge-1").unwrap(),
            version: "test".into(),
            edge: EdgeFacts { http: "http://127.0.0.21:8080".into(), weight: 100, ..EdgeFacts::default() },
            balancers,
        };
        let (sender, told) = channel();
        let tls = cluster.certificates.cluster_client_config().unwrap();
        (client::start(settings, tls, move |said| drop(sender.send(said))).unwrap(), told)
    };
    let (edge, told) = dial(vec![first.address().into(), second.address().into()]);
    edge.load(Load { viewers: 5, state: EdgeState::Ready, ..Load::default() });
    edge.stream(stream());

    for events in [&at_first, &at_second] {
        wait(
            events,
            "HELLO",
            |event| matches!(event, ControlEvent::Joined(hello) if hello.node.as_str() == "edge-1"),
        );
        let facts = stream();
        let mut heard = [false; 2];
        wait(events, "stream facts and two loads", |event| {
            heard[0] |= matches!(&event, ControlEvent::Stream { facts: told, .. } if *told == facts);
            heard[1] |= matches!(event, ControlEvent::Load { load, .. } if load.viewers == 5);
            heard == [true; 2]
        });
    }
    wait(
        &told,
        "ingests",
        |said| matches!(said, Told::Welcome { welcome, .. } if welcome.ingests[0].as_str() == "127.0.0.11:7001"),
    );
    first.set_keys(vec![key(2), key(1)]);
    wait(&told, "the new keys", |said| matches!(said, Told::Keys { keys, .. } if keys == [key(2), key(1)]));
    second.set_standing(NodeId::parse("edge-1").unwrap(), Standing::Drain);
    wait(&told, "the drain", |said| matches!(said, Told::Standing { standing: Standing::Drain, .. }));

    // The load is the heartbeat: four a second.
    let began = Instant::now();
    for _ in 0..4 {
        wait(&at_first, "a heartbeat", |event| matches!(event, ControlEvent::Load { .. }));
    }
    assert!(began.elapsed() < Duration::from_secs(3));

    // An edge that dies leaves; one that comes back says everything again.
    edge.stop();
    wait(&at_first, "leaving", |event| matches!(event, ControlEvent::Left { .. }));
    let (edge, _told) = dial(vec![first.address().into()]);
    edge.stream(stream());
    wait(&at_first, "joining again", |event| matches!(event, ControlEvent::Joined(_)));
    wait(&at_first, "the facts again", |event| matches!(event, ControlEvent::Stream { .. }));
    edge.end(broadcast(), RunId(7));
    wait(&at_first, "the end", |event| matches!(event, ControlEvent::Ended { .. }));
}

#[test]
fn of_two_processes_the_later_is_heard_once_it_is_ready_and_nobody_has_left() {
    let cluster = Cluster::new();
    let (balancer, events) = balancer(&cluster, "lb");
    let dial = |http: &str| edge_dials(&cluster, &balancer, http);
    let load = |viewers, state| Load { viewers, state, ..Load::default() };
    let former = dial("http://former");
    former.load(load(1, EdgeState::Ready));
    wait(
        &events,
        "the former's load",
        |event| matches!(event, ControlEvent::Load { load, .. } if load.viewers == 1),
    );
    let later = dial("http://later");
    later.stream(stream());
    later.load(load(2, EdgeState::NotFed));
    // The former goes on being heard, a second long, and the later is not.
    for _ in 0..4 {
        wait(&events, "the former", |event| match event {
            ControlEvent::Load { load, .. } => {
                assert_eq!(load.viewers, 1);
                true
            }
            event => panic!("{event:?}"),
        });
    }
    later.load(load(2, EdgeState::Ready));
    let mut said = Vec::new();
    wait(&events, "the later's word", |event| {
        let is_load = matches!(&event, ControlEvent::Load { load, .. } if load.viewers == 2);
        if !matches!(&event, ControlEvent::Load { load, .. } if load.viewers == 1) {
            said.push(event);
        }
        is_load
    });
    let [ControlEvent::Joined(hello), ControlEvent::Stream { .. }, ControlEvent::Load { .. }] = &said[..]
    else {
        panic!("{said:?}");
    };
    assert_eq!(hello.edge.as_ref().unwrap().http, "http://later");
    // The former serves on until it is relieved, and says so; it does not take the word back.
    for _ in 0..8 {
        wait(&events, "the later alone", |event| match event {
            ControlEvent::Load { load, .. } => {
                assert_eq!(load.viewers, 2);
                true
            }
            event => panic!("{event:?}"),
        });
    }
    // The former ends, and that is nobody's business; when the later ends, the edge has left.
    former.stop();
    wait(
        &events,
        "the later goes on",
        |event| matches!(event, ControlEvent::Load { load, .. } if load.viewers == 2),
    );
    later.stop();
    wait(&events, "leaving", |event| matches!(event, ControlEvent::Left { .. }));
}

/// The next process is heard and gives up before it relieves the one before it: that one is heard again, with all that it has
/// said.
#[test]
fn an_edge_that_falls_back_to_its_other_process_carries_what_that_carries() {
    let cluster = Cluster::new();
    let (balancer, events) = balancer(&cluster, "lb");
    let load = |viewers| Load { viewers, state: EdgeState::Ready, ..Load::default() };
    let is_of = |event: &ControlEvent, viewers| matches!(event, ControlEvent::Load { load, .. } if load.viewers == viewers);
    let former = edge_dials(&cluster, &balancer, "http://former");
    former.stream(stream());
    former.load(load(1));
    wait(&events, "the former", |event| is_of(&event, 1));
    let later = edge_dials(&cluster, &balancer, "http://later");
    later.load(load(2));
    wait(&events, "the later", |event| is_of(&event, 2));
    later.stop();
    let mut said = Vec::new();
    wait(&events, "the former's word again", |event| {
        let is_load = is_of(&event, 1);
        if !is_of(&event, 2) {
            said.push(event);
        }
        is_load
    });
    let [ControlEvent::Joined(hello), ControlEvent::Stream { facts, .. }, ControlEvent::Load { .. }] =
        &said[..]
    else {
        panic!("{said:?}");
    };
    assert_eq!(
        (&*hello.edge.as_ref().unwrap().http, &facts.broadcast),
        ("http://former", &stream().broadcast)
    );
}

#[test]
fn a_balancer_that_stands_aside_lets_go_of_the_others_until_it_is_its_turn() {
    let cluster = Cluster::new();
    let (other, events) = balancer(&cluster, "lb2");
    let peers = |is_aside| {
        let settings = peers::Settings {
            node: NodeId::parse("lb1").unwrap(),
            version: "test".into(),
            peers: vec![other.address().into()],
        };
        let tls = cluster.certificates.cluster_client_config().unwrap();
        peers::start(settings, tls, is_aside).unwrap()
    };
    let former = peers(false);
    wait(&events, "the former", |event| matches!(event, ControlEvent::PeerJoined(_)));
    // The next process dials only when it is told to: else each would end the other's link.
    let later = peers(true);
    assert!(events.recv_timeout(Duration::from_millis(300)).is_err(), "it waits for its turn");
    former.stand_aside(true);
    wait(&events, "the former's end", |event| matches!(event, ControlEvent::PeerLeft(_)));
    later.stand_aside(false);
    wait(&events, "the later", |event| matches!(event, ControlEvent::PeerJoined(_)));
    // One that gives up gives the links back.
    drop(later);
    wait(&events, "the later's end", |event| matches!(event, ControlEvent::PeerLeft(_)));
    former.stand_aside(false);
    wait(&events, "the former again", |event| matches!(event, ControlEvent::PeerJoined(_)));
}
