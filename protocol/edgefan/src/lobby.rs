//! Both ends of the link between an edge and a lobby: one connection, which the edge dials.
//!
//! Lives here: HELLO and WELCOME, CHAT as it is, the heartbeat. Does not live here: what CHAT says, what is sent next
//! (`chat`), or sockets (`node::fan::lobby`).
//!
//! Everything on it is control: nothing waits behind media, as there is none. What else a lobby has to tell every edge (who
//! may watch what) is another frame type beside CHAT, another variant of [`ToEdge`], and said by [`LobbyEnd::tell`].

use crate::beat::Heartbeat;
use crate::control::{ControlError, End};
use crate::{Hello, Message, Names, Role, Welcome, WireError};
use bytes::Bytes;
use std::time::Instant;

/// Bytes waiting to be sent below which the next payload is made: what is decided late is decided with more known.
pub const FILL_BYTES: usize = 64 * 1024;

/// What a lobby tells an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToEdge {
    /// Who it is; first.
    Welcome(Welcome),
    /// Chat, carried and not looked into.
    Chat(Bytes),
}

/// What an edge tells a lobby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToLobby {
    /// Who it is; first, and once.
    Hello(Hello),
    /// Chat, carried and not looked into.
    Chat(Bytes),
}

/// The edge's end.
#[derive(Debug)]
pub struct EdgeEnd {
    end: End,
    names: Names,
}

impl EdgeEnd {
    /// Says HELLO to somebody whose certificate names these.
    pub fn new(hello: Hello, names: Names, heartbeat: Heartbeat, now: Instant) -> Self {
        let mut end = End::new(heartbeat, now);
        end.say(&Message::Hello(hello));
        Self { end, names }
    }

    /// Bytes came. Call [`EdgeEnd::pull`] until `None` after it.
    pub fn received(&mut self, bytes: &[u8], now: Instant) {
        self.end.received(bytes, now);
    }

    /// What the lobby says next.
    ///
    /// # Errors
    /// The link is over.
    pub fn pull(&mut self) -> Result<Option<ToEdge>, ControlError> {
        while let Some(message) = self.end.pull()? {
            match message {
                Message::Welcome(welcome) if welcome.role == Role::Lobby => {
                    self.names.check("WELCOME", &welcome.node)?;
                    return Ok(Some(ToEdge::Welcome(welcome)));
                }
                Message::Welcome(welcome) => {
                    let (found, allowed) = (format!("{:?}", welcome.role), "a lobby");
                    return Err(WireError::Bad { what: "WELCOME", field: "role", found, allowed }.into());
                }
                Message::Chat(payload) => return Ok(Some(ToEdge::Chat(payload))),
                // Types of a later version change nothing.
                _ => {}
            }
        }
        Ok(None)
    }

    /// Says a payload of chat.
    pub fn chat(&mut self, payload: Bytes) {
        self.end.say(&Message::Chat(payload));
    }

    /// What the clock on the wall shows, for the lobby to compare with its own.
    pub fn set_clock(&mut self, unix_micros: u64, now: Instant) {
        self.end.set_clock(unix_micros, now);
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The link is over.
    pub fn tick(&mut self, now: Instant) -> Result<(), ControlError> {
        self.end.beat(now)
    }

    /// Appends what should be sent now.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        self.end.transmit(out);
    }
}

/// The lobby's end.
#[derive(Debug)]
pub struct LobbyEnd {
    end: End,
    names: Names,
    is_greeted: bool,
}

impl LobbyEnd {
    /// Awaits HELLO of somebody whose certificate names these.
    pub fn new(names: Names, heartbeat: Heartbeat, now: Instant) -> Self {
        Self { end: End::new(heartbeat, now), names, is_greeted: false }
    }

    /// Bytes came. Call [`LobbyEnd::pull`] until `None` after it.
    pub fn received(&mut self, bytes: &[u8], now: Instant) {
        self.end.received(bytes, now);
    }

    /// What the other end says next; HELLO first.
    ///
    /// # Errors
    /// The link is over.
    pub fn pull(&mut self) -> Result<Option<ToLobby>, ControlError> {
        while let Some(message) = self.end.pull()? {
            match (self.is_greeted, message) {
                (false, Message::Hello(hello)) => {
                    self.names.check("HELLO", &hello.node)?;
                    self.is_greeted = true;
                    return Ok(Some(ToLobby::Hello(hello)));
                }
                (false, _) => {
                    return Err(WireError::OutOfTurn { what: "a frame", state: "HELLO is awaited" }.into());
                }
                (true, Message::Hello(_)) => {
                    return Err(WireError::OutOfTurn { what: "HELLO", state: "the link has had one" }.into());
                }
                (true, Message::Chat(payload)) => return Ok(Some(ToLobby::Chat(payload))),
                (true, _) => {}
            }
        }
        Ok(None)
    }

