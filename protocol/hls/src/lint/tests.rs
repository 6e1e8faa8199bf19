//! A small server with two renditions on two edges, watched for half a minute; and one fault planted at a time.

use super::*;
use crate::rules::{Level, RuleId, rule};
use crate::{
    Alternative, AlternativeKind, ContentSteering, InitSection, Key, MediaPlaylist, Pathway, PlaylistType,
    Segment, SessionData, TargetDuration,
};
use ::media::{
    AudioShape, BitRate, BroadcastId, DiscontinuitySequence, FrameRate, Grid, MediaTime, Rendition,
    RenditionId, RunId, StreamFacts, VideoShape,
};
use std::collections::BTreeSet;

const PITCH: MediaSpan = MediaSpan::from_secs(2);
const WATCH_MS: u64 = 30_000;
const WINDOW: u64 = 6;
const ENTRY: &str = "https://lb/live/demo/index.m3u8";

/// What the server answers, before the head is made.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    text: Vec<u8>,
    media: Option<(u64, Option<Content>)>,
    took_ms: u64,
}

impl Answer {
    fn header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.into(), value.into()));
    }

    fn content(&mut self) -> Option<&mut Content> {
        self.media.as_mut()?.1.as_mut()
    }

    fn edit_text(&mut self, edit: impl Fn(String) -> String) {
        let text = edit(String::from_utf8(std::mem::take(&mut self.text)).unwrap());
        self.text = text.into_bytes();
    }
}

/// One asked-for URL, taken apart.
struct Asked {
    edge: String,
    rendition: String,
    /// `None` for a playlist.
    sequence: Option<u64>,
    at_ms: u64,
}

/// Where a fault is put in.
enum Fault {
    Multivariant(fn(&mut MultivariantPlaylist)),
    List(fn(&Asked, &mut MediaPlaylist)),
    Segment(fn(&Asked, &mut Answer)),
    Playlist(fn(&Asked, &mut Answer)),
    Entry(fn(&mut Answer)),
    Steering(fn(&mut Answer)),
}

