//! The lobby's pages in a real browser, from signing up to a key and an account, by keyboard alone; and what axe-core finds on
//! each of them.
//!
//! Without Chromium, or without the pages (`make web`), nothing is tested, and that is said.

#[path = "../stage/mod.rs"]
mod stage;
#[path = "../browser/webdriver.rs"]
mod webdriver;

use lobby::policy::Role;
use lobby::store::Store;
use node::certs::CertificateSettings;
use node::operator::OperatorSettings;
use node::settings::Address;
use node::{Node, NodeSettings, Stop};
use serde_json::Value;
use stage::cluster::{Cluster, Wanted};
use stage::processes::Ours;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::{Duration, Instant};
use webdriver::Browser;

const PATIENCE: Duration = Duration::from_secs(20);
/// For a demo of our own, beside somebody else's.
const OFFSET: u16 = 6_300;
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const DOWN: &str = "\u{e015}";
/// What would run if anything that a stranger wrote were taken for a page.
const MARKUP: &str = "<img src=x onerror='window.taken=1'><script>window.taken=1</script>&lt;b&gt;";
const PASSWORD: &str = "two metres of brown water";

/// Waits until this is true in the page.
fn until(browser: &Browser, what: &str, script: &str) {
    let asked = Instant::now();
    while browser.run(script) != Value::Bool(true) {
        assert!(asked.elapsed() < PATIENCE, "{what}: {}\n{}", body(browser), browser.console());
        sleep(Duration::from_millis(100));
    }
}

fn body(browser: &Browser) -> String {
    browser.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
}

/// Goes on with Tab until this has the focus.
fn tab_to(browser: &Browser, what: &str, selector: &str) {
    for _ in 0..60 {
        if browser.run(&format!("return document.activeElement.matches({selector:?})")) == Value::Bool(true) {
            return;
        }
        browser.types(TAB);
    }
    panic!("{what} is not reached by Tab: {}", body(browser));
}

/// Nothing serious, in both sizes and schemes. With `MASCARET_PICTURES=folder` each is kept as it looks, in base64.
fn axe(browser: &Browser, axe: &str, page: &str) {
    for (width, scheme) in [(1280, "dark"), (1280, "light"), (360, "dark"), (360, "light")] {
        browser.looks_like(width, scheme);
        let wide = browser.run("return document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().is_some_and(|wide| wide <= 0), "{page} at {width} px is {wide} px too wide");
        browser.run(&format!("if (!window.axe) {{ {axe} }}; 0"));
        let found = browser.runs_on(
            "const done = arguments[0]; axe.run().then((found) => done(found.violations
                .filter((it) => ['serious', 'critical'].includes(it.impact))
                .map((it) => `${it.id}: ${it.nodes.map((node) => node.html).join(' ')}`)));",
        );
        assert_eq!(found, serde_json::json!([]), "{page} at {width} px, {scheme}");
        if let Some(folder) = std::env::var_os("MASCARET_PICTURES") {
            let file = format!("{}-{width}-{scheme}.png.base64", page.replace([',', ' '], "-"));
            std::fs::write(Path::new(&folder).join(file), browser.picture()).expect("a picture");
        }
    }
    browser.looks_like(1280, "dark");
}

