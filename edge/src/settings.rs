//! What may be set about an edge. Every key is documented where it is defined, with unit, range and default.

use edgefan::{Address as PeerAddress, NodeId};
use media::BroadcastId;
use node::fan::lobbies::Lobbies;
use node::settings::{Address, Mbps, Megabytes, Millis, Number, Parsed, Seconds, SecretFile};
use percore::{DataPath, Driver, KernelTls};
use proxy::Network;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// `[edge]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// This edge's name in the cluster and in playlists (PATHWAY-ID): 1 to 64 letters, digits, `-`, `_` and `.`, not
    /// `.` alone. Default `edge`.
    pub id: Parsed<EdgeName>,
    /// Where viewers connect by HTTP. Default `0.0.0.0:8080`.
    pub http: Address,
    /// Where viewers connect by HTTPS, with the HTTPS certificate. Default: not at all.
    pub https: Option<Address>,
    /// The URL viewers reach this edge by over HTTP (`http://edge1.example.org:8080`). Default: `http://` and where it
    /// listens.
    pub public_url: Parsed<PublicUrl>,
    /// The URL viewers reach this edge by over HTTPS. Default: `https://` and where it listens, if it does.
    pub public_url_tls: Parsed<PublicUrl>,
    /// What this box can send, in Mbit/s, 1 to 1,000,000: balancers fill it to nine tenths. Default `1 Gbit/s`.
    pub capacity: Mbps<1, 1_000_000>,
    /// How much of its share of viewers it gets, 0 to 1000; 0 keeps new ones away. Default `100`.
    pub weight: Number<0, 1000>,
    /// The balancers' control doors, each `host:port`. Default: none.
    pub lbs: Vec<Parsed<PeerAddress>>,
    /// The lobby's link door, `host:port` (7003), or those of a fleet's lobbies with commas between them, tried in turn: what
    /// is said in chat comes from there. Default: none; there is no chat.
    pub lobby: Option<Parsed<Lobbies>>,
    /// Proxies before this edge, each an address or a range such as `10.0.0.0/24`: HAProxy with `send-proxy-v2`, a
    /// balancer's `l4` with `proxy_protocol`. Who connects from there may say for whom by PROXY protocol version 2, and
    /// limits per address then count that viewer; nobody else is believed. Default: none.
    pub proxies: Vec<Parsed<Network>>,
    /// Where HAProxy's agent-check is answered, in plain TCP to whoever connects; an address of the inside. Default: not
    /// at all.
    pub agent_check: Option<Address>,
    /// Ingests to take broadcasts from beside those the balancers name, each `host:port`. Default: none.
    pub ingests: Vec<Parsed<PeerAddress>>,
    /// A folder in which this edge remembers what the lobby called private, so that one that starts while the lobby is
    /// away knows it. Default: none; such an edge knows `private` only.
    pub state: Option<PathBuf>,
    /// How long an edge that remembers nothing of the lobby waits for its first word, not ready and closed to whoever has
    /// no ticket of the lobby's, before it takes all but `private` for public: up to 1 day; 0 s for as long as it takes.
    /// Default `0 s`.
    pub first_word: Seconds<0, 86_400>,
    /// Who feeds this edge, each `host:port` of an ingest or of an edge that relays; then neither `ingests` nor what
    /// balancers name is dialled. Default: none; balancers and `ingests` say.
    pub feeds: Vec<Parsed<PeerAddress>>,
    /// Whether this edge feeds others.
    pub relay: RelaySettings,
    /// Broadcasts that open only to a valid ticket. Default: none; every broadcast is open.
    pub private: Vec<Parsed<BroadcastId>>,
    /// A file with a key tickets are sealed with (32 bytes in hex or base64), known beside those that balancers tell,
    /// so that a restarted edge opens tickets while no balancer is there. Default: none.
    pub ticket_key: Option<SecretFile>,
    /// Pages of which origin may read answers: `*`, one origin such as `https://example.org`, or nothing for none.
    /// Default `*`.
    pub cors: Parsed<http::Cors>,
    /// Bytes of all windows together, 16 MB to 1 TB. Over nine tenths of it no new broadcast is taken, and a segment
    /// for which there is no room becomes a gap. Default `2 GB`.
    pub window_memory: Megabytes<16, 1_000_000>,
    /// Bytes of segments that are still arriving, 16 MB to 100 GB. A segment over it waits for its copy to be fetched
    /// again. Default `256 MB`.
    pub arriving_memory: Megabytes<16, 100_000>,
    /// A directory on a tmpfs, best mounted with `huge=within_size`, in which segments are kept. Default: a tmpfs of the
    /// edge's own that nobody else sees, with huge pages, where the system lets it mount one (`CAP_SYS_ADMIN`), else
    /// memory without a file system (memfd), which costs up to 1.4 times the CPU to send.
    pub segment_store: Option<PathBuf>,
    /// Whether media playlists say CAN-BLOCK-RELOAD, so that players ask for the next one before it is there and get it
    /// the moment it is. Reloads that say `_HLS_msn` are held either way. Default `false`: a player with a short limit
    /// on the first byte takes a held reload for a silent edge.
    pub blocking_reload: bool,
    /// How long an ended broadcast stays, 0 s to 1 h, and how long one that nothing fresh comes of keeps its segments.
    /// Default `1 min`.
    pub keep_ended: Seconds<0, 3_600>,
    /// Whether another process may listen at the same addresses; the kernel then shares viewers out among both. Without
    /// it a port that somebody listens on is refused. `operator.handover` does not need it. Default `false`.
    pub shared_port: bool,
    /// Cores that answer viewers, 1 to 256; 0 for as many as the process may use. Default `0`.
    pub cores: Number<0, 256>,
    /// Whether each of them is pinned to a processor. Default `false`.
    pub pin: bool,
    /// How they wait: `auto`, `io_uring` or `epoll`. Default `auto`.
    pub driver: Parsed<Driver>,
    /// How segments travel to plain connections: `auto`, `sendfile`, `send_zc` or `copy`. Default `auto`.
    pub data_path: Parsed<DataPath>,
    /// Whether the kernel makes TLS records once the handshake is done, so that segments travel to HTTPS viewers by
    /// sendfile too: `auto` (where the kernel has the module `tls`) or `off`. Default `auto`.
    pub ktls: Parsed<KernelTls>,
    /// How long viewers are left to go elsewhere by themselves (steering reloads every 5 s) before playlists turn to
    /// 404, 0 s to 10 min: a second longer than the balancers' `drain_over` at least. Only where a balancer is there to
    /// steer them. Default `7 s`.
    pub drain_steer: Millis<0, 600_000>,
    /// How long running answers may take after that when the program is told to end, 0 s to 10 min. Default `5 s`.
    pub drain: Millis<0, 600_000>,
    /// What a stranger may take.
    pub limits: LimitSettings,
}

