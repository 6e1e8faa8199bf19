//! The wire takes whatever comes: values come back as they went, and a stranger's bytes are an error at worst.

#![allow(
    clippy::unwrap_used,
    reason = "clippy exempts test functions only, and these are what tests are made of"
)]

use bytes::Bytes;
use edgefan::*;
use media::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn broadcast() -> impl Strategy<Value = BroadcastId> {
    "[a-zA-Z0-9_-]{1,64}".prop_map(|text| BroadcastId::parse(&text).unwrap())
}

fn rendition() -> impl Strategy<Value = RenditionId> {
    "[a-zA-Z0-9_-]{1,32}".prop_map(|text| RenditionId::parse(&text).unwrap())
}

fn kind() -> impl Strategy<Value = ObjectKind> {
    (1..=5_u8).prop_map(|number| ObjectKind::from_wire(number).unwrap())
}

fn key() -> impl Strategy<Value = ObjectKey> {
    (broadcast(), any::<u64>(), rendition(), any::<u64>(), any::<u16>(), kind()).prop_map(
        |(broadcast, run, rendition, sequence, part, kind)| ObjectKey {
            broadcast,
            run: RunId(run),
            rendition,
            sequence: MediaSequence(sequence),
            part: (kind == ObjectKind::Part).then_some(PartIndex(part)),
            kind,
        },
    )
}

fn hello() -> impl Strategy<Value = Hello> {
    let relay = option::of("[a-z0-9.]{1,40}:7001".prop_map(|text| Address::parse(&text).unwrap()));
    let edge = (".{0,40}", ".{0,40}", any::<u64>(), any::<u32>(), relay).prop_map(
        |(http, https, capacity, weight, relay)| EdgeFacts {
            http,
            https,
            capacity: BitRate(capacity),
            weight,
            relay,
        },
    );
    let process_and_layer = (any::<u64>(), any::<u8>());
    let parts = ("[a-z0-9.-]{1,64}", 1..=3_u8, any::<u64>(), any::<u8>(), 0..=16_u8, option::of(edge));
    (parts, process_and_layer).prop_map(
        |((node, role, link, connection, media_connections, edge), (process, layer))| Hello {
            node: NodeId::parse(&node).unwrap(),
            role: [Role::Ingest, Role::Edge, Role::Balancer][usize::from(role) - 1],
            version: "0.1.0".into(),
            link,
            connection,
            media_connections,
            edge,
            process,
            layer: Layer(layer),
        },
    )
}

fn stream() -> impl Strategy<Value = StreamFacts> {
    let video =
        (any::<u32>(), any::<u32>(), any::<u32>(), ".{0,20}").prop_map(|(width, height, rate, codec)| {
            VideoShape { width, height, frame_rate: FrameRate(rate), codec }
        });
    let audio = (any::<u32>(), any::<u8>(), ".{0,20}")
        .prop_map(|(sample_rate, channels, codec)| AudioShape { sample_rate, channels, codec });
    let one = (rendition(), option::of(video), option::of(audio), any::<u64>(), any::<u64>()).prop_map(
        |(id, video, audio, peak, average)| Rendition {
            id,
            video,
            audio,
            peak: BitRate(peak),
            average: BitRate(average),
        },
    );
    (broadcast(), any::<u64>(), 500..=20_000_u64, 0..=256_u32, vec(one, 0..6), any::<bool>()).prop_map(
        |(broadcast, run, segment_ms, window, renditions, has_ended)| StreamFacts {
            broadcast,
            run: RunId(run),
            segment: MediaSpan::from_millis(segment_ms),
            window,
            renditions,
            has_ended,
        },
    )
}

fn have() -> impl Strategy<Value = Have> {
    let range = (any::<u64>(), rendition(), kind(), any::<u64>(), vec(any::<u8>(), 0..=128)).prop_map(
        |(run, rendition, kind, base, bitmap)| HaveRange {
            run: RunId(run),
            rendition,
            kind,
            base: MediaSequence(base),
            bitmap,
        },
    );
    let partial = (key(), 0..=64_u32 << 20).prop_map(|(key, bytes)| Partial { key, bytes });
    let reached = prop_oneof![Just(None), Just(Some(Reached::Ready)), Just(Some(Reached::CaughtUp))];
    (broadcast(), vec(range, 0..4), vec(partial, 0..4), any::<bool>(), reached).prop_map(
        |(broadcast, ranges, partials, is_whole, reached)| Have {
            broadcast,
            ranges,
            partials,
            is_whole,
            reached,
        },
    )
}

