//! The page of ours, asked from outside how it is doing.
//!
//! Lives here: what it says of itself, and watching it for a while. Does not live here: the browser (`webdriver`).

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::webdriver::Browser;

/// From the page's load to a picture that moves, on a machine that compiles beside it.
const FIRST_PICTURE_MAX: Duration = Duration::from_secs(20);
/// Seconds played for each second on the wall, at least.
const PACE_MIN: f64 = 0.9;
/// A step in the time played that is no playing (the page plays at most 1.1 times as fast) but a jump, which
/// would hide a stall; in seconds beyond the time that went by.
const JUMP: f64 = 1.0;

/// Has the page keep, for whoever has to find out why it stalled, how much it held in each tenth of a second, and what
/// it asked for.
const TRACE: &str = "
    window.trace = [];
    if (!window.isTraced) {
      window.isTraced = true;
      const { player } = window.mascaret, { video, hls } = player, begin = performance.now();
      const say = (text) => window.trace.push(`${Math.round(performance.now() - begin)} ms ${text}`);
      let before = NaN;
      setInterval(() => {
        const held = video.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0;
        if (!(Math.abs(held - before) < 0.25)) say(`holds ${held.toFixed(2)} s, ${hls.latency.toFixed(2)} s behind, rate ${video.playbackRate}`);
        before = held;
      }, 100);
      for (const kind of ['hlsLevelLoading', 'hlsLevelLoaded', 'hlsFragLoading', 'hlsFragLoaded', 'hlsError']) {
        hls.on(kind, (_, data) => say(`${kind} ${data.frag?.sn ?? data.details?.endSN ?? data.details ?? ''}`));
      }
    }";

/// Keeps every note that a viewer is shown or read out, from the page's first moment on.
pub(crate) const NOTES: &str = "
    window.notes = [];
    new MutationObserver(() => {
      const text = document.querySelector('.note')?.textContent ?? '';
      if (text !== '' && window.notes.at(-1) !== text) window.notes.push(text);
    }).observe(document, { childList: true, characterData: true, subtree: true });";

/// What [`NOTES`] kept, as JSON.
pub(crate) fn notes(browser: &Browser) -> String {
    browser.run("return JSON.stringify(window.notes)").as_str().unwrap_or_default().to_owned()
}

/// Opens the page, and waits until a picture moves.
pub(crate) fn open(browser: &Browser, url: &str) {
    let asked = Instant::now();
    browser.open(url);
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
}

/// Watches for so long: the time played keeps up with the wall, pictures are shown, and nobody is told of
/// anything.
pub(crate) fn watch(browser: &Browser, lasts: Duration, what: &str) {
    browser.run(TRACE);
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
    if std::env::var_os("MASCARET_BROWSER_TRACE").is_some() || last.stalls != first.stalls {
        println!("{}", browser.run("return window.trace.join('\\n')").as_str().unwrap_or_default());
    }
    let pace = (last.played - first.played) / (last.wall - first.wall);
    let pictures = last.pictures - first.pictures;
    println!(
        "{what}: {:.2} s played in {:.2} s ({pace:.3}), {pictures} pictures, {} hedges, {} switches ({}), stalls {}",
        last.played - first.played,
        last.wall - first.wall,
        last.hedges - first.hedges,
        last.switches - first.switches,
        last.why,
        last.stalls,
    );
    assert!(pace >= PACE_MIN, "{what}: pace {pace:.3}\n{first:?}\n{last:?}\n{}", browser.console());
    assert!(pictures > 0.0, "{what}: no picture was shown");
    assert_eq!(last.stalls, first.stalls, "{what}: it stalled");
    assert_eq!(last.state, "playing", "{what}");
}

/// What the page says of itself at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// The page's clock, seconds.
    pub(crate) wall: f64,
    /// `currentTime`, seconds.
    pub(crate) played: f64,
    pub(crate) pictures: f64,
    pub(crate) state: String,
    /// What the viewer is told is wrong; empty: nothing.
    pub(crate) trouble: String,
    /// The element's own error; empty: none.
    pub(crate) error: String,
    /// The list, as JSON.
    pub(crate) stalls: String,
    /// The origin of the edge that answered last.
    pub(crate) edge: String,
    pub(crate) hedges: f64,
    pub(crate) switches: f64,
    /// Bodies that stopped in the middle and were fetched on from elsewhere.
    pub(crate) resumed: f64,
    /// Why the edge was changed last.
    pub(crate) why: String,
}

pub(crate) fn moment(browser: &Browser) -> Moment {
    let said = browser.run(
        "const { player } = window.mascaret, { video, edges } = player;
         return {
           wall: performance.now() / 1000, played: video.currentTime, state: player.state,
           pictures: video.getVideoPlaybackQuality().totalVideoFrames,
           trouble: document.querySelector('.trouble').textContent, error: video.error?.message ?? '',
           stalls: JSON.stringify(player.stalls), edge: edges.answering ?? '',
           hedges: edges.hedges, switches: edges.switches, resumed: edges.resumed,
           why: edges.changes.at(-1)?.why ?? '',
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
        resumed: number("resumed"),
        why: text("why"),
    }
}
