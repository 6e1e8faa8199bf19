//! The same stories on both databases: what the lobby remembers does not depend on where.

#![allow(clippy::unwrap_used, reason = "a test's own tool: what goes wrong here fails the test")]

mod database;

use lobby::policy::Role;
use lobby::store::{
    Account, AccountId, Broadcast, DENIALS_OF_ONE, Denial, Invite, MessageKind, NewAccount, Post,
    PostRefusal, Posted, PublishKey, RestraintKind, ShareLink, Sqlite, Store, StoreError, Telling,
    UnixMillis, VERSION, Visibility, Webhook, backup, restore,
};
use media::BroadcastId;
use std::sync::Arc;
use std::time::Duration;

const NOON: UnixMillis = UnixMillis(1_800_000_000_000);

fn at(seconds: u64) -> UnixMillis {
    NOON.plus(Duration::from_secs(seconds))
}

fn name(text: &str) -> BroadcastId {
    BroadcastId::parse(text).unwrap()
}

async fn account(store: &Arc<dyn Store>, who: &str, role: Role) -> AccountId {
    let id = AccountId(format!("id-{who}"));
    let new = NewAccount { id: &id, name: who, folded: &who.to_lowercase(), password: "$argon2id$", role };
    store.add_account(&new, NOON).await.unwrap();
    id
}

async fn broadcast(store: &Arc<dyn Store>, text: &str, owner: &AccountId) -> BroadcastId {
    let new = Broadcast {
        name: name(text),
        owner: Some(owner.clone()),
        title: format!("The {text}"),
        visibility: Visibility::Public,
        made: NOON,
    };
    store.add_broadcast(&new).await.unwrap();
    new.name
}

fn post<'a>(room: &'a BroadcastId, account: &'a AccountId, text: &'a str) -> Post<'a> {
    Post { broadcast: room, account, name: "Ada", badge: Role::Viewer, text, nonce: None, is_exempt: false }
}

async fn say(store: &Arc<dyn Store>, post: &Post<'_>, now: UnixMillis) -> u64 {
    match store.post(post, now).await.unwrap() {
        Posted::New(message) => message.sequence,
        other => panic!("not said: {other:?}"),
    }
}

async fn refused(store: &Arc<dyn Store>, post: &Post<'_>, now: UnixMillis) -> PostRefusal {
    match store.post(post, now).await.unwrap() {
        Posted::Refused(refusal) => refusal,
        other => panic!("it was said: {other:?}"),
    }
}

async fn accounts_and_sessions(store: &Arc<dyn Store>) {
    let ada = account(store, "Ada", Role::Admin).await;
    let eve = account(store, "Eve", Role::Viewer).await;
    let taken = NewAccount {
        id: &AccountId("x".into()),
        name: "ADA",
        folded: "ada",
        password: "",
        role: Role::Viewer,
    };
    assert!(matches!(store.add_account(&taken, NOON).await, Err(StoreError::Conflict(_))));
    let Account { id, role, .. } = store.account_named("ada").await.unwrap().unwrap();
    assert_eq!((id, role), (ada.clone(), Role::Admin));
    assert_eq!((store.account_count().await, store.admin_count().await), (Ok(2), Ok(1)));
    let names: Vec<String> = store.accounts("ada", 10).await.unwrap().into_iter().map(|a| a.name).collect();
    assert_eq!(names, ["Eve"]);

    let cookies: Vec<[u8; 32]> = (1..=4).map(|n| [n; 32]).collect();
    for (second, cookie) in (0..).zip(&cookies[..3]) {
        store.begin_session(cookie, &eve, at(second), at(100), None, 2).await.unwrap();
    }
    assert_eq!(store.session(&cookies[0], at(5)).await, Ok(None), "two at most, the oldest is over");
    assert_eq!(store.session(&cookies[2], at(5)).await.unwrap().unwrap().name, "Eve");
    assert_eq!(store.session(&cookies[2], at(100)).await, Ok(None), "its time is over");
    store.begin_session(&cookies[3], &eve, at(6), at(100), Some(&cookies[2]), 2).await.unwrap();
    assert_eq!(store.session(&cookies[2], at(7)).await, Ok(None), "changed for a new one");
    assert_eq!(store.set_role(&eve, Role::Moderator).await, Ok(true));
    assert_eq!(store.session(&cookies[3], at(7)).await, Ok(None), "another role, another session");
    assert_eq!(store.set_password(&AccountId("nobody".into()), "x").await, Ok(false));
    assert_eq!(store.account(&eve).await.unwrap().unwrap().role, Role::Moderator);

    let invite =
        Invite { digest: [9; 32], role: Role::Broadcaster, made_by: Some(ada), made: NOON, expires: at(60) };
    store.add_invite(&invite).await.unwrap();
    assert_eq!(store.invites(5).await, Ok(vec![invite]));
    let bob = AccountId("id-bob".into());
    let new = NewAccount { id: &bob, name: "Bob", folded: "bob", password: "", role: Role::Broadcaster };
    assert_eq!(store.add_invited(&new, &[9; 32], at(61)).await, Ok(false), "too late");
    assert_eq!(store.add_invited(&new, &[9; 32], at(1)).await, Ok(true));
    assert_eq!(store.add_invited(&new, &[9; 32], at(2)).await, Ok(false), "once");
    store.sweep(at(1000)).await.unwrap();
}

