//! The primary is killed, or hangs, under two hundred posts a second and the standby is promoted: what was acknowledged
//! is there, and writes come back by themselves. `MASCARET_PROMOTIONS=20` does it so often, each with a new pair.

#![allow(clippy::unwrap_used, reason = "a test's own tool: what goes wrong here fails the test")]

mod database;

use lobby::policy::Role;
use lobby::store::{
    AccountId, Broadcast, NewAccount, Post, Posted, Postgres, Store, StoreError, UnixMillis, Visibility,
};
use media::BroadcastId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const POSTS_PER_SECOND: u64 = 200;

#[derive(Default)]
struct Seen {
    /// Number and text of what was acknowledged.
    acknowledged: BTreeMap<u64, String>,
    /// When the last one before, and the first after, a moment.
    at: Vec<Instant>,
    unavailable: u64,
    other: Vec<StoreError>,
}

/// What becomes of the primary.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// SIGKILL: whoever asks is refused at once.
    Killed,
    /// SIGSTOP: whoever asks is let in, and hears nothing.
    Hangs,
}

fn times() -> usize {
    std::env::var("MASCARET_PROMOTIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(1)
}

async fn again_and_again(fate: Fate) {
    let mut after = Vec::new();
    for _ in 0..times() {
        let Some(pair) = tokio::task::spawn_blocking(database::pair).await.unwrap() else {
            println!("skipped: no PostgreSQL here");
            return;
        };
        after.push(promoted(pair, fate).await);
    }
    after.sort_unstable();
    println!(
        "{} promotions, the primary {fate:?}: writes back after {:?} to {:?}, half within {:?}",
        after.len(),
        after[0],
        after[after.len() - 1],
        after[after.len() / 2]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_standby_is_promoted() {
    again_and_again(Fate::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_the_primary_takes_connections_and_says_nothing() {
    again_and_again(Fate::Hangs).await;
}

/// A lock that somebody else holds, a disk that is slow: no other server takes writes, so there is nothing to change to.
async fn a_primary_that_is_only_slow_is_waited_for(address: &str, store: &Arc<dyn Store>) {
    let (other, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await.unwrap();
    let carried = tokio::spawn(connection);
    other.batch_execute("BEGIN; LOCK TABLE accounts").await.unwrap();
    let mut adding = tokio::task::JoinSet::new();
    for name in ["eve", "bob"] {
        let store = store.clone();
        adding.spawn(async move {
            let id = AccountId(name.into());
            let new = NewAccount { id: &id, name, folded: name, password: "", role: Role::Viewer };
            store.add_account(&new, UnixMillis::now()).await
        });
    }
    // Long enough for the other server to be asked, more than once.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(adding.try_join_next().is_none(), "they wait");
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(adding.join_all().await, [Ok(()), Ok(())], "neither was given up");
    drop(other);
    carried.await.unwrap().unwrap();
}

/// How long after the standby was asked to be the primary the first write was acknowledged.
async fn promoted(mut pair: database::Pair, fate: Fate) -> Duration {
    let address = database::address(&[&pair.primary, &pair.standby]);
    let store: Arc<dyn Store> = Arc::new(Postgres::new(&address, 16).unwrap());
    store.migrate().await.unwrap();
    let (tide, ada) = (BroadcastId::parse("tide").unwrap(), AccountId("ada".into()));
    let account = NewAccount { id: &ada, name: "Ada", folded: "ada", password: "", role: Role::Admin };
    store.add_account(&account, UnixMillis::now()).await.unwrap();
    let new = Broadcast {
        name: tide.clone(),
        owner: None,
        title: String::new(),
        visibility: Visibility::Public,
        made: UnixMillis::now(),
    };
    store.add_broadcast(&new).await.unwrap();
    if let Fate::Hangs = fate {
        a_primary_that_is_only_slow_is_waited_for(&database::address(&[&pair.primary]), &store).await;
    }

    let seen = Arc::new(Mutex::new(Seen::default()));
    let posting = {
        let (store, seen, tide, ada) = (store.clone(), seen.clone(), tide.clone(), ada.clone());
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / POSTS_PER_SECOND));
            let mut posts = tokio::task::JoinSet::new();
            for n in 0_u64.. {
                tick.tick().await;
                let (store, seen, tide, ada) = (store.clone(), seen.clone(), tide.clone(), ada.clone());
                posts.spawn(async move {
                    let (text, nonce) = (format!("message {n}"), n.to_string());
                    let nonce = Some(nonce.as_str());
                    let post = Post {
                        broadcast: &tide,
                        account: &ada,
                        name: "Ada",
                        badge: Role::Viewer,
                        text: &text,
                        nonce,
                        is_exempt: true,
                    };
                    let posted = store.post(&post, UnixMillis::now()).await;
                    let mut seen = seen.lock().unwrap();
                    match posted {
                        Ok(Posted::New(message) | Posted::Again(message)) => {
                            assert!(
                                seen.acknowledged.insert(message.sequence, text).is_none(),
                                "a number twice"
                            );
                            seen.at.push(Instant::now());
                        }
                        Ok(refused) => panic!("{refused:?}"),
                        Err(StoreError::Unavailable(_) | StoreError::Busy { .. }) => seen.unavailable += 1,
                        Err(error) => seen.other.push(error),
                    }
                });
                while posts.try_join_next().is_some() {}
            }
        })
    };
    let acknowledged = || seen.lock().unwrap().acknowledged.len();
    let wait_for = async |count: usize| {
        let until = Instant::now() + Duration::from_secs(30);
        while acknowledged() < count {
            assert!(Instant::now() < until, "only {} acknowledged", acknowledged());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait_for(400).await;
    let (killed, asked, _pair) = tokio::task::spawn_blocking(move || {
        match fate {
            Fate::Killed => pair.primary.kill(),
            Fate::Hangs => pair.primary.hang(),
        }
        let killed = Instant::now();
        let asked = Instant::now();
        pair.standby.promote();
        pair.standby.wait_for("SELECT pg_is_in_recovery()", "f");
        (killed, asked, pair)
    })
    .await
    .unwrap();
    let before = acknowledged();
    wait_for(before + 400).await;
    posting.abort();
    let _ = posting.await;
    tokio::time::sleep(Duration::from_millis(200)).await;

    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert!(seen.other.is_empty(), "{:?}", seen.other);
    let log = store.messages_after(&tide, 0, 1_000_000).await.unwrap();
    assert!(log.iter().zip(1..).all(|(line, wanted)| line.sequence == wanted), "the sequence has a hole");
    let held: BTreeMap<u64, &str> = log.iter().map(|line| (line.sequence, line.text.as_str())).collect();
    for (number, text) in &seen.acknowledged {
        assert_eq!(held.get(number), Some(&text.as_str()), "message {number} was acknowledged");
    }
    // One that was under way may have been answered after the moment of the kill: what the old primary could still say
    // was said before the standby was asked.
    let back = seen.at.iter().find(|at| **at > asked).unwrap();
    println!(
        "{} acknowledged, {} in the log, {} told to come again; the standby asked {:?} after the kill, the next write {:?} after it",
        seen.acknowledged.len(),
        log.len(),
        seen.unavailable,
        asked.duration_since(killed),
        back.duration_since(killed),
    );
    back.duration_since(asked)
}
