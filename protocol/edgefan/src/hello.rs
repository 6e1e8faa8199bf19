//! Who is at each end of a connection.

use crate::WireError;
use crate::limits::{LIST_ENTRIES, TEXT_BYTES};
use crate::tlv::{Fields, Writer};
use media::BitRate;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a node: unique in the cluster, in logs and in routing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

/// Why a text is not a node's name or address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?}: allowed is {allowed}")]
pub struct AddressError {
    what: &'static str,
    found: String,
    allowed: &'static str,
}

const NODE_ALLOWED: &str = "1 to 64 letters, digits, '-', '_' and '.'";

impl NodeId {
    /// The only way to have one: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if (1..=64).contains(&text.len()) && text.chars().all(plain) {
            return Ok(Self(text.into()));
        }
        let found = text.chars().take(80).collect();
        Err(AddressError { what: "node id", found, allowed: NODE_ALLOWED })
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeId {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// Where a node listens: `host:port`, the host a name or an IP address (IPv6 in brackets).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Arc<str>);

const ADDRESS_ALLOWED: &str = "host:port, at most 255 characters";

impl Address {
    /// The only way to have one from a text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let has_port = text
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0));
        if has_port && text.len() <= 255 && text.chars().all(|c| c.is_ascii_graphic()) {
            return Ok(Self(text.into()));
        }
        let found = text.chars().take(80).collect();
        Err(AddressError { what: "address", found, allowed: ADDRESS_ALLOWED })
    }

    /// `host:port`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string().into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// What a node is. The numbers are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Takes broadcasts in.
    Ingest = 1,
    /// Serves viewers.
    Edge = 2,
    /// Sends viewers to edges.
    Balancer = 3,
    /// Knows accounts and what was said.
    Lobby = 4,
}

impl Role {
    fn from_wire(number: u64) -> Option<Self> {
        [Self::Ingest, Self::Edge, Self::Balancer, Self::Lobby]
            .into_iter()
            .find(|&role| role as u64 == number)
    }
}

/// How many nodes at most lie between an ingest and this one: 0 is an ingest, relays are 1 and up, an edge that feeds
/// nobody is [`Layer::LAST`]. Who is fed always stands on a higher layer than who feeds him, so no loop can be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer(pub u8);

impl Layer {
    /// An ingest.
    pub const INGEST: Self = Self(0);
    /// An edge that feeds nobody.
    pub const LAST: Self = Self(u8::MAX);
}

/// Which nodes a peer's certificate speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// It names none: any.
    #[default]
    Any,
    /// These.
    Only(Vec<NodeId>),
}

impl Names {
    /// Whether whoever shows it may say to be `node`.
    pub fn allow(&self, node: &NodeId) -> bool {
        match self {
            Self::Any => true,
            Self::Only(named) => named.contains(node),
        }
    }

    /// The same as an error of this frame.
    pub fn check(&self, what: &'static str, node: &NodeId) -> Result<(), WireError> {
        match self.allow(node) {
            true => Ok(()),
            false => {
                let allowed = "a node that its certificate names";
                Err(WireError::Bad { what, field: "node id", found: node.to_string(), allowed })
            }
        }
    }
}

/// What an edge tells of itself when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeFacts {
    /// Where viewers reach it in plain HTTP, e.g. `http://127.0.0.21:8080`; empty if they cannot.
    pub http: String,
    /// Where viewers reach it with TLS, e.g. `https://127.0.0.21:8443`; empty if they cannot.
    pub https: String,
    /// What its uplink carries.
    pub capacity: BitRate,
    /// Its share of viewers beside its capacity, in per cent; 100 is ordinary.
    pub weight: u32,
    /// Where it feeds other edges, if it does.
    pub relay: Option<Address>,
}

/// The first frame of every connection, from the end that dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who dials.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// Its software, e.g. `0.1.0`.
    pub version: String,
    /// Which link this connection belongs to: drawn anew at each dialling, the same on all its connections.
    pub link: u64,
    /// Which connection of the link: 0 is control, 1 and up are media.
    pub connection: u8,
    /// How many media connections the link has; 0 for a control link to a balancer.
    pub media_connections: u8,
    /// What an edge tells of itself; on control connections.
    pub edge: Option<EdgeFacts>,
    /// Which process of the node dials: any number, the same for as long as it runs; 0 where it is not said. A link ends
    /// the one that the same process had before, and stands beside that of another process.
    pub process: u64,
    /// Where it stands.
    pub layer: Layer,
}

/// The answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Who answers.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// Its software.
    pub version: String,
    /// From a balancer: the ingests, or relays, to subscribe to.
    pub ingests: Vec<Address>,
    /// Where it stands.
    pub layer: Layer,
}

/// A key tickets are signed with. Two are alive at once: the current and the one before.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey {
    /// Which key: stands in every ticket.
    pub kid: u8,
    /// The secret.
    pub secret: [u8; 32],
}

impl fmt::Debug for TicketKey {
    /// Never the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketKey({})", self.kid)
    }
}