async fn broadcasts_and_what_opens_them(store: &Arc<dyn Store>) {
    let ada = AccountId("id-Ada".into());
    let tide = broadcast(store, "tide", &ada).await;
    let ebb = broadcast(store, "ebb", &ada).await;
    assert!(matches!(
        store.add_broadcast(&store.broadcast(&tide).await.unwrap().unwrap()).await,
        Err(StoreError::Conflict(_))
    ));
    assert_eq!(store.change_broadcast(&ebb, Some("Low water"), Some(Visibility::Private)).await, Ok(true));
    assert_eq!(store.change_broadcast(&name("none"), Some("x"), None).await, Ok(false));
    assert_eq!(store.private_broadcasts(10).await, Ok(vec![ebb.clone()]));
    assert_eq!(store.change_broadcast(&tide, None, Some(Visibility::Unlisted)).await, Ok(true));
    assert_eq!(store.unlisted_broadcasts(10).await, Ok(vec![ebb.clone(), tide.clone()]));
    assert_eq!(store.change_broadcast(&tide, None, Some(Visibility::Public)).await, Ok(true));
    let seen: Vec<BroadcastId> =
        store.broadcasts_seen("", 10).await.unwrap().into_iter().map(|b| b.name).collect();
    assert_eq!(seen, std::slice::from_ref(&tide));
    assert_eq!(store.broadcasts_of(&ada, "ebb", 10).await.unwrap().len(), 1);
    assert_eq!(store.broadcasts_of_count(&ada).await, Ok(2));

    let key = |id: &str, digest, broadcast: &BroadcastId| PublishKey {
        id: id.into(),
        broadcast: broadcast.clone(),
        digest: [digest; 32],
        label: "OBS".into(),
        made: NOON,
    };
    store.add_key(&key("k1", 1, &tide)).await.unwrap();
    store.add_key(&key("k2", 2, &ebb)).await.unwrap();
    assert_eq!(store.opens(&[1; 32], &tide).await, Ok(true));
    assert_eq!(store.opens(&[1; 32], &ebb).await, Ok(false), "each key has its broadcast");
    assert_eq!(store.rotate_key(&key("k3", 3, &tide)).await, Ok(vec![[1; 32]]));
    assert_eq!(store.opens(&[1; 32], &tide).await, Ok(false));
    assert_eq!(store.revoke_key(&ebb, "k3").await, Ok(None), "not of that broadcast");
    assert_eq!(store.revoke_key(&tide, "k3").await, Ok(Some([3; 32])));
    assert_eq!(store.keys_of(&tide).await, Ok(vec![]));

    let link = ShareLink {
        id: "l1".into(),
        broadcast: ebb.clone(),
        made_by: Some(ada),
        made: NOON,
        expires: at(60),
    };
    store.add_link(&link).await.unwrap();
    assert_eq!(store.link(&tide, "l1").await, Ok(None));
    assert_eq!(store.links_of(&ebb, 9).await, Ok(vec![link]));
    let denial = Denial { broadcast: ebb.clone(), holder: u32::MAX, until: at(60) };
    assert_eq!(store.delete_link(&denial, "l1", NOON).await, Ok(true));
    assert_eq!(store.delete_link(&denial, "l1", NOON).await, Ok(false));
    assert_eq!(store.denials(NOON, 9).await, Ok(vec![denial.clone()]));
    assert_eq!(store.denials(at(60), 9).await, Ok(vec![]), "what it was against is over");
    store.deny(&Denial { until: at(90), ..denial }, NOON).await.unwrap();
    assert_eq!(store.denials(at(60), 9).await.unwrap().len(), 1, "for longer");
    assert_eq!(store.admit_again(&ebb, u32::MAX).await, Ok(true));

    let hook = Webhook {
        id: "w1".into(),
        broadcast: tide.clone(),
        url: "http://a".into(),
        secret: "s".into(),
        made: NOON,
        last: None,
    };
    store.add_webhook(&hook).await.unwrap();
    assert_eq!(store.webhooks_of(&tide, 9).await, Ok(vec![hook.clone()]));
    for refusal in [Some("it answers 500".to_owned()), None] {
        let last = Telling { at: UnixMillis(7), refusal };
        assert_eq!(store.webhook_was_told(&hook.id, &last).await, Ok(true));
        let told = Webhook { last: Some(last), ..hook.clone() };
        assert_eq!(store.webhooks_of(&tide, 9).await, Ok(vec![told]));
    }
    let last = Telling { at: UnixMillis(7), refusal: None };
    assert_eq!(store.webhook_was_told("none", &last).await, Ok(false), "it was removed meanwhile");
    assert_eq!(store.secret("share", [1; 32]).await, Ok([1; 32]));
    assert_eq!(store.secret("share", [2; 32]).await, Ok([1; 32]), "whoever asked first");
}

