//! What viewers ask of an edge: delivery directives and tickets, through the room that answers them.

use crate::Chance;
use delivery::{Access, Answer, Delivery, Moment, Page, Policy, Update, playlist};
use http::{Cors, Parsed};
use media::{BroadcastId, MediaSequence, RenditionId};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ticket::{BroadcastHash, EdgeNumber, Flags, Key, Keys, Ticket, Token, UnixSeconds, ViewerId};

/// The newest segment that is listed when a case begins.
const LAST: u64 = 850_000_000;
const NOON: u64 = 1_800_000_000;
const NAMES: [&str; 2] = ["tide", "ebb"];
const VIEWER: u32 = 7;

/// A core that is the same before each case.
struct Stage {
    core: Delivery<u64, u32>,
    began: Instant,
    /// Pages that list up to [`LAST`] and the next three.
    pages: [Arc<Page>; 4],
    hashes: [BroadcastHash; 2],
}

thread_local! {
    static STAGE: RefCell<Stage> = RefCell::new(Stage::new());
}

fn broadcast(nth: usize) -> BroadcastId {
    BroadcastId::parse(NAMES[nth]).expect("a name")
}

/// Two keys that open, and one that does not.
fn keys() -> (Keys, Keys, Keys) {
    let [old, new, other] = [1, 2, 3].map(|byte| Key::from_secret([byte; 32]));
    (Keys::new(new.clone(), Some(old.clone())), Keys::new(old, None), Keys::new(other, None))
}

impl Stage {
    fn new() -> Self {
        let policy = Policy { cors: Cors::anybody(), edge: None, waiters: 4, readers: 0 };
        let page = |nth: u64| {
            playlist(
                &format!("#EXTM3U\n{}", LAST + nth),
                None,
                nth,
                Duration::from_secs(1),
                Access::Public,
                &Cors::anybody(),
            )
        };
        let mut stage = Self {
            core: Delivery::new(policy),
            began: Instant::now(),
            pages: [page(0), page(1), page(2), page(3)],
            hashes: [0, 1].map(|nth| BroadcastHash::of(&broadcast(nth))),
        };
        stage.push(NOON, Update::Keys(Some(keys().0)));
        for (nth, access) in [(0, Access::Public), (1, Access::Private)] {
            let target = Duration::from_secs(2);
            stage.push(NOON, Update::Broadcast { broadcast: broadcast(nth), target, access });
        }
        stage.list(0, false);
        stage
    }

    fn moment(&self, unix_secs: u64) -> Moment {
        Moment { at: self.began, unix_secs }
    }

    fn push(&mut self, unix_secs: u64, update: Update<u64>) {
        let moment = self.moment(unix_secs);
        self.core.push(moment, update);
    }

    /// Both broadcasts list up to that many after [`LAST`].
    fn list(&mut self, nth: u64, has_ended: bool) {
        for name in 0..NAMES.len() {
            let rendition = RenditionId::parse("720p").expect("a name");
            let page = Arc::clone(&self.pages[nth as usize]);
            let (broadcast, last) = (broadcast(name), MediaSequence(LAST + nth));
            self.push(NOON, Update::Playlist { broadcast, rendition, page, last, has_ended });
        }
    }

    /// Status, or `None` where it is to wait.
    fn ask(&mut self, unix_secs: u64, target: &str) -> Option<u16> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: e\r\n\r\n");
        let Parsed::Whole { request, consumed } = http::parse(head.as_bytes()) else { return Some(0) };
        assert_eq!(consumed, head.len());
        let moment = self.moment(unix_secs);
        match self.core.ask(moment, VIEWER, &request) {
            Answer::Now(reply) | Answer::Never(reply) => Some(reply.status.code()),
            Answer::Later | Answer::GoesOn(_) => None,
        }
    }
}

/// A query of a media playlist: refused, answered or held as a plain reading of the rules says; and if it is held, let go
/// by its segment and by none before, once, or not at all if the viewer leaves.
pub fn directives(bytes: &[u8]) {
    let Ok(query) = std::str::from_utf8(bytes) else { return };
    STAGE.with_borrow_mut(|stage| {
        let target = format!("/live/tide/720p/index.m3u8?{query}");
        let answer = stage.ask(NOON, &target);
        let is_target =
            target.len() <= 2048 && target.bytes().all(|b| b.is_ascii_graphic() && !b"#\\\"<>".contains(&b));
        if !is_target {
            // Or the query has ended the line itself, and what follows is another story: that of heads.
            assert!(answer == Some(0) || query.contains([' ', '\r']), "{query:?}");
            stage.core.forget(VIEWER);
            return;
        }
        let wanted = match (value(query, "_HLS_msn"), value(query, "_HLS_part")) {
            (None, None) => Ok(0),
            (None, Some(_)) => Err(()),
            (Some(msn), part) => part
                .map_or(Ok(0), plain_number)
                .and_then(|_| plain_number(msn))
                .and_then(|msn| if msn > u128::from(LAST + 2) { Err(()) } else { Ok(msn as u64) }),
        };
        match wanted {
            Err(()) => assert_eq!(answer, Some(400), "{query}"),
            Ok(msn) if msn <= LAST => assert_eq!(answer, Some(200), "{query}"),
            Ok(msn) => {
                assert_eq!(answer, None, "{query}");
                assert_eq!(stage.core.waiting(), 1);
                hold(stage, msn - LAST, bytes.len() % 3);
            }
        }
        assert!(stage.core.waiting() == 0 && stage.core.pull().is_none());
    });
}

