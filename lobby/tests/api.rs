//! The lobby as it runs: a real listener, a real store, and people who mean well or do not.

#![allow(clippy::unwrap_used, reason = "a test's own tool: what goes wrong here fails the test")]

use lobby::policy::Role;
use lobby::store::{AccountId, NewAccount, Sqlite, Store, UnixMillis};
use lobby::{Addresses, Settings, StoreSettings, TicketSettings, passwords};
use node::fan::admission::{self, AdmissionClient, News};
use node::settings::{Address, Number};
use node::{Node, NodeSettings, Stop};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

const PASSWORD: &str = "correct horse battery";
/// What a password of that account is kept as; made once, because it is slow on purpose.
fn hashed() -> &'static str {
    static HASHED: OnceLock<String> = OnceLock::new();
    HASHED.get_or_init(|| passwords::hash(PASSWORD))
}

struct Running {
    addresses: Addresses,
    stop: Stop,
    thread: Option<std::thread::JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.signal();
        self.thread.take().unwrap().join().unwrap();
    }
}

async fn account(store: &dyn Store, name: &str, role: Role) {
    let id = AccountId(format!("id-{name}"));
    let new = NewAccount { id: &id, name, folded: name, password: hashed(), role };
    store.add_account(&new, UnixMillis::now()).await.unwrap();
}

fn start(change: impl FnOnce(&mut Settings)) -> Running {
    node::certs::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lobby.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&path).unwrap());
        store.migrate().await.unwrap();
        account(&*store, "ada", Role::Admin).await;
        account(&*store, "bob", Role::Broadcaster).await;
        account(&*store, "eve", Role::Viewer).await;
    });
    let certs = folder.path().join("certs");
    node::certs::init(&certs, &[]).unwrap();
    let key = folder.path().join("ticket.key");
    std::fs::write(&key, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    let key = Some(node::settings::SecretFile(key));
    let mut settings = Settings {
        http: Address::local(0),
        link: Address::local(0),
        store: StoreSettings { sqlite: path, ..StoreSettings::default() },
        tickets: TicketSettings { key, ..TicketSettings::default() },
        tries_per_address: Number::new(10_000),
        ..Settings::default()
    };
    change(&mut settings);
    let mut common = NodeSettings::default();
    common.operator.listen = Address::local(0);
    common.certificates.directory = certs;
    let stop = Stop::new();
    let node = Node::with_stop("lobby", &common, stop.clone()).unwrap();
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        lobby::run_telling(settings, node, |addresses| tell.send(addresses).unwrap()).unwrap();
    });
    let addresses = told.recv_timeout(Duration::from_secs(20)).unwrap();
    Running { addresses, stop, thread: Some(thread), folder }
}

/// A browser, as far as it matters: a cookie, a token, an origin.
#[derive(Clone)]
struct Browser {
    agent: ureq::Agent,
    at: SocketAddr,
    cookie: Option<String>,
    token: Option<String>,
    origin: Option<String>,
}

struct Answer {
    status: u16,
    body: Value,
    headers: ureq::http::HeaderMap,
}