async fn chat(store: &Arc<dyn Store>) {
    let (ada, eve, tide) = (AccountId("id-Ada".into()), AccountId("id-Eve".into()), name("tide"));
    assert_eq!(refused(store, &post(&name("none"), &ada, "hi"), NOON).await, PostRefusal::NoRoom);
    assert_eq!(say(store, &post(&tide, &ada, "one"), at(0)).await, 1);
    let twice = Post { nonce: Some("n1"), ..post(&tide, &ada, "two") };
    assert_eq!(say(store, &twice, at(0)).await, 2);
    assert!(
        matches!(store.post(&twice, at(1)).await, Ok(Posted::Again(m)) if m.sequence == 2 && m.text == "two")
    );

    store.restrain(&tide, &eve, RestraintKind::Mute, Some(at(60)), &ada, NOON).await.unwrap();
    let muted = refused(store, &post(&tide, &eve, "spam"), at(59)).await;
    assert_eq!(muted, PostRefusal::Muted { until: Some(at(60)) });
    store.restrain(&tide, &eve, RestraintKind::Ban, None, &ada, NOON).await.unwrap();
    assert_eq!(refused(store, &post(&tide, &eve, "spam"), at(61)).await, PostRefusal::Banned { until: None });
    assert_eq!(store.restraints(&tide, at(61), 9).await.unwrap().len(), 1);
    assert_eq!(store.lift(&tide, &eve, RestraintKind::Ban).await, Ok(true));
    assert_eq!(say(store, &post(&tide, &eve, "sorry"), at(61)).await, 3, "refusals take no number");

    assert_eq!(store.set_slow(&tide, 10, "Ada", at(62)).await.unwrap().unwrap().sequence, 4);
    assert_eq!(store.set_slow(&name("none"), 10, "Ada", at(62)).await, Ok(None));
    let slow = PostRefusal::Slow { every: Duration::from_secs(10), again_in: Duration::from_secs(4) };
    assert_eq!(refused(store, &post(&tide, &eve, "again"), at(67)).await, slow);
    assert_eq!(say(store, &Post { is_exempt: true, ..post(&tide, &eve, "mod") }, at(67)).await, 5);
    assert_eq!(say(store, &post(&tide, &eve, "later"), at(77)).await, 6);

    let gone = store.tombstone(&tide, 3, "Ada", at(80)).await.unwrap().unwrap();
    assert_eq!((gone.sequence, gone.target, gone.kind), (7, Some(3), MessageKind::Gone));
    assert_eq!(store.tombstone(&tide, 3, "Ada", at(81)).await, Ok(None), "once");
    assert_eq!(store.tombstone(&tide, 7, "Ada", at(81)).await, Ok(None), "not a tombstone's");
    let log = store.messages_after(&tide, 1, 100).await.unwrap();
    let numbers: Vec<u64> = log.iter().map(|line| line.sequence).collect();
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7]);
    assert_eq!((log[1].kind, log[1].text.as_str(), &log[1].account), (MessageKind::Blank, "", &None));
    assert_eq!(store.newest_messages(&tide, 2).await.unwrap()[0].sequence, 6);
    assert_eq!(store.room(&tide).await.unwrap().unwrap().last_sequence, 7);
}

