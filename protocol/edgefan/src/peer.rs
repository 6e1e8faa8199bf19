//! What one balancer tells another, and the dialling end of the link it does so by: one connection to the other's
//! control listener. Each dials each, and speaks on the link it dialled; the listening end is
//! [`crate::control::BalancerEnd`], which tells a balancer from an edge by its HELLO.
//!
//! Lives here: RESERVED, SEALS and SEEN, and when PING goes. Does not live here: what they are taken for
//! (`routing`, `lb`).

use crate::control::{ControlError, End};
use crate::hello::{decode_keys, encode_keys};
use crate::limits::{LIST_ENTRIES, SEEN_BYTES};
use crate::tlv::{Fields, Writer};
use crate::{FrameType, Heartbeat, Hello, Message, TicketKey, Welcome, WireError};
use bytes::Bytes;
use media::{BitRate, BroadcastId};
use std::time::Instant;

/// One thing said from balancer to balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerWord {
    /// Viewers were sent to these edges since this was said last: edge id, and what they will take.
    Reserved(Vec<(String, BitRate)>),
    /// The keys the speaker opens tickets with; the first is what it seals with, or will in a second.
    Seals {
        /// The sealing one first.
        keys: Vec<TicketKey>,
        /// When that was made, in Unix seconds; 0 for a key of no file, that is known to nobody else yet.
        made: u64,
    },
    /// Viewers of a broadcast that asked for steering in the last second: a sketch the room that counts them made.
    Seen {
        /// Of which broadcast.
        broadcast: BroadcastId,
        /// The sketch, not looked into.
        sketch: Bytes,
    },
}

impl PeerWord {
    pub(crate) fn kind(&self) -> FrameType {
        match self {
            Self::Reserved(_) => FrameType::Reserved,
            Self::Seals { .. } => FrameType::Seals,
            Self::Seen { .. } => FrameType::Seen,
        }
    }

    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Self::Reserved(reserved) => {
                for (edge, rate) in reserved.iter().take(LIST_ENTRIES) {
                    w.group(1, |w| {
                        w.text(1, edge);
                        w.number(2, rate.0);
                    });
                }
            }
            Self::Seals { keys, made } => {
                encode_keys(keys, w);
                w.number_unless_zero(2, *made);
            }
            Self::Seen { broadcast, sketch } => {
                w.text(1, broadcast.as_str());
                w.bytes(2, sketch);
            }
        }
    }

    pub(crate) fn decode_reserved(payload: &[u8]) -> Result<Self, WireError> {
        const WHAT: &str = "RESERVED";
        let mut reserved = Vec::new();
        let mut fields = Fields::new(WHAT, payload);
        while let Some(field) = fields.next()? {
            if field.tag != 1 {
                continue;
            }
            let (mut edge, mut rate) = (None, BitRate(0));
            let mut inner = field.group();
            while let Some(field) = inner.next()? {
                match field.tag {
                    1 => edge = Some(field.text("edge")?.to_owned()),
                    2 => rate = BitRate(field.number()?),
                    _ => {}
                }
            }
            reserved.push((edge.ok_or(WireError::Missing { what: WHAT, field: "edge" })?, rate));
            at_most(WHAT, "edges", reserved.len(), LIST_ENTRIES)?;
        }
        Ok(Self::Reserved(reserved))
    }

    pub(crate) fn decode_seals(payload: &[u8]) -> Result<Self, WireError> {
        let mut made = 0;
        let mut fields = Fields::new("SEALS", payload);
        while let Some(field) = fields.next()? {
            if field.tag == 2 {
                made = field.number()?;
            }
        }
        Ok(Self::Seals { keys: decode_keys(payload)?, made })
    }

    pub(crate) fn decode_seen(payload: &Bytes) -> Result<Self, WireError> {
        const WHAT: &str = "SEEN";
        let (mut broadcast, mut sketch) = (None, Bytes::new());
        let mut fields = Fields::new(WHAT, payload);
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => broadcast = Some(field.parse("broadcast", crate::facts::NAME_ALLOWED)?),
                2 => {
                    at_most(WHAT, "bytes of a sketch", field.value.len(), SEEN_BYTES)?;
                    sketch = payload.slice_ref(field.value);
                }
                _ => {}
            }
        }
        let broadcast = broadcast.ok_or(WireError::Missing { what: WHAT, field: "broadcast" })?;
        Ok(Self::Seen { broadcast, sketch })
    }
}