impl Browser {
    fn new(at: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(20))).build().into();
        Self { agent, at, cookie: None, token: None, origin: Some(format!("http://{at}")) }
    }

    fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.at));
        for (name, value) in [("Origin", &self.origin), ("X-Mascaret-Token", &self.token)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", format!("other=1; mascaret_session={cookie}"));
        }
        let mut answer = match body {
            Some(body) => {
                let request =
                    request.header("Content-Type", "application/json").body(body.to_string()).unwrap();
                self.agent.run(request).unwrap()
            }
            None => self.agent.run(request.body(()).unwrap()).unwrap(),
        };
        let text = answer.body_mut().read_to_string().unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: answer.status().as_u16(), body, headers: answer.headers().clone() }
    }

    fn does(&self, method: &str, path: &str, body: Value, wanted: u16) -> Value {
        let body = if method == "GET" || (method == "DELETE" && body.is_null()) { None } else { Some(body) };
        let answer = self.ask(method, &format!("/api/v1{path}"), body);
        assert_eq!(answer.status, wanted, "{method} {path}: {}", answer.body);
        answer.body
    }

    fn sign_in(&self, name: &str, password: &str) -> Answer {
        self.ask("POST", "/api/v1/session", Some(json!({ "name": name, "password": password })))
    }

    fn signed_in(at: SocketAddr, name: &str) -> Self {
        let mut browser = Self::new(at);
        let answer = browser.sign_in(name, PASSWORD);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let line = answer.headers["set-cookie"].to_str().unwrap();
        assert!(line.contains("; HttpOnly; Secure; SameSite=Lax") && line.contains("; Path=/;"), "{line}");
        browser.cookie = line.split_once('=').and_then(|(_, rest)| rest.split(';').next()).map(str::to_owned);
        browser.token = answer.body["token"].as_str().map(str::to_owned);
        browser
    }
}

const NOTHING: Value = Value::Null;

#[test]
fn people_sign_up_in_and_out_and_are_gone_when_they_go() {
    let lobby = start(|settings| settings.sign_up = lobby::policy::SignUp::Open);
    let at = lobby.addresses.http;
    let stranger = Browser::new(at);
    let sign_up =
        |name: &str| stranger.does("POST", "/accounts", json!({ "name": name, "password": PASSWORD }), 202);
    assert_eq!(sign_up("Zoe"), sign_up("ada"), "a name that is taken says the same");
    assert_eq!(stranger.sign_in("ada", "guess guess guess").body, stranger.sign_in("nobody", PASSWORD).body);
    assert_eq!(stranger.sign_in("' OR '1'='1", PASSWORD).status, 401);

    let zoe = Browser::signed_in(at, "zoe");
    assert_eq!(zoe.does("GET", "/me", NOTHING, 200)["role"], "viewer");
    stranger.does("GET", "/me", NOTHING, 401);
    zoe.does("GET", "/accounts", NOTHING, 403);
    zoe.does("POST", "/broadcasts", json!({ "name": "tide" }), 403);
    zoe.does("DELETE", "/session", NOTHING, 204);
    zoe.does("GET", "/me", NOTHING, 401);

    let ada = Browser::signed_in(at, "ada");
    let zoe = Browser::signed_in(at, "zoe");
    let id = zoe.does("GET", "/me", NOTHING, 200)["id"].as_str().unwrap().to_owned();
    ada.does("PATCH", &format!("/accounts/{id}"), json!({ "role": "broadcaster" }), 204);
    zoe.does("GET", "/me", NOTHING, 401);
    let zoe = Browser::signed_in(at, "zoe");
    zoe.does("POST", "/broadcasts", json!({ "name": "zoes" }), 201);
    zoe.does("POST", "/broadcasts/zoes/messages", json!({ "text": "hello" }), 201);
    zoe.does("DELETE", "/me", json!({ "password": "not this one" }), 401);
    zoe.does("DELETE", "/me", json!({ "password": PASSWORD }), 204);
    assert_eq!(stranger.sign_in("zoe", PASSWORD).status, 401);
    stranger.does("GET", "/broadcasts/zoes", NOTHING, 404);
    ada.does("PATCH", "/accounts/id-ada", json!({ "role": "viewer" }), 409);
    let invite = ada.does("POST", "/invites", json!({ "role": "moderator", "hours": 1 }), 201);
    let words = json!({ "name": "max", "password": PASSWORD, "invite": invite["invite"] });
    stranger.does("POST", "/accounts", words.clone(), 202);
    assert_eq!(Browser::signed_in(at, "max").does("GET", "/me", NOTHING, 200)["role"], "moderator");
    stranger.does("POST", "/accounts", words, 403);
}

