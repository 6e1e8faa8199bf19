//! What may be set about a balancer. Every key is documented where it is defined, with unit, range and default.

use crate::L4Settings;
use crate::discretion::Discretion;
use edgefan::{Address as PeerAddress, NodeId};
use media::BroadcastId;
use node::directory::DirectorySettings;
use node::fan::lobbies::Lobbies;
use node::settings::{Address, Millis, Number, Parsed, Seconds, SecretFile};
use percore::Driver;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// `[lb]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// This balancer's name in the cluster: 1 to 64 letters, digits, `-`, `_` and `.`. Default `lb`.
    pub id: Parsed<NodeId>,
    /// Where viewers connect by HTTP. Default `0.0.0.0:8080`.
    pub http: Address,
    /// Where viewers connect by HTTPS, with the HTTPS certificate. Default: not at all.
    pub https: Option<Address>,
    /// Where edges connect, by mutual TLS (`edgefan/1`). Default `0.0.0.0:7002`.
    pub control: Address,
    /// The ingests edges are told to take broadcasts from, each `host:port`. Default: none.
    pub ingests: Vec<Parsed<PeerAddress>>,
    /// The other balancers' control doors, each `host:port`: they are told which edges viewers are sent to, so that
    /// a crowd at both overfills no edge, and share ticket keys and the count of viewers. Name each at each; one that
    /// is this balancer itself does no harm, so all may have the same list. Their ids must differ. Default: none.
    pub peers: Vec<Parsed<PeerAddress>>,
    /// Over how long the viewers of an edge that is drained are moved, 0 s to 10 min; each has its moment by its
    /// token. Edges' `drain_steer` must be longer, or they turn viewers away before. Default `5 s`.
    pub drain_over: Millis<0, 600_000>,
    /// Up to so many edges the ingests feed them all; above it those that relay (`[edge.relay]`) are fed by the ingests and
    /// feed the others, two of them each; 0 to 1000, 0 for never. Where no edge relays it changes nothing. Default `16`.
    pub eager: Number<0, 1000>,
    /// Where the operator's word on edges is kept.
    pub directory: DirectorySettings,
    /// Operator listeners of the cluster's other nodes, each a numeric `address:port`, at most 160: the cluster page and
    /// `mascaret status` show what they say. Where no directory is named they drain edges through them. Viewers never
    /// depend on it. Default: none.
    pub nodes: Vec<Address>,
    /// The lobby's link, `host:port`, or those of a fleet's lobbies with commas between them, tried in turn: what is
    /// unlisted or private there is in no list here, and who asks for what is private must be admitted. Until it has
    /// spoken nothing is listed. Default: no lobby.
    pub lobby: Option<Parsed<Lobbies>>,
    /// Broadcasts that are in no list, whatever the lobby says. Who knows the name may watch. Default: none.
    pub unlisted: Vec<Parsed<BroadcastId>>,
    /// How tokens are sealed.
    pub tickets: TicketSettings,
    /// Listeners whose connections are passed through to an edge or an ingest as they are. Default: none.
    pub l4: Vec<L4Settings>,
    /// How viewers reach this balancer where something that ends TLS stands before it
    /// (`https://live.example.org`): its scheme then decides whether they get the edges' HTTP or HTTPS URLs.
    /// Default: as they come.
    pub public_url: Option<Parsed<PublicUrl>>,
    /// Pages of which origin may read what this balancer answers: `*`, one origin such as
    /// `https://example.org`, or nothing for none. Default `*`.
    pub cors: Parsed<http::Cors>,
    /// How often each edge's public URL is tried, 100 ms to 60 s; 0 for never. Default `500 ms`.
    pub probe: Millis<0, 60_000>,
    /// Whether another process may listen at the same addresses; the kernel then shares viewers out among both. Without
    /// it a port that somebody listens on is refused. Default `false`.
    pub shared_port: bool,
    /// Cores that answer viewers, 1 to 256; 0 for as many as the process may use. Default `0`.
    pub cores: Number<0, 256>,
    /// Whether each of them is pinned to a processor. Default `false`.
    pub pin: bool,
    /// How they wait: `auto`, `io_uring` or `epoll`. Default `auto`.
    pub driver: Parsed<Driver>,
    /// How long running answers may take when the program is told to end, 0 s to 10 min. Default `5 s`.
    pub drain: Seconds<0, 600>,
}

