//! Terms behind relays: two relays between two ingests that are played by hand and one edge.

use edgefan::*;
use media::*;
use std::time::Instant;

use LaneStanding::{Follows, Leads, Second};

const SEGMENT: MediaSpan = MediaSpan::from_secs(2);

/// A real relay, and who it is linked to.
struct Between {
    subscriber: Subscriber,
    relay: Relay,
    publisher: Publisher,
    /// An earlier version passes no term on.
    says_terms: bool,
    /// Of the edge's connections the first, while it is linked.
    base: Option<u64>,
}

struct Story {
    relays: Vec<Between>,
    edge: Subscriber,
    now: Instant,
    next: u64,
}

fn key(sequence: u64) -> ObjectKey {
    ObjectKey {
        broadcast: BroadcastId::parse("tide").unwrap(),
        run: RunId(1),
        rendition: RenditionId::parse("720p").unwrap(),
        sequence: MediaSequence(sequence),
        part: None,
        kind: ObjectKind::Segment,
    }
}

fn stream() -> StreamFacts {
    StreamFacts {
        broadcast: key(0).broadcast,
        run: RunId(1),
        segment: SEGMENT,
        window: 6,
        renditions: Vec::new(),
        has_ended: false,
    }
}

fn lane(term: u64, from: u64, standing: LaneStanding) -> Message {
    Message::Lane(Lane { broadcast: key(0).broadcast, term, from: MediaSequence(from), standing })
}

impl Between {
    fn new(name: &str) -> Self {
        let node = NodeId::parse(name).unwrap();
        let mut settings = SubscriberSettings::new(node.clone());
        (settings.layer, settings.relays, settings.media_connections) = (Layer(1), true, 1);
        let subscriber = Subscriber::new(settings);
        let mut settings = PublisherSettings::new(node);
        (settings.layer, settings.makes_gaps) = (Layer(1), false);
        let publisher = Publisher::new(settings);
        Self { subscriber, relay: Relay::new(), publisher, says_terms: true, base: None }
    }

    /// From one of its rooms to the other.
    fn turn(&mut self, now: Instant) {
        while let Some(forward) = self.subscriber.pull_forward() {
            self.relay.forward(forward);
        }
        while let Some(event) = self.subscriber.pull() {
            self.relay.push(&event, now);
        }
        while self.subscriber.pull_order().is_some() {}
        while let Some(relayed) = self.relay.pull() {
            match relayed {
                Relayed::Stream(facts) => self.publisher.stream(facts),
                Relayed::Lane(lane) if self.says_terms => self.publisher.lane(lane),
                Relayed::Lane(_) => {}
                Relayed::Open(key, start, discontinuity) => self.publisher.open(&key, start, discontinuity),
                Relayed::Bytes(key, bytes) => self.publisher.bytes(&key, bytes),
                Relayed::Close(key, facts, _) => self.publisher.close(&key, &facts, now),
                Relayed::Skip(key, facts) => self.publisher.skip(&key, facts),
                Relayed::End(broadcast, run) => self.publisher.end(&broadcast, run, now),
            }
        }
        while self.publisher.pull().is_some() {}
    }
}

impl Story {
    /// Both ingests are linked to both relays, which announce the broadcast to the edge.
    fn new() -> Self {
        let relays = vec![Between::new("relay0"), Between::new("relay1")];
        let mut settings = SubscriberSettings::new(NodeId::parse("edge").unwrap());
        settings.media_connections = 1;
        let mut story = Self { relays, edge: Subscriber::new(settings), now: super::epoch(), next: 1 };
        for relay in 0..2 {
            (0..2).for_each(|ingest| story.link(relay, ingest));
            story.edge_dials(relay);
        }
        story
    }

    fn link(&mut self, relay: usize, ingest: u32) {
        self.next += 1;
        self.relays[relay].subscriber.dialled(SourceId(ingest), self.next, self.now);
        for connection in 0..2 {
            let node = NodeId::parse(&format!("ingest{ingest}")).unwrap();
            let (layer, ingests) = (Layer::INGEST, Vec::new());
            let welcome = Welcome { node, role: Role::Ingest, version: String::new(), ingests, layer };
            self.hear(relay, ingest, connection, &Message::Welcome(welcome));
        }
        self.hear(relay, ingest, 0, &Message::Stream(stream()));
        let reached = Some(Reached::CaughtUp);
        let (broadcast, ranges, partials) = (key(0).broadcast, Vec::new(), Vec::new());
        self.hear(
            relay,
            ingest,
            0,
            &Message::Have(Have { broadcast, ranges, partials, is_whole: false, reached }),
        );
    }

    fn edge_dials(&mut self, relay: usize) {
        self.next += 1;
        self.edge.dialled(SourceId(relay as u32), self.next, self.now);
        let between = &mut self.relays[relay];
        between.base = Some(self.next * 10);
        (0..2).for_each(|lane| between.publisher.accept(ConnectionId(self.next * 10 + lane), self.now));
        self.carry();
    }

