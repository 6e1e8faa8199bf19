//! What may be set about a lobby. Every key is documented where it is defined, with unit, range and default.

use crate::policy::SignUp;
use edgefan::NodeId;
use node::settings::{Address, Number, Parsed, Seconds, SecretFile};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// `[lobby]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// This lobby's name in the cluster: 1 to 64 letters, digits, `-`, `_` and `.`. Default `lobby`.
    pub id: Parsed<NodeId>,
    /// Where browsers connect by HTTP. Default `127.0.0.1:8080`: passwords go over it, so keep it to what ends TLS before
    /// it, or to this machine.
    pub http: Address,
    /// Where browsers connect by HTTPS, with the HTTPS certificate. Default: not at all.
    pub https: Option<Address>,
    /// Where ingests and edges connect, by mutual TLS. Default `0.0.0.0:7003`.
    pub link: Address,
    /// Where accounts, keys and chat are kept.
    pub store: StoreSettings,
    /// Who may sign up: `open`, `invite` or `closed`. Default `invite`.
    pub sign_up: SignUp,
    /// How browsers reach this lobby where something stands before it, `https://live.example.org`: pages of that origin
    /// only may change anything. Default: whatever `Host` they name.
    pub public_url: Option<String>,
    /// Where browsers reach a balancer, `https://live.example.org:8443`: the pages play from there. Default: none, this
    /// lobby's own address.
    pub watch_url: String,
    /// Where encoders publish, `rtmp://ingest.example.org:1935/live`, as the pages show it. Default: none, this lobby's own
    /// name with port 1935.
    pub publish_url: String,
    /// How long a session lasts, 5 min to 90 days. Default `7 days`, written `604800 s`.
    pub session: Seconds<300, 7_776_000>,
    /// Sessions of one account at once, 1 to 100; the oldest ends. Default `10`.
    pub sessions: Number<1, 100>,
    /// Sign-ins and sign-ups an address may try in a minute, 1 to 10000. Default `20`.
    pub tries_per_address: Number<1, 10_000>,
    /// Sign-ins an account may be tried with in a minute, 1 to 1000. Default `10`.
    pub tries_per_account: Number<1, 1000>,
    /// Messages an account may post in a minute, 1 to 1000. Default `60`.
    pub posts_per_account: Number<1, 1000>,
    /// Broadcasts an account may have, 1 to 1000. Default `20`.
    pub broadcasts: Number<1, 1000>,
    /// Threads that look at passwords, each with 19 MiB, 1 to 64. Default `2`.
    pub password_threads: Number<1, 64>,
    /// Connections of browsers at once, 1 to 100000. Default `2048`.
    pub connections: Number<1, 100_000>,
    /// Of these, so many of one address, or of one IPv6 network, 1 to 100000; to be raised where a proxy stands before this
    /// lobby, whose address all then have. Default `256`.
    pub connections_per_address: Number<1, 100_000>,
    /// Whether webhooks may be told at addresses of this machine, of private networks and of links, `true` or `false`:
    /// whoever runs a broadcast chooses them, and could reach from here what he cannot reach himself. Default `false`.
    pub webhooks_inside: bool,
    /// How tickets of private broadcasts are sealed.
    pub tickets: TicketSettings,
}

/// `[lobby.store]`: one of both.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// The file of the embedded database. Default `lobby.db`.
    pub sqlite: PathBuf,
    /// A file with the address of PostgreSQL servers, the primary and its standbys in any order:
    /// `host=db1,db2 user=mascaret dbname=mascaret password=… sslmode=verify-full sslrootcert=…`; `sslmode` is `disable`
    /// (which it is where it is not named), `require` or `verify-full`. Default: none, the embedded database is used.
    pub postgresql: Option<SecretFile>,
    /// Connections to PostgreSQL, 1 to 256. Default `16`.
    pub connections: Number<1, 256>,
}

/// `[lobby.tickets]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TicketSettings {
    /// The balancers' ticket key file (`[lb.tickets] key`). Default: none, and private broadcasts cannot be watched.
    pub key: Option<SecretFile>,
    /// How long a ticket of a private broadcast is good for, 1 min to 24 h. Default `4 h`.
    pub lifetime: Seconds<60, 86_400>,
}

impl Default for TicketSettings {
    fn default() -> Self {
        Self { key: None, lifetime: Seconds::new(14_400) }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { sqlite: "lobby.db".into(), postgresql: None, connections: Number::new(16) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            id: Parsed(NodeId::parse("lobby").expect("a constant that is a name")),
            http: Address::local(8080),
            https: None,
            link: Address(SocketAddr::from(([0, 0, 0, 0], 7003))),
            store: StoreSettings::default(),
            sign_up: SignUp::Invite,
            public_url: None,
            watch_url: String::new(),
            publish_url: String::new(),
            session: Seconds::new(604_800),
            sessions: Number::new(10),
            tries_per_address: Number::new(20),
            tries_per_account: Number::new(10),
            posts_per_account: Number::new(60),
            broadcasts: Number::new(20),
            password_threads: Number::new(2),
            connections: Number::new(2048),
            connections_per_address: Number::new(256),
            webhooks_inside: false,
            tickets: TicketSettings::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::settings::{Sources, load};

    #[test]
    fn a_whole_file_is_read_and_a_mistake_says_what_was_allowed() {
        let text = "id = 'lobby1'\nsign_up = 'open'\nsession = '2 h'\n[store]\nsqlite = '/var/lib/mascaret/lobby.db'\n";
        let loaded = load::<Settings>("lobby", &Sources::new().text("lobby.toml", text)).unwrap();
        assert_eq!((loaded.settings.sign_up, loaded.settings.session.value()), (SignUp::Open, 7200));
        for (text, part) in [
            ("session = '1 s'", "from 300 to"),
            ("sign_up = 'all'", "invite"),
            ("signup = 'open'", "sign_up"),
        ] {
            let error = load::<Settings>("lobby", &Sources::new().text("lobby.toml", text)).unwrap_err();
            let said = format!("{} {:?}", error.mistakes[0], error.mistakes[0].meant);
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
