//! An edge and a balancer's control door: who tells whom what.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use edgefan::{EdgeState, NodeId, TicketKey};
use media::MediaSpan;
use node::fan::control::server::{self, ControlEvent};
use node::settings::{Mbps, Parsed};
use percore::Driver;
use stage::{Cluster, RUNGS, Viewer, any, broadcast, listed, on_both_drivers, segment_path, settings, until};
use std::sync::{Arc, Mutex};
use ticket::{BroadcastHash, Flags, Key, Keys, Ticket, UnixSeconds, ViewerId};

on_both_drivers! {
    a_balancer_names_ingests_and_keys_and_hears_how_the_edge_is_doing,
    an_edge_without_a_balancer_keeps_what_it_was_told,
}

fn token(secret: [u8; 32]) -> String {
    let ticket = Ticket {
        edge: None,
        other: None,
        expires: UnixSeconds(u32::MAX),
        broadcast: BroadcastHash::of(&broadcast()),
        viewer: ViewerId(7),
        flags: Flags::ADMITTED,
    };
    ticket.seal(&Keys::new(Key::from_secret(secret), None)).to_string()
}

fn a_balancer_names_ingests_and_keys_and_hears_how_the_edge_is_doing(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(MediaSpan::from_secs(2));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    let balancer = server::start(
        server::Settings {
            node: NodeId::parse("lb1").unwrap(),
            version: "test".into(),
            listen: any(),
            ingests: vec![ingest.publishing.address().into()],
            keys: vec![TicketKey { kid: 0, secret: [7; 32] }],
        },
        cluster.node("lb").certificates.cluster_server_config().unwrap(),
        move |event| told.lock().unwrap().push(event),
    )
    .unwrap();
    // The edge is told of no ingest: it learns it.
    let edge = cluster.edge(edge::Settings {
        id: Parsed("edge1".parse().unwrap()),
        lbs: vec![Parsed(balancer.address().into())],
        private: vec![Parsed(broadcast())],
        capacity: Mbps::new(250),
        ..settings(driver, &[])
    });
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));

    let with = |token: &str| segment_path("720p", 2).replace("/live/", &format!("/v/{token}/"));
    let good = with(&token([7; 32]));
    until("the ticket to open", || (Viewer::at(edge.address()).get(&good).status == 200).then_some(()));
    for refused in [segment_path("720p", 2), with(&token([8; 32])), with("nonsense")] {
        assert_eq!(Viewer::at(edge.address()).get(&refused).status, 403, "{refused}");
    }
    // URIs are relative, so they inherit the ticket.
    let playlist = good.replace(&format!("{}.ts", stage::FIRST + 2), "index.m3u8");
    let uri = format!("\n{}.ts\n", stage::FIRST + 2);
    until("the playlist", || Viewer::at(edge.address()).get(&playlist).text().contains(&uri).then_some(()));

    let has = |wanted: &dyn Fn(&ControlEvent) -> bool| heard.lock().unwrap().iter().any(wanted).then_some(());
    let url = format!("http://{}", edge.address());
    until("a hello", || {
        has(&|event| {
            matches!(event, ControlEvent::Joined(hello) if hello.node.as_str() == "edge1"
            && hello.edge.as_ref().is_some_and(|it| it.http == url && it.capacity.0 == 250_000_000))
        })
    });
    until("the broadcast", || {
        has(
            &|event| matches!(event, ControlEvent::Stream { facts, .. } if facts.renditions.len() == RUNGS.len()),
        )
    });
    until("a ready heartbeat with an age", || {
        has(&|event| {
            matches!(event, ControlEvent::Load { load, .. }
            if load.state == EdgeState::Ready && load.newest_segment_age_ms.is_some())
        })
    });
    balancer.set_standing(NodeId::parse("edge1").unwrap(), edgefan::Standing::Drain);
    until("a draining heartbeat", || {
        has(&|event| matches!(event, ControlEvent::Load { load, .. } if load.state == EdgeState::Draining))
    });
    assert_eq!(edge.operator("/readyz").0, 404);
    assert_eq!(Viewer::at(edge.address()).get(&good).status, 200, "viewers are steered, not cut off");
    edge.ends();
}

fn an_edge_without_a_balancer_keeps_what_it_was_told(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(MediaSpan::from_secs(2));
    let tls = cluster.node("lb").certificates.cluster_server_config().unwrap();
    let balancer = server::start(
        server::Settings {
            node: NodeId::parse("lb1").unwrap(),
            version: "test".into(),
            listen: any(),
            ingests: vec![ingest.publishing.address().into()],
            keys: vec![TicketKey { kid: 0, secret: [7; 32] }],
        },
        tls,
        |_| {},
    )
    .unwrap();
    let edge = cluster
        .edge(edge::Settings { lbs: vec![Parsed(balancer.address().into())], ..settings(driver, &[]) });
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(edge.address(), "720p", 2);
    balancer.stop();
    until("the edge to miss it", || edge.operator("/status").1.contains("\"balancers_up\":0").then_some(()));
    ingest.segment(3);
    listed(edge.address(), "720p", 3);
    let path = segment_path("720p", 3).replace("/live/", &format!("/v/{}/", token([7; 32])));
    assert_eq!(Viewer::at(edge.address()).get(&path).status, 200);
    edge.ends();
}
