//! One run against a door, and what came out of it.

use media::Track;
use rtmp::script;
use rtmp::{ChunkWriter, Conversation, Door, Farewell, Limits, Message, Output, PublishRequest};
use std::time::{Duration, Instant};

/// One run against one implementation: pushes in pieces, pulls after each, and keeps what came out.
pub(crate) struct Visit<D> {
    pub(crate) door: D,
    pub(crate) now: Instant,
    pub(crate) sent: Vec<u8>,
    pub(crate) asked: Option<Box<PublishRequest>>,
    pub(crate) media: Vec<(Track, u32, Vec<u8>)>,
    pub(crate) metadata: usize,
    pub(crate) over: Option<Farewell>,
    pub(crate) most_held: usize,
}

pub(crate) fn conversation() -> Visit<Conversation> {
    #[allow(clippy::disallowed_methods, reason = "a test has no caller to ask for the time")]
    let now = Instant::now();
    Visit::new(Conversation::new(Limits::default(), [9; 32], now), now)
}

impl<D: Door> Visit<D> {
    fn new(door: D, now: Instant) -> Self {
        let media = Vec::new();
        Self { door, now, sent: Vec::new(), asked: None, media, metadata: 0, over: None, most_held: 0 }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> &mut Self {
        self.push_cut(bytes, 4096)
    }

    pub(crate) fn push_cut(&mut self, bytes: &[u8], cut: usize) -> &mut Self {
        for piece in bytes.chunks(cut) {
            let told = self.door.push(piece, self.now);
            self.most_held = self.most_held.max(self.door.held_bytes());
            self.pull();
            assert!(
                told.is_ok() || matches!(self.over, Some(Farewell::Fault(_))),
                "{told:?}, {:?}",
                self.over
            );
        }
        self
    }

    pub(crate) fn pull(&mut self) {
        while let Some(output) = self.door.pull() {
            assert!(self.over.is_none(), "{output:?} after the farewell");
            match output {
                Output::Send(bytes) => self.sent.extend(bytes),
                Output::Publish(request) => self.asked = Some(request),
                Output::Media { track, timestamp_ms, body } => {
                    self.media.push((track, timestamp_ms, body.to_vec()))
                }
                Output::Metadata(_) => self.metadata += 1,
                Output::Over(farewell) => self.over = Some(farewell),
            }
        }
    }

    pub(crate) fn messages(&mut self, chunks: &ChunkWriter, messages: &[Message]) -> &mut Self {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| chunks.write(4, message, &mut bytes));
        self.push(&bytes)
    }

    pub(crate) fn publish(&mut self, chunks: &ChunkWriter) -> &mut Self {
        self.push(&script::opening("live", "tidal-bore?key=secret", chunks));
        assert!(self.asked.is_some(), "nobody asked: {:?}", self.over);
        self.door.accept(self.now);
        self.pull();
        self
    }

    pub(crate) fn after(&mut self, wait: Duration) -> &mut Self {
        self.now += wait;
        if self.door.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.door.expired(self.now);
        }
        self.pull();
        self
    }

    pub(crate) fn fault(&self) -> String {
        match &self.over {
            Some(Farewell::Fault(error)) => error.to_string(),
            other => panic!("no fault but {other:?}"),
        }
    }

    /// The body of each command we sent that has this name.
    pub(crate) fn was_told(&self, text: &str) -> bool {
        self.sent.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

pub(crate) fn plain() -> ChunkWriter {
    ChunkWriter::default()
}
