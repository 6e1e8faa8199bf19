//! What any [`Door`](rtmp::Door) must do with honest, awkward and hostile publishers. Generic over the implementation.
//!
//! Lives here: a publish from its beginning to its end. Does not live here: the chunk stream (`chunks`), commands and
//! their values (`commands`), how much is kept and waited for (`bounds`), the one who plays the publisher (`visit`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

/// The suite, once for each implementation there is.
macro_rules! suite {
    ($open:expr; $($(#[$doc:meta])* fn $name:ident($visit:ident) $story:block)*) => {
        $($(#[$doc])* #[test] fn $name() { let mut $visit = $open; $story })*
    };
}

mod bounds;
mod chunks;
mod commands;
mod visit;

use media::Track;
use rtmp::{Door, Farewell, Refusal, script};
use std::time::Duration;
use visit::{conversation, plain};

suite! { conversation();

fn a_publish_is_asked_accepted_and_heard(visit) {
    visit.publish(&plain());
    let asked = visit.asked.take().unwrap();
    assert_eq!((asked.app.name.as_str(), asked.name.reveal()), ("live", "tidal-bore"));
    assert_eq!(asked.query.value("key").unwrap().reveal(), "secret");
    assert_eq!(asked.tc_url.unwrap().reveal(), "rtmp://127.0.0.11:1935/live");
    assert!(visit.was_told("NetConnection.Connect.Success") && visit.was_told("NetStream.Publish.Start"));
    let sound = script::media(Track::Audio, 21, script::aac_unit(200));
    let picture = script::media(Track::Video, 33, script::avc_unit(true, 0, 5000));
    visit.messages(&plain(), &[script::metadata(), sound.clone(), picture.clone()]);
    assert_eq!(visit.media, [(Track::Audio, 21, sound.body.to_vec()), (Track::Video, 33, picture.body.to_vec())]);
    assert_eq!(visit.metadata, 1);
    visit.messages(&plain(), &[script::call("FCUnpublish", 5.0, Some("tidal-bore"))]);
    assert_eq!(visit.over, Some(Farewell::Unpublished));
}

fn it_does_not_matter_how_the_bytes_are_cut(visit) {
    let mut bytes = script::opening("live", "name", &plain());
    visit.push_cut(&bytes, 1);
    visit.door.accept(visit.now);
    visit.pull();
    bytes.clear();
    let picture = script::media(Track::Video, 0x0123_4567, script::avc_unit(true, 0, 700));
    plain().write(6, &picture, &mut bytes);
    for cut in 1..bytes.len() {
        visit.push_cut(&bytes, cut);
        assert_eq!(visit.media.pop(), Some((Track::Video, 0x0123_4567, picture.body.to_vec())), "cut at {cut}");
    }
}

fn nothing_comes_after_the_farewell(visit) {
    visit.publish(&plain()).messages(&plain(), &[script::call("deleteStream", 0.0, None)]);
    assert_eq!(visit.over, Some(Farewell::Unpublished));
    let now = visit.now + Duration::from_secs(60);
    visit.door.refuse(Refusal::in_use());
    visit.door.accept(now);
    visit.door.expired(now);
    visit.door.push(&[0xff; 100], now).unwrap();
    assert!(visit.door.pull().is_none() && visit.door.deadline().is_none());
}

fn another_protocol_is_named(visit) {
    visit.push(b"\x16\x03\x01\x02\x00");
    assert!(visit.fault().contains("TLS"), "{}", visit.fault());
}

}
