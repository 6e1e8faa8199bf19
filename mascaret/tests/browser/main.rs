//! Players in a real browser, against a real cluster on this machine: they play, and go on when something happens to
//! the edge they play from.
//!
//! Lives here: the stories and what is demanded. Does not live here: the browser (`webdriver`), what our page says of
//! itself (`page`), a page with hls.js as it comes (`plain`), a crowd that watches too (`beside`), troubles between the
//! browser and an edge (`trouble`), the cluster and its processes (`stage`). Without Chromium, or without
//! `mascaret-transcode`, nothing is tested, and that is said.
//!
//! `MASCARET_BROWSER=all` has every trouble there is; `MASCARET_BROWSER_RUNS=10` has so many edges killed and so many
//! hung, one after the other. A few simulated viewers watch from the same edges; `MASCARET_BROWSER_VIEWERS=500` for a
//! release, and `MASCARET_BROWSER_RUNG=lowest` where the machine has no room for what they would choose.

mod beside;
mod builtin;
mod page;
mod plain;
#[path = "../stage/mod.rs"]
mod stage;
mod trouble;
mod webdriver;

use std::thread::sleep;
use std::time::{Duration, Instant};

use beside::{Beside, Worst};
use page::{moment, watch};
use stage::cluster::{Cluster, Wanted, has_transcode};
use stage::processes;
use trouble::{Edges, Trouble};
use webdriver::Browser;

/// Ports of its own, so that a demo that somebody is watching goes on.
const PORT_OFFSET: u16 = 23_000;
/// Viewers beside the page, where nobody says how many.
const VIEWERS: u32 = 40;
/// As long as every edge is watched that something happens to: what is held is used up after 6 s.
const TROUBLED: Duration = Duration::from_secs(10);
/// The same for the page that begins three target durations behind the end, as little as there is.
const BUILT_IN_TROUBLED: Duration = Duration::from_secs(8);

