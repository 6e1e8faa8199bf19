//! The operator's page in a real browser: a cluster is seen, an edge is drained by its button and taken back, what
//! happened is told as it happens, and the policy of the page refuses nothing of its own. No media. Without Chromium, or
//! without `mascaret-transcode`, nothing is tested; in a build without `make web` the plain page is. All that is said.

mod stage;
#[path = "browser/webdriver.rs"]
mod webdriver;

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use stage::processes::Ours;
use webdriver::Browser;

const MASCARET: &str = env!("CARGO_BIN_EXE_mascaret");
const PORT_OFFSET: &str = "22000";
const BALANCER: &str = "http://127.0.0.31:31090";
const EDGE: &str = "http://127.0.0.21:31090";
const INGEST: &str = "http://127.0.0.11:31090";
/// On a machine that compiles beside it.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn the_cluster_is_seen_and_an_edge_is_drained_by_its_button() {
    let Some(driver) = webdriver::find() else {
        return println!("skipped: no chromium");
    };
    if let Err(error) = node::program::transcode(None) {
        return println!("skipped: {error}");
    }
    let folder = tempfile::tempdir().expect("a folder for the cluster");
    let mut command = Command::new(MASCARET);
    let words =
        ["--json", "--no-sources", "--edges", "2", "--for", "150s", "--port-offset", PORT_OFFSET, "--dir"];
    command.arg("demo").args(words).arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let _demo = Ours(node::program::dies_with_us(&mut command).spawn().expect("mascaret demo"));
    let browser = Browser::start(&driver, &[]);
    listens();

    the_plain_page_has_tables(&browser);
    browser.open(BALANCER);
    if browser.run("return document.querySelector('#link') === null") == true {
        return println!("a build without `make web`: only the plain page was looked at");
    }
    the_cluster_is_seen(&browser);
    an_edge_is_drained_and_taken_back(&browser);
    a_telephone_scrolls_downwards_only(&browser);
    nodes_have_pages_of_their_own(&browser);
    // The console tells of what the page's own policy refused.
    let console = browser.console();
    assert!(!console.contains("Content Security Policy") && !console.contains("Uncaught"), "{console}");
}

/// A browser shows its own page for a port that nobody listens on yet.
fn listens() {
    let begin = Instant::now();
    while std::net::TcpStream::connect("127.0.0.31:31090").is_err() {
        assert!(begin.elapsed() < SEEN_WITHIN, "the balancer's operator does not listen");
        sleep(Duration::from_millis(100));
    }
}

fn until(browser: &Browser, what: &str, script: &str) {
    let begin = Instant::now();
    while browser.run(script) != true {
        let page = browser.run("return document.body.innerText");
        assert!(begin.elapsed() < SEEN_WITHIN, "{what}\n{page}\n{}", browser.console());
        sleep(Duration::from_millis(100));
    }
}

/// It looks at itself anew every five seconds.
fn the_plain_page_has_tables(browser: &Browser) {
    browser.open(&format!("{BALANCER}/plain"));
    until(
        browser,
        "both edges in a table, each with two buttons",
        "return document.querySelectorAll('form[action*=\"/admin/edges/edge\"] button').length === 4",
    );
}

fn the_cluster_is_seen(browser: &Browser) {
    until(
        browser,
        "two edges that are ready, with their CPU",
        "const rows = [...document.querySelectorAll('tr[data-key^=edge]')];
         return rows.length === 2 && rows.every((row) => row.innerText.includes('ready') && row.innerText.includes('cores'))",
    );
    until(
        browser,
        "two ingests and two edges are drawn",
        "return document.querySelectorAll('svg.topology .spot.ingest.well').length === 2
             && document.querySelectorAll('svg.topology .spot.edge.well').length === 2",
    );
    until(
        browser,
        "an empty place says so",
        "return document.body.innerText.includes('Nothing is on the air.')",
    );
    until(
        browser,
        "what happened before it was opened is told",
        "return document.querySelector('.events').innerText.includes('edge2 is ready and takes viewers')",
    );
}

fn an_edge_is_drained_and_taken_back(browser: &Browser) {
    let press = "document.querySelector('tr[data-key=edge2] button').click();";
    browser.run(&format!("{press} document.querySelector('dialog button[value=no]').click()"));
    browser.run(press);
    until(
        browser,
        "it is asked first",
        "return document.querySelector('dialog').open && document.querySelector('#question').innerText.startsWith('Drain edge2?')",
    );
    browser.run("document.querySelector('#yes').click()");
    until(
        browser,
        "edge2 drains",
        "return document.querySelector('tr[data-key=edge2]').innerText.includes('draining')
             && document.querySelector('.events').innerText.includes('the operator drains edge2')",
    );
    browser.run(press);
    until(browser, "it is asked again", "return document.querySelector('dialog').open");
    browser.run("document.querySelector('#yes').click()");
    until(
        browser,
        "edge2 is back",
        "return document.querySelector('tr[data-key=edge2] .state').innerText === 'ready'",
    );
}

fn a_telephone_scrolls_downwards_only(browser: &Browser) {
    browser.resize(360, 740);
    until(
        browser,
        "nothing is wider than the window",
        "return innerWidth < 640 && document.documentElement.scrollWidth <= innerWidth",
    );
    browser.resize(1280, 800);
}

fn nodes_have_pages_of_their_own(browser: &Browser) {
    browser.open(EDGE);
    until(
        browser,
        "the edge's page",
        "return document.querySelector('h1').innerText === 'Edge edge1' && document.body.innerText.includes('Fed by')",
    );
    browser.open(INGEST);
    until(
        browser,
        "the ingest's page",
        "return document.querySelector('h1').innerText === 'Ingest ingest1'
             && document.body.innerText.includes('Nobody publishes here.')",
    );
}