/// `[lb.tickets]`. Balancers that know each other share their keys, the youngest file's; others are given the same
/// files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TicketSettings {
    /// File with the key that seals: 32 bytes in hex or base64 (`openssl rand -hex 32`). Default: a key made at
    /// start, which is gone at the next one.
    pub key: Option<SecretFile>,
    /// File with the key before it, while tokens it sealed are still out. Both are written when keys are rotated.
    /// Default: the file of `key` with `.previous` after its name, if there is one.
    pub previous_key: Option<SecretFile>,
    /// How long a token is good for, 1 min to 7 days (`604800 s`). It should outlast the longest visit: a
    /// viewer whose token is over must ask again. Default `24 h`.
    pub lifetime: Seconds<60, 604_800>,
}

impl Default for TicketSettings {
    fn default() -> Self {
        Self { key: None, previous_key: None, lifetime: Seconds::new(86_400) }
    }
}

impl Settings {
    /// What strangers are told before the lobby has spoken.
    pub(crate) fn discretion(&self) -> Discretion {
        Discretion::new(self.unlisted.iter().map(|name| name.0.clone()), self.lobby.is_some())
    }
}

/// `http://host[:port]` or `https://host[:port]`.
#[derive(Clone, Debug)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Whether viewers come by TLS, which does not show in the connection.
    pub(crate) fn is_tls(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl FromStr for PublicUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        crate::pathway::origin(text).map(Self).ok_or_else(|| {
            format!("{text:?} is no URL; allowed is `http://host[:port]` or `https://host[:port]`")
        })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for Settings {
    fn default() -> Self {
        let any = |port| Address(SocketAddr::from(([0, 0, 0, 0], port)));
        Self {
            id: Parsed(NodeId::parse("lb").expect("a constant that is a name")),
            http: any(8080),
            https: None,
            control: any(7002),
            ingests: Vec::new(),
            peers: Vec::new(),
            drain_over: Millis::new(5_000),
            eager: Number::new(16),
            directory: DirectorySettings::default(),
            nodes: Vec::new(),
            lobby: None,
            unlisted: Vec::new(),
            tickets: TicketSettings::default(),
            l4: Vec::new(),
            public_url: None,
            cors: Parsed("*".parse().expect("a constant that is an origin")),
            probe: Millis::new(500),
            shared_port: false,
            cores: Number::new(0),
            pin: false,
            driver: Parsed(Driver::Auto),
            drain: Seconds::new(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::settings::{Sources, load};

    fn refused(text: &str) -> String {
        let sources = Sources::new().text("lb.toml", text);
        load::<Settings>("lb", &sources).expect_err("it was taken").mistakes[0].to_string()
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = "id = 'lb1'\nhttp = '127.0.0.31:8080'\nhttps = '127.0.0.31:8443'\n\
                    control = '127.0.0.31:7002'\ningests = ['127.0.0.11:7001']\nnodes = ['127.0.0.11:9090']\n\
                    public_url = 'https://live.example.org'\ncors = 'https://example.org'\ndriver = 'io_uring'\n\
                    [tickets]\nkey = 'ticket.key'\nlifetime = '2 h'\n";
        let loaded = load::<Settings>("lb", &Sources::new().text("lb.toml", text)).unwrap();
        assert_eq!(loaded.settings.tickets.lifetime.value(), 7200);
        assert_eq!(loaded.settings.public_url.map(|url| url.0.is_tls()), Some(true));
        assert_eq!(loaded.settings.driver.0, Driver::IoUring);
    }

    #[test]
    fn a_mistake_says_what_was_allowed() {
        for (text, part) in [
            ("cors = 'example.org'", "https://example.org"),
            ("public_url = 'live.example.org'", "https://host[:port]"),
            ("probe = '2 min'", "from 0 to 60000"),
            ("[tickets]\nlifetime = '1 s'", "from 60 to 604800"),
            ("ingests = ['127.0.0.11']", "host:port"),
            ("[directory]\nat = 'etcd://10.0.0.7'", "the path of a TOML file"),
            ("driver = 'kqueue'", "epoll"),
        ] {
            let said = refused(text);
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
