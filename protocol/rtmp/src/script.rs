//! A scripted publisher: what an encoder sends, as bytes, to be cut and spoilt at will.
//!
//! Lives here: the client's side, only as far as tests, fuzzing and benches of any floor above need it. Does not live
//! here: a client that listens to the answers.

use crate::amf0::Writer;
use crate::{ChunkWriter, Message, MessageKind, MessageStream};
use media::Track;

/// C0, C1 and C2, with nothing random in them.
pub fn handshake() -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.extend([0; 8]);
    bytes.resize(1 + 2 * 1536, 0x5a);
    bytes
}

/// A command on the connection itself.
pub fn command(body: Writer) -> Message {
    message(MessageKind::CommandAmf0, 0, 0, body.into_bytes())
}

/// A protocol control message that says one number.
pub fn control(kind: MessageKind, number: u32) -> Message {
    message(kind, 0, 0, number.to_be_bytes().to_vec())
}

/// Sound or pictures.
pub fn media(track: Track, timestamp_ms: u32, body: Vec<u8>) -> Message {
    let kind = match track {
        Track::Audio => MessageKind::Audio,
        Track::Video => MessageKind::Video,
    };
    message(kind, 1, timestamp_ms, body)
}

/// Any message.
pub fn message(kind: MessageKind, stream: u32, timestamp_ms: u32, body: Vec<u8>) -> Message {
    Message { kind, stream: MessageStream(stream), timestamp_ms, body: body.into() }
}

/// `connect` as ffmpeg words it.
pub fn connect(app: &str) -> Message {
    let mut body = Writer::new();
    body.text("connect").number(1.0).object().key("app").text(app).key("type").text("nonprivate");
    body.key("flashVer").text("FMLE/3.0 (compatible; Lavf59.27.100)");
    body.key("tcUrl").text(&format!("rtmp://127.0.0.11:1935/{app}")).end();
    command(body)
}

/// A command with a name and a transaction, a null, and a text if there is one.
pub fn call(name: &str, transaction: f64, text: Option<&str>) -> Message {
    let mut body = Writer::new();
    body.text(name).number(transaction).null();
    if let Some(text) = text {
        body.text(text);
    }
    command(body)
}

/// `publish`.
pub fn publish(name: &str) -> Message {
    let mut body = Writer::new();
    body.text("publish").number(0.0).null().text(name).text("live");
    message(MessageKind::CommandAmf0, 1, 0, body.into_bytes())
}

/// `@setDataFrame`, `onMetaData`, and what OBS says of itself.
pub fn metadata() -> Message {
    let mut body = Writer::new();
    body.text("@setDataFrame")
        .text("onMetaData")
        .object()
        .key("width")
        .number(1280.0)
        .key("height")
        .number(720.0);
    body.key("framerate").number(30.0).key("videocodecid").number(7.0).key("audiocodecid").number(10.0);
    body.key("encoder").text("obs-output module (libobs version 30.2.2)").end();
    message(MessageKind::DataAmf0, 1, 0, body.into_bytes())
}

/// All that comes before `publish` is answered, from the first byte on, in chunks of this writer.
pub fn opening(app: &str, name: &str, chunks: &ChunkWriter) -> Vec<u8> {
    let mut bytes = handshake();
    for message in [
        connect(app),
        call("releaseStream", 2.0, Some(name)),
        call("FCPublish", 3.0, Some(name)),
        call("createStream", 4.0, None),
        publish(name),
    ] {
        chunks.write(3, &message, &mut bytes);
    }
    bytes
}

/// A chunk writer's new chunk size, and the message that announces it in chunks of the old.
pub fn set_chunk_size(chunks: &mut ChunkWriter, size: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    chunks.write(2, &control(MessageKind::SetChunkSize, size), &mut bytes);
    chunks.set_chunk_size(size);
    bytes
}

/// The body of an AVC sequence header: 320x180 High, as libx264 makes it.
pub fn avc_config() -> Vec<u8> {
    let mut body = vec![0x17, 0, 0, 0, 0];
    body.extend([
        1, 0x64, 0, 0x0c, 0xff, 0xe1, 0, 5, 0x67, 0x64, 0, 0x0c, 0xac, 1, 0, 4, 0x68, 0xee, 0x3c, 0x80,
    ]);
    body
}

/// The body of an AVC access unit: one slice of so many bytes after its length.
pub fn avc_unit(is_sync: bool, composition_ms: i32, slice_bytes: usize) -> Vec<u8> {
    let [_, a, b, c] = composition_ms.to_be_bytes();
    let mut body = vec![if is_sync { 0x17 } else { 0x27 }, 1, a, b, c];
    body.extend((slice_bytes.max(1) as u32).to_be_bytes());
    body.push(if is_sync { 0x65 } else { 0x41 });
    body.resize(9 + slice_bytes.max(1), 0x88);
    body
}

/// The body of an AAC sequence header: LC, 48 kHz, stereo.
pub fn aac_config() -> Vec<u8> {
    vec![0xaf, 0, 0x11, 0x90]
}

/// The body of an AAC frame of so many bytes.
pub fn aac_unit(frame_bytes: usize) -> Vec<u8> {
    let mut body = vec![0xaf, 1];
    body.resize(2 + frame_bytes, 0x21);
    body
}
