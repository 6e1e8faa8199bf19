//! A viewer's TLS session at one edge is resumed at another, by the keys that the cluster's balancer tells both.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use edgefan::{NodeId, TicketKey};
use node::fan::control::server;
use node::settings::{Address, Parsed};
use percore::Driver;
use percore::rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use stage::{Cluster, Edge, any, on_both_drivers, settings, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

on_both_drivers! {
    a_session_of_one_edge_is_resumed_at_another_and_not_when_the_keys_have_changed_twice,
}

/// Asks for what is not there; how the handshake was done.
fn visit(edge: &Edge, client: &Arc<ClientConfig>) -> HandshakeKind {
    let session = ClientConnection::new(Arc::clone(client), "localhost".try_into().unwrap()).unwrap();
    let mut peer = StreamOwned::new(session, TcpStream::connect(edge.running.addresses()[1]).unwrap());
    peer.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert!(heard.starts_with(b"HTTP/1.1 404"));
    peer.conn.handshake_kind().unwrap()
}

fn a_session_of_one_edge_is_resumed_at_another_and_not_when_the_keys_have_changed_twice(driver: Driver) {
    let cluster = Cluster::new();
    let keys =
        |secrets: &[u8]| secrets.iter().map(|byte| TicketKey { kid: 0, secret: [*byte; 32] }).collect();
    let balancer = server::start(
        server::Settings {
            node: NodeId::parse("lb1").unwrap(),
            version: "test".into(),
            listen: any(),
            ingests: Vec::new(),
            keys: keys(&[7]),
        },
        cluster.node("lb").certificates.cluster_server_config().unwrap(),
        |_| {},
    )
    .unwrap();
    let [one, other] = ["edge1", "edge2"].map(|name| {
        cluster.edge(edge::Settings {
            id: Parsed(name.parse().unwrap()),
            https: Some(Address(any())),
            lbs: vec![Parsed(balancer.address().into())],
            ..settings(driver, &[])
        })
    });
    let client = || cluster.node("viewer").certificates.https_client_config().unwrap();
    // At first the balancer may not have spoken to both.
    until("a session of one to be resumed at the other", || {
        let viewer = client();
        visit(&one, &viewer);
        (visit(&other, &viewer) == HandshakeKind::Resumed).then_some(())
    });
    // Viewers who are away while the keys change.
    let away = |_| {
        let viewer = client();
        visit(&one, &viewer);
        viewer
    };
    let mut asleep: Vec<_> = (0..100).map(away).collect();
    balancer.set_keys(keys(&[8, 7]));
    until("a ticket of the new key", || {
        let viewer = away(0);
        (visit(&other, &viewer) == HandshakeKind::Resumed).then_some(())
    });
    assert_eq!(visit(&other, &asleep.remove(0)), HandshakeKind::Resumed, "the key before this one opens");
    balancer.set_keys(keys(&[9, 8]));
    // A viewer who comes before the edge has heard of it resumes, and gets a newer ticket: another one, then.
    until("the first key to be forgotten", || {
        let viewer = asleep.pop().expect("the edge was not told in time");
        (visit(&other, &viewer) == HandshakeKind::Full).then_some(())
    });
    one.ends();
    other.ends();
}