#[test]
fn players_go_on_whatever_happens_to_their_edge() {
    let Some(driver) = webdriver::find() else {
        return println!("skipped: no chromium");
    };
    if !has_transcode() {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let runs = number("MASCARET_BROWSER_RUNS").unwrap_or(0);
    let viewers = number("MASCARET_BROWSER_VIEWERS").unwrap_or(VIEWERS);
    let is_all = std::env::var("MASCARET_BROWSER").is_ok_and(|text| text == "all");
    let lasts = 240 + u64::from(runs) * 75;
    let cluster = Cluster::start(Wanted { port_offset: PORT_OFFSET, edges: 4, lasts, words: &[] });
    let browser = Browser::start(&driver, &[]);
    cluster.wait_until_fed();
    // A viewer begins three target durations behind the end: as many there must be, and one to spare.
    stage::wait_for_segments(cluster.edges.iter().map(|(_, at)| &**at), "tide", 4);

    let mut worst = Worst::default();
    let mut beside = Beside::comes(&cluster, viewers);
    it_plays_through_the_balancer(&browser, &cluster);
    beside.settles();
    it_goes_on_when_its_edge_is_killed(&browser, &cluster, &mut beside);
    it_goes_on_when_its_edge_hangs(&browser, &cluster, &mut beside);
    beside.leaves(&mut worst);
    for run in 0..runs {
        println!("run {} of {runs}", run + 1);
        let mut beside = Beside::comes(&cluster, viewers);
        beside.settles();
        // At another place in a segment each time.
        sleep(Duration::from_millis(200) * (run % 10));
        it_goes_on_when_its_edge_is_killed(&browser, &cluster, &mut beside);
        sleep(Duration::from_millis(300) * (run % 7));
        it_goes_on_when_its_edge_hangs(&browser, &cluster, &mut beside);
        beside.leaves(&mut worst);
    }
    worst.is_told(viewers);
    an_unknown_broadcast_is_said_to_be_unknown(&browser, &cluster);
    the_built_in_page_goes_on_too(&browser, &cluster);
    if is_all {
        hls_js_as_it_comes_goes_on_too(&browser, &cluster, viewers);
    }
    drop(browser);

    let edges = Edges::before(&cluster.edges);
    let browser = Browser::start(&driver, &[edges.rules()]);
    let usual = [Trouble::BodyStops];
    let every = [
        Trouble::BodyStops,
        Trouble::Silent,
        Trouble::Closed,
        Trouble::Status(503),
        Trouble::PlaylistsGone,
        Trouble::Stale,
    ];
    let troubles: &[Trouble] = if is_all { &every } else { &usual };
    for trouble in troubles {
        it_goes_on_in(*trouble, &browser, &cluster, &edges);
    }
}

fn it_plays_through_the_balancer(browser: &Browser, cluster: &Cluster) {
    browser.before_every_page(page::NOTES);
    page::open(browser, &format!("{}watch/tide", cluster.watch));
    watch(browser, Duration::from_secs(12), "an ordinary evening");
    assert_eq!(page::notes(browser), "[]", "nothing was lost that it could have found again");
}

fn it_goes_on_when_its_edge_is_killed(browser: &Browser, cluster: &Cluster, beside: &mut Beside) {
    let before = moment(browser);
    let edge = cluster.edge_at(&before.edge);
    cluster.kill(&edge);
    beside.loses(&format!("{edge} killed"));
    watch(browser, TROUBLED, &format!("{edge} killed"));
    let after = moment(browser);
    assert_ne!(after.edge, before.edge, "the page is still at the edge that is no more");
    assert!(after.switches > before.switches, "{after:?}");
    cluster.revive(&edge);
}

fn it_goes_on_when_its_edge_hangs(browser: &Browser, cluster: &Cluster, beside: &mut Beside) {
    let before = moment(browser);
    let edge = cluster.edge_at(&before.edge);
    let process = cluster.process_of(&edge);
    processes::hang(process);
    beside.loses(&format!("{edge} hangs"));
    watch(browser, TROUBLED, &format!("{edge} hangs"));
    let after = moment(browser);
    processes::go_on(process);
    assert_ne!(after.edge, before.edge, "the page is still at the edge that says nothing");
    // By its own hedge, or because a balancer was sooner.
    assert!(after.switches > before.switches, "{after:?}");
}

fn it_goes_on_in(trouble: Trouble, browser: &Browser, cluster: &Cluster, edges: &Edges) {
    edges.heal();
    page::open(browser, &format!("{}watch/tide", cluster.watch));
    watch(browser, Duration::from_secs(4), "before");
    let before = moment(browser);
    let edge = cluster.edge_at(&before.edge);
    edges.trouble(&edge, trouble);
    watch(browser, TROUBLED, &format!("{edge}: {trouble:?}"));
    let after = moment(browser);
    assert_ne!(after.edge, before.edge, "{trouble:?}: the page stays where nothing is to be had");
    if trouble == Trouble::BodyStops {
        assert!(after.resumed > before.resumed, "what had come was fetched anew: {after:?}");
    }
}

fn hls_js_as_it_comes_goes_on_too(browser: &Browser, cluster: &Cluster, viewers: u32) {
    let Some(server) = plain::Server::start() else {
        return println!("skipped: hls.js is not in web/node_modules (make web)");
    };
    let playlist = cluster.playlist("tide");
    let is_steered = cluster.entry("tide").contains("#EXT-X-CONTENT-STEERING");
    let mut beside = Beside::comes(cluster, viewers);
    beside.settles();
    for run in 0..3 {
        sleep(Duration::from_millis(700) * run);
        server.open(browser, &playlist);
        let edge = cluster.edge_at(&format!("http://{}", server.edge(browser)));
        cluster.kill(&edge);
        beside.loses(&format!("{edge} killed"));
        let (away, stalled) = server.away(browser, Duration::from_secs(12));
        println!("hls.js, {edge} killed: first segment elsewhere after {away:?}, stalled for {stalled:?}");
        assert!(away.is_some_and(|away| away < Duration::from_secs(6)), "{away:?}\n{}", server.told(browser));
        assert!(stalled < Duration::from_millis(100), "{stalled:?}\n{}", server.told(browser));
        cluster.revive(&edge);
    }
    if !is_steered {
        beside.leaves(&mut Worst::default());
        return println!("skipped: hls.js and an edge that hangs, since no balancer steers");
    }
    for run in 0..3 {
        sleep(Duration::from_millis(900) * run);
        server.open(browser, &playlist);
        let edge = cluster.edge_at(&format!("http://{}", server.edge(browser)));
        let process = cluster.process_of(&edge);
        processes::hang(process);
        beside.loses(&format!("{edge} hangs"));
        let (away, stalled) = server.away(browser, Duration::from_secs(15));
        processes::go_on(process);
        println!("hls.js, {edge} hangs: first segment elsewhere after {away:?}, stalled for {stalled:?}");
        // Notified within 1.5 s, told within a TTL of 5 s, and a segment's time.
        assert!(away.is_some_and(|away| away < Duration::from_secs(9)), "{away:?}\n{}", server.told(browser));
    }
    beside.leaves(&mut Worst::default());
}

/// The page that needs no node: a player of its own over the same hedged requests.
fn the_built_in_page_goes_on_too(browser: &Browser, cluster: &Cluster) {
    let address = builtin::serve(cluster.balancer("lb1"));
    browser.open(&format!("http://{address}/watch/tide"));
    let number = |what: &str| browser.run(&format!("return {what}")).as_f64().unwrap_or(0.0);
    let played = || number("document.getElementById('video').currentTime");
    stage::wait("it to play", || (played() > 2.0).then_some(()));
    let at_edge = || {
        let origin = browser.run("return mascaret.edges.current");
        cluster.edge_at(origin.as_str().expect("an origin"))
    };
    // What the page has counted is asked before it is struck: it may be elsewhere before the next question is answered.
    let goes_on = |edge: &str, happens: &str, strike: &dyn Fn()| {
        let what = format!("{edge} {happens}");
        let (before, switches) = (played(), number("mascaret.edges.switches"));
        let at = Instant::now();
        strike();
        sleep(BUILT_IN_TROUBLED);
        let (wall, played) = (at.elapsed().as_secs_f64(), played() - before);
        println!("the built-in page, {what}: {played:.2} s played in {wall:.2} s");
        assert!(played > wall * 0.9, "{what}: {played:.2} s of {wall:.2} s\n{}", browser.console());
        assert_eq!(number("mascaret.stalls"), 0.0, "{what}\n{}", browser.console());
        assert!(number("mascaret.edges.switches") > switches, "it is still at {edge}");
    };
    let edge = at_edge();
    goes_on(&edge, "killed", &|| cluster.kill(&edge));
    cluster.revive(&edge);
    let edge = at_edge();
    let process = cluster.process_of(&edge);
    goes_on(&edge, "hangs", &|| processes::hang(process));
    processes::go_on(process);
    let console = browser.console();
    assert!(!console.contains("Content Security Policy"), "{console}");
}

fn an_unknown_broadcast_is_said_to_be_unknown(browser: &Browser, cluster: &Cluster) {
    browser.open(&format!("{}watch/nothing", cluster.watch));
    let asked = Instant::now();
    loop {
        let said = browser.run("return document.querySelector('.trouble')?.textContent ?? ''");
        if said.as_str().is_some_and(|said| said.contains("not on the air") && said.contains("M404")) {
            break;
        }
        assert!(asked.elapsed() < Duration::from_secs(10), "said instead: {said}");
        sleep(Duration::from_millis(200));
    }
    // The console tells of what the page's own policy refused.
    let console = browser.console();
    assert!(!console.contains("Content Security Policy"), "{console}");
}
