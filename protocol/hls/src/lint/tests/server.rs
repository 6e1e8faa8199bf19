//! A small server with two renditions on two edges, and where a fault may be planted in it.

use super::super::*;
use crate::{ContentSteering, MediaPlaylist, Pathway, Segment, TargetDuration};
use ::media::{
    AudioShape, BitRate, BroadcastId, DiscontinuitySequence, FrameRate, Grid, Rendition, RenditionId, RunId,
    StreamFacts, VideoShape,
};
use std::collections::BTreeSet;

pub(super) const PITCH: MediaSpan = MediaSpan::from_secs(2);
pub(super) const WATCH_MS: u64 = 30_000;
pub(super) const WINDOW: u64 = 6;
pub(super) const ENTRY: &str = "https://lb/live/demo/index.m3u8";

/// What the server answers, before the head is made.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) text: Vec<u8>,
    pub(super) media: Option<(u64, Option<Content>)>,
    pub(super) took_ms: u64,
}

impl Answer {
    pub(super) fn header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.into(), value.into()));
    }

    pub(super) fn content(&mut self) -> Option<&mut Content> {
        self.media.as_mut()?.1.as_mut()
    }

    pub(super) fn edit_text(&mut self, edit: impl Fn(String) -> String) {
        let text = edit(String::from_utf8(std::mem::take(&mut self.text)).unwrap());
        self.text = text.into_bytes();
    }
}

/// One asked-for URL, taken apart.
pub(super) struct Asked {
    pub(super) edge: String,
    pub(super) rendition: String,
    /// `None` for a playlist.
    pub(super) sequence: Option<u64>,
    pub(super) at_ms: u64,
}

/// Where a fault is put in.
pub(super) enum Fault {
    Multivariant(fn(&mut MultivariantPlaylist)),
    List(fn(&Asked, &mut MediaPlaylist)),
    Segment(fn(&Asked, &mut Answer)),
    Playlist(fn(&Asked, &mut Answer)),
    Entry(fn(&mut Answer)),
    Steering(fn(&mut Answer)),
}

pub(super) fn rendition(id: &str, height: u32, peak: u64) -> Rendition {
    Rendition {
        id: RenditionId::parse(id).unwrap(),
        video: Some(VideoShape {
            width: height * 16 / 9,
            height,
            frame_rate: FrameRate(30_000),
            codec: "avc1.64001f".into(),
        }),
        audio: Some(AudioShape { sample_rate: 48_000, channels: 2, codec: "mp4a.40.2".into() }),
        peak: BitRate(peak),
        average: BitRate(peak),
    }
}

pub(super) fn multivariant() -> MultivariantPlaylist {
    let facts = StreamFacts {
        broadcast: BroadcastId::parse("demo").unwrap(),
        run: RunId(1),
        segment: PITCH,
        window: WINDOW as u32,
        renditions: vec![rendition("720p", 720, 2_000_000), rendition("360p", 360, 800_000)],
        has_ended: false,
    };
    let edge = |id: &str| Pathway { id: Some(id.into()), base: format!("https://{id}/live/demo/") };
    let mut playlist = MultivariantPlaylist::of(&facts, &[edge("e1"), edge("e2")]).unwrap();
    playlist.content_steering =
        Some(ContentSteering { server_uri: "/steer".into(), pathway_id: Some("e1".into()) });
    playlist
}

/// Number 1000 is listed first at 0 ms; from then on one more every two seconds. 1009 is a discontinuity.
pub(super) fn first_listed(at_ms: u64) -> u64 {
    1000 + at_ms / 2000
}

pub(super) fn list(at_ms: u64) -> MediaPlaylist {
    let first = first_listed(at_ms);
    let segment = |sequence: u64| Segment {
        uri: format!("{sequence}.ts"),
        duration: PITCH,
        program_date_time: Some(Grid::new(PITCH).unwrap().start_of(MediaSequence(sequence))),
        is_discontinuous: sequence == 1009,
        ..Segment::default()
    };
    MediaPlaylist {
        target_duration: TargetDuration(2),
        media_sequence: MediaSequence(first),
        discontinuity_sequence: DiscontinuitySequence(3 + u64::from(first > 1009)),
        segments: (first..first + WINDOW).map(segment).collect(),
        ..MediaPlaylist::default()
    }
}