fn times() -> impl Strategy<Value = (MediaTime, MediaSpan, DiscontinuitySequence)> {
    (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(start, duration, discontinuity)| {
        (MediaTime::from_ticks(start), MediaSpan::from_ticks(duration), DiscontinuitySequence(discontinuity))
    })
}

fn message() -> impl Strategy<Value = Message> {
    let welcome = ("[a-z]{1,9}", vec(1..=65_535_u16, 0..4)).prop_map(|(node, ports)| {
        let ingests: Vec<_> =
            ports.into_iter().map(|port| Address::parse(&format!("host:{port}")).unwrap()).collect();
        Message::Welcome(Welcome {
            node: NodeId::parse(&node).unwrap(),
            role: Role::Balancer,
            version: "9".into(),
            layer: Layer(ingests.len() as u8),
            ingests,
        })
    });
    let open = (any::<u64>(), key(), times(), 0..=64_u32 << 20).prop_map(|(object, key, times, from)| {
        Message::Open(Open { object: ObjectId(object), key, start: times.0, discontinuity: times.2, from })
    });
    let data = (any::<u64>(), any::<u32>(), vec(any::<u8>(), 0..300)).prop_map(|(object, offset, bytes)| {
        Message::Data { object: ObjectId(object), offset, bytes: bytes.into() }
    });
    let close = (any::<u64>(), times(), any::<u64>(), any::<[u8; 32]>(), any::<bool>(), any::<u64>())
        .prop_map(|(object, (start, duration, discontinuity), bytes, hash, is_withheld, made)| {
            let (object, hash) = (ObjectId(object), ContentHash(hash));
            Message::Close(Close { object, start, duration, discontinuity, bytes, hash, is_withheld, made })
        });
    let reason = prop_oneof![
        Just(SkipReason::Gap),
        Just(SkipReason::Late),
        Just(SkipReason::NotHeld),
        Just(SkipReason::NotYet)
    ];
    let skip = (key(), times(), 0..=limits::SKIP_RUN, reason).prop_map(
        |(key, (start, duration, discontinuity), count, reason)| {
            Message::Skip(Skip { key, start, duration, discontinuity, count, reason })
        },
    );
    let some_ms = || option::of(any::<u64>());
    let load =
        (any::<u64>(), any::<u64>(), some_ms(), some_ms()).prop_map(|(egress, viewers, age, lag_ms)| {
            let (egress, state) = (BitRate(egress), EdgeState::Draining);
            Message::Load(Load { egress, viewers, newest_segment_age_ms: age, lag_ms, state })
        });
    let keys = vec((any::<u8>(), any::<[u8; 32]>()), 0..3)
        .prop_map(|keys| keys.into_iter().map(|(kid, secret)| TicketKey { kid, secret }).collect::<Vec<_>>());
    let small = prop_oneof![
        any::<u64>().prop_map(|object| Message::Abort { object: ObjectId(object) }),
        (key(), 0..=64_u32 << 20).prop_map(|(key, from)| Message::Fetch(Fetch { key, from })),
        key().prop_map(|key| Message::Evict { key }),
        (broadcast(), any::<u64>(), any::<u64>(), 0..3_usize).prop_map(
            |(broadcast, term, from, standing)| {
                let standing = [LaneStanding::Leads, LaneStanding::Follows, LaneStanding::Second][standing];
                Message::Lane(Lane { broadcast, term, from: MediaSequence(from), standing })
            }
        ),
        (broadcast(), any::<u64>(), any::<bool>()).prop_map(|(broadcast, run, is_forgotten)| {
            Message::End { broadcast, run: RunId(run), is_forgotten }
        }),
        Just(Message::Drain(Standing::Drain)),
        any::<u64>().prop_map(|stamp| Message::Ping { stamp }),
        (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(stamp, clock, steady)| Message::Pong {
            stamp,
            clock,
            steady
        }),
        vec(any::<u8>(), 0..64).prop_map(|bytes| Message::Chat(bytes.into())),
        keys.clone().prop_map(Message::Keys),
        (keys, any::<u64>()).prop_map(|(keys, made)| Message::Peer(PeerWord::Seals { keys, made })),
        vec(("[a-z]{1,9}", any::<u64>().prop_map(BitRate)), 0..4)
            .prop_map(|reserved| Message::Peer(PeerWord::Reserved(reserved))),
        (broadcast(), vec(any::<u8>(), 0..100)).prop_map(|(broadcast, sketch)| {
            Message::Peer(PeerWord::Seen { broadcast, sketch: sketch.into() })
        }),
        load,
    ];
    prop_oneof![
        hello().prop_map(Message::Hello),
        welcome,
        stream().prop_map(Message::Stream),
        have().prop_map(Message::Have),
        open,
        data,
        close,
        skip,
        small,
    ]
}

