//! Edges behind edges: a relay passes on what it gets while it gets it, and whoever is behind it has the same bytes.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use edge::RelaySettings;
use edgefan::NodeId;
use media::{
    DiscontinuitySequence, MediaSequence, MediaSpan, MediaTime, ObjectKey, ObjectKind, RenditionId, RunId,
};
use node::fan::control::server;
use node::settings::{Address, Number, Parsed};
use percore::Driver;
use stage::{
    Cluster, Edge, FIRST, Ingest, RUNGS, Viewer, any, body, broadcast, listed, on_both_drivers, segment_path,
    settings, sha256, until,
};

on_both_drivers! {
    edges_behind_two_relays_have_the_same_bytes_and_one_relay_may_go,
    bytes_are_passed_on_while_the_segment_is_being_made,
    with_many_edges_a_balancer_sends_them_to_relays,
    relays_of_one_layer_do_not_feed_each_other,
}

const PITCH: MediaSpan = MediaSpan::from_secs(2);

fn relay(driver: Driver, id: &str, ingests: &[&Ingest]) -> edge::Settings {
    edge::Settings {
        id: Parsed(id.parse().unwrap()),
        relay: RelaySettings { listen: Some(Address(any())), ..RelaySettings::default() },
        ..settings(driver, ingests)
    }
}

fn behind(driver: Driver, id: &str, relays: &[&Edge]) -> edge::Settings {
    let feeds = relays.iter().map(|relay| Parsed(relay.running.relay_address().unwrap().into()));
    edge::Settings { id: Parsed(id.parse().unwrap()), feeds: feeds.collect(), ..settings(driver, &[]) }
}

fn has(edge: &Edge, nth: u64) {
    for rung in RUNGS {
        listed(edge.address(), rung, nth);
        let got = Viewer::at(edge.address()).get(&segment_path(rung, nth));
        assert_eq!((got.status, sha256(&got.body)), (200, sha256(&body(rung, nth))), "{rung} {nth}");
    }
}

fn edges_behind_two_relays_have_the_same_bytes_and_one_relay_may_go(driver: Driver) {
    let cluster = Cluster::new();
    let (ingest, other) = (cluster.ingest(PITCH), cluster.ingest(PITCH));
    let relays = ["relay1", "relay2"].map(|id| cluster.edge(relay(driver, id, &[&ingest, &other])));
    let early = cluster.edge(behind(driver, "edge1", &[&relays[0], &relays[1]]));
    [&ingest, &other].iter().for_each(|ingest| ingest.begins());
    for nth in 0..8 {
        [&ingest, &other].iter().for_each(|ingest| ingest.segment(nth));
        has(&early, nth);
    }
    has(&relays[0], 7);
    // Who joins late is filled by relays as by an ingest: a whole window at once.
    let late = cluster.edge(behind(driver, "edge2", &[&relays[0], &relays[1]]));
    let text = listed(late.address(), "720p", 7);
    assert_eq!(text.matches("#EXTINF").count(), 6, "{text}");
    assert_eq!(text, listed(early.address(), "720p", 7));
    until("both to be counted", || {
        relays[0].operator("/metrics").1.contains("mascaret_edge_relay_links 2\n").then_some(())
    });

    let [one, two] = relays;
    one.ends();
    [&ingest, &other].iter().for_each(|ingest| ingest.segment(8));
    [&early, &late].iter().for_each(|edge| has(edge, 8));
    // An ingest that goes is the relay's business.
    ingest.publishing.stop();
    other.segment(9);
    [&early, &late].iter().for_each(|edge| has(edge, 9));
    assert!(!listed(early.address(), "720p", 9).contains("EXT-X-GAP"));
    [early, late, two].into_iter().for_each(Edge::ends);
}

fn bytes_are_passed_on_while_the_segment_is_being_made(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(PITCH);
    let relay = cluster.edge(relay(driver, "relay1", &[&ingest]));
    let edge = cluster.edge(behind(driver, "edge1", &[&relay]));
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    has(&edge, 2);
    let sequence = MediaSequence(FIRST + 3);
    let key = ObjectKey {
        broadcast: broadcast(),
        run: RunId(1),
        rendition: RenditionId::parse("720p").unwrap(),
        sequence,
        part: None,
        kind: ObjectKind::Segment,
    };
    let start = MediaTime::from_ticks(sequence.0 * PITCH.ticks());
    ingest.feed.open(key.clone(), start, DiscontinuitySequence(0));
    ingest.feed.bytes(key.clone(), body("720p", 3).slice(..300_000));
    until("its beginning to be two nodes away", || {
        edge.operator("/metrics").1.contains("mascaret_edge_arriving_bytes 300000\n").then_some(())
    });
    // Said again from the start, as an ingest does that took over from another: nobody has to begin anew.
    ingest.segment(3);
    has(&edge, 3);
    edge.ends();
    relay.ends();
}

fn with_many_edges_a_balancer_sends_them_to_relays(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(PITCH);
    let balancer = server::start(
        server::Settings {
            node: NodeId::parse("lb1").unwrap(),
            version: "test".into(),
            listen: any(),
            ingests: vec![ingest.publishing.address().into()],
            keys: Vec::new(),
        },
        cluster.node("lb").certificates.cluster_server_config().unwrap(),
        |_| {},
    )
    .unwrap();
    balancer.set_eager(1);
    let told = |settings: edge::Settings| {
        cluster.edge(edge::Settings { lbs: vec![Parsed(balancer.address().into())], ..settings })
    };
    let first = told(edge::Settings { id: Parsed("edge1".parse().unwrap()), ..settings(driver, &[]) });
    let relays = ["relay1", "relay2"].map(|id| told(relay(driver, id, &[])));
    let fed_by = |edge: &Edge, who: &[&str]| {
        until(&format!("it to be fed by {who:?}"), || {
            let (_, status) = edge.operator("/status");
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            let mut by: Vec<_> = status["ingests"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it.as_str().unwrap().to_owned())
                .collect();
            by.sort_unstable();
            (by == who).then_some(())
        });
    };
    relays.iter().for_each(|relay| fed_by(relay, &["ingest1"]));
    fed_by(&first, &["ingest1"]);
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    has(&first, 2);
    // One more than the ingests are to feed: all are told to dial the relays instead, in mid-broadcast.
    let second = told(edge::Settings { id: Parsed("edge2".parse().unwrap()), ..settings(driver, &[]) });
    [&first, &second].iter().for_each(|edge| fed_by(edge, &["relay1", "relay2"]));
    ingest.segment(3);
    [&first, &second].iter().for_each(|edge| has(edge, 3));
    let [one, two] = relays;
    one.ends();
    fed_by(&first, &["relay2"]);
    ingest.segment(4);
    [&first, &second].iter().for_each(|edge| has(edge, 4));
    [first, second, two].into_iter().for_each(Edge::ends);
}

fn relays_of_one_layer_do_not_feed_each_other(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(PITCH);
    let one = cluster.edge(relay(driver, "relay1", &[&ingest]));
    let feeds = |relay: &Edge| vec![Parsed(relay.running.relay_address().unwrap().into())];
    let beside = cluster.edge(edge::Settings { feeds: feeds(&one), ..relay(driver, "relay2", &[]) });
    let mut above = relay(driver, "relay3", &[]);
    above.relay.layer = Number::new(2);
    let above = cluster.edge(edge::Settings { feeds: feeds(&one), ..above });
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    has(&above, 2);
    assert_eq!(beside.operator("/readyz").0, 503, "it stands beside who it asks, not behind");
    [above, beside, one].into_iter().for_each(Edge::ends);
}