/// Forty at once: every number once, in the order in which they hold.
async fn a_crowd_posts(store: &Arc<dyn Store>) {
    let ebb = name("ebb");
    let posts = (0..40).map(|n| {
        let (store, ebb) = (store.clone(), ebb.clone());
        tokio::spawn(async move {
            let text = format!("<script>{n}</script>' OR 1=1; DROP TABLE messages --\0");
            let ada = AccountId("id-Ada".into());
            (say(&store, &post(&ebb, &ada, &text), NOON).await, text)
        })
    });
    let mut said = Vec::new();
    for post in posts.collect::<Vec<_>>() {
        said.push(post.await.unwrap());
    }
    said.sort();
    let log = store.messages_after(&ebb, 0, 100).await.unwrap();
    assert_eq!(log.len(), 40);
    for ((wanted, line), (number, text)) in (1..).zip(&log).zip(&said) {
        assert_eq!((line.sequence, *number), (wanted, wanted));
        assert_eq!(line.text, text.replace('\0', "\u{fffd}"), "as it was said");
    }
}

/// Two with the same nonce at the same moment are one.
async fn the_same_at_once_is_said_once(store: &Arc<dyn Store>) {
    let (ebb, ada) = (name("ebb"), AccountId("id-Ada".into()));
    let before = store.room(&ebb).await.unwrap().unwrap().last_sequence;
    let post = Post { nonce: Some("same"), ..post(&ebb, &ada, "same") };
    let (one, other) = tokio::join!(store.post(&post, NOON), store.post(&post, NOON));
    let number = |posted: Result<Posted, StoreError>| match posted.unwrap() {
        Posted::New(message) | Posted::Again(message) => message.sequence,
        refused => panic!("{refused:?}"),
    };
    assert_eq!((number(one), number(other)), (before + 1, before + 1));
}

async fn deletion_deletes(store: &Arc<dyn Store>) {
    let (eve, ada, tide) = (AccountId("id-Eve".into()), AccountId("id-Ada".into()), name("tide"));
    let marks = store.clear_everywhere(&eve, "Ada", at(90)).await.unwrap();
    assert_eq!(
        marks.iter().map(|mark| (mark.kind, mark.sequence)).collect::<Vec<_>>(),
        [(MessageKind::GoneBy, 8)]
    );
    assert_eq!(store.delete_account(&eve).await, Ok(true));
    assert_eq!(store.delete_account(&eve).await, Ok(false));
    assert_eq!(store.account_named("eve").await, Ok(None));
    let log = store.messages_after(&tide, 0, 100).await.unwrap();
    assert!(log.iter().all(|line| line.account != Some(eve.clone()) && !line.text.contains("later")));
    assert!(log.iter().zip(1..).all(|(line, wanted)| line.sequence == wanted), "no hole");
    assert_eq!(store.delete_broadcast(&tide).await, Ok(true));
    assert_eq!(store.messages_after(&tide, 0, 100).await, Ok(vec![]));
    assert_eq!(store.delete_account(&ada).await, Ok(true));
    assert_eq!(store.broadcasts("", 100).await, Ok(vec![]), "its broadcasts go with it");
    assert_eq!(store.rooms(100).await, Ok(vec![]));
}

/// How many rows there are in all tables.
async fn rows(store: &Arc<dyn Store>) -> u64 {
    backup(&**store, std::io::sink()).await.unwrap()
}

/// Cut anywhere, or with a row twice: what was empty stays empty, and takes the whole one after it.
async fn torn_copies_leave_nothing(lines: &[u8], store: &Arc<dyn Store>) {
    store.migrate().await.unwrap();
    let mut chance = 7_u64;
    for _ in 0..25 {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let cut = (chance >> 33) as usize % lines.len();
        let refused = restore(&**store, &lines[..cut]).await;
        assert!(refused.is_err(), "cut at {cut} of {}", lines.len());
        assert_eq!(rows(store).await, 0, "cut at {cut} of {}: {refused:?}", lines.len());
    }
    let text = String::from_utf8(lines.to_vec()).unwrap();
    let twice: Vec<&str> = text.lines().flat_map(|line| [line; 2]).skip(1).collect();
    assert!(restore(&**store, format!("{}\n", twice.join("\n")).as_bytes()).await.is_err());
    assert_eq!(rows(store).await, 0, "a row that the database does not take");
    assert!(restore(&**store, lines).await.is_ok());
    assert!(rows(store).await > 0);
}