/// It waits for so many after [`LAST`]; one of three things happens.
fn hold(stage: &mut Stage, wanted: u64, what: usize) {
    match what {
        0 => stage.core.forget(VIEWER),
        1 => {
            // The end lets it go, whatever it waits for.
            stage.list(0, true);
            let (viewer, reply) = stage.core.pull().expect("the end");
            assert_eq!((viewer, reply.status.code()), (VIEWER, 200));
        }
        _ => {
            for nth in 1..=3 {
                stage.list(nth, false);
                let let_go = stage.core.pull();
                assert_eq!(let_go.is_some(), nth == wanted);
                if let Some((viewer, reply)) = let_go {
                    assert_eq!((viewer, reply.status.code()), (VIEWER, 200));
                    assert!(reply.bytes.ends_with((LAST + nth).to_string().as_bytes()));
                }
            }
        }
    }
    stage.list(0, false);
}

/// The first value of that key, read from the end.
fn value<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    let mut found = None;
    for pair in query.rsplit('&') {
        let (name, value) = pair.find('=').map_or((pair, ""), |at| (&pair[..at], &pair[at + 1..]));
        if name == key {
            found = Some(value);
        }
    }
    found
}

/// Of at most 64 bits.
fn plain_number(text: &str) -> Result<u128, ()> {
    let mut sum = 0_u128;
    for char in text.chars() {
        sum = (sum * 10 + u128::from(char.to_digit(10).ok_or(())?)).min(1 << 100);
    }
    if text.is_empty() || sum > u128::from(u64::MAX) { Err(()) } else { Ok(sum) }
}

/// Directives as hls.js writes them, and some of nobody's.
pub fn good_query(chance: &mut Chance) -> Vec<u8> {
    let mut query = String::new();
    for _ in 0..1 + chance.below(4) {
        if !query.is_empty() {
            query.push(chance.pick(&['&', '&', '&', '&', '&', '&', '&', '&', '&', '&', '&', '?', ';']));
        }
        let around = LAST - 2 + chance.below(6) as u64;
        let number = match chance.below(8) {
            0 => String::new(),
            1 => format!("{}", u64::from(chance.awkward(32))),
            2 => format!("{}{}", u64::MAX, chance.below(10)),
            3 => format!("00{around}"),
            _ => around.to_string(),
        };
        match chance.below(8) {
            0..=3 => query.push_str(&format!("_HLS_msn={number}")),
            4 | 5 => query.push_str(&format!("_HLS_part={}", chance.below(12))),
            6 => query.push_str("_HLS_skip=YES"),
            _ => query.push_str("_HLS_future=%37"),
        }
    }
    query.into_bytes()
}

/// Bytes in front of a token: the time, and which broadcast it is shown for.
const ASK_BYTES: usize = 9;

/// A token is taken if and only if one of our keys sealed exactly these characters, for this broadcast, and its time is
/// not over; what it says is then what was sealed. The edge's door agrees: the private broadcast opens to nothing else,
/// and of those only to who was admitted.
pub fn tickets(bytes: &[u8]) {
    let Some((ask, text)) = bytes.split_first_chunk::<ASK_BYTES>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let [time @ .., which] = *ask;
    let (now, which) = (u64::from_be_bytes(time), usize::from(which & 1));
    STAGE.with_borrow_mut(|stage| {
        let hash = stage.hashes[which];
        let (current, previous, _) = keys();
        let opened = Token::parse(text).and_then(|token| {
            assert_eq!(token.to_string(), text, "one spelling for one token");
            current.open(&token, now, hash)
        });
        if let Ok(ticket) = &opened {
            let is_ours = [&current, &previous].iter().any(|keys| ticket.seal(keys).to_string() == text);
            assert!(is_ours, "{ticket:?} was never sealed");
            assert!(ticket.broadcast == hash && now <= u64::from(ticket.expires.0), "{ticket:?}");
        } else if let Some(ticket) = spelled(text) {
            // It says something: had one of our keys sealed just that, it must have been another's time or place.
            let is_ours = [&current, &previous].iter().any(|keys| ticket.seal(keys).to_string() == text);
            let is_for_this = ticket.broadcast == hash && now <= u64::from(ticket.expires.0);
            assert!(!(is_ours && is_for_this), "{ticket:?} was refused: {opened:?}");
        }
        let answer = stage.ask(now, &format!("/v/{text}/{}/720p/index.m3u8", NAMES[which]));
        let is_path =
            text.bytes().all(|b| b.is_ascii_graphic() && !b"#\\\"<>/?".contains(&b)) && text.len() < 1000;
        if is_path && which == 1 {
            let is_admitted = opened.as_ref().is_ok_and(|ticket| ticket.flags.has(Flags::ADMITTED));
            assert_eq!(answer, Some(if is_admitted { 200 } else { 403 }), "{text} {opened:?}");
        } else if is_path {
            // Anybody may see this one: only a broken seal or no token at all keeps somebody out.
            assert!(answer == Some(200) || (answer == Some(403) && opened.is_err()), "{text} {opened:?}");
        }
    });
}

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What the characters say, sealed or not: the layout, read a second time.
fn spelled(text: &str) -> Option<Ticket> {
    if text.len() != 52 {
        return None;
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(39);
    for four in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for char in four {
            bits = bits << 6 | ALPHABET.iter().position(|known| known == char)? as u32;
        }
        bytes.extend(&bits.to_be_bytes()[1..]);
    }
    let number = |from: usize, len: usize| {
        bytes[from..from + len].iter().fold(0_u64, |sum, b| sum << 8 | u64::from(*b))
    };
    Some(Ticket {
        edge: EdgeNumber::from_wire(number(2, 2) as u16),
        other: EdgeNumber::from_wire(number(4, 2) as u16),
        expires: UnixSeconds(number(6, 4) as u32),
        broadcast: BroadcastHash(number(10, 4) as u32),
        viewer: ViewerId(number(14, 8)),
        flags: Flags(number(22, 1) as u8),
    })
}