pub(super) fn content(sequence: u64) -> Content {
    let start = Grid::new(PITCH).unwrap().start_of(MediaSequence(sequence)).ticks_33_bits();
    let track = |pid: u16, stream_type: u8| ContentTrack {
        pid,
        stream_type,
        is_video: pid == 256,
        is_audio: pid == 257,
        word: if pid == 256 { "avc1".into() } else { "mp4a.40".into() },
        codecs_word: (pid == 256).then(|| "avc1.64001f".into()),
        first_dts: Some(start),
        last_dts: Some(start + 177_000),
        earliest_pts: Some(start),
        unit_ticks: Some(3000),
        starts_with_sync: (pid == 256).then_some(true),
        first_counter: Some(0),
        last_counter: Some(7),
        begins_discontinuous: true,
    };
    Content {
        programs: 1,
        has_tables_first: true,
        tracks: vec![track(256, 0x1b), track(257, 0x0f)],
        faults: vec![],
    }
}

pub(super) fn serve(want: &Want, at_ms: u64, fault: &Fault) -> Answer {
    let mut answer = Answer { status: 200, headers: vec![], text: vec![], media: None, took_ms: 20 };
    answer.header("content-encoding", "gzip");
    answer.header("content-type", "application/vnd.apple.mpegurl");
    if want.url == ENTRY {
        let mut playlist = multivariant();
        if let Fault::Multivariant(edit) = fault {
            edit(&mut playlist);
        }
        answer.text = playlist.render().into_bytes();
        if let Fault::Entry(edit) = fault {
            edit(&mut answer);
        }
        return answer;
    }
    if want.kind == Kind::Text {
        answer.header("content-type", "application/vnd.apple.steering-list");
        answer.text = br#"{"VERSION":1,"TTL":5,"PATHWAY-PRIORITY":["e1","e2"]}"#.to_vec();
        if let Fault::Steering(edit) = fault {
            edit(&mut answer);
        }
        return answer;
    }
    let pieces: Vec<&str> = want.url.split('/').collect();
    let [_, _, edge, _, _, rendition, name] = pieces[..] else {
        return Answer { status: 404, ..answer };
    };
    let sequence = name.strip_suffix(".ts").and_then(|number| number.parse().ok());
    let asked = Asked { edge: edge.into(), rendition: rendition.into(), sequence, at_ms };
    match sequence {
        None => {
            let mut playlist = list(at_ms);
            if let Fault::List(edit) = fault {
                edit(&asked, &mut playlist);
            }
            answer.text = playlist.render().into_bytes();
            answer.header("cache-control", "max-age=1");
            if let Fault::Playlist(edit) = fault {
                edit(&asked, &mut answer);
            }
        }
        Some(sequence) => {
            let first = first_listed(at_ms);
            // Rule T08: two seconds of its own, twelve of the playlist.
            if sequence + 7 < first || sequence >= first + WINDOW {
                answer.status = 404;
            }
            answer.headers.clear();
            answer.header("content-type", "video/mp2t");
            answer.header("cache-control", "public, max-age=31536000, immutable");
            let bytes = if rendition == "720p" { 480_000 } else { 190_000 };
            answer.media = Some((bytes, Some(content(sequence))));
            if let Fault::Segment(edit) = fault {
                edit(&asked, &mut answer);
            }
        }
    }
    answer
}

pub(super) fn watch_at(url: &str, fault: &Fault) -> Report {
    let mut lint = Lint::new(url, Watch { watch_ms: WATCH_MS });
    let mut now_ms = 0;
    while let Some(want) = lint.next() {
        now_ms = now_ms.max(want.not_before_ms);
        let answer = serve(&want, now_ms, fault);
        let (sent_ms, at_ms) = (now_ms, now_ms + answer.took_ms);
        // Requests go side by side, as a browser's do: the answer's time does not hold the next one up.
        let Answer { status, headers, text, media, .. } = answer;
        let outcome = Outcome::Answered { status, headers, text, media };
        lint.push(Fetched { want: want.id, sent_ms, at_ms, outcome });
    }
    lint.finish(now_ms)
}

pub(super) fn watch(fault: &Fault) -> Report {
    watch_at(ENTRY, fault)
}

pub(super) fn ids(report: &Report) -> BTreeSet<&'static str> {
    report.findings.iter().map(|finding| finding.rule.0).collect()
}
