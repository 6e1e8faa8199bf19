//! A page with hls.js and nothing of ours: its own settings, its own steering.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::webdriver::Browser;

const PAGE: &str = include_str!("plain.html");
/// Until it plays with what it wants to hold.
const PLAYS_WITHIN: Duration = Duration::from_secs(20);

/// Who serves it.
pub(crate) struct Server {
    address: SocketAddr,
}

impl Server {
    /// `None` where hls.js is not there.
    pub(crate) fn start() -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/node_modules/hls.js/dist/hls.min.js");
        let script = std::fs::read(script).ok()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        // Ends with the test.
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut asked = [0; 4096];
                let read = client.read(&mut asked).unwrap_or(0);
                let is_script = asked[..read].starts_with(b"GET /hls.js");
                let (kind, body) =
                    if is_script { ("text/javascript", &*script) } else { ("text/html", PAGE.as_bytes()) };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = client.write_all(&[head.as_bytes(), body].concat());
            }
        });
        Some(Self { address })
    }

    /// Opens a broadcast, and waits until it plays and holds what it wants to.
    pub(crate) fn open(&self, browser: &Browser, playlist: &str) {
        // The same page with another fragment would not be loaded again.
        browser.open("about:blank");
        browser.open(&format!("http://{}/#{playlist}", self.address));
        let opened = Instant::now();
        let holds = || {
            let script = "return video.currentTime > 4 && video.buffered.length
                && video.buffered.end(0) - video.currentTime > 3.5";
            browser.run(script).as_bool() == Some(true)
        };
        while !holds() {
            assert!(opened.elapsed() < PLAYS_WITHIN, "it does not play: {}", self.told(browser));
            sleep(Duration::from_millis(50));
        }
    }

    /// `host:port` that the newest segment came from.
    pub(crate) fn edge(&self, browser: &Browser) -> String {
        browser.run("return told.loads.at(-1)[1]").as_str().expect("a host").to_owned()
    }

    /// Watches for so long from now on: when the first segment came from elsewhere, and how long it stood still.
    pub(crate) fn away(&self, browser: &Browser, lasts: Duration) -> (Option<Duration>, Duration) {
        let from = self.edge(browser);
        let now = browser.run("return performance.now()").as_f64().expect("a time");
        sleep(lasts);
        let said = browser.run(&format!(
            "const first = told.loads.find(([at, host]) => at > {now} && host !== '{from}');
             const open = told.since ? performance.now() - told.since : 0;
             return [first ? first[0] - {now} : null, told.stalls.reduce((sum, ms) => sum + ms, open)]"
        ));
        let ms = |value: f64| Duration::from_secs_f64(value / 1000.0);
        (said[0].as_f64().map(ms), ms(said[1].as_f64().unwrap_or_default()))
    }

    /// What it says of itself, for whoever has to find out why.
    pub(crate) fn told(&self, browser: &Browser) -> String {
        format!("{}\n{}", browser.run("return JSON.stringify(window.told)"), browser.console())
    }
}