/// A lobby on this thread's neighbour, and where its pages are.
fn begin(folder: &Path) -> (SocketAddr, Stop, std::thread::JoinHandle<()>) {
    let any = || Address(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    node::certs::init(&folder.join("certs"), &[]).expect("certificates");
    let mut settings = lobby::Settings { http: any(), link: any(), ..lobby::Settings::default() };
    settings.store.sqlite = folder.join("lobby.db");
    settings.sign_up = lobby::policy::SignUp::Open;
    let node = NodeSettings {
        operator: OperatorSettings { listen: any(), ..OperatorSettings::default() },
        certificates: CertificateSettings {
            directory: folder.join("certs"),
            ..CertificateSettings::default()
        },
        ..NodeSettings::default()
    };
    let stop = Stop::new();
    let node = Node::with_stop("lobby", &node, stop.clone()).expect("a node");
    let (tell, told) = channel();
    let running = std::thread::spawn(move || {
        lobby::run_telling(settings, node, |addresses| {
            tell.send(addresses.http).expect("a story that waits")
        })
        .expect("a lobby");
    });
    (told.recv_timeout(PATIENCE).expect("it listens"), stop, running)
}

#[test]
fn everything_is_done_by_keyboard_and_axe_finds_nothing_serious() {
    let Some(driver) = webdriver::find() else {
        return println!("skipped: no chromium");
    };
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("web");
    let Ok(source) = std::fs::read_to_string(web.join("node_modules/axe-core/axe.min.js")) else {
        return println!("skipped: no axe-core (make web)");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (at, stop, running) = begin(folder.path());
    let browser = Browser::start(&driver, &[]);
    let page = |path: &str| format!("http://{at}{path}");

    browser.open(&page("/sign-up"));
    until(&browser, "sign-up", "return !!document.querySelector('form')");
    if body(&browser).contains("built without its pages") {
        return println!("skipped: no pages (make web)");
    }
    axe(&browser, &source, "sign-up");
    tab_to(&browser, "the name", "input[name=username]");
    browser.types("Ana");
    tab_to(&browser, "the password", "input[name=password]");
    browser.types(PASSWORD);
    browser.types("\u{e007}");
    until(&browser, "a viewer's page", "return document.body.innerText.includes('ask an administrator')");

    // What `mascaret user role` does.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store: Arc<dyn Store> =
            Arc::new(lobby::store::Sqlite::open(&folder.path().join("lobby.db")).expect("a store"));
        let ana = store.account_named("ana").await.expect("a store").expect("Ana");
        assert!(store.set_role(&ana.id, Role::Admin).await.expect("a store"));
    });
    browser.open(&page("/studio"));
    until(&browser, "sign-in", "return location.pathname === '/sign-in' && !!document.querySelector('form')");
    axe(&browser, &source, "sign-in");
    tab_to(&browser, "the name", "input[name=username]");
    browser.types("Ana");
    tab_to(&browser, "the password", "input[name=password]");
    browser.types("wrong words, alas\u{e007}");
    until(
        &browser,
        "the refusal",
        "return document.querySelector('[role=alert]').textContent.includes('wrong')",
    );
    browser.run("document.querySelector('input[name=password]').value = ''");
    browser.types(&format!("{PASSWORD}\u{e007}"));
    until(
        &browser,
        "the studio",
        "return location.pathname === '/studio' && document.body.innerText.includes('no broadcast yet')",
    );

    tab_to(&browser, "the broadcast's name", "input[name=name]");
    browser.types("tide");
    browser.types("\u{e007}");
    until(&browser, "the broadcast", "return !!document.querySelector('.owned')");
    tab_to(&browser, "the key's label", ".owned input[name=label]");
    browser.types("\u{e007}");
    until(
        &browser,
        "the key",
        "return /tide\\?key=[a-z2-7]{32}/.test(document.querySelector('.fresh').innerText)",
    );
    until(&browser, "it in the list", "return document.querySelector('.keys').innerText.includes('OBS')");
    axe(&browser, &source, "studio");
    tab_to(&browser, "revoking it", ".keys button");
    browser.types("\u{e007}");
    until(&browser, "none", "return document.querySelector('.keys').innerText.includes('None yet')");
    shares(&browser, &source);

    others(&browser, &page);
    let invite = invites(&browser, &page, &source);
    own_account(&browser, &page, &source, &invite);

    browser.open(&page("/watch/tide"));
    until(&browser, "the player", "return !!document.querySelector('.frame')");
    axe(&browser, &source, "watch");
    let said = browser.console();
    assert!(!said.contains("Content Security Policy"), "{said}");
    browser.run("document.querySelector('nav button').focus()");
    browser.types("\u{e007}");
    until(&browser, "signed out", "return location.pathname === '/sign-in'");
    drop(browser);
    stop.signal();
    running.join().expect("it ends");
}