fn rendition(id: &str, height: u32, peak: u64) -> Rendition {
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

fn multivariant() -> MultivariantPlaylist {
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
fn first_listed(at_ms: u64) -> u64 {
    1000 + at_ms / 2000
}

fn list(at_ms: u64) -> MediaPlaylist {
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

fn content(sequence: u64) -> Content {
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

fn serve(want: &Want, at_ms: u64, fault: &Fault) -> Answer {
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

fn watch_at(url: &str, fault: &Fault) -> Report {
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

fn watch(fault: &Fault) -> Report {
    watch_at(ENTRY, fault)
}

fn ids(report: &Report) -> BTreeSet<&'static str> {
    report.findings.iter().map(|finding| finding.rule.0).collect()
}

#[test]
fn a_server_that_keeps_the_rules_is_not_blamed() {
    let report = watch(&Fault::Multivariant(|_| {}));
    assert_eq!(report.findings, [], "{}", report.render());
    assert!(!report.has_failures());
    assert!(report.segments > 20 && report.loads > 40, "{}", report.render());
    let unchecked: Vec<_> = report.unchecked.iter().map(|(rule, _)| rule.0).collect();
    assert_eq!(unchecked, ["M11", "T10", "T12", "T15", "C04", "V13"], "{}", report.render());
}

#[test]
fn a_media_playlist_can_be_watched_by_itself() {
    let report = watch_at("https://e1/live/demo/720p/index.m3u8", &Fault::Multivariant(|_| {}));
    assert_eq!(report.findings, [], "{}", report.render());
    assert!(report.unchecked.iter().any(|(rule, why)| rule.0 == "V03" && why.contains("no multivariant")));
}

#[test]
fn what_is_not_there_is_a_failure_and_not_a_clean_sheet() {
    let report = watch(&Fault::Entry(|answer| answer.status = 503));
    assert!(report.has_failures());
    assert_eq!(report.unreached[0], format!("{ENTRY}: answered with status 503"));
    let report = watch(&Fault::Entry(|answer| answer.text = b"<html>".to_vec()));
    assert!(report.has_failures());
}

/// On the first edge's 720p playlist, from ten seconds on.
fn late(asked: &Asked) -> bool {
    asked.edge == "e1" && asked.rendition == "720p" && asked.at_ms >= 10_000
}

fn alternative(group: &str, name: &str) -> Alternative {
    Alternative {
        kind: AlternativeKind::Audio,
        group_id: group.into(),
        name: name.into(),
        uri: None,
        language: None,
        is_default: false,
        autoselect: None,
        instream_id: None,
    }
}

fn variants(playlist: &mut MultivariantPlaylist, edit: fn(&mut VariantStream)) {
    playlist.variant_streams.iter_mut().for_each(edit);
}

fn with_line(answer: &mut Answer, line: &'static str) {
    answer.edit_text(|text| {
        text.replacen("#EXT-X-TARGETDURATION", &format!("{line}\n#EXT-X-TARGETDURATION"), 1)
    });
}

/// One fault for each rule that can be broken from outside, in the order of the rules.
const PLANTED: &[(&str, Fault)] = &[
    ("S01", Fault::Playlist(|_, a| a.text.insert(0, b'\n'))),
    ("S02", Fault::Playlist(|_, a| with_line(a, "#EXT-X-VERSION:3"))),
    ("S03", Fault::Playlist(|_, a| with_line(a, "#EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"b\""))),
    ("S04", Fault::Playlist(|_, a| with_line(a, "#EXT-X-SERVER-CONTROL:hold-back=6"))),
    ("S05", Fault::Playlist(|_, a| with_line(a, "orphan.ts"))),
    ("S06", Fault::Playlist(|_, a| a.edit_text(|t| t.replace("VERSION:3", "VERSION:2")))),
    ("S07", Fault::Playlist(|_, a| a.header("content-type", "text/plain"))),
    ("S08", Fault::Playlist(|_, a| a.headers.retain(|(name, _)| name != "content-encoding"))),
    ("S09", Fault::Segment(|_, a| a.header("content-type", "application/octet-stream"))),
    ("M01", Fault::Playlist(|_, a| a.edit_text(|t| t.replace("#EXT-X-TARGETDURATION:2", "#")))),
    ("M02", Fault::List(|_, l| l.segments[2].duration = MediaSpan::from_millis(2600))),
    ("M03", Fault::Playlist(|_, a| a.edit_text(|t| t.replacen("#EXTINF:2.00000,", "#EXTINF:2.00000", 1)))),
    (
        "M04",
        Fault::Playlist(|_, a| {
            a.edit_text(|t| {
                t.lines().filter(|l| !l.contains("MEDIA-SEQ")).map(|l| format!("{l}\n")).collect()
            })
        }),
    ),
    (
        "M05",
        Fault::Playlist(|_, a| {
            a.edit_text(|t| t.lines().filter(|l| !l.contains("TY-SEQ")).map(|l| format!("{l}\n")).collect())
        }),
    ),
    (
        "M06",
        Fault::Segment(|asked, a| {
            if asked.sequence == Some(1012)
                && let Some(content) = a.content()
            {
                content.tracks.pop();
            }
        }),
    ),
    ("M07", Fault::List(|_, l| l.segments[0].uri = "1.m4s".into())),
    ("M08", Fault::List(|_, l| l.segments[1].key = Some(Key { method: "AES-128".into(), ..Key::default() }))),
    ("M09", Fault::List(|_, l| l.segments.iter_mut().for_each(|s| s.program_date_time = None))),
    ("M10", Fault::Playlist(|_, a| with_line(a, "#EXT-X-DATERANGE:ID=\"a\""))),
    ("M11", Fault::List(|_, l| l.segments.iter_mut().for_each(|s| s.bitrate_kbps = Some(300)))),
    (
        "M12",
        Fault::Playlist(|_, a| {
            a.edit_text(|t| t.replace("00,\n", "00,\n#EXT-X-BYTERANGE:5\n").replace("N:3", "N:4"))
        }),
    ),
    ("M13", Fault::List(|_, l| l.playlist_type = Some(PlaylistType::Event))),
    (
        "M14",
        Fault::Segment(|asked, a| {
            if asked.sequence == Some(1010) {
                a.status = 404
            }
        }),
    ),
    (
        "M15",
        Fault::List(|_, l| {
            l.segments.drain(..2);
            l.media_sequence.0 += 2;
        }),
    ),
    (
        "M16",
        Fault::List(|_, l| {
            l.segments.drain(..4);
            l.media_sequence.0 += 4;
        }),
    ),
    (
        "M17",
        Fault::Segment(|_, a| {
            if let Some(content) = a.content() {
                content.tracks[0].starts_with_sync = Some(false);
            }
        }),
    ),
    (
        "T01",
        Fault::List(|asked, l| {
            if late(asked) {
                l.target_duration = TargetDuration(3)
            }
        }),
    ),
    (
        "T02",
        Fault::List(|asked, l| {
            if asked.at_ms % 4000 >= 2000 {
                l.segments.pop();
                l.segments.pop();
            }
        }),
    ),
    (
        "T03",
        Fault::List(|asked, l| {
            if late(asked) {
                l.media_sequence.0 += 1
            }
        }),
    ),
    (
        "T04",
        Fault::List(|asked, l| {
            if late(asked) {
                l.discontinuity_sequence.0 += 1
            }
        }),
    ),
    (
        "T05",
        Fault::List(|asked, l| {
            if late(asked) {
                l.segments[2].duration = MediaSpan::from_millis(1900)
            }
        }),
    ),
    (
        "T06",
        Fault::List(|asked, l| {
            if (10_000..16_000).contains(&asked.at_ms) {
                *l = list(10_000);
            }
        }),
    ),
    (
        "T07",
        Fault::Segment(|asked, a| {
            if asked.sequence == Some(1010) {
                a.took_ms = 2500
            }
        }),
    ),
    (
        "T08",
        Fault::Segment(|asked, a| {
            if asked.sequence.is_some_and(|sequence| sequence + 4 < first_listed(asked.at_ms)) {
                a.status = 404;
            }
        }),
    ),
    (
        "T09",
        Fault::List(|asked, l| {
            let uri = if late(asked) { "b.mp4" } else { "a.mp4" };
            l.segments
                .iter_mut()
                .for_each(|s| s.init = Some(InitSection { uri: uri.into(), byte_range: None }));
        }),
    ),
    (
        "T10",
        Fault::List(|asked, l| {
            // Ended at ten seconds, and one more segment at twelve.
            if asked.at_ms >= 10_000 {
                *l = list(asked.at_ms.min(12_000));
                l.has_ended = true;
            }
        }),
    ),
    (
        "T11",
        Fault::Playlist(|asked, a| {
            if late(asked) {
                a.text.truncate(a.text.len() - 9)
            }
        }),
    ),
    ("T12", Fault::Segment(|_, a| a.status = 404)),
    ("T13", Fault::Segment(|_, a| a.header("cache-control", "no-store"))),
    (
        "T14",
        Fault::List(|asked, l| {
            if asked.edge == "e2" {
                l.segments.iter_mut().for_each(|s| s.uri = format!("x{}", s.uri));
            }
        }),
    ),
    (
        "T15",
        Fault::List(|asked, l| {
            if late(asked) {
                l.media_sequence.0 -= 900;
                l.segments.iter_mut().for_each(|s| s.uri = s.uri.replace("10", "1"));
            }
        }),
    ),
    (
        "T16",
        Fault::Segment(|asked, a| {
            if asked.sequence == Some(1010) {
                a.status = 302
            }
        }),
    ),
    (
        "C01",
        Fault::Segment(|asked, a| {
            if asked.rendition == "360p"
                && let Some(content) = a.content()
            {
                content
                    .tracks
                    .iter_mut()
                    .for_each(|t| t.earliest_pts = t.earliest_pts.map(|pts| pts + 45_000));
            }
        }),
    ),
    (
        "C02",
        Fault::Segment(|asked, a| {
            if asked.sequence == Some(1012)
                && let Some(content) = a.content()
            {
                content.tracks[0].earliest_pts = content.tracks[0].earliest_pts.map(|pts| pts + 6010);
            }
        }),
    ),
    (
        "C03",
        Fault::Segment(|_, a| {
            if let Some(content) = a.content() {
                content.tracks[1].begins_discontinuous = false;
            }
        }),
    ),
    (
        "C05",
        Fault::List(|asked, l| {
            if asked.rendition == "360p" {
                let half = MediaSpan::from_millis(700);
                l.segments
                    .iter_mut()
                    .for_each(|s| s.program_date_time = s.program_date_time.map(|t| t + half));
            }
        }),
    ),
    (
        "C06",
        Fault::Segment(|asked, a| {
            if asked.sequence == Some(1010) {
                a.media = Some((900_000, None))
            }
        }),
    ),
    (
        "C07",
        Fault::Segment(|_, a| {
            if let Some(content) = a.content() {
                content.programs = 2;
            }
        }),
    ),
    ("V01", Fault::Multivariant(|m| variants(m, |v| v.bandwidth = BitRate(0)))),
    ("V02", Fault::Multivariant(|m| variants(m, |v| v.codecs = Some("avc1.64001f".into())))),
    ("V03", Fault::Multivariant(|m| variants(m, |v| v.audio = Some("nobody".into())))),
    ("V04", Fault::Multivariant(|m| m.alternatives = vec![alternative("a", "b"), alternative("a", "b")])),
    ("V05", Fault::Multivariant(|m| m.alternatives = vec![alternative("a", "x"), alternative("b", "y")])),
    (
        "V06",
        Fault::List(|asked, l| {
            if asked.rendition == "360p" {
                l.discontinuity_sequence.0 += 1
            }
        }),
    ),
    (
        "V07",
        Fault::Multivariant(|m| {
            let datum =
                SessionData { data_id: "a".into(), value: Some("b".into()), ..SessionData::default() };
            m.session_data = vec![datum.clone(), datum];
        }),
    ),
    ("V08", Fault::Multivariant(|m| m.variant_streams.retain(|v| v.uri.contains("720p")))),
    ("V09", Fault::Multivariant(|m| m.variant_streams[0].score = Some("1.0".into()))),
    (
        "V10",
        Fault::Multivariant(|m| {
            m.content_steering =
                Some(ContentSteering { server_uri: "/steer".into(), pathway_id: Some("e9".into()) });
        }),
    ),
    ("V11", Fault::Steering(|a| a.text = br#"{"VERSION":1,"TTL":5,"PATHWAY-PRIORITY":["e9"]}"#.to_vec())),
    ("V12", Fault::Multivariant(|m| variants(m, |v| v.uri = v.uri.replace("https", "http")))),
];

#[test]
fn every_planted_fault_is_found() {
    for (id, fault) in PLANTED.iter().filter(|(id, _)| *id != "T12") {
        let report = watch(fault);
        assert!(ids(&report).contains(id), "{id} was planted and not found:\n{}", report.render());
    }
}

/// Faults of the same rule that show in other places.
#[test]
fn every_planted_fault_is_found_in_its_other_shapes() {
    let others: &[(&str, Fault)] = &[
        ("S02", Fault::Playlist(|_, a| a.edit_text(|t| t.replace("VERSION:3", "VERSION:9")))),
        ("S07", Fault::Entry(|a| a.header("content-type", "text/html"))),
        ("S08", Fault::Entry(|a| a.headers.clear())),
        (
            "M06",
            Fault::Segment(|asked, a| {
                // Thirty seconds later, and no tag.
                if asked.sequence.is_some_and(|sequence| sequence >= 1012)
                    && let Some(content) = a.content()
                {
                    let later = |time: Option<u64>| time.map(|time| time + 2_700_000);
                    content.tracks.iter_mut().for_each(|t| t.earliest_pts = later(t.earliest_pts));
                }
            }),
        ),
        ("M13", Fault::List(|_, l| l.playlist_type = Some(PlaylistType::Vod))),
        ("M17", Fault::Multivariant(|m| m.independent_segments = false)),
        // One put in, in the middle.
        (
            "T02",
            Fault::List(|asked, l| {
                if late(asked) {
                    l.segments[3].uri = l.segments[4].uri.clone()
                }
            }),
        ),
        (
            "T03",
            Fault::List(|asked, l| {
                if late(asked) {
                    *l = list(4_000)
                }
            }),
        ),
        (
            "T04",
            Fault::List(|asked, l| {
                if late(asked) {
                    l.discontinuity_sequence.0 = 1
                }
            }),
        ),
        (
            "T05",
            Fault::List(|asked, l| {
                if late(asked) {
                    l.segments[2].program_date_time = Some(MediaTime::from_unix_millis(1));
                }
            }),
        ),
        (
            "T05",
            Fault::List(|asked, l| {
                if late(asked) {
                    l.segments[2].is_gap = true
                }
            }),
        ),
        (
            "T06",
            Fault::Playlist(|asked, a| {
                if late(asked) {
                    a.status = 503
                }
            }),
        ),
        ("T07", Fault::Segment(|_, a| a.header("content-length", "1000000"))),
        (
            "T07",
            Fault::Segment(|asked, a| {
                if asked.sequence == Some(1010) {
                    a.status = 503
                }
            }),
        ),
        (
            "T11",
            Fault::Playlist(|_, a| {
                a.headers.retain(|(name, _)| name != "content-encoding");
                a.header("content-length", "100000");
            }),
        ),
        ("T13", Fault::Playlist(|_, a| a.header("cache-control", "max-age=60"))),
        (
            "T13",
            Fault::Playlist(|_, a| {
                a.header("last-modified", "Tue, 14 Nov 2023 22:13:14 GMT");
                a.header("date", "Tue, 14 Nov 2023 22:13:34 GMT");
            }),
        ),
        (
            "T14",
            Fault::List(|asked, l| {
                if asked.edge == "e2" {
                    l.media_sequence.0 += 1
                }
            }),
        ),
        (
            "T16",
            Fault::Playlist(|asked, a| {
                if late(asked) {
                    a.status = 307
                }
            }),
        ),
        (
            "C03",
            Fault::Segment(|_, a| {
                if let Some(content) = a.content() {
                    content.has_tables_first = false
                }
            }),
        ),
        (
            "C03",
            Fault::Segment(|asked, a| {
                if asked.sequence == Some(1012)
                    && let Some(content) = a.content()
                {
                    content.tracks[0].first_dts = content.tracks[0].first_dts.map(|dts| dts - 90_000);
                }
            }),
        ),
        (
            "C05",
            Fault::List(|asked, l| {
                if asked.rendition == "360p" {
                    l.segments.iter_mut().for_each(|s| s.is_discontinuous = false);
                }
            }),
        ),
        ("C06", Fault::Multivariant(|m| variants(m, |v| v.average_bandwidth = Some(BitRate(100_000))))),
        (
            "C07",
            Fault::Segment(|_, a| {
                if let Some(content) = a.content() {
                    content
                        .faults
                        .push(ContentFault { is_codec_change: true, text: "PID 256 changes".into() });
                }
            }),
        ),
        ("V02", Fault::Multivariant(|m| variants(m, |v| v.frame_rate = None))),
        ("V02", Fault::Multivariant(|m| variants(m, |v| v.codecs = Some("avc1.42001e,mp4a.40.2".into())))),
        ("V03", Fault::Multivariant(|m| m.variant_streams[0].closed_captions = Some("NONE".into()))),
        (
            "V06",
            Fault::List(|asked, l| {
                if asked.rendition == "360p" {
                    l.target_duration = TargetDuration(3)
                }
            }),
        ),
        ("V08", Fault::Multivariant(|m| m.variant_streams.swap(0, 1))),
        ("V10", Fault::Multivariant(|m| variants(m, |v| v.pathway_id = Some("a b".into())))),
        (
            "V10",
            Fault::Multivariant(|m| {
                m.variant_streams.retain(|v| v.uri.contains("e1"));
            }),
        ),
        ("V11", Fault::Steering(|a| a.text = b"{".to_vec())),
        ("V11", Fault::Steering(|a| a.header("content-type", "application/json"))),
        ("V11", Fault::Steering(|a| a.text = br#"{"VERSION":1,"PATHWAY-PRIORITY":["e1"]}"#.to_vec())),
    ];
    for (at, (id, fault)) in others.iter().enumerate() {
        let report = watch(fault);
        assert!(
            ids(&report).contains(id),
            "fault {at} of {id} was planted and not found:\n{}",
            report.render()
        );
    }
}

#[test]
fn a_withdrawn_playlist_must_leave_its_segments() {
    // Every playlist is gone after ten seconds, and so is what it listed.
    fn gone(asked: &Asked, answer: &mut Answer) {
        if asked.at_ms >= 10_000 {
            answer.status = 410;
        }
    }
    let report = watch(&Fault::Playlist(gone));
    assert!(!ids(&report).contains("T12"), "{}", report.render());
    assert!(!report.unchecked.iter().any(|(rule, _)| rule.0 == "T12"));

    let mut lint = Lint::new(ENTRY, Watch { watch_ms: WATCH_MS });
    let mut now_ms = 0;
    while let Some(want) = lint.next() {
        now_ms = now_ms.max(want.not_before_ms);
        let Answer { mut status, headers, text, media, .. } = serve(&want, now_ms, &Fault::Playlist(gone));
        if now_ms >= 10_000 {
            status = 404;
        }
        let outcome = Outcome::Answered { status, headers, text, media };
        lint.push(Fetched { want: want.id, sent_ms: now_ms, at_ms: now_ms + 1, outcome });
    }
    assert!(ids(&lint.finish(now_ms)).contains("T12"));
}

#[test]
fn a_rule_is_planted_or_says_that_it_is_not_checked() {
    for rule in RULES {
        let is_planted = PLANTED.iter().any(|(id, _)| *id == rule.id.0);
        let is_unchecked = matches!(rule.reach, Reach::NotChecked(_));
        assert!(is_planted != is_unchecked, "{}", rule.id);
    }
}

#[test]
fn advice_alone_is_no_failure() {
    let report = watch(&Fault::Multivariant(|m| variants(m, |v| v.uri = v.uri.replace("https", "http"))));
    assert!(
        report.findings.iter().all(|finding| finding.level == Level::Should) && !report.findings.is_empty()
    );
    assert!(!report.has_failures());
    assert_eq!(rule("V12").unwrap().id, RuleId("V12"));
}

#[test]
fn a_report_names_rule_place_and_count_for_people_and_programs() {
    let report = watch(&Fault::List(|asked, l| {
        if late(asked) {
            l.discontinuity_sequence.0 = 1
        }
    }));
    let text = report.render();
    assert!(text.contains("MUST   T04 https://e1/live/demo/720p/index.m3u8: "), "{text}");
    assert!(text.contains("\nnot checked    C04 fMP4 is not read\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.render_json()).unwrap();
    assert_eq!(json["failed"], true);
    assert_eq!(json["findings"][0]["rule"], "T04");
}

#[test]
fn redirects_are_followed_to_the_entry_only() {
    let mut lint = Lint::new("https://lb/go/demo", Watch { watch_ms: 100 });
    let want = lint.next().unwrap();
    let headers = vec![("Location".to_owned(), "/live/demo/index.m3u8".to_owned())];
    let outcome = Outcome::Answered { status: 307, headers, text: vec![], media: None };
    lint.push(Fetched { want: want.id, sent_ms: 0, at_ms: 1, outcome });
    assert_eq!(lint.next().unwrap().url, ENTRY);
}

proptest::proptest! {
    #[test]
    fn whatever_a_server_answers_nothing_panics(
        answers in proptest::collection::vec(
            (100_u16..600, proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), 0_u64..5000), 0..40,
        ),
        kept in 0_usize..60,
    ) {
        let mut lint = Lint::new(ENTRY, Watch { watch_ms: 5000 });
        let (mut now_ms, mut at) = (0, 0);
        while let Some(want) = lint.next() {
            now_ms = now_ms.max(want.not_before_ms);
            let mut answer = serve(&want, now_ms, &Fault::Multivariant(|_| {}));
            if let Some((status, junk, took_ms)) = (at >= kept).then(|| answers.get(at - kept)).flatten() {
                let cut = junk.len().min(answer.text.len());
                answer.text[..cut].copy_from_slice(&junk[..cut]);
                (answer.status, answer.took_ms) = (*status, *took_ms);
            }
            at += 1;
            let Answer { status, headers, text, media, took_ms } = answer;
            let outcome = Outcome::Answered { status, headers, text, media };
            lint.push(Fetched { want: want.id, sent_ms: now_ms, at_ms: now_ms + took_ms, outcome });
        }
        lint.finish(now_ms);
    }
}
