//! The page in a real browser, against a real cluster on this machine: it plays, and goes on when the edge it
//! plays from is killed.
//!
//! Lives here: the stories and what is demanded. Does not live here: the browser (`webdriver`), the cluster
//! and its processes (`stage`). Without Chromium, or without the helper that links FFmpeg,
//! nothing is tested, and that is said.

mod stage;
#[path = "browser/webdriver.rs"]
mod webdriver;

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use stage::cluster::{Cluster, Wanted, has_transcode};
use webdriver::Browser;

/// Ports of its own, so that a demo that somebody is watching goes on.
const PORT_OFFSET: u16 = 23_000;
/// From the page's load to a picture that moves, on a machine that compiles beside it.
const FIRST_PICTURE_MAX: Duration = Duration::from_secs(20);
/// Seconds played for each second on the wall, at least.
const PACE_MIN: f64 = 0.9;
/// A step in the time played that is no playing (the page plays at most 1.1 times as fast) but a jump, which
/// would hide a stall; in seconds beyond the time that went by.
const JUMP: f64 = 1.0;

#[test]
fn the_page_plays_and_goes_on_when_its_edge_is_killed() {
    let Some(driver) = webdriver::find() else {
        return println!("skipped: no chromium");
    };
    if !has_transcode() {
        return;
    }
    let cluster = Cluster::start(Wanted { port_offset: PORT_OFFSET, edges: 4, lasts: 150, words: &[] });
    let browser = Browser::start(&driver);
    cluster.wait_until_fed();

    it_plays_through_the_balancer(&browser, &cluster);
    it_goes_on_when_its_edge_is_killed(&browser, &cluster);
    an_unknown_broadcast_is_said_to_be_unknown(&browser, &cluster);
}

fn it_plays_through_the_balancer(browser: &Browser, cluster: &Cluster) {
    let asked = Instant::now();
    browser.open(&format!("{}watch/tide", cluster.watch));
    let first = moment(browser);
    loop {
        let now = moment(browser);
        if now.played > first.played.max(0.5) && now.state == "playing" {
            break;
        }
        assert!(asked.elapsed() < FIRST_PICTURE_MAX, "no picture: {now:?}\n{}", browser.console());
        sleep(Duration::from_millis(200));
    }
    println!("first picture {:.1} s after the page was asked for", asked.elapsed().as_secs_f64());
    watch(browser, Duration::from_secs(20), "an ordinary evening");
}

fn it_goes_on_when_its_edge_is_killed(browser: &Browser, cluster: &Cluster) {
    let origin = moment(browser).edge;
    let edge = cluster.edge_at(&origin);
    cluster.kill(&edge);
    watch(browser, Duration::from_secs(15), &format!("{edge} killed"));
    cluster.wait_until_ended(&edge);
    let after = moment(browser);
    assert_ne!(after.edge, origin, "the page still asks the edge that is no more");
    assert!(after.switches >= 1.0, "{after:?}");
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

/// Watches for so long: the time played keeps up with the wall, pictures are shown, and nobody is told of
/// anything.
fn watch(browser: &Browser, lasts: Duration, what: &str) {
    let first = moment(browser);
    let (begin, mut last) = (Instant::now(), first.clone());
    while begin.elapsed() < lasts {
        sleep(Duration::from_millis(500));
        let now = moment(browser);
        let (wall, played) = (now.wall - last.wall, now.played - last.played);
        assert!(
            played < wall + JUMP,
            "{what}: {played:.2} s played in {wall:.2} s: a jump\n{last:?}\n{now:?}"
        );
        assert_eq!(now.trouble, "", "{what}: {now:?}");
        assert_eq!(now.error, "", "{what}: {now:?}");
        last = now;
    }
    let pace = (last.played - first.played) / (last.wall - first.wall);
    let pictures = last.pictures - first.pictures;
    println!(
        "{what}: {:.2} s played in {:.2} s ({pace:.3}), {pictures} pictures, {} hedges, {} switches, stalls {}",
        last.played - first.played,
        last.wall - first.wall,
        last.hedges - first.hedges,
        last.switches - first.switches,
        last.stalls,
    );
    assert!(pace >= PACE_MIN, "{what}: pace {pace:.3}\n{first:?}\n{last:?}\n{}", browser.console());
    assert!(pictures > 0.0, "{what}: no picture was shown");
    assert_eq!(last.stalls, first.stalls, "{what}: it stalled");
    assert_eq!(last.state, "playing", "{what}");
}

/// What the page says of itself at one moment.
#[derive(Clone, Debug)]
struct Moment {
    /// The page's clock, seconds.
    wall: f64,
    /// `currentTime`, seconds.
    played: f64,
    pictures: f64,
    state: String,
    /// What the viewer is told is wrong; empty: nothing.
    trouble: String,
    /// The element's own error; empty: none.
    error: String,
    /// The list, as JSON.
    stalls: String,
    /// The origin that is asked first.
    edge: String,
    hedges: f64,
    switches: f64,
}

fn moment(browser: &Browser) -> Moment {
    let said = browser.run(
        "const { player } = window.mascaret, { video, edges } = player;
         return {
           wall: performance.now() / 1000, played: video.currentTime, state: player.state,
           pictures: video.getVideoPlaybackQuality().totalVideoFrames,
           trouble: document.querySelector('.trouble').textContent, error: video.error?.message ?? '',
           stalls: JSON.stringify(player.stalls), edge: edges.current ?? '',
           hedges: edges.hedges, switches: edges.switches,
         };",
    );
    let number = |name: &str| said[name].as_f64().unwrap_or(f64::NAN);
    let text = |name: &str| said[name].as_str().map_or_else(|| said[name].to_string(), str::to_owned);
    assert!(matches!(said, Value::Object(_)), "the page says {said}");
    Moment {
        wall: number("wall"),
        played: number("played"),
        pictures: number("pictures"),
        state: text("state"),
        trouble: text("trouble"),
        error: text("error"),
        stalls: text("stalls"),
        edge: text("edge"),
        hedges: number("hedges"),
        switches: number("switches"),
    }
}