fn at_most(what: &'static str, field: &'static str, count: usize, limit: usize) -> Result<(), WireError> {
    if count > limit {
        return Err(WireError::TooMuch { what, field, count: count as u64, limit: limit as u64 });
    }
    Ok(())
}

/// The dialling end.
#[derive(Debug)]
pub struct PeerEnd {
    end: End,
}

impl PeerEnd {
    /// Says HELLO, which names the role of a balancer.
    pub fn new(hello: Hello, heartbeat: Heartbeat, now: Instant) -> Self {
        let mut end = End::new(heartbeat, now);
        end.say(&Message::Hello(hello));
        Self { end }
    }

    /// Says this.
    pub fn say(&mut self, word: &PeerWord) {
        self.end.say(&Message::Peer(word.clone()));
    }

    /// Bytes came. Call [`PeerEnd::pull`] until `None` after it.
    pub fn received(&mut self, bytes: &[u8], now: Instant) {
        self.end.received(bytes, now);
    }

    /// Who was dialled; nothing else is looked at.
    pub fn pull(&mut self) -> Result<Option<Welcome>, ControlError> {
        while let Some(message) = self.end.pull()? {
            if let Message::Welcome(welcome) = message {
                return Ok(Some(welcome));
            }
        }
        Ok(None)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Result<(), ControlError> {
        if self.end.tick(now)? {
            self.end.say(&Message::Ping { stamp: 0 });
        }
        Ok(())
    }

    /// Appends what should be sent now.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        self.end.transmit(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{BalancerEnd, ToBalancer};
    use crate::{NodeId, Role};

    fn hello() -> Hello {
        Hello {
            node: NodeId::parse("lb2").unwrap(),
            role: Role::Balancer,
            version: "0.1.0".into(),
            link: 1,
            connection: 0,
            media_connections: 0,
            edge: None,
            process: 0,
            layer: crate::Layer::LAST,
        }
    }

    #[test]
    fn a_balancer_hears_what_another_says() {
        let now = crate::epoch();
        let words = [
            PeerWord::Reserved(vec![("edge1".into(), BitRate(4_000_000)), ("edge2".into(), BitRate(7))]),
            PeerWord::Seals { keys: vec![TicketKey { kid: 9, secret: [9; 32] }], made: 1_800_000_000 },
            PeerWord::Seen {
                broadcast: BroadcastId::parse("tide").unwrap(),
                sketch: vec![3; SEEN_BYTES].into(),
            },
        ];
        let mut here = PeerEnd::new(hello(), Heartbeat::default(), now);
        words.iter().for_each(|word| here.say(word));
        let mut there = BalancerEnd::new(Heartbeat::default(), now);
        let mut wire = Vec::new();
        here.transmit(&mut wire);
        there.received(&wire, now);
        assert_eq!(there.pull().unwrap(), Some(ToBalancer::Hello(hello())));
        for word in words {
            assert_eq!(there.pull().unwrap(), Some(ToBalancer::Peer(word)));
        }
        assert_eq!(there.pull().unwrap(), None);
    }

    #[test]
    fn what_is_too_long_is_refused_and_says_so() {
        let payload = {
            let mut out = Vec::new();
            let w = &mut Writer::new(&mut out);
            w.text(1, "tide");
            w.bytes(2, &vec![0; SEEN_BYTES + 1]);
            Bytes::from(out)
        };
        let refused = PeerWord::decode_seen(&payload).unwrap_err().to_string();
        assert!(refused.contains("4097") && refused.contains("4096"), "{refused}");
        assert!(PeerWord::decode_reserved(&[1, 2, 2, 0]).is_err());
    }
}