/// Opens a closed part of a page by keyboard.
fn opens(browser: &Browser, part: &str) {
    tab_to(browser, part, &format!("{part} > summary"));
    browser.types(ENTER);
    until(browser, part, &format!("return !!document.querySelector('{part}[open] li')"));
}

/// Shown text of an element.
fn reads(browser: &Browser, selector: &str) -> String {
    let found = browser.run(&format!("return document.querySelector({selector:?})?.innerText ?? ''"));
    found.as_str().unwrap_or_default().to_owned()
}

fn until_reads(browser: &Browser, selector: &str, text: &str) {
    let script = format!("return (document.querySelector({selector:?})?.innerText ?? '').includes({text:?})");
    until(browser, &format!("{selector} to read {text}"), &script);
}

/// Links and webhooks of a broadcast: made, shown once, listed, taken away; then the broadcast itself, and another one made.
fn shares(browser: &Browser, source: &str) {
    opens(browser, ".links-part");
    tab_to(browser, "for how long", ".links-part select");
    browser.types(DOWN);
    tab_to(browser, "making a link", ".links-part .form button");
    browser.types(ENTER);
    until(
        browser,
        "the link",
        "return /\\/watch\\/tide\\?link=.{20,}/.test(document.querySelector('.links-part code')?.innerText)",
    );
    until_reads(browser, ".links", "Good until");
    opens(browser, ".hooks-part");
    tab_to(browser, "its address", "input[name=url]");
    browser.types(&format!("https://example.org/told{ENTER}"));
    until_reads(browser, ".hooks", "https://example.org/told not told yet");
    until(browser, "its secret", "return document.querySelector('.hooks-part code').innerText.length === 32");
    opens(browser, ".order-part");
    until_reads(browser, ".held", "Nobody is");
    axe(browser, source, "studio, all open");
    browser.run("document.querySelector('.links-part summary').focus()");
    for (list, button) in [("links", "Revoke the link"), ("hooks", "Remove the webhook")] {
        tab_to(browser, button, &format!(".{list} button[aria-label^=\"{button}\"]"));
        browser.types(ENTER);
        until_reads(browser, &format!(".{list}"), "None yet");
    }
    // What cannot be undone is asked about first; Escape is no.
    let delete = ".owned > button";
    tab_to(browser, "deleting it", delete);
    browser.types(ENTER);
    until(
        browser,
        "a question",
        "return document.querySelector('dialog[open]')?.contains(document.activeElement)",
    );
    axe(browser, source, "a question");
    browser.types(ESCAPE);
    until(
        browser,
        "no question",
        &format!("return document.activeElement.matches({delete:?}) && !document.querySelector('dialog')"),
    );
    browser.types(ENTER);
    tab_to(browser, "yes", "dialog .primary");
    browser.types(ENTER);
    until_reads(browser, ".owned-all", "no broadcast yet");
    browser.run("document.querySelector('input[name=name]').focus()");
    browser.types(&format!("tide{ENTER}"));
    until(browser, "the broadcast", "return !!document.querySelector('.owned')");
}

