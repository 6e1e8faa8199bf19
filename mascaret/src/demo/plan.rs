//! What the demo runs: which nodes, where, how large; and the settings each is given.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ingest::keys::KeyHash;

use crate::cli;

/// The usual ports (interface): publish, watch, links, operator.
const RTMP: u16 = 1935;
const RTMPS: u16 = 1936;
const HTTP: u16 = 8080;
const HTTPS: u16 = 8443;
const MEDIA: u16 = 7001;
const CONTROL: u16 = 7002;
const LOBBY_LINK: u16 = 7003;
const OPERATOR: u16 = 9090;

/// Bytes of a unix socket's path, at most (unix(7)); in a folder that is deeper nothing is handed over.
const SOCKET_PATH_BYTES: usize = 107;

/// What the patterns publish, one on each ingest.
const PATTERNS: [&str; 2] = ["tide", "bore"];
/// What a person publishes.
const STUDIO: &str = "studio";

/// A role's address on this machine.
const fn ingest_ip(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 11 + index)
}
const fn edge_ip(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 21 + index)
}
const fn lb_ip(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 31 + index)
}
const LOBBY_IP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 41);
const fn source_ip(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 51 + index)
}

/// What a machine with so many cores carries in real time beside a browser that watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) frame_rate: u32,
    /// kbit/s of the pattern.
    pub(crate) bitrate: u32,
    /// Rungs made beside the copied source.
    pub(crate) rungs: Vec<String>,
}

impl Size {
    /// Two patterns are coded and two ladders made at once, with four edges and two balancers beside them.
    pub(crate) fn for_cores(cores: usize) -> Self {
        let (width, height, frame_rate, bitrate, rungs): (_, _, _, _, &[&str]) = match cores {
            0..=3 => (640, 360, 25, 800, &["180p 250k superfast"]),
            4..=7 => (1280, 720, 30, 2_500, &["360p 600k"]),
            _ => (1920, 1080, 30, 5_000, &["720p 2.5M", "480p 1.0M", "360p 0.6M"]),
        };
        let rungs = rungs.iter().map(|rung| (*rung).to_owned()).collect();
        Self { width, height, frame_rate, bitrate, rungs }
    }

    fn chosen(args: &cli::Demo, cores: usize) -> Self {
        let mut size = Self::for_cores(cores);
        let pixels =
            |size: &Self| u64::from(size.width) * u64::from(size.height) * u64::from(size.frame_rate);
        let usual = (pixels(&size), size.bitrate);
        size.width = args.width.unwrap_or(size.width) & !1;
        size.height = args.height.unwrap_or(size.height) & !1;
        size.frame_rate = args.frame_rate.unwrap_or(size.frame_rate);
        size.bitrate = (u64::from(usual.1) * pixels(&size) / usual.0).clamp(100, 20_000) as u32;
        if let Some(rungs) = &args.rungs {
            size.rungs = rungs.iter().map(|rung| rung.trim().to_owned()).collect();
        }
        size
    }

    /// How many renditions each pattern has: the copied source, and what is made that is smaller.
    pub(crate) fn renditions(&self) -> usize {
        let lines = |rung: &String| rung.split('p').next().and_then(|lines| lines.parse::<u32>().ok());
        1 + self.rungs.iter().filter(|rung| lines(rung).is_some_and(|lines| lines < self.height)).count()
    }
}

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct NodePlan {
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) operator: SocketAddr,
    /// What else it listens on, and what for.
    pub(crate) listens: Vec<(&'static str, SocketAddr)>,
    /// Its settings, TOML.
    pub(crate) settings: String,
}

impl NodePlan {
    pub(crate) fn settings_path(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.toml", self.name))
    }

    pub(crate) fn log_path(&self, directory: &Path) -> PathBuf {
        directory.join("logs").join(format!("{}.log", self.name))
    }

    /// Where viewers reach it.
    pub(crate) fn http(&self) -> Option<SocketAddr> {
        self.listens.iter().find(|(what, _)| *what == "http").map(|(_, address)| *address)
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) directory: PathBuf,
    pub(crate) size: Size,
    pub(crate) nodes: Vec<NodePlan>,
    /// Broadcasts that must be there.
    pub(crate) expected: Vec<String>,
    /// Publish keys by broadcast, in the order of `PATTERNS` and then the person's.
    pub(crate) keys: Vec<(String, String)>,
    pub(crate) offset: u16,
}

