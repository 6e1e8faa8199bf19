//! A browser, driven by WebDriver (W3C) over one plain HTTP request after another.
//!
//! Lives here: Debian's chromedriver, its session, and the few commands the stories need.
#![allow(dead_code, reason = "each file of stories needs other commands")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::processes::{self, Ours};

const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
];

/// One command; a new session starts Chromium, which takes seconds on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Bytes kept of what it says, for whoever has to find out why it does not start.
const SAID_MAX: usize = 4096;
/// An answer's bytes, at most: what the stories ask for are a few kilobytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// The driver, where both it and a browser are installed.
pub(crate) fn find() -> Option<PathBuf> {
    let find = |name: &str| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    find("chromium")?;
    find("chromedriver")
}

/// A browser with one window, which ends with this.
pub(crate) struct Browser {
    port: u16,
    session: String,
    // In the order they have to go: the driver, then what the browser kept.
    driver: Option<Ours>,
    profile: TempDir,
}

impl Browser {
    /// `more` are flags of Chromium beside the usual ones.
    pub(crate) fn start(driver: &Path, more: &[String]) -> Self {
        let profile = tempfile::tempdir().expect("a folder for the browser");
        let mut command = Command::new(driver);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver =
            Ours(node::program::dies_with_us(&mut command).spawn().expect("chromedriver starts"));
        let lines = BufReader::new(driver.0.stdout.take().expect("a pipe")).lines();
        let (tell, port) = channel();
        // Reads on to the end, so that the driver never writes against a full pipe.
        let reads = std::thread::spawn(move || {
            let mut said = String::new();
            for line in lines.map_while(Result::ok) {
                match port_in(&line) {
                    Some(port) => drop(tell.send(port)),
                    None if said.len() < SAID_MAX => said = said + &line + "\n",
                    None => {}
                }
            }
            said
        });
        let port = port.recv_timeout(ANSWER_MAX).unwrap_or_else(|error| {
            let _ = driver.0.kill();
            panic!("chromedriver says no port, {error}: {}", reads.join().unwrap_or_default())
        });
        let mut browser = Self { port, session: String::new(), driver: Some(driver), profile };
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
        flags.extend_from_slice(more);
        flags.push(browser.profile_flag());
        flags.push("--window-size=1280,800".into());
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let made = browser.ask("POST", "/session", Some(&wanted)).expect("a session");
        browser.session = made["sessionId"].as_str().expect("a session's name").to_owned();
        browser
    }

    /// Opens a page, and waits until it has loaded.
    pub(crate) fn open(&self, url: &str) {
        self.command("POST", "/url", Some(&json!({ "url": url })));
    }

    /// Runs this in each page that is opened from now on, before any script of its own.
    #[allow(dead_code, reason = "each file of stories takes what it needs")]
    pub(crate) fn before_every_page(&self, script: &str) {
        let order = json!({ "cmd": "Page.addScriptToEvaluateOnNewDocument", "params": { "source": script } });
        self.command("POST", "/goog/cdp/execute", Some(&order));
    }

    /// Gives the window another size.
    #[allow(dead_code, reason = "each file of stories takes what it needs")]
    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.command("POST", "/window/rect", Some(&json!({ "width": width, "height": height })));
    }

    /// Runs a function's body in the page; what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", Some(&json!({ "script": script, "args": [] })))
    }

    /// The same for a body that calls its last argument with the result when it has one.
    pub(crate) fn runs_on(&self, script: &str) -> Value {
        self.command("POST", "/execute/async", Some(&json!({ "script": script, "args": [] })))
    }

    /// Presses these keys, one after the other, wherever the focus is (W3C's codes for those without a letter: U+E004 is
    /// Tab, U+E007 Enter).
    pub(crate) fn types(&self, keys: &str) {
        let key = |key: char| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        };
        let presses: Vec<Value> = keys.chars().flat_map(key).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": presses });
        self.command("POST", "/actions", Some(&json!({ "actions": [keyboard] })));
    }

    /// So many pixels wide, as a telephone is below 500, and `dark` or `light`.
    pub(crate) fn looks_like(&self, width: u32, scheme: &str) {
        let tell = |cmd: &str, params: Value| {
            self.command("POST", "/goog/cdp/execute", Some(&json!({ "cmd": cmd, "params": params })));
        };
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
        tell("Emulation.setDeviceMetricsOverride", size);
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        tell("Emulation.setEmulatedMedia", feature);
    }

    /// The whole page as it looks, a PNG in base64.
    pub(crate) fn picture(&self) -> String {
        let whole = json!({ "cmd": "Page.captureScreenshot", "params": { "captureBeyondViewport": true } });
        let taken = self.command("POST", "/goog/cdp/execute", Some(&whole));
        taken["data"].as_str().unwrap_or_default().to_owned()
    }

    /// What the page's console said since last asked, a line each.
    pub(crate) fn console(&self) -> String {
        let said = self.command("POST", "/se/log", Some(&json!({ "type": "browser" })));
        let mut lines = String::new();
        for entry in said.as_array().into_iter().flatten() {
            let text = entry["message"].as_str().unwrap_or_default();
            let _ = writeln!(lines, "{}: {text}", entry["level"].as_str().unwrap_or_default());
        }
        lines
    }

    fn command(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let path = format!("/session/{}{path}", self.session);
        self.ask(method, &path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn profile_flag(&self) -> String {
        format!("--user-data-dir={}", self.profile.path().display())
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let (status, answer) = exchange(self.port, method, path, &body).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let value = answer["value"].take();
        match status.as_str() {
            "200" => Ok(value),
            _ => Err(format!("{status}: {}", value["message"].as_str().unwrap_or_default())),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.ask("DELETE", &format!("/session/{}", self.session), None);
        }
        drop(self.driver.take());
        // A browser that did not hear: no other one has our folder.
        let flag = self.profile_flag();
        for (number, _) in processes::with_argument(|word| word == flag) {
            processes::kill(number);
        }
    }
}

/// `ChromeDriver was started successfully on port 43021.`
fn port_in(line: &str) -> Option<u16> {
    line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
}

/// One request on a connection of its own; the answer's status and body.
fn exchange(port: u16, method: &str, path: &str, body: &str) -> std::io::Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut len = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            len = value.trim().parse::<u64>().ok();
        }
    }
    let mut answer = Vec::new();
    reader.take(len.unwrap_or(ANSWER_BYTES_MAX).min(ANSWER_BYTES_MAX)).read_to_end(&mut answer)?;
    Ok((status, answer))
}
