//! What a lobby reads of strangers, and what ingests and edges read of a lobby: links, `admission/1`, words of chat, where a
//! reader says he stopped.

use crate::Chance;
use admission::{Decoder, Denied, Message};
use chat::{Author, Badge, Entry, EventId, LogId, Sequence, What, Word};
use media::BroadcastId;
use ticket::LinkSecret;

const NOON: u64 = 1_800_000_000;
const NAMES: [&str; 2] = ["tide", "ebb"];

fn broadcast(nth: usize) -> BroadcastId {
    BroadcastId::parse(NAMES[nth % 2]).expect("a name")
}

fn secret() -> LinkSecret {
    LinkSecret::new([7; 32])
}

/// Bytes in front of a link: the time, and which broadcast it is shown for.
const ASK_BYTES: usize = 9;

/// A link opens if and only if we sealed exactly these characters, for this broadcast, and its time is not over.
pub fn links(bytes: &[u8]) {
    let Some((ask, text)) = bytes.split_first_chunk::<ASK_BYTES>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let [time @ .., which] = *ask;
    let (now, which) = (u64::from_be_bytes(time), usize::from(which & 1));
    let opened = secret().open(&broadcast(which), text, now);
    // Read a second time, from its end: an id has no dot.
    let spelled = || {
        let (rest, _) = text.rsplit_once('.')?;
        let (id, expires) = rest.rsplit_once('.')?;
        Some((id, expires.parse::<u64>().ok()?))
    };
    let is_ours =
        |which| spelled().is_some_and(|(id, expires)| secret().seal(&broadcast(which), id, expires) == text);
    match opened {
        Some(id) => {
            let (spelled, expires) = spelled().expect("three parts");
            assert!(is_ours(which) && id == spelled && now <= expires, "{text}");
            assert!(!is_ours(1 - which), "{text} opens two");
        }
        None if is_ours(which) && !spelled().is_some_and(|(id, _)| id.contains('.')) => {
            assert!(spelled().is_some_and(|(_, expires)| now > expires), "{text} was refused");
        }
        None => {}
    }
}

/// Mostly one of ours; sometimes too old, for the other broadcast, or of another's secret.
pub fn good_link(chance: &mut Chance) -> Vec<u8> {
    let which = chance.below(2);
    let id: String = chance.bytes(12).iter().map(|byte| format!("{byte:02x}")).collect();
    let sealed_by = if chance.one_in(6) { LinkSecret::new([8; 32]) } else { secret() };
    let text = sealed_by.seal(&broadcast(which), &id, NOON + chance.below(1000) as u64);
    let shown_for = if chance.one_in(4) { 1 - which } else { which };
    let mut bytes = (NOON + chance.below(700) as u64).to_be_bytes().to_vec();
    bytes.push(shown_for as u8);
    bytes.extend(text.as_bytes());
    bytes
}

/// What comes in pieces says what it says at once; what is understood is spelled again and is the same.
pub fn admission(bytes: &[u8]) {
    let read = |pieces: &[&[u8]]| {
        let (mut decoder, mut all) = (Decoder::default(), Vec::new());
        for piece in pieces {
            decoder.push(piece);
            loop {
                match decoder.pull() {
                    Ok(Some(message)) => all.push(message),
                    Ok(None) => break,
                    Err(error) => return (all, Some(error)),
                }
            }
        }
        (all, None)
    };
    let (whole, error) = read(&[bytes]);
    let cut = bytes.len() / 3;
    let (pieces, in_pieces) = read(&[&bytes[..cut], &bytes[cut..]]);
    assert_eq!((&whole, &error), (&pieces, &in_pieces));
    for message in &whole {
        let mut again = Vec::new();
        message.encode(&mut again);
        assert_eq!(read(&[&again]).0, std::slice::from_ref(message));
    }
}

/// What both ends say, a few after the other.
pub fn good_admission(chance: &mut Chance) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..1 + chance.below(5) {
        let digest = || [7; 32];
        let message = match chance.below(7) {
            0 => Message::Beat,
            1 => Message::Ask {
                number: chance.bits(),
                digest: digest(),
                broadcast: broadcast(chance.below(2)),
            },
            2 => Message::Answer {
                number: chance.bits(),
                opens: chance.pick(&[None, Some(true), Some(false)]),
            },
            3 => Message::Revoked(vec![digest(); chance.below(4)]),
            4 => Message::Air { broadcast: broadcast(chance.below(2)), is_on: chance.one_in(2) },
            5 => Message::Private((0..chance.below(4)).map(broadcast).collect()),
            _ => Message::Denied(
                (0..chance.below(4))
                    .map(|nth| Denied {
                        broadcast: broadcast(nth),
                        holder: chance.bits() as u32,
                        until: chance.bits(),
                    })
                    .collect(),
            ),
        };
        message.encode(&mut out);
    }
    out
}

/// A word that is understood is spelled again and is the same, and its entries are within their bounds; what a reader
/// says of where he stopped has one spelling.
pub fn chat(bytes: &[u8]) {
    if let Ok(word) = Word::decode(bytes) {
        if let Word::Batch { entries, .. } = &word {
            assert!(entries.iter().all(|entry| entry.check().is_ok()), "{word:?}");
            assert!(entries.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.next()));
        }
        if !matches!(word, Word::Unknown(_)) {
            assert_eq!(Word::decode(&word.encode()).as_ref(), Ok(&word));
        }
    }
    if let Some(id) = std::str::from_utf8(bytes).ok().and_then(EventId::parse) {
        assert_eq!(EventId::parse(&id.to_string()), Some(id));
    }
}

/// What lobbies and edges say, and now and then what a browser does.
pub fn good_chat(chance: &mut Chance) -> Vec<u8> {
    let room = broadcast(chance.below(2));
    let log = LogId(chance.bits() as u32);
    if chance.one_in(8) {
        return EventId { log: Some(log), sequence: Sequence(chance.bits() >> 16) }.to_string().into_bytes();
    }
    let first = 1 + chance.below(1 << 30) as u64;
    let word = match chance.below(5) {
        0 => {
            Word::Room(room, chat::RoomFacts { log, next: Sequence(first), slow: chance.below(3600) as u32 })
        }
        1 => Word::Closed(room),
        2 => {
            let have = (0..2).map(|nth| chat::Have { room: broadcast(nth), log, next: Sequence(first) });
            Word::Have(have.collect())
        }
        _ => {
            let entries = (0..1 + chance.below(4) as u64).map(|nth| {
                let what = match chance.below(4) {
                    0 => What::Gone { of: Sequence(first / 2) },
                    1 => What::GoneBy { author: "ada".into() },
                    2 => What::Slow { seconds: chance.below(3600) as u32 },
                    _ => What::Said {
                        by: Author { id: "7".into(), name: "Ana".into(), badge: Badge::Viewer },
                        text: "<b>über\n\nid: 9</b>".into(),
                    },
                };
                Entry { sequence: Sequence(first + nth), at_ms: chance.bits() >> 20, what }
            });
            Word::Batch { room, log, entries: entries.collect() }
        }
    };
    word.encode().to_vec()
}