impl Plan {
    /// `new_key` makes publish keys; `cores` is what the machine has.
    pub(crate) fn new<E>(
        args: &cli::Demo,
        directory: PathBuf,
        cores: usize,
        mut new_key: impl FnMut() -> Result<String, E>,
    ) -> Result<Self, E> {
        let mut keys = Vec::new();
        for broadcast in PATTERNS.into_iter().chain([STUDIO]) {
            keys.push((broadcast.to_owned(), new_key()?));
        }
        let mut plan = Self {
            size: Size::chosen(args, cores),
            nodes: Vec::new(),
            expected: if args.no_sources { Vec::new() } else { PATTERNS.map(str::to_owned).into() },
            keys,
            offset: args.port_offset,
            directory,
        };
        let lbs = (0..2).map(|index| plan.lb(index, args.edges));
        let ingests = (0..2).map(|index| plan.ingest(index));
        let edges = (0..args.edges).map(|index| plan.edge(index));
        let sources = (0..if args.no_sources { 0 } else { 2 }).map(|index| plan.source(index));
        let lobby = std::iter::once(plan.lobby());
        plan.nodes = lbs.chain(lobby).chain(ingests).chain(edges).chain(sources).collect();
        Ok(plan)
    }

    fn at(&self, ip: Ipv4Addr, port: u16) -> SocketAddr {
        SocketAddr::from((ip, port + self.offset))
    }

    fn common(&self, operator: SocketAddr) -> String {
        self.common_and(operator, "")
    }

    /// With more of the operator's settings.
    fn common_and(&self, operator: SocketAddr, more: &str) -> String {
        let certs = quoted(&self.certificates().display().to_string());
        format!("\n[operator]\nlisten = \"{operator}\"\n{more}\n[certificates]\ndirectory = {certs}\n")
    }

    /// Where an edge or a balancer offers its sockets to the next process: who starts it again by hand interrupts nobody.
    fn handover(&self, name: &str) -> String {
        let path = self.directory.join(format!("{name}.sock")).display().to_string();
        if path.len() > SOCKET_PATH_BYTES { String::new() } else { format!("handover = {}\n", quoted(&path)) }
    }

    pub(crate) fn certificates(&self) -> PathBuf {
        self.directory.join("certs")
    }

    /// The key that seals tickets, the same for both balancers.
    pub(crate) fn ticket_key(&self) -> PathBuf {
        self.directory.join("ticket.key")
    }

    /// What the lobby keeps.
    pub(crate) fn lobby_store(&self) -> PathBuf {
        self.directory.join("lobby.db")
    }

    /// Everything that may be on the air: the patterns, and what a person publishes.
    pub(crate) fn broadcasts(&self) -> Vec<&str> {
        self.keys.iter().map(|(broadcast, _)| broadcast.as_str()).collect()
    }

    /// The directory that both balancers follow.
    pub(crate) fn edges_file(&self) -> PathBuf {
        self.directory.join("edges.toml")
    }

    /// Where a source reads its publish key.
    pub(crate) fn key_path(&self, broadcast: &str) -> PathBuf {
        self.directory.join(format!("{broadcast}.key"))
    }

    fn lb(&self, index: u8, edges: u8) -> NodePlan {
        let ip = lb_ip(index);
        let name = format!("lb{}", index + 1);
        let (http, https, control) = (self.at(ip, HTTP), self.at(ip, HTTPS), self.at(ip, CONTROL));
        let operator = self.at(ip, OPERATOR);
        let ingests: Vec<String> =
            (0..2).map(|ingest| self.at(ingest_ip(ingest), MEDIA).to_string()).collect();
        let peers: Vec<String> = (0..2).map(|lb| self.at(lb_ip(lb), CONTROL).to_string()).collect();
        let others = (0..2).map(lb_ip).filter(|other| *other != ip);
        let others = others.chain([LOBBY_IP]).chain((0..2).map(ingest_ip)).chain((0..edges).map(edge_ip));
        let nodes: Vec<String> = others.map(|ip| self.at(ip, OPERATOR).to_string()).collect();
        let settings = format!(
            "id = \"{name}\"\nhttp = \"{http}\"\nhttps = \"{https}\"\ncontrol = \"{control}\"\n\
             ingests = {ingests:?}\npeers = {peers:?}\nnodes = {nodes:?}\ncores = 1\nlobby = \"{}\"\n\n\
             [tickets]\nkey = {}\n\n[directory]\nat = {}\n{}",
            self.at(LOBBY_IP, LOBBY_LINK),
            quoted(&self.ticket_key().display().to_string()),
            quoted(&self.edges_file().display().to_string()),
            self.common_and(operator, &self.handover(&name))
        );
        let listens = vec![("http", http), ("https", https), ("control links", control)];
        NodePlan { name, role: "lb", operator, listens, settings }
    }

