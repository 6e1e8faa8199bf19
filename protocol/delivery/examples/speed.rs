//! What an ask costs one core, and what letting go of ten thousand held reloads does, without any socket.
//!
//! ```text
//! cargo run --release -p delivery --example speed
//! ```
//!
//! Each figure is the median of 51 rounds, with the least and the most beside it.
#![allow(clippy::disallowed_methods, reason = "what is measured here is time")]
#![allow(clippy::unwrap_used, reason = "a tool may stop")]

use delivery::{Access, Answer, Delivery, Moment, Policy, Segment, Update, playlist};
use http::{Cors, Parsed};
use media::{BroadcastId, MediaSequence, RenditionId};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ticket::{BroadcastHash, EdgeId, Flags, Key, Keys, Ticket, UnixSeconds, ViewerId};

const NOON: u64 = 1_800_000_000;
const ROUNDS: usize = 51;
const ASKS: u32 = 10_000;
const WAITERS: u32 = 10_000;

type Core = Delivery<Arc<u64>, (u32, u32)>;

fn core(broadcasts: usize) -> Core {
    let edge = Some(EdgeId::parse("edge1").unwrap().number());
    let mut core = Core::new(Policy { cors: Cors::anybody(), edge, waiters: 20_000, readers: 10 });
    core.push(moment(), Update::Keys(Some(keys())));
    for nth in 0..broadcasts {
        let name = if nth == 0 { "tide".to_owned() } else { format!("tide{nth}") };
        let broadcast = BroadcastId::parse(&name).unwrap();
        let (target, access) = (Duration::from_secs(2), Access::Public);
        core.push(moment(), Update::Broadcast { broadcast: broadcast.clone(), target, access });
        for rung in ["1080p", "720p", "480p", "360p"] {
            let rendition = RenditionId::parse(rung).unwrap();
            for sequence in 850_000_000..850_000_030 {
                core.push(
                    moment(),
                    Update::Stored {
                        broadcast: broadcast.clone(),
                        rendition: rendition.clone(),
                        sequence: MediaSequence(sequence),
                        segment: Segment { body: Arc::new(sequence), len: 1_000_000, tag: sequence },
                    },
                );
            }
            list(&mut core, &broadcast, rendition, 850_000_029);
        }
    }
    core
}

fn list(core: &mut Core, broadcast: &BroadcastId, rendition: RenditionId, last: u64) {
    let text = "#EXTINF:2.000000,\n850000000.ts\n".repeat(64);
    let page =
        playlist(&text, Some(&[7; 300]), last, Duration::from_secs(1), Access::Public, &Cors::anybody());
    let (broadcast, last) = (broadcast.clone(), MediaSequence(last));
    core.push(moment(), Update::Playlist { broadcast, rendition, page, last, has_ended: false });
}

fn keys() -> Keys {
    Keys::new(Key::from_secret([7; 32]), None)
}

fn moment() -> Moment {
    Moment { at: Instant::now(), unix_secs: NOON }
}

fn ask(core: &mut Core, moment: Moment, id: (u32, u32), head: &[u8]) -> Answer<Arc<u64>> {
    match http::parse(black_box(head)) {
        Parsed::Whole { request, .. } => core.ask(moment, id, &request),
        other => panic!("{other:?}"),
    }
}

/// Nanoseconds each of so many takes: median, least, most.
fn rounds(what: &str, each: u32, mut round: impl FnMut() -> Duration) {
    let mut took: Vec<f64> = (0..ROUNDS).map(|_| round().as_nanos() as f64 / f64::from(each)).collect();
    took.sort_by(f64::total_cmp);
    println!("{what:52} {:7.1} ns ({:.1}–{:.1})", took[ROUNDS / 2], took[0], took[ROUNDS - 1]);
}

fn main() {
    let plain = "Host: edge1.example:8080\r\n";
    let browser = "Host: edge1.example:8080\r\nConnection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
                   AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nAccept: */*\r\n\
                   Origin: https://watch.example\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n\
                   Sec-Fetch-Dest: empty\r\nReferer: https://watch.example/\r\n\
                   Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n";
    let ticket = Ticket {
        edge: Some(EdgeId::parse("edge1").unwrap().number()),
        other: None,
        expires: UnixSeconds(u32::MAX),
        broadcast: BroadcastHash::of(&BroadcastId::parse("tide").unwrap()),
        viewer: ViewerId(7),
        flags: Flags::default(),
    };
    let by_token = format!("/v/{}/tide/720p", ticket.seal(&keys()));
    let open = "/live/tide/720p";
    let cases = [
        ("playlist", format!("{open}/index.m3u8"), plain),
        ("playlist, a browser's head", format!("{open}/index.m3u8"), browser),
        (
            "playlist with directives, a browser's head",
            format!("{open}/index.m3u8?_HLS_msn=850000029"),
            browser,
        ),
        ("playlist by token, a browser's head", format!("{by_token}/index.m3u8"), browser),
        ("segment", format!("{open}/850000029.ts"), plain),
        ("segment, a browser's head", format!("{open}/850000029.ts"), browser),
        ("segment by token, a browser's head", format!("{by_token}/850000029.ts"), browser),
        ("nothing by that name", "/live/ebb/720p/index.m3u8".to_owned(), plain),
    ];
    let mut core = core(16);
    for (what, path, fields) in &cases {
        let head = format!("GET {path} HTTP/1.1\r\n{fields}\r\n");
        let head = head.as_bytes();
        let moment = moment();
        rounds(&format!("parse: {what}, {} B", head.len()), ASKS, || {
            let start = Instant::now();
            for _ in 0..ASKS {
                black_box(http::parse(black_box(head)));
            }
            start.elapsed()
        });
        rounds(&format!("parse and ask: {what}"), ASKS, || {
            let start = Instant::now();
            for id in 0..ASKS {
                black_box(ask(&mut core, moment, (id, 0), head));
            }
            start.elapsed()
        });
    }

    let broadcast = BroadcastId::parse("tide").unwrap();
    let rendition = || RenditionId::parse("720p").unwrap();
    let mut last = 850_000_029;
    let (mut holding, mut leaving) = (Vec::new(), Vec::new());
    rounds("10,000 held reloads let go, each", WAITERS, || {
        let head = format!("GET {open}/index.m3u8?_HLS_msn={} HTTP/1.1\r\n{plain}\r\n", last + 1);
        let moment = moment();
        let start = Instant::now();
        for id in 0..WAITERS {
            assert!(matches!(ask(&mut core, moment, (id, 1), head.as_bytes()), Answer::Later));
        }
        holding.push(start.elapsed());
        last += 1;
        let start = Instant::now();
        list(&mut core, &broadcast, rendition(), last);
        let mut released = 0;
        while let Some(reply) = core.pull() {
            black_box(&reply);
            released += 1;
        }
        assert_eq!(released, WAITERS);
        start.elapsed()
    });
    rounds("10,000 reloads asked and held, each", WAITERS, || holding.pop().unwrap());
    rounds("10,000 held reloads whose viewers leave, each", WAITERS, || {
        let head = format!("GET {open}/index.m3u8?_HLS_msn={} HTTP/1.1\r\n{plain}\r\n", last + 1);
        let moment = moment();
        for id in 0..WAITERS {
            ask(&mut core, moment, (id, 1), head.as_bytes());
        }
        let start = Instant::now();
        for id in 0..WAITERS {
            core.forget((id, 1));
        }
        leaving.push(());
        start.elapsed()
    });
}