/// `[edge.relay]`: an edge between the ingests and other edges, which serves viewers as well if it has the room.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelaySettings {
    /// Where edges dial it, by mutual TLS (`edgefan/1`), such as `0.0.0.0:7001`. Default: nowhere; it feeds nobody.
    pub listen: Option<Address>,
    /// Where edges reach that, `host:port`, told to the balancers. Default: `listen`, unless that is no single address.
    pub address: Option<Parsed<PeerAddress>>,
    /// Where it stands, 1 to 254: it is fed by ingests and by relays on lower layers, and feeds those on higher ones and
    /// edges that relay nothing. Default `1`.
    pub layer: Number<1, 254>,
    /// Bytes of segments held for edges that join late, 16 MB to 100 GB, beside the windows. Default `512 MB`.
    pub memory: Megabytes<16, 100_000>,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self { listen: None, address: None, layer: Number::new(1), memory: Megabytes::new(512) }
    }
}

impl RelaySettings {
    /// Where edges dial it that is listening at `bound`.
    pub(crate) fn reached_at(&self, bound: SocketAddr) -> Option<PeerAddress> {
        let named = self.address.as_ref().map(|address| address.0.clone());
        named.or_else(|| (!bound.ip().is_unspecified()).then(|| PeerAddress::from(bound)))
    }
}

