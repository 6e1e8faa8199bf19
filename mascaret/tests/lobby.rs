//! A lobby as its operator has it: accounts made on the command line while it runs and while it does not, a copy of its
//! store, and what is said to who asks for the wrong thing.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use stage::processes::Ours;
use stage::wait;

#[path = "stage/page.rs"]
mod page;
mod stage;

struct Place {
    folder: tempfile::TempDir,
    settings: PathBuf,
    http: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = folder.path().join("lobby.toml");
        // An address of loopback that no other place has: its ports are free.
        static PLACES: AtomicU8 = AtomicU8::new(1);
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let free = SocketAddr::from(([127, 40 + PLACES.fetch_add(1, Ordering::Relaxed), high, low], 8080));
        let text = format!(
            "[lobby]\nhttp = '{free}'\nlink = '127.0.0.1:0'\n[lobby.store]\nsqlite = '{at}/lobby.db'\n\
             [operator]\nlisten = '127.0.0.1:0'\n[certificates]\ndirectory = '{at}/certs'\n",
            at = folder.path().display()
        );
        fs::write(&settings, text).expect("its settings");
        let place = Self { folder, settings, http: free.to_string() };
        place.does(&["certs", "init", "--dir", &place.path("certs").to_string_lossy()], "");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(stage::cluster::mascaret());
        command.args(words);
        if words[0] != "certs" {
            command.arg("--settings").arg(&self.settings);
        }
        command
    }

    fn says(&self, words: &[&str], stdin: &str) -> Output {
        let mut command = self.command(words);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("mascaret");
        // Who does not read it may be gone by then.
        let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
        child.wait_with_output().expect("its end")
    }

    /// What it says when it has done it.
    fn does(&self, words: &[&str], stdin: &str) -> String {
        let output = self.says(words, stdin);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// What a line of the page says when it has done it; the page's files are here, and these settings hold where a line
    /// names none.
    fn does_line(&self, line: &page::Line, files: &[(&str, &Path)]) -> String {
        let files: Vec<(&str, String)> =
            files.iter().map(|(name, at)| (*name, at.display().to_string())).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, at)| (*name, at.as_str())).collect();
        let mut command = line.here(stage::cluster::mascaret(), &files);
        let output = command.env("MASCARET_SETTINGS", &self.settings).output().expect("mascaret");
        assert!(output.status.success(), "{}: {}", line.command, String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).expect("text");
        line.is_seen(&said, &files);
        said
    }

    /// Status and words of a refusal.
    fn refuses(&self, words: &[&str], stdin: &str, status: i32, part: &str) {
        let output = self.says(words, stdin);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
    }

    fn runs(&self) -> Ours {
        let log = fs::File::create(self.path("log")).expect("a log");
        let mut command = self.command(&["lobby"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("one file twice")).stderr(log);
        let ours = Ours(node::program::dies_with_us(&mut command).spawn().expect("mascaret lobby"));
        wait("the lobby to listen", || stage::fetch(&self.http, "/api/v1/broadcasts"));
        ours
    }

    /// Status, cookie and body of signing in.
    fn signs_in(&self, name: &str, password: &str) -> (u16, String, Value) {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = config.timeout_global(Some(Duration::from_secs(20))).build().into();
        let origin = format!("http://{}", self.http);
        let request = agent.post(format!("{origin}/api/v1/session")).header("Origin", &origin);
        let mut answer = request
            .content_type("application/json")
            .send(json!({ "name": name, "password": password }).to_string())
            .expect("an answer");
        let cookie = answer.headers().get("set-cookie").and_then(|it| it.to_str().ok()).unwrap_or_default();
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let body = answer.body_mut().read_to_string().expect("a body");
        (answer.status().as_u16(), cookie, serde_json::from_str(&body).unwrap_or_default())
    }

    fn me(&self, cookie: &str) -> u16 {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let request = agent.get(format!("http://{}/api/v1/me", self.http)).header("Cookie", cookie);
        request.call().expect("an answer").status().as_u16()
    }
}

/// The password that was made, which is shown once.
fn shown(said: &str) -> String {
    let password = said.lines().find_map(|line| line.strip_prefix("password (shown once)"));
    password.expect("a password").trim().to_owned()
}

fn rows(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("a backup");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON row")).collect()
}