/// Mostly a token of ours; sometimes of another's key, too old, or for the other broadcast.
pub fn good_token(chance: &mut Chance) -> Vec<u8> {
    let (current, previous, other) = keys();
    let keys = match chance.below(6) {
        0 => other,
        1 | 2 => previous,
        _ => current,
    };
    let which = chance.below(2);
    let ticket = Ticket {
        edge: EdgeNumber::from_wire(chance.bits() as u16),
        other: EdgeNumber::from_wire(chance.bits() as u16),
        expires: UnixSeconds::from_u64(NOON + chance.below(1000) as u64),
        broadcast: BroadcastHash::of(&broadcast(which)),
        viewer: ViewerId(chance.bits()),
        flags: Flags(chance.byte()),
    };
    let now = NOON + chance.below(700) as u64;
    let shown_for = if chance.one_in(4) { 1 - which } else { which };
    let mut bytes = now.to_be_bytes().to_vec();
    bytes.push(shown_for as u8);
    let mut text = ticket.seal(&keys).to_chars().to_vec();
    match chance.below(6) {
        // Another character of the same alphabet: still a token, and never sealed.
        0 => text[chance.below(52)] = chance.pick(ALPHABET),
        // The end of one and the beginning of another.
        1 => {
            let later = Ticket { expires: UnixSeconds(u32::MAX), ..ticket }.seal(&keys).to_chars();
            let cut = chance.below(52);
            text[..cut].copy_from_slice(&later[..cut]);
        }
        _ => {}
    }
    bytes.extend(text);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TARGETS;

    /// Of the first cases: how many are of each sort.
    fn sorts<const N: usize>(name: &str, sort: impl Fn(&[u8]) -> usize) -> [usize; N] {
        let target = TARGETS.iter().find(|target| target.name == name).unwrap();
        let mut counts = [0; N];
        (0..2000).for_each(|seed| counts[sort(&target.case(seed))] += 1);
        counts
    }

    #[test]
    fn tokens_are_taken_and_refused_for_every_reason() {
        use ticket::Refusal;
        let counts: [usize; 7] = sorts("tickets", |case| {
            let Some((ask, text)) = case.split_first_chunk::<ASK_BYTES>() else { return 6 };
            let Some(token) = std::str::from_utf8(text).ok().and_then(|text| Token::parse(text).ok()) else {
                return 5;
            };
            let [time @ .., which] = *ask;
            let hash = BroadcastHash::of(&broadcast(usize::from(which & 1)));
            match keys().0.open(&token, u64::from_be_bytes(time), hash) {
                Ok(_) => 0,
                Err(Refusal::BadMac) => 1,
                Err(Refusal::Expired { .. }) => 2,
                Err(Refusal::OtherBroadcast) => 3,
                Err(_) => 4,
            }
        });
        assert!(counts[..6].iter().all(|count| *count > 50), "{counts:?}");
    }

    #[test]
    fn directives_hold_answer_and_refuse() {
        let counts: [usize; 3] = sorts("directives", |case| {
            let Ok(query) = std::str::from_utf8(case) else { return 2 };
            STAGE.with_borrow_mut(|stage| {
                let answer = stage.ask(NOON, &format!("/live/tide/720p/index.m3u8?{query}"));
                stage.core.forget(VIEWER);
                match answer {
                    None => 0,
                    Some(200) => 1,
                    Some(_) => 2,
                }
            })
        });
        assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
    }
}
