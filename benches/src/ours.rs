//! Our edges and our balancer, as they are run: the release build, limits, timers, metrics and tickets on.

use crate::error::BenchError;
use crate::feed::{self, BROADCAST};
use crate::ground::{Ground, Network};
use crate::parlour;
use crate::servers::Server;
use crate::viewers::{Aim, Answer, PATIENCE};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use ticket::{BroadcastHash, EdgeId, Flags, Key, Keys, Ticket, UnixSeconds, ViewerId};

/// The edges' name: one name for all, as one token is to open all of them.
const EDGE: &str = "edge1";
const CONTROL: u16 = 7002;

/// Where an edge keeps its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// Where it puts them if nothing is set: a tmpfs of its own with huge pages.
    Own,
    /// A tmpfs with pages of 4 KB.
    Pages,
}

/// One of our edges, as rows call it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EdgePlan {
    pub(crate) name: &'static str,
    pub(crate) http: u16,
    pub(crate) https: u16,
    pub(crate) operator: u16,
    pub(crate) store: Store,
    pub(crate) cores: usize,
    /// Whether the balancer knows it.
    pub(crate) is_linked: bool,
    /// Whether its allocator gives memory back at once: where memory is measured, what a window that has just arrived
    /// left free would hide ten thousand connections.
    pub(crate) gives_back: bool,
}

/// What our programs stand on.
#[derive(Debug)]
pub(crate) struct Ours {
    program: PathBuf,
    files: PathBuf,
    pages: PathBuf,
    pub(crate) token: String,
}