#[test]
fn accounts_are_made_and_changed_by_who_can_read_the_settings() {
    let place = Place::new();
    let settings = [("lobby.toml", place.settings.as_path())];
    let first = page::line("mascaret user add ada --role admin --settings lobby.toml");
    let password = shown(&place.does_line(&first, &settings));
    place.refuses(&["user", "add", "ada"], "", 1, "is taken");
    place.refuses(&["user", "add", "a"], "", 1, "2 to 32");
    place.refuses(&["user", "add", "bob", "--role", "king"], "", 2, "broadcaster");
    place.refuses(&["user", "add", "bob", "--password-stdin"], "short\n", 2, "10");
    place.refuses(&["user", "role", "ada", "viewer"], "", 1, "only administrator");
    place.refuses(&["user", "delete", "ada"], "", 1, "only administrator");
    place.refuses(&["user", "passwd", "nobody"], "", 1, "no account called");

    let running = place.runs();
    let (status, cookie, _) = place.signs_in("ADA", &password);
    assert_eq!((status, place.me(&cookie)), (200, 200));
    // Under a lobby that runs: it is signed out everywhere.
    let made = shown(&place.does_line(&page::line("mascaret user passwd ada"), &[]));
    assert_eq!((place.me(&cookie), place.signs_in("ada", &password).0), (401, 401));
    let (status, cookie, _) = place.signs_in("ada", &made);
    assert_eq!((status, place.me(&cookie)), (200, 200));
    place.does(&["user", "passwd", "ada", "--password-stdin"], "a longer one, by ada\n");
    assert_eq!((place.me(&cookie), place.signs_in("ada", &made).0), (401, 401));
    let (status, cookie, _) = place.signs_in("ada", "a longer one, by ada");
    assert_eq!(status, 200);
    place.does(&["user", "add", "bob", "--role", "admin", "--password-stdin"], "two metres of water\n");
    place.does_line(&page::line("mascaret user role bob broadcaster"), &[]);
    place.refuses(&["user", "role", "ada", "broadcaster"], "", 1, "only administrator");
    place.does(&["user", "role", "bob", "admin"], "");
    place.does(&["user", "role", "ada", "broadcaster"], "");
    assert_eq!(place.me(&cookie), 401, "another role is another session");
    place.does(&["user", "delete", "ADA"], "");
    assert_eq!(place.signs_in("ada", "a longer one, by ada").0, 401);
    place.does(&["user", "add", "eve", "--password-stdin"], "two metres of water\n");
    place.does_line(&page::line("mascaret user delete eve"), &[]);
    assert_eq!(place.signs_in("eve", "two metres of water").0, 401);
    drop(running);
}

#[test]
fn a_copy_of_a_running_lobby_fills_an_empty_one_and_no_other() {
    let place = Place::new();
    place.does(&["user", "add", "ada", "--role", "admin", "--password-stdin"], "two metres of water\n");
    let running = place.runs();
    assert_eq!(place.signs_in("ada", "two metres of water").0, 200);
    let (file, settings) = (place.path("copy.jsonl"), place.settings.as_path());
    let copy = file.to_string_lossy().into_owned();
    let backup = page::line("mascaret lobby backup lobby.jsonl --settings lobby.toml");
    place.does_line(&backup, &[("lobby.jsonl", &file), ("lobby.toml", settings)]);
    let mode = fs::metadata(&copy).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "password hashes are in it");
    assert!(rows(Path::new(&copy)).len() > 1);
    place.refuses(&["lobby", "backup", &copy], "", 1, "exists");
    place.refuses(&["lobby", "restore", &copy], "", 1, "");
    drop(running);

    let other = format!("store.sqlite={}", place.path("other.db").display());
    place.refuses(&["user", "passwd", "ada", "--set", &other], "", 1, "no account called");
    let text = fs::read_to_string(settings).expect("settings");
    let elsewhere = place.path("other.toml");
    fs::write(&elsewhere, text.replace("/lobby.db'", "/other.db'")).expect("settings");
    let restore = page::line("mascaret lobby restore lobby.jsonl --settings other.toml");
    place.does_line(&restore, &[("lobby.jsonl", &file), ("other.toml", &elsewhere)]);
    place.refuses(&["user", "add", "ada", "--set", &other], "", 1, "is taken");
    place.refuses(&["lobby", "restore", &copy, "--set", &other], "", 1, "");
    fs::write(place.path("torn.jsonl"), "{\"table\":\n").expect("a file");
    let torn = place.path("torn.jsonl").to_string_lossy().into_owned();
    let empty = format!("store.sqlite={}", place.path("empty.db").display());
    place.refuses(&["lobby", "restore", &torn, "--set", &empty], "", 1, "");
}