/// Somebody else's account: may do more, and is deleted once that is meant.
fn others(browser: &Browser, page: &dyn Fn(&str) -> String) {
    let kim = serde_json::json!({ "name": "Kim", "password": PASSWORD });
    assert_eq!(changes(browser, "POST", "/accounts", &kim), 202);
    browser.open(&page("/admin"));
    until(browser, "both", "return document.querySelectorAll('tbody tr').length === 2");
    tab_to(browser, "what Kim may do", "select[aria-label='What Kim may do']");
    browser.types(DOWN);
    until_reads(browser, ".form-note", "Kim is moderator now.");
    let delete = "button[aria-label='Delete Kim']";
    tab_to(browser, "deleting Kim", delete);
    browser.types(ENTER);
    until(
        browser,
        "it to be asked",
        "return document.querySelector('dialog[open]')?.contains(document.activeElement)",
    );
    browser.types(ESCAPE);
    until(
        browser,
        "it not to be meant",
        &format!("return document.activeElement.matches({delete:?}) && !document.querySelector('dialog')"),
    );
    assert_eq!(browser.run("return document.querySelectorAll('tbody tr').length"), 2);
    browser.types(ENTER);
    until(browser, "it to be asked again", "return !!document.querySelector('dialog[open]')");
    tab_to(browser, "yes", "dialog .primary");
    browser.types(ENTER);
    until_reads(browser, ".form-note", "Kim is deleted.");
    until(browser, "Ana alone", "return document.querySelectorAll('tbody tr').length === 1");
}

/// Invites: one made and taken back, another made for the link that it is.
fn invites(browser: &Browser, page: &dyn Fn(&str) -> String, source: &str) -> String {
    browser.open(&page("/admin"));
    until(browser, "accounts", "return document.querySelectorAll('tbody tr').length === 1");
    tab_to(browser, "the role", "tbody select");
    let mut invite = String::new();
    for is_kept in [false, true] {
        tab_to(browser, "what it makes of somebody", "select[name=role]");
        tab_to(browser, "making it", ".owned .form button");
        browser.types(ENTER);
        let link = ".owned code";
        until(
            browser,
            "the invite",
            &format!(
                "return /\\/sign-up\\?invite=.{{32}}/.test(document.querySelector({link:?})?.innerText)"
            ),
        );
        until_reads(browser, ".invites", "For one viewer");
        invite = reads(browser, link);
        if !is_kept {
            axe(browser, source, "admin");
            browser.run("document.querySelector('tbody select').focus()");
            tab_to(browser, "taking it back", ".invites button");
            browser.types(ENTER);
            until_reads(browser, ".invites", "None that was not used");
            assert_eq!(reads(browser, ".owned .fresh"), "", "what is no good is not shown any more");
        }
    }
    invite
}

/// Somebody comes by an invite, has another password, is signed out everywhere, and goes for good; then the first is back.
fn own_account(browser: &Browser, page: &dyn Fn(&str) -> String, source: &str, invite: &str) {
    let sign_in = |name: &str, password: &str| {
        until(
            browser,
            "sign-in",
            "return location.pathname === '/sign-in' && !!document.querySelector('form')",
        );
        tab_to(browser, "the name", "input[name=username]");
        browser.types(name);
        tab_to(browser, "the password", "input[name=password]");
        browser.types(&format!("{password}{ENTER}"));
        until(
            browser,
            "somebody signed in",
            "return location.pathname !== '/sign-in' && !!document.querySelector('nav .me')",
        );
    };
    let sign_out = || {
        tab_to(browser, "signing out", "nav button");
        browser.types(ENTER);
        until(
            browser,
            "signed out",
            "return location.pathname === '/sign-in' && !!document.querySelector('form')",
        );
    };
    sign_out();
    browser.open(invite);
    until(
        browser,
        "the invite in its field",
        "return document.querySelector('input[name=invite]')?.value.length === 32",
    );
    tab_to(browser, "the name", "input[name=username]");
    browser.types("Zoe");
    tab_to(browser, "the password", "input[name=password]");
    browser.types(&format!("{PASSWORD}{ENTER}"));
    until_reads(browser, "main", "ask an administrator");
    tab_to(browser, "her account", "nav .me");
    browser.types(ENTER);
    until(
        browser,
        "her account",
        "return location.pathname === '/account' && !!document.querySelector('input[name=old]')",
    );
    axe(browser, source, "account");
    let other = "another two metres of it";
    tab_to(browser, "the old password", "input[name=old]");
    browser.types(PASSWORD);
    tab_to(browser, "the new one", "input[name=new]");
    browser.types(&format!("{other}{ENTER}"));
    until_reads(browser, "[aria-labelledby=password]", "Changed.");
    tab_to(browser, "signing out everywhere", "[aria-labelledby=everywhere] button");
    browser.types(ENTER);
    sign_in("Zoe", other);
    browser.open(&page("/account"));
    until(browser, "her account", "return !!document.querySelector('input[name=confirm]')");
    tab_to(browser, "her name", "input[name=confirm]");
    browser.types("Zo");
    tab_to(browser, "her password", "input[name=known]");
    browser.types(&format!("{other}{ENTER}"));
    until_reads(browser, "[aria-labelledby=farewell]", "That is not your name");
    browser.types("\u{e010}e");
    tab_to(browser, "going", "[aria-labelledby=farewell] button");
    browser.types(ENTER);
    until(browser, "gone", "return location.pathname === '/sign-up' && !!document.querySelector('form')");
    browser.open(&page("/sign-in"));
    sign_in("Ana", PASSWORD);
    browser.open(&page("/admin"));
    until(browser, "accounts without hers", "return document.querySelectorAll('tbody tr').length === 1");
}

