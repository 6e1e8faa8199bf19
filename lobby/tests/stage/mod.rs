//! A lobby as it runs, and browsers.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test's own tool: what goes wrong here fails the test")]

use lobby::policy::Role;
use lobby::store::{AccountId, NewAccount, Sqlite, Store, UnixMillis};
use lobby::{Addresses, Settings, StoreSettings, TicketSettings, passwords};
use node::fan::admission::{self, AdmissionClient, News};
use node::settings::{Address, Number};
use node::{Node, NodeSettings, Stop};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

pub const PASSWORD: &str = "correct horse battery";
/// What a password of that account is kept as; made once, because it is slow on purpose.
pub fn hashed() -> &'static str {
    static HASHED: OnceLock<String> = OnceLock::new();
    HASHED.get_or_init(|| passwords::hash(PASSWORD))
}

impl Running {
    /// A metric, its labels written as Prometheus does; 0 where there is none yet.
    pub fn metric(&self, name: &str) -> u64 {
        let page = ureq::get(format!("http://{}/metrics", self.operator)).call().unwrap();
        let page = page.into_body().read_to_string().unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }
}

pub struct Running {
    pub addresses: Addresses,
    pub operator: SocketAddr,
    stop: Stop,
    thread: Option<std::thread::JoinHandle<()>>,
    pub folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.signal();
        self.thread.take().unwrap().join().unwrap();
    }
}

pub async fn account(store: &dyn Store, name: &str, role: Role) {
    let id = AccountId(format!("id-{name}"));
    let new = NewAccount { id: &id, name, folded: name, password: hashed(), role };
    store.add_account(&new, UnixMillis::now()).await.unwrap();
}

/// Ada runs everything, Bob broadcasts, Eve watches.
pub async fn people(store: &dyn Store) {
    account(store, "ada", Role::Admin).await;
    account(store, "bob", Role::Broadcaster).await;
    account(store, "eve", Role::Viewer).await;
}

pub fn start(change: impl FnOnce(&mut Settings)) -> Running {
    node::certs::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lobby.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&path).unwrap());
        store.migrate().await.unwrap();
        people(&*store).await;
    });
    let certs = folder.path().join("certs");
    node::certs::init(&certs, &[]).unwrap();
    let key = folder.path().join("ticket.key");
    std::fs::write(&key, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    let key = Some(node::settings::SecretFile(key));
    let mut settings = Settings {
        http: Address::local(0),
        link: Address::local(0),
        store: StoreSettings { sqlite: path, ..StoreSettings::default() },
        tickets: TicketSettings { key, ..TicketSettings::default() },
        tries_per_address: Number::new(10_000),
        ..Settings::default()
    };
    change(&mut settings);
    let mut common = NodeSettings::default();
    common.operator.listen = Address::local(0);
    common.certificates.directory = certs;
    let stop = Stop::new();
    let node = Node::with_stop("lobby", &common, stop.clone()).unwrap();
    let operator = node.operator.address();
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        lobby::run_telling(settings, node, |addresses| tell.send(addresses).unwrap()).unwrap();
    });
    let addresses = told.recv_timeout(Duration::from_secs(20)).unwrap();
    Running { addresses, operator, stop, thread: Some(thread), folder }
}

/// A browser, as far as it matters: a cookie, a token, an origin.
#[derive(Clone)]
pub struct Browser {
    pub agent: ureq::Agent,
    pub at: SocketAddr,
    pub cookie: Option<String>,
    pub token: Option<String>,
    pub origin: Option<String>,
}

pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub headers: ureq::http::HeaderMap,
}

impl Browser {
    pub fn new(at: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(20))).build().into();
        Self { agent, at, cookie: None, token: None, origin: Some(format!("http://{at}")) }
    }

    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.at));
        for (name, value) in [("Origin", &self.origin), ("X-Mascaret-Token", &self.token)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", format!("other=1; mascaret_session={cookie}"));
        }
        let mut answer = match body {
            Some(body) => {
                let request =
                    request.header("Content-Type", "application/json").body(body.to_string()).unwrap();
                self.agent.run(request).unwrap()
            }
            None => self.agent.run(request.body(()).unwrap()).unwrap(),
        };
        let text = answer.body_mut().read_to_string().unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: answer.status().as_u16(), body, headers: answer.headers().clone() }
    }

    pub fn does(&self, method: &str, path: &str, body: Value, wanted: u16) -> Value {
        let body = if method == "GET" || (method == "DELETE" && body.is_null()) { None } else { Some(body) };
        let answer = self.ask(method, &format!("/api/v1{path}"), body);
        assert_eq!(answer.status, wanted, "{method} {path}: {}", answer.body);
        answer.body
    }

    pub fn sign_in(&self, name: &str, password: &str) -> Answer {
        self.ask("POST", "/api/v1/session", Some(json!({ "name": name, "password": password })))
    }

    pub fn signed_in(at: SocketAddr, name: &str) -> Self {
        let mut browser = Self::new(at);
        let answer = browser.sign_in(name, PASSWORD);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let line = answer.headers["set-cookie"].to_str().unwrap();
        assert!(line.contains("; HttpOnly; Secure; SameSite=Lax") && line.contains("; Path=/;"), "{line}");
        browser.cookie = line.split_once('=').and_then(|(_, rest)| rest.split(';').next()).map(str::to_owned);
        browser.token = answer.body["token"].as_str().map(str::to_owned);
        browser
    }
}

pub const NOTHING: Value = Value::Null;

pub fn client(folder: &Path, at: SocketAddr, news: &Arc<Mutex<Vec<News>>>) -> AdmissionClient {
    let settings = node::certs::CertificateSettings { directory: folder.join("certs"), ..Default::default() };
    let tls = node::certs::Certificates::new(settings).cluster_client_config().unwrap();
    let news = news.clone();
    admission::start(at.to_string().parse().unwrap(), tls, move |heard| news.lock().unwrap().push(heard))
        .unwrap()
}

pub fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