impl Hello {
    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        w.text(1, self.node.as_str());
        w.number(2, self.role as u64);
        w.text(3, clip(&self.version));
        w.number(4, self.link);
        w.number_unless_zero(5, u64::from(self.connection));
        w.number_unless_zero(6, u64::from(self.media_connections));
        if let Some(edge) = &self.edge {
            w.group(7, |w| {
                w.text(1, clip(&edge.http));
                w.text(2, clip(&edge.https));
                w.number(3, edge.capacity.0);
                w.number(4, u64::from(edge.weight));
                if let Some(relay) = &edge.relay {
                    w.text(5, relay.as_str());
                }
            });
        }
        w.number_unless_zero(8, self.process);
        if self.layer != Layer::LAST {
            w.number(9, u64::from(self.layer.0));
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        const WHAT: &str = "HELLO";
        let (mut node, mut role, mut version, mut link) = (None, None, String::new(), None);
        let (mut connection, mut media_connections, mut edge) = (0, 0, None);
        let (mut process, mut layer) = (0, Layer::LAST);
        let mut fields = Fields::new(WHAT, payload);
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => node = Some(field.parse("node id", NODE_ALLOWED)?),
                2 => role = Role::from_wire(field.number()?),
                3 => version = field.text("version")?.to_owned(),
                4 => link = Some(field.number()?),
                5 => connection = field.number_to("connection", u64::from(u8::MAX))? as u8,
                6 => media_connections = field.number_to("media connections", 16)? as u8,
                7 => edge = Some(EdgeFacts::decode(field.group())?),
                8 => process = field.number()?,
                9 => layer = Layer(field.number_to("layer", u64::from(u8::MAX))? as u8),
                _ => {}
            }
        }
        let missing = |field| WireError::Missing { what: WHAT, field };
        Ok(Self {
            node: node.ok_or_else(|| missing("node id"))?,
            role: role.ok_or_else(|| missing("role"))?,
            version,
            link: link.ok_or_else(|| missing("link"))?,
            connection,
            media_connections,
            edge,
            process,
            layer,
        })
    }
}

impl EdgeFacts {
    fn decode(mut fields: Fields<'_>) -> Result<Self, WireError> {
        let mut edge = Self::default();
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => edge.http = field.text("http URL")?.to_owned(),
                2 => edge.https = field.text("https URL")?.to_owned(),
                3 => edge.capacity = BitRate(field.number()?),
                4 => edge.weight = field.number_to("weight", u64::from(u32::MAX))? as u32,
                5 => edge.relay = Some(field.parse("relay", ADDRESS_ALLOWED)?),
                _ => {}
            }
        }
        Ok(edge)
    }
}

impl Welcome {
    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        w.text(1, self.node.as_str());
        w.number(2, self.role as u64);
        w.text(3, clip(&self.version));
        for ingest in self.ingests.iter().take(LIST_ENTRIES) {
            w.text(4, ingest.as_str());
        }
        w.number_unless_zero(5, u64::from(self.layer.0));
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        const WHAT: &str = "WELCOME";
        let (mut node, mut role, mut version, mut ingests) = (None, None, String::new(), Vec::new());
        let mut layer = Layer::INGEST;
        let mut fields = Fields::new(WHAT, payload);
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => node = Some(field.parse("node id", NODE_ALLOWED)?),
                2 => role = Role::from_wire(field.number()?),
                3 => version = field.text("version")?.to_owned(),
                4 => {
                    ingests.push(field.parse("ingest", ADDRESS_ALLOWED)?);
                    at_most(WHAT, "ingests", ingests.len(), LIST_ENTRIES)?;
                }
                5 => layer = Layer(field.number_to("layer", u64::from(u8::MAX))? as u8),
                _ => {}
            }
        }
        let missing = |field| WireError::Missing { what: WHAT, field };
        Ok(Self {
            node: node.ok_or_else(|| missing("node id"))?,
            role: role.ok_or_else(|| missing("role"))?,
            version,
            ingests,
            layer,
        })
    }
}

pub(crate) fn encode_keys(keys: &[TicketKey], w: &mut Writer<'_>) {
    for key in keys.iter().take(LIST_ENTRIES) {
        w.group(1, |w| {
            w.number(1, u64::from(key.kid));
            w.bytes(2, &key.secret);
        });
    }
}

pub(crate) fn decode_keys(payload: &[u8]) -> Result<Vec<TicketKey>, WireError> {
    const WHAT: &str = "KEYS";
    let mut keys = Vec::new();
    let mut fields = Fields::new(WHAT, payload);
    while let Some(field) = fields.next()? {
        if field.tag != 1 {
            continue;
        }
        let (mut kid, mut secret) = (0, None);
        let mut inner = field.group();
        while let Some(field) = inner.next()? {
            match field.tag {
                1 => kid = field.number_to("kid", u64::from(u8::MAX))? as u8,
                // The value may be a secret cut short: it stays out of the error.
                2 => {
                    secret = Some(<[u8; 32]>::try_from(field.value).map_err(|_| WireError::TooMuch {
                        what: WHAT,
                        field: "bytes of a secret",
                        count: field.value.len() as u64,
                        limit: 32,
                    })?);
                }
                _ => {}
            }
        }
        let secret = secret.ok_or(WireError::Missing { what: WHAT, field: "secret" })?;
        keys.push(TicketKey { kid, secret });
        at_most(WHAT, "keys", keys.len(), LIST_ENTRIES)?;
    }
    Ok(keys)
}

pub(crate) fn at_most(
    what: &'static str,
    field: &'static str,
    count: usize,
    limit: usize,
) -> Result<(), WireError> {
    match count <= limit {
        true => Ok(()),
        false => Err(WireError::TooMuch { what, field, count: count as u64, limit: limit as u64 }),
    }
}

/// Our own texts are cut to what a reader takes, at a character's end.
pub(crate) fn clip(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["127.0.0.11:7001", "ingest-1.example:7001", "[::1]:7001"] {
            assert_eq!(Address::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "127.0.0.11", ":7001", "host:0", "host:70000", "ho st:1"] {
            assert!(Address::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_ticket_key_is_never_printed() {
        let key = TicketKey { kid: 3, secret: [0x41; 32] };
        assert_eq!(format!("{key:?}"), "TicketKey(3)");
    }
}
