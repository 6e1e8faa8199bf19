//! What may be set about a listener whose connections are passed through.

use edgefan::Address as PeerAddress;
use node::settings::{Address, Millis, Number, Parsed, Seconds};
use serde::{Deserialize, Serialize};

/// `[[lb.l4]]`, as often as wanted.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct L4Settings {
    /// Where clients connect. Default `0.0.0.0:8081`.
    pub listen: Address,
    /// Where they are passed to, each `host:port`: the first that answers; one that does not rests 2 s. Two ingests
    /// behind one address for publishers: `["10.0.0.1:1935", "10.0.0.2:1935"]`. Default: none, which means the
    /// edges, by their free Mbit/s.
    pub targets: Vec<Parsed<PeerAddress>>,
    /// Whether clients speak TLS, which is then the other end's to answer: a client that asks (SNI) for the host of an
    /// edge's `public_url_tls` gets that edge, any other one by free Mbit/s. Default `false`.
    pub tls: bool,
    /// Whether the other end is told who connects, by PROXY protocol version 2; it must expect that. Default `false`.
    pub proxy_protocol: bool,
    /// Connections at a time, 1 to 1,000,000, six descriptors each; one more is closed at once. Default `4096`.
    pub connections: Number<1, 1_000_000>,
    /// For one end to accept, 50 ms to 1 min. Default `1 s`.
    pub connect: Millis<50, 60_000>,
    /// Without a byte in either direction, 1 s to 1 day. Default `2 min`.
    pub idle: Seconds<1, 86_400>,
}

impl Default for L4Settings {
    fn default() -> Self {
        Self {
            listen: Address(([0, 0, 0, 0], 8081).into()),
            targets: Vec::new(),
            tls: false,
            proxy_protocol: false,
            connections: Number::new(4096),
            connect: Millis::new(1_000),
            idle: Seconds::new(120),
        }
    }
}