/// Status of a change that the page itself could ask for.
fn changes(browser: &Browser, method: &str, path: &str, body: &Value) -> Value {
    browser.runs_on(&format!(
        "const done = arguments[arguments.length - 1];
         fetch('/api/v1/me').then((me) => me.json()).then(({{ token }}) => fetch('/api/v1{path}', {{ method: '{method}',
             headers: {{ 'content-type': 'application/json', 'x-mascaret-token': token }}, body: JSON.stringify({body}) }}))
           .then((answer) => done(answer.status)).catch((error) => done(String(error)))"
    ))
}

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

/// Nothing that a stranger wrote has run, or become an element.
fn is_not_taken(browser: &Browser, page: &str) {
    let found = browser
        .run("return [window.taken ?? null, document.querySelectorAll('main img, main script').length]");
    assert_eq!(found, serde_json::json!([null, 0]), "{page}");
}

/// A script that somebody got into this page does not run.
fn policy_holds(browser: &Browser, page: &str) {
    let said = browser.console();
    assert!(!said.contains("Content Security Policy"), "{page} breaks its own policy: {said}");
    browser.run(
        "const made = document.createElement('script'); made.textContent = 'window.taken = 1'; document.body.append(made);
         const link = document.createElement('a'); link.href = 'javascript:window.taken=1'; document.body.append(link); link.click();
         const far = document.createElement('script'); far.src = 'data:text/javascript,window.taken=1'; document.body.append(far);",
    );
    sleep(Duration::from_millis(200));
    assert_eq!(browser.run("return window.taken ?? null"), Value::Null, "{page}");
    assert!(browser.console().contains("Content Security Policy"), "{page}: nothing was refused");
}

