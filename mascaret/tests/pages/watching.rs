//! Beside the player, in a running demo: what is said there and kept in order, what a broadcaster calls things, and a
//! broadcast that turns private.

use crate::keyboard::{DOWN, ENTER, changes, opens, tab_to, until, until_reads};
use crate::safety::{self, MARKUP, axe, is_not_taken, policy_holds};
use crate::stage::cluster::{self, Cluster, Wanted};
use crate::stage::processes::Ours;
use crate::webdriver::Browser;
use crate::{PASSWORD, stage};
use serde_json::Value;
use std::process::{Command, Stdio};

/// For a demo of our own, beside somebody else's.
const OFFSET: u16 = 6_300;

/// Eve signs up and says this; the page is signed in as her until somebody else is.
fn somebody_says(browser: &Browser, broadcast: &str, texts: &[&str]) {
    let said = browser.runs_on(&format!(
        "const done = arguments[arguments.length - 1];
         const ask = (path, token, body) => fetch(`/api/v1${{path}}`, {{ method: 'POST', body: JSON.stringify(body),
             headers: {{ 'content-type': 'application/json', ...(token ? {{ 'x-mascaret-token': token }} : {{}}) }} }});
         const who = {{ name: 'Eve', password: {PASSWORD:?} }};
         (async () => {{
             await ask('/accounts', '', who);
             const {{ token }} = await (await ask('/session', '', who)).json();
             const all = [];
             for (const text of {texts:?}) all.push((await ask('/broadcasts/{broadcast}/messages', token, {{ text }})).status);
             return all;
         }})().then(done).catch((error) => done(String(error)))"
    ));
    assert_eq!(said, serde_json::json!(vec![201; texts.len()]));
}

/// Somebody is muted, let speak, banned with all he said, and let in again: by keyboard.
fn keeps_order(browser: &Browser, source: &str) {
    for (label, held) in [("Mute", "Eve is muted, until"), ("Ban", "Eve is banned, until you lift it")] {
        browser.run("document.querySelector('.said').focus()");
        tab_to(browser, label, &format!(".order button[aria-label^=\"{label}\"][aria-label$=Eve]"));
        browser.types(ENTER);
        until_reads(browser, ".chat-note", "Eve: done");
        if label == "Mute" {
            opens(browser, ".chat .order-part");
        }
        until_reads(browser, ".held", held);
        if label == "Mute" {
            axe(browser, source, "watch, somebody muted");
        }
        browser.run("document.querySelector('.chat .order-part summary').focus()");
        tab_to(
            browser,
            "lifting it",
            &format!(".held button[aria-label^=\"Lift the {}\"]", label.to_lowercase()),
        );
        browser.types(ENTER);
        until_reads(browser, ".held", "Nobody is");
    }
    until(
        browser,
        "all she said gone",
        "return !['first', 'second'].some((text) => document.querySelector('.said').innerText.includes(text))",
    );
    browser.run("document.querySelector('.said').focus()");
}