    /// Anybody may sign up: whoever can is on this machine.
    fn lobby(&self) -> NodePlan {
        let (http, link) = (self.at(LOBBY_IP, HTTP), self.at(LOBBY_IP, LOBBY_LINK));
        let operator = self.at(LOBBY_IP, OPERATOR);
        let settings = format!(
            "id = \"lobby\"\nhttp = \"{http}\"\nlink = \"{link}\"\nsign_up = \"open\"\nwatch_url = \"http://{}\"\n\
             publish_url = \"rtmp://{}/live\"\n\n[store]\nsqlite = {}\n\n[tickets]\nkey = {}\n{}",
            self.at(lb_ip(0), HTTP),
            self.at(ingest_ip(0), RTMP),
            quoted(&self.lobby_store().display().to_string()),
            quoted(&self.ticket_key().display().to_string()),
            self.common(operator)
        );
        let listens = vec![("http", http), ("lobby links", link)];
        NodePlan { name: "lobby".into(), role: "lobby", operator, listens, settings }
    }

    fn ingest(&self, index: u8) -> NodePlan {
        let ip = ingest_ip(index);
        let name = format!("ingest{}", index + 1);
        let (rtmp, rtmps, media) = (self.at(ip, RTMP), self.at(ip, RTMPS), self.at(ip, MEDIA));
        let operator = self.at(ip, OPERATOR);
        let mut settings = format!(
            "id = \"{name}\"\nrtmp = \"{rtmp}\"\nrtmps = \"{rtmps}\"\nedgefan = \"{media}\"\ntwin = \"{}\"\nlobby = \"{}\"\nstate = {}\n",
            self.at(ingest_ip(1 - index), MEDIA),
            self.at(LOBBY_IP, LOBBY_LINK),
            quoted(&self.directory.join(&name).display().to_string())
        );
        for (broadcast, key) in &self.keys {
            let hash = KeyHash::of(key);
            let _ = write!(settings, "\n[[publishers]]\nbroadcast = \"{broadcast}\"\nkey = \"{hash}\"\n");
        }
        let _ = write!(settings, "\n[ladder]\nrungs = {:?}\n{}", self.size.rungs, self.common(operator));
        let listens = vec![("rtmp", rtmp), ("rtmps", rtmps), ("media links", media)];
        NodePlan { name, role: "ingest", operator, listens, settings }
    }

    fn edge(&self, index: u8) -> NodePlan {
        let ip = edge_ip(index);
        let name = format!("edge{}", index + 1);
        let (http, https) = (self.at(ip, HTTP), self.at(ip, HTTPS));
        let operator = self.at(ip, OPERATOR);
        let lbs: Vec<String> = (0..2).map(|lb| self.at(lb_ip(lb), CONTROL).to_string()).collect();
        let settings = format!(
            "id = \"{name}\"\nhttp = \"{http}\"\nhttps = \"{https}\"\nlbs = {lbs:?}\ncapacity = \"500 Mbit/s\"\n\
             cores = 1\nlobby = \"{}\"\nstate = {}\nticket_key = {}\n{}",
            self.at(LOBBY_IP, LOBBY_LINK),
            quoted(&self.directory.join(&name).display().to_string()),
            quoted(&self.ticket_key().display().to_string()),
            self.common_and(operator, &self.handover(&name))
        );
        NodePlan { name, role: "edge", operator, listens: vec![("http", http), ("https", https)], settings }
    }

    fn source(&self, index: u8) -> NodePlan {
        let broadcast = PATTERNS[usize::from(index)];
        let operator = self.at(source_ip(index), OPERATOR);
        // Its own ingest first; should that one die, the other takes it.
        let urls: Vec<String> = [index, 1 - index]
            .map(|ingest| format!("rtmp://{}/live/{broadcast}", self.at(ingest_ip(ingest), RTMP)))
            .into();
        let Size { width, height, frame_rate, bitrate, .. } = &self.size;
        let settings = format!(
            "urls = {urls:?}\nkey_file = {}\nwidth = {width}\nheight = {height}\nframe_rate = {frame_rate}\n\
             bitrate = \"{bitrate} kbit/s\"\n{}",
            quoted(&self.key_path(broadcast).display().to_string()),
            self.common(operator)
        );
        NodePlan {
            name: format!("source{}", index + 1),
            role: "source",
            operator,
            listens: Vec::new(),
            settings,
        }
    }

