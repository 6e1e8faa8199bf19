//! The lobby's pages in a real browser, from signing up to a key and an account, by keyboard alone; and what axe-core finds on
//! each of them.
//!
//! Lives here: a lobby alone, page after page. Does not live here: its studio (`studio`) and accounts (`accounts`), the
//! chat and the player of a whole demo (`watching`), what holds of every page (`safety`), the person at it (`keyboard`).
//! Without Chromium, or without the pages (`make web`), nothing is tested, and that is said.

mod accounts;
mod keyboard;
mod safety;
#[path = "../stage/mod.rs"]
mod stage;
mod studio;
mod watching;
#[path = "../browser/webdriver.rs"]
mod webdriver;

use keyboard::{ENTER, PATIENCE, body, tab_to, until};
use lobby::policy::Role;
use lobby::store::Store;
use node::certs::CertificateSettings;
use node::operator::OperatorSettings;
use node::settings::Address;
use node::{Node, NodeSettings, Stop};
use safety::axe;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use webdriver::Browser;

const PASSWORD: &str = "two metres of brown water";

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

/// Ana signs up and becomes an admin, as `mascaret user role` has it; then she signs in, by wrong words and by right ones.
fn signs_up_and_in(browser: &Browser, page: &dyn Fn(&str) -> String, source: &str, database: &Path) {
    axe(browser, source, "sign-up");
    tab_to(browser, "the name", "input[name=username]");
    browser.types("Ana");
    tab_to(browser, "the password", "input[name=password]");
    browser.types(&format!("{PASSWORD}{ENTER}"));
    until(browser, "a viewer's page", "return document.body.innerText.includes('ask an administrator')");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store: Arc<dyn Store> = Arc::new(lobby::store::Sqlite::open(database).expect("a store"));
        let ana = store.account_named("ana").await.expect("a store").expect("Ana");
        assert!(store.set_role(&ana.id, Role::Admin).await.expect("a store"));
    });
    browser.open(&page("/studio"));
    until(browser, "sign-in", "return location.pathname === '/sign-in' && !!document.querySelector('form')");
    axe(browser, source, "sign-in");
    tab_to(browser, "the name", "input[name=username]");
    browser.types("Ana");
    tab_to(browser, "the password", "input[name=password]");
    browser.types(&format!("wrong words, alas{ENTER}"));
    until(
        browser,
        "the refusal",
        "return document.querySelector('[role=alert]').textContent.includes('wrong')",
    );
    browser.run("document.querySelector('input[name=password]').value = ''");
    browser.types(&format!("{PASSWORD}{ENTER}"));
    until(
        browser,
        "the studio",
        "return location.pathname === '/studio' && document.body.innerText.includes('no broadcast yet')",
    );
}

#[test]
fn everything_is_done_by_keyboard_and_axe_finds_nothing_serious() {
    let Some((driver, source)) = safety::tools() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (at, stop, running) = begin(folder.path());
    let browser = Browser::start(&driver, &[]);
    let page = |path: &str| format!("http://{at}{path}");

    browser.open(&page("/sign-up"));
    until(&browser, "sign-up", "return !!document.querySelector('form')");
    if body(&browser).contains("built without its pages") {
        return println!("skipped: no pages (make web)");
    }
    signs_up_and_in(&browser, &page, &source, &folder.path().join("lobby.db"));
    studio::begins(&browser, &source);
    studio::shares(&browser, &source);
    accounts::others(&browser, &page);
    let invite = accounts::invites(&browser, &page, &source);
    accounts::own_account(&browser, &page, &source, &invite);

    browser.open(&page("/watch/tide"));
    until(&browser, "the player", "return !!document.querySelector('.frame')");
    axe(&browser, &source, "watch");
    let said = browser.console();
    assert!(!said.contains("Content Security Policy"), "{said}");
    browser.run("document.querySelector('nav button').focus()");
    browser.types(ENTER);
    until(&browser, "signed out", "return location.pathname === '/sign-in'");
    drop(browser);
    stop.signal();
    running.join().expect("it ends");
}