/// A copy is of one moment: what it says of a room, and what was said there, are of the same one.
async fn while_posts_go_on(store: &Arc<dyn Store>) {
    let zoe = account(store, "Zoe", Role::Viewer).await;
    let ebb = broadcast(store, "busy", &zoe).await;
    let posting = {
        let (store, zoe, ebb) = (store.clone(), zoe.clone(), ebb.clone());
        tokio::spawn(async move {
            for n in 0.. {
                say(&store, &post(&ebb, &zoe, &format!("{n}")), at(n)).await;
                tokio::task::yield_now().await;
            }
        })
    };
    let mut copies = Vec::new();
    while copies.last().is_none_or(|last| *last < 20) && copies.len() < 200 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let mut lines = Vec::new();
        backup(&**store, &mut lines).await.unwrap();
        let text = String::from_utf8(lines).unwrap();
        let of = |table: &str| {
            let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            rows.filter(|row| row[0] == table && row[1][0] == "busy")
                .map(|row| row[1].clone())
                .collect::<Vec<_>>()
        };
        let room = of("rooms")[0][2].as_u64().unwrap();
        let mut said: Vec<u64> = of("messages").iter().map(|row| row[1].as_u64().unwrap()).collect();
        said.sort_unstable();
        assert_eq!(said, (1..=room).collect::<Vec<_>>(), "of one moment");
        copies.push(room);
    }
    posting.abort();
    let _ = posting.await;
    assert!(copies.last() >= Some(&20) && copies.is_sorted(), "posts went on meanwhile: {copies:?}");
    store.delete_account(&zoe).await.unwrap();
}

/// However many are made at once, there are never more than so many; and what one turns away stays within its own.
async fn bounds_hold_for_a_crowd(store: &Arc<dyn Store>) {
    let max = account(store, "Max", Role::Broadcaster).await;
    let made: Vec<_> = (0..12)
        .map(|n| Broadcast {
            name: name(&format!("crowd{n}")),
            owner: Some(max.clone()),
            title: String::new(),
            visibility: Visibility::Public,
            made: NOON,
        })
        .collect();
    let mut adding = tokio::task::JoinSet::new();
    for new in made {
        let store = store.clone();
        adding.spawn(async move { store.add_broadcast_within(&new, 3).await.unwrap() });
    }
    assert_eq!(adding.join_all().await.into_iter().filter(|added| *added).count(), 3);
    let own = store.broadcasts_of(&max, "", 100).await.unwrap();
    assert_eq!(own.len(), 3);
    let crowd = own[0].name.clone();
    let mut adding = tokio::task::JoinSet::new();
    for n in 0..12_u8 {
        let (store, crowd) = (store.clone(), crowd.clone());
        adding.spawn(async move {
            let id = format!("crowd-{n}");
            let key = PublishKey {
                id: id.clone(),
                broadcast: crowd.clone(),
                digest: [n ^ 0xa5; 32],
                label: String::new(),
                made: NOON,
            };
            let link = ShareLink {
                id: id.clone(),
                broadcast: crowd.clone(),
                made_by: None,
                made: NOON,
                expires: at(9),
            };
            let hook = Webhook {
                id,
                broadcast: crowd,
                url: String::new(),
                secret: String::new(),
                made: NOON,
                last: None,
            };
            let key = store.add_key_within(&key, 4).await.unwrap();
            let link = store.add_link_within(&link, 5).await.unwrap();
            (key, link, store.add_webhook_within(&hook, 2).await.unwrap())
        });
    }
    let added = adding.join_all().await;
    let count = |which: fn(&(bool, bool, bool)) -> bool| added.iter().filter(|it| which(it)).count();
    assert_eq!((count(|it| it.0), count(|it| it.1), count(|it| it.2)), (4, 5, 2));
    let most = u32::try_from(DENIALS_OF_ONE).unwrap();
    for holder in 0..=most {
        let denial = Denial { broadcast: crowd.clone(), holder, until: at(60) };
        let denied = store.deny(&denial, NOON).await;
        assert_eq!(denied.is_ok(), holder < most, "{holder}: {denied:?}");
    }
    let later = Denial { broadcast: crowd.clone(), holder: most, until: at(200) };
    assert_eq!(store.deny(&later, at(100)).await, Ok(()), "those that are over take no place");
    store.sweep(at(300)).await.unwrap();
    assert_eq!(store.delete_account(&max).await, Ok(true));
}