/// `[edge.limits]`. Each has a counter in `/metrics` that says how often it was met.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Open connections per core, 1 to 1,000,000; one more is closed at once. Default `32768`.
    pub connections_per_core: Number<1, 1_000_000>,
    /// Open connections per IPv4 address or IPv6 /64 over all cores, 1 to 1,000,000; one more is closed at once.
    /// Default `4096`.
    pub connections_per_address: Number<1, 1_000_000>,
    /// From accept to the end of the TLS handshake, 1 s to 2 min. Default `10 s`.
    pub handshake: Millis<1_000, 120_000>,
    /// From the first byte of a request to its last, 100 ms to 2 min. Default `10 s`.
    pub header: Millis<100, 120_000>,
    /// Without a request, before the first and between two, 100 ms to 1 h. Default `60 s`.
    pub idle: Millis<100, 3_600_000>,
    /// What a reader must take of an answer, in bytes per second, 0 to 100,000,000. Default `4096`.
    pub drain_rate_min: Number<0, 100_000_000>,
    /// How long a slow reader is watched before it is judged, 100 ms to 10 min. Default `15 s`.
    pub drain_window: Millis<100, 600_000>,
    /// For a whole answer to leave, 1 s to 1 h. Default `5 min`.
    pub write: Millis<1_000, 3_600_000>,
    /// Memory held for the connections of one core, 1 MB to 1 TB: input that is no whole request yet, answers and TLS
    /// records that wait for a socket, and a flat share for each connection. At the bound those who have held it up the
    /// longest are cut, and nobody is let in for whom not even the share is left. Default `512 MB`.
    pub memory_per_core: Megabytes<1, 1_000_000>,
    /// After so much silence the kernel asks whether the peer is still there, 1 s to 1 h; it asks three times more, a
    /// third of it apart, and then the connection is over. Default `30 s`.
    pub keepalive: Seconds<1, 3_600>,
    /// Connections that the kernel holds for one core until they are accepted, 1 to 65,535; never more than
    /// `net.core.somaxconn`. One more must try again a second later. Default `4096`.
    pub backlog: Number<1, 65_535>,
    /// File descriptors kept for segments, links and logs, 16 to 1,000,000, but never more than half of what the
    /// process may have; connections share the rest. Every segment of every window is one. Default `4096`.
    pub descriptors_kept: Number<16, 1_000_000>,
    /// Playlist reloads one core holds back at once, 1 to 1,000,000; one more is answered 503. Default `20000`.
    pub waiters_per_core: Number<1, 1_000_000>,
    /// Readers of chat of one core, 1 to 1,000,000, each of them a connection; one more is answered 503. Default `20000`.
    pub readers_per_core: Number<1, 1_000_000>,
}

/// An edge's name: a node's name that may also stand in a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeName {
    pub(crate) node: NodeId,
    pub(crate) edge: ticket::EdgeId,
}

impl EdgeName {
    /// The same as a node's name.
    pub fn node(&self) -> &NodeId {
        &self.node
    }
}

impl FromStr for EdgeName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let edge = ticket::EdgeId::parse(text).map_err(|error| error.to_string())?;
        let node = NodeId::parse(text).map_err(|error| error.to_string())?;
        Ok(Self { node, edge })
    }
}

impl fmt::Display for EdgeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}

/// `http://host[:port]` or `https://host[:port]` without a path, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicUrl(pub(crate) Option<String>);

impl FromStr for PublicUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let url = text.strip_suffix('/').unwrap_or(text);
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let is_host = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']')
                })
        };
        match host {
            Some(host) if is_host(host) => Ok(Self(Some(url.to_owned()))),
            _ => Err(format!(
                "{text:?} is no such URL; allowed is `http://host[:port]` or `https://host[:port]`"
            )),
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or_default())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            id: Parsed("edge".parse().expect("a constant that is a name")),
            http: Address(SocketAddr::from(([0, 0, 0, 0], 8080))),
            https: None,
            public_url: Parsed::default(),
            public_url_tls: Parsed::default(),
            capacity: Mbps::new(1_000),
            weight: Number::new(100),
            lbs: Vec::new(),
            lobby: None,
            proxies: Vec::new(),
            agent_check: None,
            state: None,
            first_word: Seconds::new(0),
            ingests: Vec::new(),
            feeds: Vec::new(),
            relay: RelaySettings::default(),
            private: Vec::new(),
            ticket_key: None,
            cors: Parsed("*".parse().expect("a constant that is allowed")),
            window_memory: Megabytes::new(2_000),
            arriving_memory: Megabytes::new(256),
            segment_store: None,
            blocking_reload: false,
            keep_ended: Seconds::new(60),
            shared_port: false,
            cores: Number::new(0),
            pin: false,
            driver: Parsed(Driver::Auto),
            data_path: Parsed(DataPath::Auto),
            ktls: Parsed(KernelTls::Auto),
            drain_steer: Millis::new(7_000),
            drain: Millis::new(5_000),
            limits: LimitSettings::default(),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            connections_per_core: Number::new(32_768),
            connections_per_address: Number::new(4_096),
            handshake: Millis::new(10_000),
            header: Millis::new(10_000),
            idle: Millis::new(60_000),
            drain_rate_min: Number::new(4_096),
            drain_window: Millis::new(15_000),
            write: Millis::new(300_000),
            memory_per_core: Megabytes::new(512),
            keepalive: Seconds::new(30),
            backlog: Number::new(4_096),
            descriptors_kept: Number::new(4_096),
            waiters_per_core: Number::new(delivery::WAITERS as u64),
            readers_per_core: Number::new(chat::limits::READERS as u64),
        }
    }
}

/// Longest a reload is held (three of the longest target durations) and some more, so that the runtime's own bound
/// on unanswered requests never comes first.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(3 * 20 + 15);