#[test]
fn what_is_said_beside_the_player_is_text_and_is_kept_in_order_by_keyboard() {
    let Some(driver) = webdriver::find() else {
        return println!("skipped: no chromium");
    };
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("web");
    let Ok(source) = std::fs::read_to_string(web.join("node_modules/axe-core/axe.min.js")) else {
        return println!("skipped: no axe-core (make web)");
    };
    if !stage::cluster::has_transcode() {
        return;
    }
    let wanted = Wanted { port_offset: OFFSET, edges: 2, lasts: 240, words: &[] };
    let cluster = Cluster::start(wanted);
    let said = |name: &str| cluster.start["lobby"][name].as_str().expect("a lobby").to_owned();
    let (at, host, password) = (said("at"), said("name"), said("password"));
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

    // Said, shown as it was written, taken back.
    tab_to(&browser, "the line to say something on", "input[name=text]");
    browser.types(&format!("{MARKUP}{ENTER}"));
    let shown = format!(
        "return [...document.querySelectorAll('.said .text')].some((it) => it.textContent === {MARKUP:?})"
    );
    until(&browser, "what was said", &shown);
    is_not_taken(&browser, "watch");
    axe(&browser, &source, "watch, with chat");
    keeps_order(&browser, &source);
    tab_to(&browser, "taking it back", ".order button");
    browser.types(ENTER);
    until(
        &browser,
        "that it is gone",
        "return [...document.querySelectorAll('.said li i')].filter((it) => it.textContent === 'Message removed').length === 3",
    );
    tab_to(&browser, "slow mode", ".chat-foot select");
    browser.types(DOWN);
    until(
        &browser,
        "slow mode",
        "return document.querySelector('.chat-note').innerText.includes('every 5 s')",
    );
    policy_holds(&browser, "watch");

    // What a broadcaster calls his things is text too, and a name that could be more is none.
    assert_eq!(
        changes(&browser, "PATCH", &format!("/broadcasts/{tide}"), &serde_json::json!({ "title": MARKUP })),
        204
    );
    let name = serde_json::json!({ "name": MARKUP, "password": PASSWORD });
    assert_eq!(changes(&browser, "POST", "/accounts", &name), 400);
    assert_eq!(
        changes(
            &browser,
            "POST",
            &format!("/broadcasts/{tide}/keys"),
            &serde_json::json!({ "label": MARKUP })
        ),
        201
    );
    browser.open(&format!("{at}studio"));
    let card = format!("document.querySelector('.owned[aria-label=\"Broadcast {tide}\"]')");
    until(&browser, "it arrives", &format!("return !!{card}?.querySelector('.state.is-live')"));
    until(&browser, "its title", &format!("return {card}.querySelector('h2').textContent === {MARKUP:?}"));
    until(
        &browser,
        "its key",
        &format!("return {card}.querySelector('.keys').textContent.includes({MARKUP:?})"),
    );
    is_not_taken(&browser, "studio");
    let badly = "document.querySelector('.owned[aria-label=\"Broadcast studio\"]')";
    until(&browser, "a stream arrives", &format!("return !!{badly}.querySelector('.state.is-live')"));
    for advice in ["A keyframe comes every 5 s, and a segment has 2 s", "No sound arrives"] {
        until(
            &browser,
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
    axe(&browser, &source, "studio, with a title");
    policy_holds(&browser, "studio");

    // Private from now on: at every edge, and not for whom the lobby lets in.
    let edges: Vec<String> = cluster.edges.iter().map(|(_, at)| at.clone()).collect();
    let path = format!("/live/{tide}/source/index.m3u8");
    let all =
        |status: u16| edges.iter().all(|edge| stage::fetch(edge, &path).is_some_and(|it| it.0 == status));
    assert!(all(200));
    browser.run(&format!("{card}.querySelector('select').focus()"));
    browser.types(&format!("{DOWN}{DOWN}"));
    stage::wait("every edge to turn strangers away", || all(403).then_some(()));
    browser.open(&format!("{at}watch/{tide}"));
    until(&browser, "the player", "return window.mascaret?.player.state === 'playing'");
    until(&browser, "an admitted path", "return window.mascaret.player.path.startsWith('/v/')");
    until(&browser, "its chat", "return document.querySelector('.chat')?.hidden === false");
    browser.run("document.querySelector('nav button').focus()");
    browser.types(ENTER);
    until(&browser, "signed out", "return location.pathname === '/sign-in'");
    policy_holds(&browser, "sign-in");
    browser.open(&format!("{at}watch/{tide}"));
    until(&browser, "a refusal", "return document.querySelector('.trouble')?.hidden === false");
    until_reads(&browser, ".trouble", "not open to you");
    assert_ne!(browser.run("return window.mascaret.player.state"), "playing");
    for page in ["", "sign-up", "admin"] {
        browser.open(&format!("{at}{page}"));
        until(&browser, page, "return !!document.querySelector('main h1')");
        policy_holds(&browser, page);
    }
}
