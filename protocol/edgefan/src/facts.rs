//! The ground's values on the wire: object keys, stream facts.

use crate::WireError;
use crate::hello::{at_most, clip};
use crate::limits::RENDITIONS;
use crate::tlv::{Field, Fields, Writer};
use media::{
    AudioShape, BitRate, BroadcastId, FrameRate, MediaSequence, MediaSpan, ObjectKey, ObjectKind, PartIndex,
    Rendition, RenditionId, RunId, StreamFacts, VideoShape,
};

pub(crate) const NAME_ALLOWED: &str = "letters, digits, '-' and '_'";

pub(crate) fn write_key(key: &ObjectKey, w: &mut Writer<'_>) {
    w.text(1, key.broadcast.as_str());
    w.number(2, key.run.0);
    w.text(3, key.rendition.as_str());
    w.number(4, key.sequence.0);
    if let Some(part) = key.part {
        w.number(5, u64::from(part.0));
    }
    w.number(6, key.kind as u64);
}

pub(crate) fn read_key(what: &'static str, mut fields: Fields<'_>) -> Result<ObjectKey, WireError> {
    let (mut broadcast, mut run, mut rendition, mut sequence) = (None, None, None, None);
    let (mut part, mut kind) = (None, None);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => broadcast = Some(field.parse("broadcast", NAME_ALLOWED)?),
            2 => run = Some(RunId(field.number()?)),
            3 => rendition = Some(field.parse("rendition", NAME_ALLOWED)?),
            4 => sequence = Some(MediaSequence(field.number()?)),
            5 => part = Some(PartIndex(field.number_to("part", u64::from(u16::MAX))? as u16)),
            6 => kind = Some(read_kind(&field)?),
            _ => {}
        }
    }
    let missing = |field| WireError::Missing { what, field };
    let kind = kind.ok_or_else(|| missing("kind"))?;
    if part.is_some() != (kind == ObjectKind::Part) {
        return Err(missing("part, or a part too much"));
    }
    Ok(ObjectKey {
        broadcast: broadcast.ok_or_else(|| missing("broadcast"))?,
        run: run.ok_or_else(|| missing("run"))?,
        rendition: rendition.ok_or_else(|| missing("rendition"))?,
        sequence: sequence.ok_or_else(|| missing("sequence"))?,
        part,
        kind,
    })
}

pub(crate) fn read_kind(field: &Field<'_>) -> Result<ObjectKind, WireError> {
    u8::try_from(field.number()?)
        .ok()
        .and_then(ObjectKind::from_wire)
        .ok_or_else(|| field.bad("kind", "1 to 5"))
}

pub(crate) fn write_stream(facts: &StreamFacts, w: &mut Writer<'_>) {
    w.text(1, facts.broadcast.as_str());
    w.number(2, facts.run.0);
    w.number(3, facts.segment.ticks());
    w.number(4, u64::from(facts.window));
    w.number_unless_zero(5, u64::from(facts.has_ended));
    for rendition in facts.renditions.iter().take(RENDITIONS) {
        w.group(6, |w| write_rendition(rendition, w));
    }
}

fn write_rendition(rendition: &Rendition, w: &mut Writer<'_>) {
    w.text(1, rendition.id.as_str());
    w.number_unless_zero(2, rendition.peak.0);
    w.number_unless_zero(3, rendition.average.0);
    if let Some(video) = &rendition.video {
        w.group(4, |w| {
            w.number(1, u64::from(video.width));
            w.number(2, u64::from(video.height));
            w.number(3, u64::from(video.frame_rate.0));
            w.text(4, clip(&video.codec));
        });
    }
    if let Some(audio) = &rendition.audio {
        w.group(5, |w| {
            w.number(1, u64::from(audio.sample_rate));
            w.number(2, u64::from(audio.channels));
            w.text(3, clip(&audio.codec));
        });
    }
}

const STREAM: &str = "STREAM";

pub(crate) fn read_stream(payload: &[u8]) -> Result<StreamFacts, WireError> {
    let (mut broadcast, mut run, mut segment, mut window) = (None, None, None, None);
    let (mut has_ended, mut renditions) = (false, Vec::new());
    let mut fields = Fields::new(STREAM, payload);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => broadcast = Some(field.parse::<BroadcastId>("broadcast", NAME_ALLOWED)?),
            2 => run = Some(RunId(field.number()?)),
            3 => segment = Some(read_segment(&field)?),
            4 => window = Some(field.number_to("window", crate::limits::SPAN_SEQUENCES / 4)? as u32),
            5 => has_ended = field.number()? != 0,
            6 => {
                renditions.push(read_rendition(field.group())?);
                at_most(STREAM, "renditions", renditions.len(), RENDITIONS)?;
            }
            _ => {}
        }
    }
    let missing = |field| WireError::Missing { what: STREAM, field };
    Ok(StreamFacts {
        broadcast: broadcast.ok_or_else(|| missing("broadcast"))?,
        run: run.ok_or_else(|| missing("run"))?,
        segment: segment.ok_or_else(|| missing("segment duration"))?,
        window: window.ok_or_else(|| missing("window"))?,
        renditions,
        has_ended,
    })
}

fn read_segment(field: &Field<'_>) -> Result<MediaSpan, WireError> {
    let span = MediaSpan::from_ticks(field.number()?);
    match media::Grid::new(span) {
        Some(_) => Ok(span),
        None => Err(field.bad("segment duration", "0.5 s to 20 s, in 90 kHz ticks")),
    }
}

fn read_rendition(mut fields: Fields<'_>) -> Result<Rendition, WireError> {
    let mut id = None::<RenditionId>;
    let (mut video, mut audio, mut peak, mut average) = (None, None, BitRate(0), BitRate(0));
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => id = Some(field.parse("rendition", NAME_ALLOWED)?),
            2 => peak = BitRate(field.number()?),
            3 => average = BitRate(field.number()?),
            4 => video = Some(read_video(field.group())?),
            5 => audio = Some(read_audio(field.group())?),
            _ => {}
        }
    }
    let id = id.ok_or(WireError::Missing { what: STREAM, field: "rendition" })?;
    Ok(Rendition { id, video, audio, peak, average })
}

fn read_video(mut fields: Fields<'_>) -> Result<VideoShape, WireError> {
    let mut shape = VideoShape { width: 0, height: 0, frame_rate: FrameRate(0), codec: String::new() };
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => shape.width = field.number_to("width", u64::from(u32::MAX))? as u32,
            2 => shape.height = field.number_to("height", u64::from(u32::MAX))? as u32,
            3 => shape.frame_rate = FrameRate(field.number_to("frame rate", u64::from(u32::MAX))? as u32),
            4 => shape.codec = field.text("video codec")?.to_owned(),
            _ => {}
        }
    }
    Ok(shape)
}

fn read_audio(mut fields: Fields<'_>) -> Result<AudioShape, WireError> {
    let mut shape = AudioShape { sample_rate: 0, channels: 0, codec: String::new() };
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => shape.sample_rate = field.number_to("sample rate", u64::from(u32::MAX))? as u32,
            2 => shape.channels = field.number_to("channels", u64::from(u8::MAX))? as u8,
            3 => shape.codec = field.text("audio codec")?.to_owned(),
            _ => {}
        }
    }
    Ok(shape)
}
