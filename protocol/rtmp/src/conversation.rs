//! One publisher's connection, from the first byte of the handshake to the farewell.
//!
//! Lives here: which message may come when, what is answered, how long we wait. Does not live here: how messages are
//! read (`chunk`, `amf0`, `command`) or worded (`reply`).
//!
//! ```text
//!  Handshaking ──▶ Greeting ──connect──▶ Connected ──publish──▶ Asking ──accept──▶ Publishing
//!       └──────────────┴──────────────────────┴──────────────────┴─────────────────────┴──▶ Over
//! ```

use crate::command::{Command, Connect, Transaction};
use crate::door::{Door, DoorError, Farewell, Output, PublishRequest, Refusal};
use crate::limits::{
    AGGREGATED_MESSAGES, COMMANDS_BEFORE_PUBLISH, Limits, QUEUED_BYTES, QUEUED_OVERHEAD, UNSENT_BYTES,
};
use crate::reply::{Level, Reply, WINDOW_BYTES};
use crate::{
    Caps, ChunkReader, Handshake, Message, MessageKind, MessageStream, Metadata, Query, Secret, UserControl,
};
use media::Track;
use std::collections::VecDeque;
use std::time::Instant;

/// The only message stream we create; who asks for more gets it again.
const STREAM: MessageStream = MessageStream(1);

/// [`Door`], as the house builds it.
#[derive(Debug)]
pub struct Conversation {
    limits: Limits,
    state: State,
    chunks: ChunkReader,
    reply: Reply,
    out: VecDeque<Output>,
    /// Bytes of media in `out`, each with its overhead.
    queued_bytes: usize,
    /// Bytes of what `connect` and `publish` named, until the caller has it.
    named_bytes: usize,
    commands: u32,
    received: Received,
}

/// Where one publisher stands. Each state holds what is known there and nothing else.
#[derive(Debug)]
enum State {
    Handshaking {
        handshake: Handshake,
        until: Instant,
    },
    Greeting {
        until: Instant,
    },
    Connected {
        connect: Box<Connect>,
        until: Instant,
    },
    /// The caller has been asked whether this publish is all right. Its time is not the publisher's fault.
    Asking,
    Publishing {
        heard: Instant,
    },
    Over,
}

/// Bytes received, for the acknowledgements (5.4.3). The handshake counts.
#[derive(Debug)]
struct Received {
    bytes: u64,
    acknowledged: u64,
    window: u32,
}

impl Conversation {
    /// A connection that was opened now. The 32 bytes are the randomness of S1; see [`Handshake::new`].
    pub fn new(limits: Limits, nonce: [u8; 32], now: Instant) -> Self {
        let until = now + limits.handshake_within;
        Self {
            limits,
            state: State::Handshaking { handshake: Handshake::new(nonce), until },
            chunks: ChunkReader::new(Caps::UNPUBLISHED),
            reply: Reply::default(),
            out: VecDeque::new(),
            queued_bytes: 0,
            named_bytes: 0,
            commands: 0,
            received: Received { bytes: 0, acknowledged: 0, window: WINDOW_BYTES },
        }
    }

    /// True between an accept and the end.
    pub fn is_publishing(&self) -> bool {
        matches!(self.state, State::Publishing { .. })
    }

    fn read(&mut self, mut input: &[u8], now: Instant) -> Result<(), DoorError> {
        if let State::Handshaking { handshake, .. } = &mut self.state {
            handshake.push(&mut input, self.reply.raw())?;
            if !handshake.is_complete() {
                return Ok(());
            }
            self.state = State::Greeting { until: now + self.limits.publish_within };
        }
        while !self.is_over()
            && let Some(message) = self.chunks.read(&mut input)?
        {
            self.message(message)?;
            let held = self.reply.unsent();
            if held > UNSENT_BYTES && !self.is_over() {
                return Err(DoorError::TooManyQuestions { held, limit: UNSENT_BYTES });
            }
        }
        Ok(())
    }

    fn message(&mut self, message: Message) -> Result<(), DoorError> {
        match message.kind {
            MessageKind::Audio => self.media(Track::Audio, message),
            MessageKind::Video => self.media(Track::Video, message),
            MessageKind::Aggregate => self.aggregate(&message),
            MessageKind::DataAmf0 | MessageKind::DataAmf3 => self.metadata(&message),
            MessageKind::CommandAmf0 | MessageKind::CommandAmf3 => self.command(&message),
            MessageKind::UserControl => {
                if let Some(UserControl::PingRequest(stamp)) = UserControl::parse(&message.body) {
                    self.reply.user_control(UserControl::PingResponse(stamp));
                }
                Ok(())
            }
            MessageKind::WindowAcknowledgementSize => {
                // A window of nothing would have us acknowledge without end; once per push is often enough.
                self.received.window = message.number().unwrap_or(WINDOW_BYTES).max(1);
                Ok(())
            }
            // Theirs to count, or nothing to us.
            MessageKind::Acknowledgement
            | MessageKind::SetPeerBandwidth
            | MessageKind::SetChunkSize
            | MessageKind::Abort
            | MessageKind::Other(_) => Ok(()),
        }
    }

