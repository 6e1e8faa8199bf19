//! Chat from end to end: what people post to a lobby by its API, at readers of real edges. `MASCARET_CHAT_LONG=1` posts
//! 5,000 messages while the reader is moved a hundred times, on either database; `MASCARET_OUTAGE_S=300` keeps the database
//! away for five minutes.

use parlour::{Parlour, Reader};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../../lobby/tests/database/mod.rs"]
mod database;
#[path = "stage/parlour.rs"]
mod parlour;

const MASCARET: &str = env!("CARGO_BIN_EXE_mascaret");

/// How much of it.
#[derive(Clone, Copy)]
struct Form {
    posted: u64,
    moves: u64,
    per_second: u64,
}

fn form(short: Form) -> Form {
    match std::env::var_os("MASCARET_CHAT_LONG") {
        Some(_) => Form { posted: 5_000, moves: 100, per_second: 400 },
        None => short,
    }
}

/// A small congruential generator: the story is the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Posts go on at that rate from all who may post, while one reader is moved from edge to edge; half way the edge it is at
/// is killed. It has each once and in order.
fn moved(parlour: &mut Parlour, Form { posted, moves, per_second }: Form) {
    let people = parlour.people.clone();
    let each = posted / people.len() as u64;
    assert_eq!(each * people.len() as u64, posted);
    let began = Instant::now();
    let posting: Vec<_> = people
        .iter()
        .cloned()
        .enumerate()
        .map(|(who, person)| {
            let count = people.len() as u64;
            std::thread::spawn(move || {
                for nth in 0..each {
                    let due = Duration::from_micros((nth * count + who as u64) * 1_000_000 / per_second);
                    std::thread::sleep(due.saturating_sub(began.elapsed()));
                    person.says(&format!("{who} {nth}"));
                }
            })
        })
        .collect();
    // As long at an edge as it takes that the last move comes before the last message.
    let stay = posted * 1_000 / per_second / (moves + 1);
    let (mut chance, mut last, mut made, mut killed, mut holes) = (Chance(5), None::<String>, 0, None, 0);
    let mut seen: Vec<u64> = Vec::new();
    let patience = Duration::from_secs(20 + 4 * posted / per_second);
    while made < moves || (seen.len() as u64) < posted {
        let alive: Vec<usize> = (0..parlour.edges.len()).filter(|nth| parlour.edges[*nth].runs()).collect();
        let at = alive[chance.below(alive.len() as u64) as usize];
        let mut reader = Reader::at(parlour.edges[at].at, last.as_deref()).expect("an edge that runs");
        made += 1;
        let leaves = Instant::now() + Duration::from_millis(stay / 2 + chance.below(stay.max(1)));
        // After the last move it stays.
        while (made >= moves && (seen.len() as u64) < posted) || Instant::now() < leaves {
            assert!(began.elapsed() < patience, "{} of {posted} seen after {made} moves", seen.len());
            let Some(heard) = reader.within(Duration::from_millis(10)) else {
                assert_eq!(killed, Some(at), "an edge that runs lets nobody go");
                break;
            };
            for heard in heard {
                match heard.event.as_str() {
                    "message" => seen.push(heard.data["n"].as_u64().expect("a number")),
                    // What a page asks the lobby for: the reader was away for more than the ring of an edge.
                    "lost" => {
                        let number = |name: &str| heard.data[name].as_u64().expect("a number");
                        let missing = people[0].reads(number("from"), number("to"));
                        holes += missing.len();
                        seen.extend(missing);
                    }
                    _ => {}
                }
            }
            if made > moves / 2 && killed.is_none() {
                parlour.edges[at].kill();
                killed = Some(at);
            }
        }
        last = reader.last;
    }
    posting.into_iter().for_each(|posting| posting.join().expect("all of it was posted"));
    println!(
        "{posted} posted by {} in {:?}, {made} moves between {} edges, one of them killed; {holes} asked of the lobby",
        people.len(),
        began.elapsed(),
        parlour.edges.len()
    );
    assert!(killed.is_some() && made >= moves);
    assert_eq!(seen, (1..=posted).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(people[0].reads(1, posted), seen, "as the lobby has it");
}

#[test]
fn a_reader_that_is_moved_has_each_message_once_and_in_order() {
    let form = form(Form { posted: 500, moves: 20, per_second: 250 });
    let mut parlour = Parlour::open(Path::new(MASCARET), 3, if form.posted > 1_000 { 10 } else { 2 }, None);
    moved(&mut parlour, form);
}

#[test]
fn with_postgresql_too_and_while_it_is_away_edges_tell_what_was_said() {
    let Some((mut server, _folder)) = database::single() else {
        println!("skipped: no PostgreSQL here");
        return;
    };
    let form = form(Form { posted: 200, moves: 8, per_second: 200 });
    let address = database::address(&[&server]);
    let people = if form.posted > 1_000 { 10 } else { 2 };
    let mut parlour = Parlour::open(Path::new(MASCARET), 3, people, Some(&address));
    moved(&mut parlour, form);

    let away_for =
        std::env::var("MASCARET_OUTAGE_S").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2);
    let person = parlour.people[0].clone();
    let newest: Vec<u64> = (form.posted.saturating_sub(199).max(1)..=form.posted).collect();
    let alive = || parlour.edges.iter().filter(|edge| edge.runs());
    let mut reader = Reader::at(alive().next().expect("an edge").at, None).expect("it runs");
    server.kill();
    let (began, mut rounds) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(away_for) {
        let text = json!({ "text": "never" });
        let (status, body, head) = person.ask("POST", "/broadcasts/tide/messages", Some(text));
        assert_eq!((status, &body["error"]["code"]), (503, &json!("store")));
        assert!(head.contains_key("retry-after"));
        for edge in alive() {
            assert_eq!(edge.numbers(), newest, "what was said last is there");
            let mut reader = Reader::at(edge.at, None).expect("it runs");
            let first = reader.within(Duration::from_secs(10)).expect("it stays");
            assert_eq!(first[0].event, "room", "who comes now is told it too");
        }
        rounds += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    server.revive();
    let until = Instant::now() + Duration::from_secs(20);
    let again = json!({ "text": "after", "nonce": "after" });
    while person.ask("POST", "/broadcasts/tide/messages", Some(again.clone())).0 >= 300 {
        assert!(Instant::now() < until, "it is there again");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut numbers = Vec::new();
    while numbers.last() != Some(&(form.posted + 1)) {
        assert!(Instant::now() < until, "it goes on: {:?}", numbers.last());
        let heard = reader.within(Duration::from_millis(100)).expect("the reader was never let go");
        numbers.extend(heard.iter().filter_map(|it| it.data["n"].as_u64()));
    }
    let wanted: Vec<u64> = newest.iter().copied().chain([form.posted + 1]).collect();
    assert_eq!(numbers, wanted, "nothing that was refused, and no number left out");
    println!("{rounds} rounds while the database was away for {away_for} s");
}
