//! One fault for each rule that can be broken from outside.

use super::super::*;
use super::server::{Answer, Asked, Fault, first_listed, list};
use crate::VariantStream;
use crate::{
    Alternative, AlternativeKind, ContentSteering, InitSection, Key, PlaylistType, SessionData,
    TargetDuration,
};
use ::media::{BitRate, MediaTime};

/// On the first edge's 720p playlist, from ten seconds on.
pub(super) fn late(asked: &Asked) -> bool {
    asked.edge == "e1" && asked.rendition == "720p" && asked.at_ms >= 10_000
}

pub(super) fn alternative(group: &str, name: &str) -> Alternative {
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

pub(super) fn variants(playlist: &mut MultivariantPlaylist, edit: fn(&mut VariantStream)) {
    playlist.variant_streams.iter_mut().for_each(edit);
}

pub(super) fn with_line(answer: &mut Answer, line: &'static str) {
    answer.edit_text(|text| {
        text.replacen("#EXT-X-TARGETDURATION", &format!("{line}\n#EXT-X-TARGETDURATION"), 1)
    });
}

/// One fault for each rule that can be broken from outside, in the order of the rules.
pub(super) const PLANTED: &[(&str, Fault)] = &[
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

/// Faults of the same rules that show in other places.
pub(super) const OTHERS: &[(&str, Fault)] = &[
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
                content.faults.push(ContentFault { is_codec_change: true, text: "PID 256 changes".into() });
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