    /// Every address that must be free, and whose it is.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&str, &'static str, SocketAddr)> {
        self.nodes.iter().flat_map(|node| {
            let operator = std::iter::once(("operator", node.operator));
            node.listens
                .iter()
                .copied()
                .chain(operator)
                .map(|(what, address)| (node.name.as_str(), what, address))
        })
    }

    /// The names viewers use, for the HTTPS leaf.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .nodes
            .iter()
            .flat_map(|node| node.listens.iter())
            .map(|(_, address)| address.ip().to_string())
            .collect();
        names.dedup();
        names
    }

    /// `127.0.0.31:8080`.
    pub(crate) fn watch(&self, port_of: &str) -> Vec<SocketAddr> {
        let lbs = self.nodes.iter().filter(|node| node.role == "lb");
        lbs.filter_map(|lb| lb.listens.iter().find(|(what, _)| *what == port_of)).map(|(_, at)| *at).collect()
    }

    /// For a person: OBS server, and stream key.
    pub(crate) fn publish(&self) -> (Vec<String>, String) {
        let servers =
            (0..2).map(|index| format!("rtmp://{}/live", self.at(ingest_ip(index), RTMP))).collect();
        let key = self.keys.iter().find(|(broadcast, _)| broadcast == STUDIO);
        (servers, key.map(|(broadcast, key)| format!("{broadcast}?key={key}")).unwrap_or_default())
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The operator listeners of a demo at its usual ports.
pub(crate) fn usual_operators() -> Vec<SocketAddr> {
    let lbs = (0..2).map(lb_ip);
    let ingests = (0..2).map(ingest_ip);
    let edges = (0..9).map(edge_ip);
    let sources = (0..2).map(source_ip);
    lbs.chain([LOBBY_IP])
        .chain(ingests)
        .chain(edges)
        .chain(sources)
        .map(|ip| SocketAddr::from((ip, OPERATOR)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use node::settings::{Sources, load};

    fn plan(words: &[&str]) -> Plan {
        let cli::Command::Demo(args) = cli::Cli::parse_from([&["mascaret", "demo"], words].concat()).command
        else {
            panic!("a demo")
        };
        Plan::new(&args, "/tmp/demo \"quoted\"".into(), 2, || Ok::<_, ()>("k".repeat(32))).unwrap()
    }

    #[test]
    fn every_role_takes_the_settings_it_is_given() {
        for node in plan(&[]).nodes {
            let sources = Sources::new().text(&node.name, &node.settings);
            let refused = match node.role {
                "lb" => load::<lb::Settings>("lb", &sources).err(),
                "ingest" => load::<ingest::Settings>("ingest", &sources).err(),
                "edge" => load::<edge::Settings>("edge", &sources).err(),
                "lobby" => load::<lobby::Settings>("lobby", &sources).err(),
                _ => load::<source::Settings>("source", &sources).err(),
            };
            assert!(refused.is_none(), "{}", refused.unwrap());
        }
    }

    #[test]
    fn no_two_listeners_share_an_address_and_ports_move_together() {
        let plan = plan(&["--port-offset", "100"]);
        let mut all: Vec<SocketAddr> = plan.addresses().map(|(_, _, address)| address).collect();
        assert_eq!(all.len(), 2 * 4 + 3 + 2 * 4 + 4 * 3 + 2);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 33);
        assert_eq!(plan.watch("http")[0].to_string(), "127.0.0.31:8180");
    }

    #[test]
    fn a_small_machine_gets_small_pictures() {
        assert_eq!(Size::for_cores(2).renditions(), 2);
        assert_eq!(Size::for_cores(16).renditions(), 4);
        let plan = plan(&["--width", "1280", "--height", "720", "--rungs", "480p 1M, 240p 300k,1080p 5M"]);
        assert_eq!((plan.size.bitrate, plan.size.renditions()), (3_200, 3));
        assert!(plan.nodes.iter().any(|node| node.settings.contains("rungs = [\"480p 1M\", \"240p 300k\"")));
    }

    #[test]
    fn without_sources_nothing_is_expected() {
        let plan = plan(&["--no-sources", "--edges", "2"]);
        assert!(plan.expected.is_empty());
        assert_eq!(plan.nodes.len(), 7);
        assert!(plan.publish().1.starts_with("studio?key="));
    }
}
