//! A publisher we did not write: rml_rtmp's handshake and `ClientSession` against our door.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use media::Track;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
    StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;
use rtmp::{Conversation, Door, Limits, Output, Refusal};
use std::time::Instant;

/// Both ends, and what came out of ours.
struct Line {
    door: Conversation,
    now: Instant,
    client: ClientSession,
    events: Vec<ClientSessionEvent>,
    outputs: Vec<Output>,
}

impl Line {
    fn shake_hands() -> Self {
        #[allow(clippy::disallowed_methods, reason = "a test has no caller to ask for the time")]
        let now = Instant::now();
        let mut door = Conversation::new(Limits::default(), [3; 32], now);
        let mut handshake = Handshake::new(PeerType::Client);
        let mut theirs = handshake.generate_outbound_p0_and_p1().unwrap();
        loop {
            door.push(&theirs, now).unwrap();
            theirs.clear();
            let Some(Output::Send(ours)) = door.pull() else { break };
            match handshake.process_bytes(&ours).unwrap() {
                HandshakeProcessResult::InProgress { response_bytes } => theirs = response_bytes,
                HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                    assert!(remaining_bytes.is_empty());
                    theirs = response_bytes;
                }
            }
        }
        let mut config = ClientSessionConfig::new();
        config.tc_url = Some("rtmp://127.0.0.11/live".into());
        let (client, first) = ClientSession::new(config).unwrap();
        let mut line = Self { door, now, client, events: Vec::new(), outputs: Vec::new() };
        line.carry(first);
        line
    }

    /// Carries what the client wants sent, and our answers back, until both are quiet.
    fn carry(&mut self, results: Vec<ClientSessionResult>) {
        let mut results = std::collections::VecDeque::from(results);
        while let Some(result) = results.pop_front() {
            match result {
                ClientSessionResult::OutboundResponse(packet) => {
                    self.door.push(&packet.bytes, self.now).unwrap()
                }
                ClientSessionResult::RaisedEvent(event) => self.events.push(event),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
            while let Some(output) = self.door.pull() {
                match output {
                    Output::Send(bytes) => results.extend(self.client.handle_input(&bytes).unwrap()),
                    other => self.outputs.push(other),
                }
            }
        }
    }

    fn ask(&mut self, key: &str) {
        let connect = self.client.request_connection("live".into()).unwrap();
        self.carry(vec![connect]);
        assert_eq!(self.events.pop(), Some(ClientSessionEvent::ConnectionRequestAccepted));
        let publish = self.client.request_publishing(key.into(), PublishRequestType::Live).unwrap();
        self.carry(vec![publish]);
        let Some(Output::Publish(asked)) = self.outputs.pop() else { panic!("nothing asked") };
        assert_eq!((asked.app.name.as_str(), asked.name.reveal()), ("live", key));
    }

    fn answer(&mut self, answer: impl FnOnce(&mut Conversation, Instant)) {
        answer(&mut self.door, self.now);
        let Some(Output::Send(bytes)) = self.door.pull() else { panic!("nothing answered") };
        let results = self.client.handle_input(&bytes).unwrap();
        self.carry(results);
    }
}

#[test]
fn rml_rtmp_publishes() {
    let mut line = Line::shake_hands();
    line.ask("tidal-bore");
    line.answer(|door, now| door.accept(now));
    assert_eq!(line.events.pop(), Some(ClientSessionEvent::PublishRequestAccepted));
    let mut metadata = StreamMetadata::new();
    metadata.encoder = Some("a test".into());
    let result = line.client.publish_metadata(&metadata).unwrap();
    line.carry(vec![result]);
    assert!(
        matches!(&line.outputs[..], [Output::Metadata(told)] if told.encoder.as_deref() == Some("a test"))
    );
    line.outputs.clear();
    // 9 s in steps of 33 ms, from a moment before time stamps need four more bytes; past the acknowledgement window.
    let times: Vec<u32> = (0..270).map(|i| 0x00ff_f000 + i * 33).collect();
    for (i, &time) in times.iter().enumerate() {
        let body = bytes::Bytes::from(vec![i as u8; 20_000 - i]);
        let video = line.client.publish_video_data(body, RtmpTimestamp::new(time), i % 2 == 0).unwrap();
        let body = bytes::Bytes::from(vec![i as u8; 300]);
        let audio = line.client.publish_audio_data(body, RtmpTimestamp::new(time), false).unwrap();
        line.carry(vec![video, audio]);
    }
    let heard: Vec<_> = line
        .outputs
        .iter()
        .map(|output| match output {
            Output::Media { track, timestamp_ms, body } => (*track, *timestamp_ms, body.len(), body[0]),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<_> = times
        .iter()
        .enumerate()
        .flat_map(|(i, &t)| [(Track::Video, t, 20_000 - i, i as u8), (Track::Audio, t, 300, i as u8)])
        .collect();
    assert!(heard == expected, "{} of {} messages", heard.len(), expected.len());
    let acknowledged: Vec<_> = line
        .events
        .iter()
        .filter(|event| matches!(event, ClientSessionEvent::AcknowledgementReceived { .. }))
        .collect();
    assert_eq!(acknowledged.len(), 2, "5.3 MB in windows of 2.5 MB: {acknowledged:?}");
}

#[test]
fn rml_rtmp_is_refused_in_words() {
    let mut line = Line::shake_hands();
    line.ask("tidal-bore");
    line.answer(|door, _| door.refuse(Refusal::in_use()));
    let told = format!("{:?}", line.events);
    assert!(told.contains("NetStream.Publish.BadName"), "{told}");
}