    /// Tells the edge something.
    pub fn tell(&mut self, word: ToEdge) {
        self.end.say(&match word {
            ToEdge::Welcome(welcome) => Message::Welcome(welcome),
            ToEdge::Chat(payload) => Message::Chat(payload),
        });
    }

    /// Whether the next payload is to be made now: so much waits already, or not.
    pub fn takes_more(&self) -> bool {
        self.end.waiting() < FILL_BYTES
    }

    /// What the clock on the wall shows.
    pub fn set_clock(&mut self, unix_micros: u64, now: Instant) {
        self.end.set_clock(unix_micros, now);
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The link is over.
    pub fn tick(&mut self, now: Instant) -> Result<(), ControlError> {
        self.end.beat(now)
    }

    /// Appends what should be sent now.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        self.end.transmit(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, NodeId};
    use std::time::Duration;

    fn hello() -> Hello {
        Hello {
            node: NodeId::parse("edge1").unwrap(),
            role: Role::Edge,
            version: "0.1.0".into(),
            link: 1,
            connection: 0,
            media_connections: 0,
            edge: None,
            process: 7,
            layer: Layer::LAST,
        }
    }

    fn welcome(role: Role) -> Welcome {
        let node = NodeId::parse("lobby1").unwrap();
        Welcome { node, role, version: "0.1.0".into(), ingests: Vec::new(), layer: Layer::INGEST }
    }

    fn ends(names: Names) -> (EdgeEnd, LobbyEnd, Instant) {
        let now = crate::epoch();
        let edge = EdgeEnd::new(hello(), names, Heartbeat::default(), now);
        (edge, LobbyEnd::new(Names::Any, Heartbeat::default(), now), now)
    }

    fn to_lobby(edge: &mut EdgeEnd, lobby: &mut LobbyEnd, now: Instant) {
        let mut wire = Vec::new();
        edge.transmit(&mut wire);
        lobby.received(&wire, now);
    }

    fn to_edge(lobby: &mut LobbyEnd, edge: &mut EdgeEnd, now: Instant) {
        let mut wire = Vec::new();
        lobby.transmit(&mut wire);
        edge.received(&wire, now);
    }

    #[test]
    fn chat_goes_both_ways_after_a_greeting() {
        let (mut edge, mut lobby, now) = ends(Names::Any);
        edge.chat(Bytes::from_static(b"I have"));
        to_lobby(&mut edge, &mut lobby, now);
        assert_eq!(lobby.pull().unwrap(), Some(ToLobby::Hello(hello())));
        assert_eq!(lobby.pull().unwrap(), Some(ToLobby::Chat(Bytes::from_static(b"I have"))));
        lobby.tell(ToEdge::Welcome(welcome(Role::Lobby)));
        lobby.tell(ToEdge::Chat(Bytes::from_static(b"a batch")));
        to_edge(&mut lobby, &mut edge, now);
        assert_eq!(edge.pull().unwrap(), Some(ToEdge::Welcome(welcome(Role::Lobby))));
        assert_eq!(edge.pull().unwrap(), Some(ToEdge::Chat(Bytes::from_static(b"a batch"))));
        assert_eq!((edge.pull().unwrap(), lobby.pull().unwrap()), (None, None));
    }

    #[test]
    fn who_is_no_lobby_or_not_the_named_one_is_not_listened_to() {
        let other = Names::Only(vec![NodeId::parse("lobby2").unwrap()]);
        for (names, role) in [(Names::Any, Role::Balancer), (other, Role::Lobby)] {
            let (mut edge, mut lobby, now) = ends(names);
            lobby.tell(ToEdge::Welcome(welcome(role)));
            to_edge(&mut lobby, &mut edge, now);
            assert!(matches!(edge.pull(), Err(ControlError::Wire(WireError::Bad { .. }))));
        }
        let (mut edge, mut lobby, now) = ends(Names::Any);
        edge.chat(Bytes::from_static(b"x"));
        let mut wire = Vec::new();
        edge.transmit(&mut wire);
        let after_hello = wire.split_off(wire.len() - 9);
        lobby.received(&after_hello, now);
        assert!(matches!(lobby.pull(), Err(ControlError::Wire(WireError::OutOfTurn { .. }))));
    }

    #[test]
    fn what_waits_is_bounded_and_silence_is_noticed() {
        let (mut edge, mut lobby, now) = ends(Names::Any);
        assert!(lobby.takes_more());
        lobby.tell(ToEdge::Chat(vec![0; FILL_BYTES].into()));
        assert!(!lobby.takes_more());
        to_edge(&mut lobby, &mut edge, now);
        assert!(lobby.takes_more());
        let beats: Vec<bool> =
            (1..=4).map(|n| edge.tick(now + Duration::from_millis(250) * n).is_ok()).collect();
        assert_eq!(beats, [true, true, false, false]);
    }
}