#[test]
fn another_page_and_a_planted_cookie_get_nothing() {
    let lobby = start(|_| ());
    let at = lobby.addresses.http;
    let bob = Browser::signed_in(at, "bob");
    let evil = Browser { origin: Some("https://evil.example".into()), ..bob.clone() };
    evil.does("POST", "/broadcasts", json!({ "name": "evil" }), 403);
    Browser { token: None, ..bob.clone() }.does("POST", "/broadcasts", json!({ "name": "evil" }), 403);
    Browser { token: Some("0".repeat(40)), ..bob.clone() }.does(
        "POST",
        "/broadcasts",
        json!({ "name": "evil" }),
        403,
    );
    assert_eq!(evil.sign_in("bob", PASSWORD).status, 403, "nor is anybody signed in by another page");
    bob.does("GET", "/broadcasts/evil", NOTHING, 404);

    // Session fixation: the cookie that was there before is not the one after.
    let planted = "a".repeat(32);
    let victim = Browser { cookie: Some(planted.clone()), ..Browser::new(at) };
    let answer = victim.sign_in("eve", PASSWORD);
    assert!(!answer.headers["set-cookie"].to_str().unwrap().contains(&planted));
    victim.does("GET", "/me", NOTHING, 401);
    // Nor is one that was good: it is over.
    let eve = Browser::signed_in(at, "eve");
    assert_eq!(eve.sign_in("eve", PASSWORD).status, 200);
    eve.does("GET", "/me", NOTHING, 401);

    for path in ["/api/v1/me", "/api/openapi.json", "/nothing"] {
        let headers = Browser::new(at).ask("GET", path, None).headers;
        assert!(
            headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"),
            "{path}"
        );
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["cache-control"], "no-store");
    }
}