/// A publisher whose keyframes are 5 s apart, without sound.
fn publishes_badly(cluster: &Cluster) -> Ours {
    let publish = &cluster.start["publish"];
    let part = |value: &Value| value.as_str().expect("where to publish").to_owned();
    let url = format!("{}/{}", part(&publish["servers"][0]), part(&publish["stream_key"]));
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-t", "120"]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "125"]);
    command.args(["-keyint_min", "125", "-sc_threshold", "0", "-f", "flv", &url]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ours(node::program::dies_with_us(&mut command).spawn().expect("ffmpeg"))
}

/// In the studio: what is shown of a broadcast.
fn card_of(broadcast: &str) -> String {
    format!("document.querySelector('.owned[aria-label=\"Broadcast {broadcast}\"]')")
}

/// Said, shown as it was written, kept in order, taken back.
fn is_said_and_taken_back(browser: &Browser, source: &str) {
    tab_to(browser, "the line to say something on", "input[name=text]");
    browser.types(&format!("{MARKUP}{ENTER}"));
    let shown = format!(
        "return [...document.querySelectorAll('.said .text')].some((it) => it.textContent === {MARKUP:?})"
    );
    until(browser, "what was said", &shown);
    is_not_taken(browser, "watch");
    axe(browser, source, "watch, with chat");
    keeps_order(browser, source);
    tab_to(browser, "taking it back", ".order button");
    browser.types(ENTER);
    until(
        browser,
        "that it is gone",
        "return [...document.querySelectorAll('.said li i')].filter((it) => it.textContent === 'Message removed').length === 3",
    );
    tab_to(browser, "slow mode", ".chat-foot select");
    browser.types(DOWN);
    until(
        browser,
        "slow mode",
        "return document.querySelector('.chat-note').innerText.includes('every 5 s')",
    );
    policy_holds(browser, "watch");
}

/// What a broadcaster calls his things is text too, and a name that could be more is none; the studio says how each
/// stream arrives.
fn is_named_and_advised(browser: &Browser, source: &str, at: &str, tide: &str) {
    assert_eq!(
        changes(browser, "PATCH", &format!("/broadcasts/{tide}"), &serde_json::json!({ "title": MARKUP })),
        204
    );
    let name = serde_json::json!({ "name": MARKUP, "password": PASSWORD });
    assert_eq!(changes(browser, "POST", "/accounts", &name), 400);
    assert_eq!(
        changes(
            browser,
            "POST",
            &format!("/broadcasts/{tide}/keys"),
            &serde_json::json!({ "label": MARKUP })
        ),
        201
    );
    browser.open(&format!("{at}studio"));
    let card = card_of(tide);
    until(browser, "it arrives", &format!("return !!{card}?.querySelector('.state.is-live')"));
    until(browser, "its title", &format!("return {card}.querySelector('h2').textContent === {MARKUP:?}"));
    until(
        browser,
        "its key",
        &format!("return {card}.querySelector('.keys').textContent.includes({MARKUP:?})"),
    );
    is_not_taken(browser, "studio");
    let badly = "document.querySelector('.owned[aria-label=\"Broadcast studio\"]')";
    until(browser, "a stream arrives", &format!("return !!{badly}.querySelector('.state.is-live')"));
    for advice in ["A keyframe comes every 5 s, and a segment has 2 s", "No sound arrives"] {
        until(
            browser,
            advice,
            &format!("return {badly}.querySelector('.advice').innerText.includes({advice:?})"),
        );
    }
    // Nothing is said of how the pattern is published but what a machine may cause that is busy with more than this: sound that
    // breaks off, work that is behind, and a rate that is higher while pictures are left out.
    let of_machine = ["The sound broke off", "with its work", "are meant for a picture of that size"];
    let pattern =
        browser.run(&format!("return [...{card}.querySelectorAll('.advice li')].map((it) => it.innerText)"));
    let advice = pattern.as_array().expect("a list").iter().filter_map(Value::as_str);
    let advice: Vec<&str> = advice.filter(|says| !of_machine.iter().any(|it| says.contains(it))).collect();
    assert!(advice.is_empty(), "a pattern is published as it should be: {advice:?}");
    axe(browser, source, "studio, with a title");
    policy_holds(browser, "studio");
}

/// Private from now on: at every edge, and not for whom the lobby lets in.
fn turns_private(browser: &Browser, cluster: &Cluster, at: &str, tide: &str) {
    let edges: Vec<String> = cluster.edges.iter().map(|(_, at)| at.clone()).collect();
    let path = format!("/live/{tide}/source/index.m3u8");
    let card = card_of(tide);
    let all =
        |status: u16| edges.iter().all(|edge| stage::fetch(edge, &path).is_some_and(|it| it.0 == status));
    assert!(all(200));
    browser.run(&format!("{card}.querySelector('select').focus()"));
    browser.types(&format!("{DOWN}{DOWN}"));
    stage::wait("every edge to turn strangers away", || all(403).then_some(()));
    browser.open(&format!("{at}watch/{tide}"));
    until(browser, "the player", "return window.mascaret?.player.state === 'playing'");
    until(browser, "an admitted path", "return window.mascaret.player.path.startsWith('/v/')");
    until(browser, "its chat", "return document.querySelector('.chat')?.hidden === false");
    browser.run("document.querySelector('nav button').focus()");
    browser.types(ENTER);
    until(browser, "signed out", "return location.pathname === '/sign-in'");
    policy_holds(browser, "sign-in");
    browser.open(&format!("{at}watch/{tide}"));
    until(browser, "a refusal", "return document.querySelector('.trouble')?.hidden === false");
    until_reads(browser, ".trouble", "not open to you");
    assert_ne!(browser.run("return window.mascaret.player.state"), "playing");
    for page in ["", "sign-up", "admin"] {
        browser.open(&format!("{at}{page}"));
        until(browser, page, "return !!document.querySelector('main h1')");
        policy_holds(browser, page);
    }
}

#[test]
fn what_is_said_beside_the_player_is_text_and_is_kept_in_order_by_keyboard() {
    let Some((driver, source)) = safety::tools() else { return };
    if !cluster::has_transcode() {
        return;
    }
    let cluster = Cluster::start(Wanted { port_offset: OFFSET, edges: 2, lasts: 240, words: &[] });
    let lobby = |name: &str| cluster.start["lobby"][name].as_str().expect("a lobby").to_owned();
    let (at, host, password) = (lobby("at"), lobby("name"), lobby("password"));
    let tide = cluster.broadcast();
    cluster.wait_until_fed();
    let _studio = publishes_badly(&cluster);
    let browser = Browser::start(&driver, &[]);

    browser.open(&format!("{at}sign-in?to=/watch/{tide}"));
    until(&browser, "sign-in", "return !!document.querySelector('form')");
    somebody_says(&browser, &tide, &["first", "second"]);
    tab_to(&browser, "the name", "input[name=username]");
    browser.types(&host);
    tab_to(&browser, "the password", "input[name=password]");
    browser.types(&format!("{password}{ENTER}"));
    until(&browser, "the player", "return window.mascaret?.player.state === 'playing'");
    until(&browser, "the chat", "return document.querySelector('.chat')?.hidden === false");

    is_said_and_taken_back(&browser, &source);
    is_named_and_advised(&browser, &source, &at, &tide);
    turns_private(&browser, &cluster, &at, &tide);
}