    /// Everything is where it goes.
    fn carry(&mut self) {
        loop {
            let mut is_quiet = true;
            for (nth, between) in self.relays.iter_mut().enumerate() {
                between.turn(self.now);
                let Some(base) = between.base else { continue };
                let source = SourceId(nth as u32);
                for connection in 0..2 {
                    let (id, mut up, mut down) = (ConnectionId(base + connection), Vec::new(), Vec::new());
                    self.edge.transmit(source, connection as usize, &mut up);
                    between.publisher.received(id, &up, self.now);
                    between.publisher.transmit(id, 1 << 20, &mut down);
                    self.edge.received(source, connection as usize, &down, self.now);
                    is_quiet &= up.is_empty() && down.is_empty();
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    /// What that relay hears of an ingest.
    fn hear(&mut self, relay: usize, ingest: u32, connection: usize, message: &Message) {
        let Between { subscriber, .. } = &mut self.relays[relay];
        subscriber.received(SourceId(ingest), connection, &message.encode(), self.now);
    }

    /// Both relays hear it.
    fn says(&mut self, ingest: u32, message: &Message) {
        (0..2).for_each(|relay| self.hear(relay, ingest, 1, message));
    }

    fn loses(&mut self, relay: usize, ingest: u32) {
        self.relays[relay].subscriber.lost(SourceId(ingest), "cut", self.now);
    }

    fn relay_dies(&mut self, relay: usize) {
        self.relays[relay].base = None;
        self.edge.lost(SourceId(relay as u32), "killed", self.now);
    }

    /// That ingest sends that relay a whole segment; what the edge has got by then, a word each.
    fn segment(&mut self, relay: usize, ingest: u32, sequence: u64, body: &'static str) -> String {
        let object = self.sends(relay, ingest, sequence, 0, body);
        self.closes(relay, ingest, object, sequence, body)
    }

    /// Of a segment what begins at that byte.
    fn sends(
        &mut self,
        relay: usize,
        ingest: u32,
        sequence: u64,
        from: u32,
        bytes: &'static str,
    ) -> ObjectId {
        let object = ObjectId(self.next);
        self.next += 1;
        let start = Grid::new(SEGMENT).unwrap().start_of(MediaSequence(sequence));
        let discontinuity = DiscontinuitySequence(0);
        let open = Open { object, key: key(sequence), start, discontinuity, from };
        self.hear(relay, ingest, 1, &Message::Open(open));
        let bytes = bytes.as_bytes().into();
        self.hear(relay, ingest, 1, &Message::Data { object, offset: from, bytes });
        object
    }

    fn closes(&mut self, relay: usize, ingest: u32, object: ObjectId, sequence: u64, body: &str) -> String {
        let start = Grid::new(SEGMENT).unwrap().start_of(MediaSequence(sequence));
        let discontinuity = DiscontinuitySequence(0);
        let hash = ContentHash(*blake3::hash(body.as_bytes()).as_bytes());
        let (duration, bytes) = (SEGMENT, body.len() as u64);
        let close =
            Close { object, start, duration, discontinuity, bytes, hash, is_withheld: false, made: 0 };
        self.hear(relay, ingest, 1, &Message::Close(close));
        self.got()
    }

    fn got(&mut self) -> String {
        self.carry();
        let mut words = Vec::new();
        while let Some(event) = self.edge.pull() {
            match event {
                Event::Complete { key, body, .. } => {
                    words.push(format!("{}={}", key.sequence, String::from_utf8_lossy(&body)));
                }
                Event::Skipped { key, .. } => words.push(format!("{} is a gap", key.sequence)),
                Event::Differs { key, .. } => words.push(format!("{} differs", key.sequence)),
                Event::Quarantined { source, .. } => words.push(format!("{} is in quarantine", source.0)),
                Event::LinkDown { why, .. } if why != "killed" => words.push(why),
                _ => {}
            }
        }
        words.join(", ")
    }
}

/// One relay is cut off from the ingest that leads now, and goes on with the one that led: to an edge it says that.
#[test]
fn what_a_relay_has_of_an_old_term_is_refused_behind_it_too() {
    let mut story = Story::new();
    story.says(0, &lane(1, 100, Leads));
    story.says(1, &lane(1, 100, Follows));
    assert_eq!(story.segment(0, 0, 100, "a"), "100=a");
    assert_eq!(story.segment(1, 1, 100, "a"), "");
    assert_eq!(story.edge.counters().agreed, 1);
    story.loses(1, 1);
    story.hear(0, 1, 1, &lane(2, 102, Leads));
    assert_eq!(story.segment(1, 0, 101, "b"), "101=b", "before that number its word is as good as before");
    assert_eq!(story.segment(1, 0, 102, "old"), "");
    assert_eq!(story.segment(0, 1, 102, "new"), "102=new");
    assert_eq!(story.edge.counters().refused, 1);
    // The cut is over, and the other has heard of the new term.
    story.link(1, 1);
    story.hear(1, 1, 1, &lane(1, 100, Follows));
    story.hear(1, 1, 1, &lane(2, 102, Leads));
    assert_eq!(story.segment(1, 1, 103, "c"), "103=c");
    assert_eq!(story.segment(0, 1, 103, "c"), "");
}

/// An edge that comes later is told before it gets anything; and one whose relay with the newer term is gone takes what
/// there is, when the older one has been refused long enough.
#[test]
fn an_edge_that_dials_a_relay_later_knows_its_terms_and_an_old_one_is_better_than_nothing() {
    let mut story = Story::new();
    story.relay_dies(0);
    story.relay_dies(1);
    story.says(0, &lane(1, 100, Leads));
    story.loses(1, 1);
    story.hear(0, 1, 1, &lane(2, 102, Leads));
    story.carry();
    story.edge_dials(0);
    story.edge_dials(1);
    assert_eq!(story.segment(1, 0, 102, "old"), "");
    assert_eq!(story.segment(0, 1, 102, "new"), "102=new");
    story.relay_dies(0);
    assert_eq!(story.segment(1, 0, 103, "old"), "");
    story.now += limits::REFUSED_FOR;
    assert_eq!(story.segment(1, 0, 104, "old"), "104=old");
}

#[test]
fn what_a_relay_has_of_a_second_only_fills_holes_behind_it_too() {
    let mut story = Story::new();
    story.says(0, &lane(1, 100, Leads));
    story.says(1, &lane(1, 100, Second));
    assert_eq!(story.segment(1, 0, 100, "first"), "100=first");
    assert_eq!(story.segment(0, 0, 100, "first"), "");
    // That relay loses who leads: from the next number on what it has is of the other.
    story.loses(1, 0);
    assert_eq!(story.segment(1, 1, 101, "second"), "");
    assert_eq!(story.segment(0, 0, 101, "first"), "101=first");
    assert_eq!(story.segment(1, 1, 102, "second"), "");
    story.relay_dies(0);
    assert_eq!(story.got(), "102=second");
    assert_eq!(story.edge.counters().differed, 0);
    // It finds who leads again.
    story.edge_dials(0);
    story.link(1, 0);
    story.hear(1, 0, 1, &lane(1, 100, Leads));
    assert_eq!(story.segment(1, 0, 103, "first"), "103=first");
}

/// A relay filled a hole with a second's copy; whoever quarantined it would lose all that it passes on.
#[test]
fn relays_are_not_put_in_quarantine_for_what_others_made() {
    let mut story = Story::new();
    story.says(0, &lane(1, 100, Leads));
    assert_eq!(story.segment(0, 0, 100, "a"), "100=a");
    assert_eq!(story.segment(1, 0, 100, "b"), "100 differs");
    assert_eq!(story.segment(1, 0, 101, "c"), "101=c");
    assert_eq!(story.segment(0, 0, 101, "c"), "");
    assert_eq!(story.edge.counters().agreed, 1);
}

#[test]
fn a_relay_of_an_earlier_version_that_passes_no_terms_on_is_heard() {
    let mut story = Story::new();
    story.relays[1].says_terms = false;
    story.says(0, &lane(3, 100, Leads));
    assert_eq!(story.segment(1, 0, 100, "a"), "100=a");
    assert_eq!(story.segment(0, 0, 100, "a"), "");
    assert_eq!((story.edge.counters().agreed, story.edge.counters().refused), (1, 0));
}

/// A relay's link to the only ingest is cut and dialled anew in the middle of a segment, and its terms are told again, to a link
/// that has been up all the while: by the first of them alone an edge would let go of what is on its way.
#[test]
fn terms_that_are_told_again_let_go_of_nothing_behind_a_relay() {
    let mut story = Story::new();
    story.relay_dies(1);
    (0..2).for_each(|relay| story.loses(relay, 1));
    story.says(0, &lane(1, 100, Leads));
    assert_eq!(story.segment(0, 0, 101, "a"), "101=a");
    story.says(0, &lane(2, 102, Leads));
    assert_eq!(story.segment(0, 0, 102, "b"), "102=b");
    story.sends(0, 0, 103, 0, "be");
    assert_eq!(story.got(), "");
    story.loses(0, 0);
    story.link(0, 0);
    story.hear(0, 0, 1, &lane(1, 100, Leads));
    story.hear(0, 0, 1, &lane(2, 102, Leads));
    assert_eq!(story.got(), "");
    let object = story.sends(0, 0, 103, 2, "gun");
    assert_eq!(story.closes(0, 0, object, 103, "begun"), "103=begun");
    let counters = story.edge.counters();
    assert_eq!((counters.fetches, counters.refused), (0, 0), "nothing is sent twice");
}