#[test]
fn what_is_said_stays_text_and_order_is_kept() {
    let lobby = start(|_| ());
    let at = lobby.addresses.http;
    let (bob, eve) = (Browser::signed_in(at, "bob"), Browser::signed_in(at, "eve"));
    bob.does("POST", "/broadcasts", json!({ "name": "tide", "title": "<img src=x onerror=alert(1)>" }), 201);
    let evil = "<script>alert(1)</script>'; DROP TABLE messages; --";
    let said = eve.does("POST", "/broadcasts/tide/messages", json!({ "text": evil, "nonce": "n1" }), 201);
    assert_eq!(
        said,
        eve.does("POST", "/broadcasts/tide/messages", json!({ "text": evil, "nonce": "n1" }), 200)
    );
    let answer = Browser::new(at).ask("GET", "/api/v1/broadcasts/tide/messages", None);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.body["messages"][0]["text"], evil);
    eve.does("POST", "/broadcasts/tide/messages", json!({ "text": "x".repeat(501) }), 400);
    eve.does("PUT", "/broadcasts/tide/restraints/id-bob/mute", json!({}), 403);
    bob.does("PUT", "/broadcasts/tide/restraints/id-ada/mute", json!({}), 403);
    bob.does("PUT", "/broadcasts/tide/slow", json!({ "seconds": 60 }), 204);
    eve.does("POST", "/broadcasts/tide/messages", json!({ "text": "too soon" }), 429);
    bob.does("PUT", "/broadcasts/tide/restraints/id-eve/ban", json!({ "clear": true }), 204);
    eve.does("POST", "/broadcasts/tide/messages", json!({ "text": "banned" }), 403);
    let log = bob.does("GET", "/broadcasts/tide/messages?after=0", NOTHING, 200);
    let kinds: Vec<&str> =
        log["messages"].as_array().unwrap().iter().map(|m| m["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["blank", "slow", "gone-by"]);
    assert!(!log.to_string().contains("script"));
}

fn client(folder: &Path, at: SocketAddr, news: &Arc<Mutex<Vec<News>>>) -> AdmissionClient {
    let settings = node::certs::CertificateSettings { directory: folder.join("certs"), ..Default::default() };
    let tls = node::certs::Certificates::new(settings).cluster_client_config().unwrap();
    let news = news.clone();
    admission::start(at.to_string().parse().unwrap(), tls, move |heard| news.lock().unwrap().push(heard))
        .unwrap()
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_broadcaster_sees_whether_it_arrives_and_what_to_mend() {
    let lobby = start(|_| ());
    let at = lobby.addresses.http;
    let (bob, eve) = (Browser::signed_in(at, "bob"), Browser::signed_in(at, "eve"));
    bob.does("POST", "/broadcasts", json!({ "name": "tide" }), 201);
    let path = "/broadcasts/tide/health";
    assert_eq!(bob.does("GET", path, NOTHING, 200)["on_air"], false);
    eve.does("GET", path, NOTHING, 403);
    assert_eq!(Browser::new(at).ask("GET", &format!("/api/v1{path}"), None).status, 401);

    let news = Arc::new(Mutex::new(Vec::new()));
    let ingest = client(lobby.folder.path(), lobby.addresses.link, &news);
    let tide = media::BroadcastId::parse("tide").unwrap();
    ingest.air(&tide, true);
    wait_for("it is on the air", || bob.does("GET", path, NOTHING, 200)["on_air"] == true);
    let health = ::admission::Health {
        has_pictures: true,
        has_sound: true,
        bits: 2_000_000,
        picture_group_ms: 8_000,
        segment_ms: 2_000,
        ..Default::default()
    };
    ingest.health(&tide, health);
    wait_for("advice", || {
        let shown = bob.does("GET", path, NOTHING, 200);
        shown["advice"][0]["code"] == "picture_group_too_long" && shown["bits"] == 2_000_000
    });
    ingest.air(&tide, false);
    wait_for("its end", || bob.does("GET", path, NOTHING, 200)["on_air"] == false);
}

#[test]
fn ingests_and_edges_hear_what_holds() {
    let lobby = start(|_| ());
    let at = lobby.addresses.http;
    let bob = Browser::signed_in(at, "bob");
    bob.does("POST", "/broadcasts", json!({ "name": "tide" }), 201);
    let made = bob.does("POST", "/broadcasts/tide/keys", json!({ "label": "OBS" }), 201);
    let key = made["key"].as_str().unwrap();
    assert_eq!((key.len(), made["stream_key"].as_str().unwrap()), (32, format!("tide?key={key}").as_str()));
    let listed = bob.does("GET", "/broadcasts/tide/keys", NOTHING, 200);
    assert!(!listed.to_string().contains(key), "shown once");

    let news = Arc::new(Mutex::new(Vec::new()));
    let ingest = client(lobby.folder.path(), lobby.addresses.link, &news);
    let heard = |is: &dyn Fn(&News) -> bool| news.lock().unwrap().iter().any(is);
    wait_for("it is linked", || heard(&|news| matches!(news, News::Denied(_))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let digest: [u8; 32] = {
        use sha2::Digest;
        sha2::Sha256::digest(key.as_bytes()).into()
    };
    let opens = |broadcast: &str, digest| {
        let broadcast = media::BroadcastId::parse(broadcast).unwrap();
        runtime.block_on(ingest.ask(digest, &broadcast, Duration::from_secs(10)))
    };
    assert_eq!(opens("tide", digest), Some(true));
    assert_eq!(opens("bore", digest), Some(false), "a key of one broadcast opens no other");
    assert_eq!(opens("tide", [0; 32]), Some(false));
    bob.does("DELETE", &format!("/broadcasts/tide/keys/{}", made["id"].as_str().unwrap()), NOTHING, 204);
    wait_for("the revocation is told", || {
        heard(&|news| matches!(news, News::Revoked(digests) if digests.contains(&digest)))
    });
    assert_eq!(opens("tide", digest), Some(false));

    bob.does("PATCH", "/broadcasts/tide", json!({ "visibility": "private" }), 204);
    wait_for("what is private is told", || {
        heard(&|news| matches!(news, News::Private(names) if names.len() == 1))
    });
    let stranger = Browser::new(at);
    stranger.does("GET", "/broadcasts/tide", NOTHING, 404);
    stranger.does("POST", "/broadcasts/tide/ticket", json!({}), 404);
    let link = bob.does("POST", "/broadcasts/tide/links", json!({ "hours": 1 }), 201);
    let ticket = stranger.does("POST", "/broadcasts/tide/ticket", json!({ "link": link["link"] }), 200);
    let token = ticket::Token::parse(ticket["token"].as_str().unwrap()).unwrap();
    let keys =
        ticket::Key::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    let hash = |name| ticket::BroadcastHash::of(&media::BroadcastId::parse(name).unwrap());
    let keys = ticket::Keys::new(keys, None);
    let opened = keys.open(&token, 0, hash("tide")).unwrap();
    assert!(opened.flags.has(ticket::Flags::ADMITTED));
    assert!(keys.open(&token, 0, hash("bore")).is_err());
    bob.does("DELETE", &format!("/broadcasts/tide/links/{}", link["id"].as_str().unwrap()), NOTHING, 204);
    wait_for("who came by the link is turned away", || {
        heard(
            &|news| matches!(news, News::Denied(rows) if rows.iter().any(|row| u64::from(row.holder) == opened.viewer.0 >> 32)),
        )
    });
    stranger.does("POST", "/broadcasts/tide/ticket", json!({ "link": link["link"] }), 404);
}

#[test]
fn every_operation_on_the_page_is_there_and_each_refusal_says_why() {
    let lobby = start(|_| ());
    let stranger = Browser::new(lobby.addresses.http);
    let document = stranger.ask("GET", "/api/openapi.json", None).body;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 20);
    for (path, operations) in paths {
        let path = path.replace("{sequence}", "1").replace(['{', '}'], "");
        for method in operations.as_object().unwrap().keys() {
            let answer = stranger.ask(&method.to_uppercase(), &path, Some(json!({})));
            assert_ne!(answer.status, 405, "{method} {path}");
            assert_ne!(answer.body["error"]["says"], "nothing is here", "{method} {path}");
            assert!(answer.status < 500, "{method} {path}: {}", answer.body);
            assert!(answer.status < 400 || answer.body["error"]["code"].is_string(), "{method} {path}");
        }
    }
    assert_eq!(stranger.ask("PUT", "/api/v1/session", Some(json!({}))).status, 405);
    assert_eq!(stranger.ask("GET", "/api/v1/nothing", None).body["error"]["says"], "nothing is here");
}

/// Guesses by the hundred at once: whoever is signed in is answered meanwhile, and the guesses are told to wait.
#[test]
fn a_flood_of_guesses_leaves_the_others_alone() {
    let lobby = start(|settings| settings.tries_per_account = Number::new(1000));
    let at = lobby.addresses.http;
    let eve = Browser::signed_in(at, "eve");
    let until = Instant::now() + Duration::from_secs(3);
    let guessers: Vec<_> = (0..96)
        .map(|n| {
            std::thread::spawn(move || {
                let (browser, mut statuses) = (Browser::new(at), Vec::new());
                while Instant::now() < until {
                    statuses.push(browser.sign_in(&format!("guess{n}"), "guess guess guess").status);
                }
                statuses
            })
        })
        .collect();
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    while Instant::now() < until {
        let asked = Instant::now();
        eve.does("GET", "/me", NOTHING, 200);
        slowest = slowest.max(asked.elapsed());
        answered += 1;
    }
    let statuses: Vec<u16> = guessers.into_iter().flat_map(|guesser| guesser.join().unwrap()).collect();
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    println!(
        "{} guesses: {} wrong, {} crowded, {} too often; meanwhile {answered} answers, the slowest {slowest:?}",
        statuses.len(),
        count(401),
        count(503),
        count(429)
    );
    assert!(count(503) > 0 && count(401) > 0 && answered > 0);
    assert_eq!(count(401) + count(503) + count(429), statuses.len());
}