async fn whole(store: Arc<dyn Store>, empty: Arc<dyn Store>, torn: Arc<dyn Store>) {
    assert_eq!(store.migrate().await, Ok(VERSION));
    store.ping().await.unwrap();
    accounts_and_sessions(&store).await;
    broadcasts_and_what_opens_them(&store).await;
    chat(&store).await;
    a_crowd_posts(&store).await;
    the_same_at_once_is_said_once(&store).await;
    bounds_hold_for_a_crowd(&store).await;

    let mut lines = Vec::new();
    let count = backup(&*store, &mut lines).await.unwrap();
    empty.migrate().await.unwrap();
    assert_eq!(restore(&*empty, lines.as_slice()).await.unwrap(), count);
    let mut again = Vec::new();
    backup(&*empty, &mut again).await.unwrap();
    let sorted = |lines: &[u8]| {
        let mut lines: Vec<String> =
            String::from_utf8(lines.to_vec()).unwrap().lines().map(Into::into).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&again), sorted(&lines));
    assert!(restore(&*empty, lines.as_slice()).await.is_err(), "something is there");
    torn_copies_leave_nothing(&lines, &torn).await;
    while_posts_go_on(&store).await;
    deletion_deletes(&store).await;
}

#[tokio::test]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("lobby.db")).unwrap();
    let empty = Sqlite::open(&folder.path().join("empty.db")).unwrap();
    let torn = Sqlite::open(&folder.path().join("torn.db")).unwrap();
    whole(Arc::new(store), Arc::new(empty), Arc::new(torn)).await;
}

#[tokio::test]
async fn postgresql() {
    let Some((server, _folder)) = database::single() else {
        println!("skipped: no PostgreSQL here");
        return;
    };
    server.ask("CREATE DATABASE empty").unwrap();
    server.ask("CREATE DATABASE torn").unwrap();
    let address = database::address(&[&server]);
    let store = lobby::store::Postgres::new(&address, 8).unwrap();
    let beside = |name: &str| {
        let address = address.replace("dbname=postgres", &format!("dbname={name}"));
        lobby::store::Postgres::new(&address, 2).unwrap()
    };
    let (empty, torn) = (beside("empty"), beside("torn"));
    // Two that start at once wait for each other.
    let store: Arc<dyn Store> = Arc::new(store);
    let (one, other) = tokio::join!(store.migrate(), store.migrate());
    assert_eq!((one, other), (Ok(VERSION), Ok(VERSION)));
    whole(store, Arc::new(empty), Arc::new(torn)).await;
}

/// Sealed, and to whom: a server that only speaks TLS, its certificate looked at or not.
#[tokio::test]
async fn postgresql_by_tls() {
    let certs = tempfile::tempdir().unwrap();
    node::certs::init(certs.path(), &[]).unwrap();
    let Some((server, _folder)) = database::sealed(certs.path(), "https") else {
        println!("skipped: no PostgreSQL here");
        return;
    };
    let others = tempfile::tempdir().unwrap();
    node::certs::init(others.path(), &[]).unwrap();
    let (other_name, _other_folder) = database::sealed(certs.path(), "cluster").unwrap();
    let answers = async |server: &database::Server, tls: &str| {
        let address = format!("{} {tls}", database::address(&[server]));
        lobby::store::Postgres::new(&address, 1).unwrap().migrate().await
    };
    let roots = |folder: &std::path::Path| {
        format!("sslmode=verify-full sslrootcert='{}'", folder.join("ca.pem").display())
    };
    assert_eq!(answers(&server, "sslmode=require").await, Ok(VERSION));
    assert_eq!(answers(&server, &roots(certs.path())).await, Ok(VERSION));
    assert_eq!(server.ask("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'mascaret lobby'").as_deref().unwrap_or("t"), "t");
    for (server, tls, what) in [
        (&server, "sslmode=disable".to_owned(), "nothing is said in the clear"),
        (&server, String::new(), "nor where nothing is set"),
        (&server, roots(others.path()), "another's certificates"),
        (&other_name, roots(certs.path()), "another's name"),
    ] {
        let refused = answers(server, &tls).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{what}: {refused:?}");
    }
    assert_eq!(answers(&other_name, "sslmode=require").await, Ok(VERSION), "its name is not looked at");
}