impl LimitSettings {
    /// For `cores` cores of a process that may have `descriptors` files open.
    pub(crate) fn for_percore(&self, cores: usize, descriptors: u64) -> percore::Limits {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let wanted = self.connections_per_core.value();
        let fitting = self.fitting(cores, descriptors);
        if fitting < wanted {
            tracing::warn!(
                descriptors,
                cores,
                connections_per_core = fitting,
                wanted,
                "a process may have so many files open only: fewer connections are taken (raise LimitNOFILE or `ulimit -Hn`)"
            );
        }
        percore::Limits {
            connections_per_core: count(wanted.min(fitting)),
            connections_per_address: count(self.connections_per_address.value()),
            handshake: self.handshake.duration(),
            header: self.header.duration(),
            answer: ANSWER,
            idle: self.idle.duration(),
            drain_rate_min: self.drain_rate_min.value(),
            drain_window: self.drain_window.duration(),
            write: self.write.duration(),
            memory_per_core: self.memory_per_core.bytes(),
            keepalive: self.keepalive.duration(),
            backlog: u32::try_from(self.backlog.value()).unwrap_or(u32::MAX),
            ..percore::Limits::default()
        }
    }

    /// Connections of a core for which there is a descriptor each. Whatever is told to be kept, connections get half.
    fn fitting(&self, cores: usize, descriptors: u64) -> u64 {
        let kept = self.descriptors_kept.value().min(descriptors / 2);
        ((descriptors - kept) / cores.max(1) as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_of_the_demo_is_set_up_in_a_few_lines() {
        let settings: Settings = toml::from_str(
            "id = 'edge1'\nhttp = '127.0.0.21:8080'\nhttps = '127.0.0.21:8443'\ncapacity = '10 Gbit/s'\n\
             lbs = ['127.0.0.31:7002', '127.0.0.32:7002']\ndriver = 'io_uring'\n[limits]\nidle = '5 s'",
        )
        .unwrap();
        assert_eq!((settings.id.to_string().as_str(), settings.capacity.value()), ("edge1", 10_000));
        assert_eq!((settings.driver.0, settings.lbs.len()), (Driver::IoUring, 2));
        assert_eq!(settings.limits.for_percore(2, 1 << 20).idle, std::time::Duration::from_secs(5));
    }

    #[test]
    fn connections_leave_descriptors_to_segments_and_get_half_of_a_few() {
        let limits = LimitSettings::default();
        let connections = |cores, descriptors| limits.for_percore(cores, descriptors).connections_per_core;
        assert_eq!(connections(4, 1 << 20), 32_768, "as the settings say: there is plenty");
        assert_eq!(connections(2, 20_000), (20_000 - 4_096) / 2);
        assert_eq!(connections(2, 1_024), 256);
        assert_eq!(connections(64, 64), 1, "nobody at all would be no edge");
    }

    #[test]
    fn what_is_not_allowed_is_said_with_what_is() {
        for (text, says) in [
            ("id = '.'", "HLS keeps"),
            ("public_url = 'edge1.example.org'", "allowed is `http://host[:port]`"),
            ("public_url = 'http://e/path'", "allowed is `http://host[:port]`"),
            ("cors = 'example.org'", "allowed is `*`"),
            ("private = ['a/b']", "letters, digits"),
            ("lbs = ['lb1']", "host:port"),
            ("proxies = ['lb1']", "no address"),
            ("ktls = 'on'", "allowed is auto, off"),
            ("weight = 1001", "from 0 to 1000"),
            ("feeds = ['relay1']", "host:port"),
            ("[relay]\nlayer = 255", "from 1 to 254"),
            ("colour = 1", "unknown field"),
        ] {
            let refused = toml::from_str::<Settings>(text).unwrap_err().to_string();
            assert!(refused.contains(says), "{text}: {refused}");
        }
    }

    #[test]
    fn a_relay_is_reached_where_it_listens_unless_that_is_everywhere() {
        let relay: RelaySettings = toml::from_str("listen = '10.0.0.5:7001'").unwrap();
        let at = |relay: &RelaySettings, bound: &str| {
            relay.reached_at(bound.parse().unwrap()).map(|address| address.to_string())
        };
        assert_eq!(at(&relay, "10.0.0.5:7001").as_deref(), Some("10.0.0.5:7001"));
        assert_eq!(at(&relay, "0.0.0.0:7001"), None);
        let named: RelaySettings = toml::from_str("address = 'relay1.example:7001'").unwrap();
        assert_eq!(at(&named, "0.0.0.0:7001").as_deref(), Some("relay1.example:7001"));
    }

    #[test]
    fn settings_can_be_shown_and_read_again() {
        let shown = toml::to_string(&Settings::default()).unwrap();
        let read: Settings = toml::from_str(&shown).unwrap();
        assert_eq!(toml::to_string(&read).unwrap(), shown);
    }
}
