//! The lobby as it runs: a real listener, a real store, and people who mean well or do not.

#![allow(clippy::unwrap_used, reason = "a test's own tool: what goes wrong here fails the test")]

mod stage;

use node::fan::admission::News;
use node::settings::Number;
use serde_json::json;
use stage::{Browser, NOTHING, PASSWORD, client, start, wait_for};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
    let elsewhere = Browser::signed_in(at, "zoe");
    let zoe = Browser::signed_in(at, "zoe");
    elsewhere.does("DELETE", "/me/sessions", NOTHING, 204);
    elsewhere.does("GET", "/me", NOTHING, 401);
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
    let held = bob.does("GET", "/broadcasts/tide/restraints", NOTHING, 200);
    assert_eq!(
        (&held["restraints"][0]["name"], &held["restraints"][0]["kind"]),
        (&json!("eve"), &json!("ban"))
    );
    eve.does("GET", "/broadcasts/tide/restraints", NOTHING, 403);
    eve.does("DELETE", "/broadcasts/tide/restraints/id-eve/ban", NOTHING, 403);
    // Who was turned away too is let in again with it.
    bob.does("PUT", "/broadcasts/tide/denials/id-eve", json!({}), 204);
    eve.does("POST", "/broadcasts/tide/ticket", json!({}), 404);
    bob.does("DELETE", "/broadcasts/tide/restraints/id-eve/ban", NOTHING, 204);
    bob.does("DELETE", "/broadcasts/tide/restraints/id-eve/ban", NOTHING, 404);
    eve.does("POST", "/broadcasts/tide/ticket", json!({}), 200);
    let log = bob.does("GET", "/broadcasts/tide/messages?after=0", NOTHING, 200);
    let kinds: Vec<&str> =
        log["messages"].as_array().unwrap().iter().map(|m| m["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["blank", "slow", "gone-by"]);
    assert!(!log.to_string().contains("script"));
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
    wait_for("and that no list has it", || {
        heard(&|news| matches!(news, News::Unlisted(names) if names.len() == 1))
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
    let long = json!({ "name": "x".repeat(20_000), "password": "x" });
    assert_eq!(stranger.ask("POST", "/api/v1/session", Some(long)).status, 413);
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

/// In turn, so that the machine is as busy for one as for the other, and of each the quickest quarter: what else runs only
/// adds. As many as it takes until they agree, on a machine that is uneven; 20 ms of hashing that one has and another has not
/// never do.
#[test]
fn a_name_that_nobody_has_takes_as_long_as_one_that_somebody_has() {
    let lobby = start(|settings| settings.tries_per_account = Number::new(1000));
    let stranger = Browser::new(lobby.addresses.http);
    let timed = |name: &str, password: &str| {
        let asked = Instant::now();
        let answer = stranger.sign_in(name, password);
        assert_eq!((answer.status, &answer.body["error"]["code"]), (401, &json!("sign_in")), "{name}");
        asked.elapsed()
    };
    let long = "x".repeat(300);
    let tries = [
        ("eve", "guess guess guess"),
        ("nobody", "guess guess guess"),
        ("no name at all", "x"),
        ("eve", &long),
    ];
    let mut took = [const { Vec::new() }; 4];
    for round in 1..=100 {
        for (took, (name, password)) in took.iter_mut().zip(tries) {
            took.push(timed(name, password));
        }
        let quick = took.clone().map(|mut took| {
            took.sort_unstable();
            took[took.len() / 4]
        });
        let agree =
            quick[1..].iter().all(|quick_one| *quick_one * 3 > quick[0] * 2 && *quick_one * 2 < quick[0] * 3);
        if round >= 9 && agree {
            return println!(
                "{round} of each: wrong password {:?}, nobody's name {:?}, no name {:?}, too long a password {:?}",
                quick[0], quick[1], quick[2], quick[3]
            );
        }
        assert!(round < 100, "they never agree: {quick:?}");
    }
}

/// Everything a stranger can write is a value: none of it becomes a text of the database's, a header or a page.
#[test]
fn what_looks_like_sql_or_html_is_only_what_it_says() {
    let lobby = start(|settings| {
        settings.sign_up = lobby::policy::SignUp::Open;
        settings.tries_per_account = Number::new(1000);
    });
    let at = lobby.addresses.http;
    let (ada, bob, eve) =
        (Browser::signed_in(at, "ada"), Browser::signed_in(at, "bob"), Browser::signed_in(at, "eve"));
    bob.does("POST", "/broadcasts", json!({ "name": "tide" }), 201);
    let spells = [
        "' OR '1'='1",
        "'; DELETE FROM accounts; --",
        "tide' UNION SELECT password FROM accounts --",
        "$1",
        "%",
        "_",
        "\\",
        "\u{0}",
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "{{7*7}}",
        "\r\nSet-Cookie: a=b",
        "\u{202e}evil",
    ];
    for spell in spells {
        let path: String = spell.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for (method, path) in [
            ("GET", format!("/broadcasts/{path}")),
            ("GET", format!("/broadcasts/{path}/messages")),
            ("DELETE", format!("/broadcasts/tide/keys/{path}")),
            ("DELETE", format!("/broadcasts/tide/webhooks/{path}")),
            ("DELETE", format!("/broadcasts/tide/links/{path}")),
            ("DELETE", format!("/broadcasts/tide/restraints/{path}/mute")),
        ] {
            bob.does(method, &path, NOTHING, 404);
        }
        ada.does("PATCH", &format!("/accounts/{path}"), json!({ "role": "admin" }), 404);
        ada.does("DELETE", &format!("/accounts/{path}"), NOTHING, 404);
        let listed = bob.does("GET", &format!("/broadcasts?after={path}&mine=true"), NOTHING, 200);
        assert!(listed["broadcasts"].as_array().unwrap().len() <= 1, "{spell:?}");
        assert_eq!(eve.sign_in(spell, spell).status, 401, "{spell:?}");
        let signed_up = json!({ "name": spell, "password": PASSWORD });
        assert_eq!(eve.ask("POST", "/api/v1/accounts", Some(signed_up)).status, 400, "{spell:?} is no name");
        let said = eve.ask("POST", "/api/v1/broadcasts/tide/messages", Some(json!({ "text": spell })));
        assert!([201, 400].contains(&said.status), "{spell:?}: {}", said.body);
        if said.status == 201 {
            assert_eq!(said.headers["content-type"], "application/json");
            assert!(said.headers.get("set-cookie").is_none());
        }
        let titled = bob.ask("PATCH", "/api/v1/broadcasts/tide", Some(json!({ "title": spell })));
        assert!([204, 400].contains(&titled.status), "{spell:?}: {}", titled.body);
    }
    // Everybody and everything is still there.
    let accounts = ada.does("GET", "/accounts", NOTHING, 200);
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 3);
    assert!(!accounts.to_string().contains("argon2"), "nobody is shown how a password is kept");
    bob.does("GET", "/broadcasts/tide/messages", NOTHING, 200);
}

/// Every way that changes something: with the cookie alone, from another page or from none that names itself, it does not.
#[test]
fn nothing_is_changed_by_a_cookie_alone() {
    let lobby = start(|_| ());
    let at = lobby.addresses.http;
    let bob = Browser::signed_in(at, "bob");
    bob.does("POST", "/broadcasts", json!({ "name": "tide" }), 201);
    let document = bob.ask("GET", "/api/openapi.json", None).body;
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        // Without an account these need no token; another page is refused all the same.
        let needs_none = ["/api/v1/session", "/api/v1/accounts", "/api/v1/broadcasts/{name}/ticket"]
            .contains(&path.as_str());
        let path = path.replace("{name}", "tide").replace("{sequence}", "1").replace(['{', '}'], "");
        for method in operations.as_object().unwrap().keys().filter(|method| *method != "get") {
            let method = method.to_uppercase();
            for origin in [Some("https://evil.example".to_owned()), Some("null".into())] {
                let evil = Browser { origin, ..bob.clone() };
                assert_eq!(evil.ask(&method, &path, Some(json!({}))).status, 403, "{method} {path}");
            }
            let bare = Browser { token: None, origin: None, ..bob.clone() };
            let answer = bare.ask(&method, &path, Some(json!({})));
            let is_refused = answer.status == 403 || (needs_none && method == "POST");
            assert!(is_refused, "{method} {path}: {} {}", answer.status, answer.body);
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
    assert_eq!(bob.does("GET", "/me", NOTHING, 200)["name"], "bob", "and he is still signed in");
    bob.does("GET", "/broadcasts/tide", NOTHING, 200);
}