/// Everything a reader finds in these pieces.
fn read(pieces: &[&[u8]]) -> Result<Vec<Message>, WireError> {
    let mut reader = FrameReader::new();
    let mut found = Vec::new();
    for piece in pieces {
        reader.push(piece);
        while let Some(frame) = reader.pull()? {
            found.push(Message::decode(frame)?);
        }
    }
    Ok(found)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_said_is_heard_however_it_is_cut(messages in vec(message(), 1..5), cuts in vec(any::<u16>(), 0..8)) {
        let wire: Vec<u8> = messages.iter().flat_map(|message| message.encode()).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| usize::from(cut) % (wire.len() + 1)).collect();
        cuts.extend([0, wire.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(&pieces).unwrap(), messages);
    }

    #[test]
    fn no_payload_panics(kind in 0..30_u8, payload in vec(any::<u8>(), 0..200)) {
        let _ = Message::decode(Frame { kind, flags: 0, chan: 0, payload: Bytes::from(payload) });
    }

    #[test]
    fn a_changed_byte_is_an_error_at_worst(message in message(), at in any::<u16>(), to in any::<u8>()) {
        let mut wire = message.encode().to_vec();
        let at = usize::from(at) % wire.len();
        wire[at] = to;
        let _ = read(&[&wire]);
    }

    #[test]
    fn unknown_fields_and_types_are_skipped(hello in hello(), tag in 100..1000_u64, junk in vec(any::<u8>(), 0..100)) {
        let mut payload = Message::Hello(hello.clone()).encode()[8..].to_vec();
        payload.extend([tag as u8 | 0x80, (tag >> 7) as u8, junk.len() as u8]);
        payload.extend(&junk);
        let frame = |kind| Frame { kind, flags: 0xff, chan: 9, payload: Bytes::from(payload.clone()) };
        prop_assert_eq!(Message::decode(frame(1)).unwrap(), Message::Hello(hello));
        prop_assert_eq!(Message::decode(frame(200)).unwrap(), Message::Unknown(200));
    }

    #[test]
    fn no_bytes_panic_a_publisher_or_a_subscriber(
        wire in vec(any::<u8>(), 0..300),
        messages in vec(message(), 0..12),
        welcome in any::<bool>(),
    ) {
        let now = epoch();
        let mut publisher = Publisher::new(PublisherSettings::new(NodeId::parse("i").unwrap()));
        let mut subscriber = Subscriber::new(SubscriberSettings::new(NodeId::parse("e").unwrap()));
        publisher.accept(ConnectionId(1), now);
        subscriber.dialled(SourceId(0), 1, now);
        let mut all = Vec::new();
        if welcome {
            // Past the greeting, where the interesting states are.
            subscriber.transmit(SourceId(0), 0, &mut all);
            publisher.received(ConnectionId(1), &all, now);
            for lane in 0..3 {
                let node = NodeId::parse("i").unwrap();
                let layer = Layer::INGEST;
                let welcome =
                    Welcome { node, role: Role::Ingest, version: String::new(), ingests: vec![], layer };
                subscriber.received(SourceId(0), lane, &Message::Welcome(welcome).encode(), now);
            }
        }
        let mut said: Vec<u8> = messages.iter().flat_map(|message| message.encode()).collect();
        said.extend(wire);
        publisher.received(ConnectionId(1), &said, now);
        subscriber.received(SourceId(0), 1, &said, now);
        let later = now + std::time::Duration::from_secs(100);
        publisher.tick(later);
        subscriber.tick(later);
        while publisher.pull().is_some() {}
        while subscriber.pull().is_some() {}
        prop_assert!(subscriber.counters().assembly_bytes <= 300 * 12);
    }
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing; tests only add to it")]
fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}
