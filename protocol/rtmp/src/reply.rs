//! What we say to a publisher.
//!
//! Lives here: the bodies of our commands and control messages, and their chunks. Does not live here: when they are
//! said (`conversation`).

use crate::amf0::Writer;
use crate::{ChunkWriter, Message, MessageKind, MessageStream, Transaction, UserControl};
use std::fmt;

/// The chunk stream of protocol control messages (5.4), and one for everything else.
const CONTROL: u8 = 2;
const COMMANDS: u8 = 3;

/// We ask for an acknowledgement, and are asked for one, every so many bytes, until told otherwise.
pub(crate) const WINDOW_BYTES: u32 = 2_500_000;

/// Our chunks: every answer fits into one.
const CHUNK_SIZE: u32 = 4096;

/// Bytes waiting to be sent, and the writer that knows their chunk size.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    chunks: ChunkWriter,
    unsent: Vec<u8>,
}

/// The two levels of an `onStatus` (7.2.2).
#[derive(Clone, Copy)]
pub(crate) enum Level {
    Status,
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => "status",
            Self::Error => "error",
        })
    }
}

impl Reply {
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.unsent.capacity()
    }

    /// For what is not chunks: the handshake.
    pub(crate) fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.unsent
    }

    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        (!self.unsent.is_empty()).then(|| std::mem::take(&mut self.unsent))
    }

    pub(crate) fn acknowledgement(&mut self, received: u64) {
        // "The number of bytes received so far" (5.4.3), in the 32 bits there are.
        self.control(MessageKind::Acknowledgement, &(received as u32).to_be_bytes());
    }

    pub(crate) fn user_control(&mut self, event: UserControl) {
        if let Some(body) = event.body() {
            self.control(MessageKind::UserControl, &body);
        }
    }

    /// The answer to `connect` (7.2.1.1). Enhanced RTMP wants the codecs that we take by FourCC if they told theirs:
    /// an empty list, which is the truth.
    pub(crate) fn connected(&mut self, transaction: Transaction, is_enhanced: bool) {
        self.control(MessageKind::WindowAcknowledgementSize, &WINDOW_BYTES.to_be_bytes());
        let [a, b, c, d] = WINDOW_BYTES.to_be_bytes();
        const DYNAMIC: u8 = 2;
        self.control(MessageKind::SetPeerBandwidth, &[a, b, c, d, DYNAMIC]);
        self.control(MessageKind::SetChunkSize, &CHUNK_SIZE.to_be_bytes());
        self.chunks.set_chunk_size(CHUNK_SIZE);
        let mut body = Writer::new();
        body.text("_result").number(transaction);
        body.object().key("fmsVer").text("FMS/3,0,1,123").key("capabilities").number(31.0).end();
        body.object().key("level").text("status").key("code").text("NetConnection.Connect.Success");
        body.key("description").text("Connection succeeded.").key("objectEncoding").number(0.0);
        if is_enhanced {
            body.key("fourCcList").array(0).end();
        }
        body.end();
        self.command(MessageStream(0), body);
    }

    pub(crate) fn result(&mut self, transaction: Transaction) {
        let mut body = Writer::new();
        body.text("_result").number(transaction).null().undefined();
        self.command(MessageStream(0), body);
    }

    pub(crate) fn stream_created(&mut self, transaction: Transaction, stream: MessageStream) {
        let mut body = Writer::new();
        body.text("_result").number(transaction).null().number(f64::from(stream.0));
        self.command(MessageStream(0), body);
    }

    /// `_error` to a command nobody knows, or to a `connect` that names nothing.
    pub(crate) fn error(&mut self, transaction: Transaction, code: &str, description: &str) {
        let mut body = Writer::new();
        body.text("_error").number(transaction).null();
        information(&mut body, Level::Error, code, description);
        self.command(MessageStream(0), body);
    }

    pub(crate) fn status(&mut self, stream: MessageStream, level: Level, code: &str, description: &str) {
        let mut body = Writer::new();
        body.text("onStatus").number(0.0).null();
        information(&mut body, level, code, description);
        self.command(stream, body);
    }

    fn command(&mut self, stream: MessageStream, body: Writer) {
        let body = body.into_bytes().into();
        let message = Message { kind: MessageKind::CommandAmf0, stream, timestamp_ms: 0, body };
        self.chunks.write(COMMANDS, &message, &mut self.unsent);
    }

    fn control(&mut self, kind: MessageKind, body: &[u8]) {
        let body = body.to_vec().into();
        let message = Message { kind, stream: MessageStream(0), timestamp_ms: 0, body };
        self.chunks.write(CONTROL, &message, &mut self.unsent);
    }
}

fn information(body: &mut Writer, level: Level, code: &str, description: &str) {
    body.object().key("level").text(&level.to_string()).key("code").text(code);
    body.key("description").text(description).end();
}
