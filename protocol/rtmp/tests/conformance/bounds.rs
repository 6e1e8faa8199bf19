//! How much is kept for a caller, and for how long it is waited for.

use crate::visit::{conversation, plain};
use media::Track;
use rtmp::{Door, Farewell, HELD_BYTES_PUBLISHING, HELD_BYTES_UNPUBLISHED, MessageKind, script};
use std::time::Duration;

suite! { conversation();

fn open_messages_are_bounded_together(visit) {
    visit.push(&script::handshake());
    // 15 KiB each, all but the last byte.
    let body = vec![5; 15 * 1024];
    for stream in 3..8 {
        let message = script::message(MessageKind::CommandAmf0, 0, 0, body.clone());
        let chunks: Vec<_> = plain().chunks(stream, &message).collect();
        visit.push(&chunks[..chunks.len() - 1].concat());
    }
    assert!(visit.fault().contains("at most 16384 are kept"), "{}", visit.fault());
    assert!(visit.most_held <= HELD_BYTES_UNPUBLISHED, "{} bytes held", visit.most_held);
}

fn open_messages_of_a_publisher_are_bounded_too(visit) {
    visit.publish(&plain());
    let mut chunks = plain();
    visit.push(&script::set_chunk_size(&mut chunks, 65_536));
    let body = vec![5; 5 << 20];
    for stream in 4..10 {
        let message = script::message(MessageKind::Video, 1, 0, body.clone());
        let rows: Vec<_> = chunks.chunks(stream, &message).collect();
        visit.push_cut(&rows[..rows.len() - 1].concat(), 65_536);
    }
    assert!(visit.fault().contains("at most 10485760 are kept"), "{}", visit.fault());
    assert!(visit.most_held <= HELD_BYTES_PUBLISHING, "{} bytes held", visit.most_held);
}

fn an_abort_gives_back_what_it_held(visit) {
    visit.push(&script::handshake());
    for _ in 0..20 {
        let message = script::message(MessageKind::CommandAmf0, 0, 0, vec![5; 15 * 1024]);
        let chunks: Vec<_> = plain().chunks(6, &message).collect();
        visit.push(&chunks[..chunks.len() - 1].concat());
        visit.messages(&plain(), &[script::control(MessageKind::Abort, 6)]);
    }
    assert_eq!(visit.over, None);
    assert!(visit.door.held_bytes() < 2048, "{} bytes held", visit.door.held_bytes());
}

fn pings_are_answered_and_too_many_at_once_are_a_fault(visit) {
    let ping = script::message(MessageKind::UserControl, 0, 0, vec![0, 6, 1, 2, 3, 4]);
    visit.push(&script::handshake());
    visit.sent.clear();
    visit.messages(&plain(), std::slice::from_ref(&ping));
    assert_eq!(visit.sent, [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 7, 1, 2, 3, 4]);
    let mut flood = Vec::new();
    (0..1000).for_each(|_| plain().write(2, &ping, &mut flood));
    visit.push_cut(&flood, 65_536);
    assert!(visit.fault().contains("answers of"), "{}", visit.fault());
    assert!(visit.most_held <= HELD_BYTES_UNPUBLISHED);
}

/// The count is of all bytes received so far, handshake included, once per window.
fn acknowledgements_say_how_much_was_received(visit) {
    visit.publish(&plain());
    let window = script::control(MessageKind::WindowAcknowledgementSize, 10_000);
    visit.messages(&plain(), &[window]);
    visit.sent.clear();
    let opening = script::opening("live", "tidal-bore?key=secret", &plain()).len() + 16;
    let mut bytes = Vec::new();
    plain().write(6, &script::media(Track::Video, 0, vec![0; 20_000]), &mut bytes);
    // Nothing was acknowledged yet, so what came before counts towards the first window.
    let wanted = 10_000 - opening;
    visit.push_cut(&bytes[..wanted - 1], wanted);
    assert!(visit.sent.is_empty());
    visit.push_cut(&bytes[wanted - 1..wanted], 1);
    assert_eq!(visit.sent, [2, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0x27, 0x10]);
}

fn a_slow_handshake_ends_at_5_s_however_it_drips(visit) {
    for byte in script::handshake().iter().take(9) {
        visit.push(&[*byte]).after(Duration::from_millis(500));
        assert_eq!(visit.over, None);
    }
    visit.after(Duration::from_millis(500));
    assert_eq!(visit.over, Some(Farewell::HandshakeTooSlow(Duration::from_secs(5))));
}

fn who_publishes_nothing_is_gone_at_10_s_whatever_else_they_say(visit) {
    visit.push(&script::handshake()).messages(&plain(), &[script::connect("live")]);
    for _ in 0..9 {
        visit.after(Duration::from_secs(1)).messages(&plain(), &[script::call("createStream", 2.0, None)]);
        assert_eq!(visit.over, None);
    }
    visit.after(Duration::from_secs(1));
    assert_eq!(visit.over, Some(Farewell::NothingPublished(Duration::from_secs(10))));
}

fn a_publisher_is_silent_after_5_s_without_a_byte(visit) {
    visit.publish(&plain());
    for _ in 0..3 {
        visit.after(Duration::from_millis(4900)).messages(&plain(), &[script::media(Track::Audio, 0, vec![0xaf])]);
        assert_eq!(visit.over, None);
    }
    visit.after(Duration::from_secs(5));
    assert_eq!(visit.over, Some(Farewell::Silent(Duration::from_secs(5))));
    assert_eq!(visit.door.deadline(), None);
}

fn a_caller_who_never_pulls_is_stopped(visit) {
    visit.publish(&plain());
    let mut bytes = Vec::new();
    plain().write(6, &script::media(Track::Video, 0, vec![0; 60_000]), &mut bytes);
    let mut pushed = 0;
    while visit.door.push(&bytes, visit.now).is_ok() {
        pushed += bytes.len();
        assert!(pushed < 20 << 20 && visit.door.held_bytes() <= HELD_BYTES_PUBLISHING);
    }
    visit.pull();
    assert!(visit.fault().contains("wait to be pulled"), "{}", visit.fault());
    assert!(visit.door.held_bytes() < 4096, "{} bytes held after the end", visit.door.held_bytes());
}

}