    fn media(&mut self, track: Track, message: Message) -> Result<(), DoorError> {
        let State::Publishing { .. } = self.state else { return Err(DoorError::MediaUnasked) };
        // Encoders do send empty ones, when they have nothing to say.
        if message.body.is_empty() {
            return Ok(());
        }
        let held = self.queued_bytes + message.body.len() + QUEUED_OVERHEAD;
        if held > QUEUED_BYTES {
            return Err(DoorError::NotPulled { held, limit: QUEUED_BYTES });
        }
        self.queued_bytes = held;
        self.out.push_back(Output::Media { track, timestamp_ms: message.timestamp_ms, body: message.body });
        Ok(())
    }

    fn aggregate(&mut self, aggregate: &Message) -> Result<(), DoorError> {
        let State::Publishing { .. } = self.state else { return Err(DoorError::MediaUnasked) };
        let len = aggregate.body.len();
        let inside = aggregate.split().ok_or(DoorError::Aggregate { len, limit: AGGREGATED_MESSAGES })?;
        for message in inside {
            match message.kind {
                MessageKind::Audio => self.media(Track::Audio, message)?,
                MessageKind::Video => self.media(Track::Video, message)?,
                MessageKind::DataAmf0 => self.metadata(&message)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Metadata is a courtesy: what cannot be read of it is passed over, and so is all of it before a publish.
    fn metadata(&mut self, message: &Message) -> Result<(), DoorError> {
        if self.is_publishing()
            && let Ok(Some(metadata)) = Metadata::parse(amf0(message))
        {
            let held = self.queued_bytes + METADATA_BYTES + QUEUED_OVERHEAD;
            if held > QUEUED_BYTES {
                return Err(DoorError::NotPulled { held, limit: QUEUED_BYTES });
            }
            self.queued_bytes = held;
            self.out.push_back(Output::Metadata(Box::new(metadata)));
        }
        Ok(())
    }

    fn command(&mut self, message: &Message) -> Result<(), DoorError> {
        if !self.is_publishing() {
            self.commands += 1;
            if self.commands > COMMANDS_BEFORE_PUBLISH {
                return Err(DoorError::TooManyCommands { limit: COMMANDS_BEFORE_PUBLISH });
            }
        }
        let (transaction, command) = Command::parse(amf0(message))?;
        if matches!(self.state, State::Greeting { .. }) && !matches!(command, Command::Connect(_)) {
            return Err(DoorError::OutOfOrder { command: "a command", place: "before connect" });
        }
        match command {
            Command::Connect(connect) => self.connect(transaction, connect)?,
            Command::ReleaseStream | Command::FcPublish => self.reply.result(transaction),
            Command::CreateStream => self.reply.stream_created(transaction, STREAM),
            Command::Publish { name, query } => self.publish(name, query),
            Command::Unpublish => self.unpublish(),
            Command::Play => self.refuse(Refusal::play()),
            Command::Other if transaction != 0.0 => {
                self.reply.error(transaction, "NetConnection.Call.Failed", "this command is not known here");
            }
            Command::Other => {}
        }
        Ok(())
    }

    fn connect(&mut self, transaction: Transaction, connect: Box<Connect>) -> Result<(), DoorError> {
        let State::Greeting { until } = self.state else {
            return Err(DoorError::OutOfOrder { command: "connect", place: "after connect" });
        };
        if connect.app.name.is_empty() {
            let refusal = Refusal::new("NetConnection.Connect.InvalidApp", "the URL names no application");
            self.reply.error(transaction, &refusal.code, &refusal.description);
            self.over(Farewell::Refused(refusal));
            return Ok(());
        }
        self.reply.connected(transaction, connect.four_cc_list.is_some());
        self.named_bytes = connect.held_bytes();
        self.state = State::Connected { connect, until };
        Ok(())
    }

    fn publish(&mut self, name: Secret, query: Query) {
        let State::Connected { connect, .. } = &mut self.state else {
            self.refuse(Refusal::second_publish());
            return;
        };
        if name.reveal().is_empty() {
            self.refuse(Refusal::new("NetStream.Publish.BadName", "no stream name was given"));
            return;
        }
        let Connect { app, tc_url, flash_version, four_cc_list } = std::mem::take(&mut **connect);
        let request = PublishRequest { app, name, query, tc_url, flash_version, four_cc_list };
        self.named_bytes +=
            size_of::<PublishRequest>() + request.name.held_bytes() + request.query.held_bytes();
        self.state = State::Asking;
        self.out.push_back(Output::Publish(Box::new(request)));
    }

    fn unpublish(&mut self) {
        // Before a publish it is a client tidying up after nobody, and changes nothing.
        if matches!(self.state, State::Publishing { .. } | State::Asking) {
            self.reply.status(STREAM, Level::Status, "NetStream.Unpublish.Success", "The broadcast is over.");
            self.over(Farewell::Unpublished);
        }
    }

    fn acknowledge(&mut self) {
        let received = &mut self.received;
        if !matches!(self.state, State::Handshaking { .. } | State::Over)
            && received.bytes - received.acknowledged >= u64::from(received.window)
        {
            received.acknowledged = received.bytes;
            self.reply.acknowledgement(received.bytes);
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    fn over(&mut self, farewell: Farewell) {
        if !self.is_over() {
            self.state = State::Over;
            self.chunks = ChunkReader::new(Caps::UNPUBLISHED);
            self.out.push_back(Output::Over(farewell));
        }
    }
}

/// The most heap that [`Metadata`] takes: itself, and three texts of 128 bytes, lossily three times as long.
const METADATA_BYTES: usize = size_of::<Metadata>() + 3 * 384;

/// The AMF0 in a message. AMF3 messages have a zero byte before it, and nobody has been seen to send real AMF3.
fn amf0(message: &Message) -> &[u8] {
    match (message.kind, message.body.split_first()) {
        (MessageKind::CommandAmf3 | MessageKind::DataAmf3, Some((0, rest))) => rest,
        _ => &message.body,
    }
}

impl Door for Conversation {
    fn push(&mut self, bytes: &[u8], now: Instant) -> Result<(), DoorError> {
        if let State::Handshaking { until, .. } | State::Greeting { until } | State::Connected { until, .. } =
            self.state
            && now >= until
        {
            self.expired(now);
        }
        if self.is_over() {
            return Ok(());
        }
        self.received.bytes += bytes.len() as u64;
        if let State::Publishing { heard } = &mut self.state {
            *heard = now;
        }
        let told = self.read(bytes, now);
        match &told {
            Ok(()) => self.acknowledge(),
            Err(error) => self.over(Farewell::Fault(error.clone())),
        }
        told
    }

    fn pull(&mut self) -> Option<Output> {
        if let Some(unsent) = self.reply.take() {
            return Some(Output::Send(unsent.into()));
        }
        let output = self.out.pop_front();
        match &output {
            Some(Output::Media { body, .. }) => self.queued_bytes -= body.len() + QUEUED_OVERHEAD,
            Some(Output::Metadata(_)) => self.queued_bytes -= METADATA_BYTES + QUEUED_OVERHEAD,
            Some(Output::Publish(_)) => self.named_bytes = 0,
            // A burst must not be paid for ever after.
            None if self.out.capacity() > 64 => self.out = VecDeque::new(),
            _ => {}
        }
        output
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Handshaking { until, .. } | State::Greeting { until } | State::Connected { until, .. } => {
                Some(*until)
            }
            State::Publishing { heard } => Some(*heard + self.limits.silent_after),
            State::Asking | State::Over => None,
        }
    }

    fn expired(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Handshaking { .. } => self.over(Farewell::HandshakeTooSlow(self.limits.handshake_within)),
            State::Greeting { .. } | State::Connected { .. } => {
                self.over(Farewell::NothingPublished(self.limits.publish_within));
            }
            State::Publishing { .. } => self.over(Farewell::Silent(self.limits.silent_after)),
            State::Asking | State::Over => {}
        }
    }

    fn accept(&mut self, now: Instant) {
        if matches!(self.state, State::Asking) {
            self.state = State::Publishing { heard: now };
            self.chunks.set_caps(Caps::PUBLISHING);
            self.reply.user_control(UserControl::StreamBegin(STREAM));
            self.reply.status(STREAM, Level::Status, "NetStream.Publish.Start", "Publishing has begun.");
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        if !self.is_over() {
            self.reply.status(STREAM, Level::Error, &refusal.code, &refusal.description);
            self.over(Farewell::Refused(refusal));
        }
    }

    fn held_bytes(&self) -> usize {
        let handshake = match &self.state {
            State::Handshaking { handshake, .. } => handshake.held_bytes(),
            _ => 0,
        };
        let queue = self.out.capacity() * size_of::<Output>();
        let waiting = self.queued_bytes.max(queue) + self.named_bytes;
        self.chunks.held_bytes() + self.reply.held_bytes() + handshake + waiting
    }
}