impl Ours {
    /// Makes certificates, a ticket key and a token.
    pub(crate) fn prepare(ground: &Ground, program: Option<&Path>) -> Result<Self, BenchError> {
        let program = program.map_or_else(beside, |path| Ok(path.to_owned()))?;
        let files = ground.at("ours");
        fs::create_dir_all(&files).map_err(BenchError::when(files.display().to_string()))?;
        node::certs::init(&files.join("certs"), &[])
            .map_err(|error| BenchError::Refused(error.to_string()))?;
        let key = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
        write(&files.join("ticket.key"), key)?;
        let key = Key::parse(key).map_err(|error| BenchError::Refused(error.to_string()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let ticket = Ticket {
            edge: EdgeId::parse(EDGE).ok().map(|id| id.number()),
            other: None,
            expires: UnixSeconds::from_u64(now + 86_400),
            broadcast: BroadcastHash::of(&feed::broadcast()),
            viewer: ViewerId(7),
            flags: Flags::ADMITTED,
        };
        let token = ticket.seal(&Keys::new(key, None)).to_string();
        Ok(Self { program, files, pages: ground.pages().join("ours"), token })
    }

    pub(crate) fn certificates(&self) -> PathBuf {
        self.files.join("certs")
    }

    /// The program that is measured.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    fn start(
        &self,
        role: &str,
        name: &str,
        cores: &str,
        environment: &[&str],
        settings: &str,
        ports: &[u16],
    ) -> Result<Server, BenchError> {
        let path = self.files.join(format!("{name}.toml"));
        write(&path, settings)?;
        let (program, path) = (self.program.display().to_string(), path.display().to_string());
        let mut words = vec!["env"];
        words.extend(environment);
        words.extend([&program, role, "--settings", &path]);
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        Server::start(name, cores, &words, ports, &self.files)
    }

    /// Starts an edge and waits until it has the window.
    pub(crate) fn edge(&self, plan: EdgePlan) -> Result<Server, BenchError> {
        let EdgePlan { name, http, https, operator, store, cores, is_linked, gives_back } = plan;
        let store = match store {
            Store::Own => None,
            Store::Pages => Some(&self.pages),
        };
        let store = match store {
            Some(path) => {
                fs::create_dir_all(path).map_err(BenchError::when(path.display().to_string()))?;
                format!("segment_store = {:?}\n", path.display().to_string())
            }
            None => String::new(),
        };
        let lbs = if is_linked { format!("lbs = ['127.0.0.1:{CONTROL}']\n") } else { String::new() };
        let settings = format!(
            "id = '{EDGE}'\nhttp = '0.0.0.0:{http}'\nhttps = '0.0.0.0:{https}'\n\
             public_url = 'http://{}:{http}'\ncapacity = '1000000 Mbit/s'\ningests = ['{}']\n{lbs}{store}\
             lobby = '{}'\nfirst_word = '1 s'\nprivate = ['{BROADCAST}']\nticket_key = {:?}\ncores = {cores}\n{}",
            Network::Veth.server(),
            feed::LISTEN,
            parlour::LISTEN,
            self.files.join("ticket.key").display().to_string(),
            self.common(operator)
        );
        let server = self.start(
            "edge",
            name,
            if cores > 1 { "0,1" } else { "0" },
            if gives_back { &["MIMALLOC_PURGE_DELAY=0"] } else { &[] },
            &settings,
            &[http, https, operator],
        )?;
        let playlist = self.aim(plan, Network::Loopback, &self.playlist());
        until(&format!("{name} to have the window"), || {
            crate::ground::Space::Server.within(|| playlist.ask(&mut playlist.connect(0)?))
        })?;
        Ok(server)
    }

    /// Starts the balancer.
    pub(crate) fn balancer(&self, http: u16, operator: u16) -> Result<Server, BenchError> {
        let settings = format!(
            "id = 'lb1'\nhttp = '0.0.0.0:{http}'\ncontrol = '127.0.0.1:{CONTROL}'\ningests = ['{}']\ncores = 1\n\
             \n[tickets]\nkey = {:?}\n{}",
            feed::LISTEN,
            self.files.join("ticket.key").display().to_string(),
            self.common(operator)
        );
        self.start("lb", "lb", "0", &[], &settings, &[http, CONTROL, operator])
    }

    fn common(&self, operator: u16) -> String {
        format!(
            "\n[operator]\nlisten = '127.0.0.1:{operator}'\n\n[certificates]\ndirectory = {:?}\n",
            self.certificates().display().to_string()
        )
    }

    pub(crate) fn playlist(&self) -> String {
        format!("/v/{}/{BROADCAST}/20k/index.m3u8", self.token)
    }

    pub(crate) fn chat(&self) -> String {
        format!("/v/{}/{BROADCAST}/chat", self.token)
    }

    pub(crate) fn aim(&self, plan: EdgePlan, network: Network, target: &str) -> Aim {
        Aim {
            server: format!("mascaret {}", plan.name),
            network,
            port: plan.http,
            target: target.into(),
            status: 200,
            buffer: None,
        }
    }

    /// The newest segment that an edge lists of a rendition.
    pub(crate) fn newest(&self, plan: EdgePlan, rendition: &str) -> Result<String, BenchError> {
        let base = format!("/v/{}/{BROADCAST}/{rendition}/", self.token);
        let aim = self.aim(plan, Network::Loopback, &format!("{base}index.m3u8"));
        let answer = crate::ground::Space::Server.within(|| aim.ask(&mut aim.connect(0)?))?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let last = text.lines().rfind(|line| line.ends_with(".ts"));
        last.map(|uri| format!("{base}{uri}"))
            .ok_or_else(|| BenchError::answer(&aim.server, format!("no segment is listed: {text}")))
    }
}

/// Tries until it works, or tells why it does not.
pub(crate) fn until(
    what: &str,
    mut attempt: impl FnMut() -> Result<Answer, BenchError>,
) -> Result<Answer, BenchError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > end => {
                return Err(BenchError::Refused(format!("waited 10 s for {what}: {error}")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// `mascaret` beside this program.
fn beside() -> Result<PathBuf, BenchError> {
    let own = std::env::current_exe().map_err(BenchError::when("this program's path"))?;
    let path = own.with_file_name("mascaret");
    if path.is_file() {
        return Ok(path);
    }
    Err(BenchError::Refused(format!("{} is not there: cargo build --release -p mascaret", path.display())))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    fs::write(path, text).map_err(BenchError::when(path.display().to_string()))
}
