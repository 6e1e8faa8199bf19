//! Writes the orders a parent would give for a file, for the benches: `orders FILE [RUNG…] > orders`, a rung as settings
//! write it (`720p 2.5M`).

use ffmpeg_next::{self as ffmpeg, codec, media::Type};
use ladder::{Begin, Ladder, Message, Order, SourceShape, Step};
use media::{AccessUnit, AudioConfig, BroadcastId, MediaSequence, MediaSpan, MediaTime, Track, VideoConfig};
use std::io::Write;

/// What an MP4 or FLV file has in front of a stream's units.
fn record(parameters: &codec::Parameters) -> Vec<u8> {
    // SAFETY: extradata points at extradata_size bytes that live as long as the parameters.
    unsafe {
        let parameters = parameters.as_ptr();
        let len = usize::try_from((*parameters).extradata_size).unwrap_or(0);
        std::slice::from_raw_parts((*parameters).extradata, len).to_vec()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let file = words.next().ok_or("orders FILE [RUNG…]")?;
    let steps = words.map(|text| text.parse::<Step>()).collect::<Result<Vec<_>, _>>()?;
    ffmpeg::init()?;
    let mut input = ffmpeg::format::input(&file)?;
    let of = |kind| input.streams().find(|stream| stream.parameters().medium() == kind);
    let (video, audio) = (of(Type::Video).ok_or("no pictures")?, of(Type::Audio).ok_or("no sound")?);
    let (video_at, audio_at) = (video.index(), audio.index());
    let config = VideoConfig::parse(record(&video.parameters()).into())?;
    let sound = AudioConfig::parse(record(&audio.parameters()).into())?;
    let bases = [video.time_base(), audio.time_base()];
    let epoch = 1_700_000_000 * 90_000_u64;
    let ladder = Ladder { copy: false, steps };
    let rungs = ladder.rungs(Some(&SourceShape::of(&config)?), true);
    let begin = Begin {
        broadcast: BroadcastId::parse("bench")?,
        segment: MediaSpan::from_secs(2),
        from: MediaSequence(0),
        rungs,
        video: Some(config),
        audio: Some(sound),
    };
    let mut out = Vec::new();
    Order::Begin(begin).encode(&mut out)?;
    for (stream, packet) in input.packets() {
        let (track, base) = match stream.index() {
            at if at == video_at => (Track::Video, bases[0]),
            at if at == audio_at => (Track::Audio, bases[1]),
            _ => continue,
        };
        let ticks = |time: i64| {
            let ticks = time * 90_000 * i64::from(base.numerator()) / i64::from(base.denominator());
            MediaTime::from_ticks(epoch.saturating_add_signed(ticks))
        };
        let unit = AccessUnit {
            track,
            decode_time: ticks(packet.dts().unwrap_or_default()),
            presentation_time: ticks(packet.pts().unwrap_or_default()),
            duration: ticks(packet.duration()).saturating_since(ticks(0)),
            is_sync: packet.is_key(),
            payload: packet.data().unwrap_or_default().to_vec().into(),
        };
        Order::Unit(unit).encode(&mut out)?;
    }
    Order::End.encode(&mut out)?;
    std::io::stdout().write_all(&out)?;
    Ok(())
}
