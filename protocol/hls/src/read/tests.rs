//! What is read is what was written; what is wrong is found, where it is.

use super::*;
use crate::{ByteRange, InitSection, Key, Pathway, Segment, SessionData, TargetDuration, VariantStream};
use ::media::{BitRate, DiscontinuitySequence, FrameRate, MediaSequence, MediaSpan, MediaTime};
use proptest::prelude::*;

const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:5\n";

/// The rule and the line of the first thing wrong with a media playlist that begins like a sound one.
fn media_fault(rest: &str) -> String {
    match MediaPlaylist::parse(format!("{HEAD}{rest}").as_bytes()) {
        Ok(_) => "nothing".into(),
        Err(ParseError::Broken(complaint)) => format!("{} in {}", complaint.rule, complaint.line),
        Err(other) => other.to_string(),
    }
}

fn multivariant_fault(rest: &str) -> String {
    let text = format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\na.m3u8\n{rest}");
    match MultivariantPlaylist::parse(text.as_bytes()) {
        Ok(_) => "nothing".into(),
        Err(ParseError::Broken(complaint)) => format!("{} in {}", complaint.rule, complaint.line),
        Err(other) => other.to_string(),
    }
}

#[test]
fn a_sound_media_playlist_is_read_whole() {
    let text = "#EXTM3U\r\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n\
        #EXT-X-DISCONTINUITY-SEQUENCE:2\n# a comment\n\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x0123456789abcdef0123456789abcdef\n\
        #EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"800@0\"\n#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:34.000Z\n\
        #EXT-X-UNKNOWN-TAG:1\n#EXT-X-BITRATE:800\n#EXTINF:3.5,a title\n#EXT-X-BYTERANGE:100@800\nall.mp4\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-KEY:METHOD=NONE\n#EXT-X-GAP\n#EXTINF:4,\nb.mp4\n#EXT-X-ENDLIST\n";
    let playlist = MediaPlaylist::parse(text.as_bytes()).unwrap();
    let init = Some(InitSection {
        uri: "i.mp4".into(),
        byte_range: Some(ByteRange { length: 800, offset: Some(0) }),
    });
    assert_eq!(
        playlist,
        MediaPlaylist {
            target_duration: TargetDuration(4),
            media_sequence: MediaSequence(7),
            discontinuity_sequence: DiscontinuitySequence(2),
            segments: vec![
                Segment {
                    uri: "all.mp4".into(),
                    duration: MediaSpan::from_millis(3500),
                    title: "a title".into(),
                    program_date_time: Some(MediaTime::from_unix_millis(1_700_000_014_000)),
                    init: init.clone(),
                    key: Some(Key {
                        method: "AES-128".into(),
                        uri: Some("k".into()),
                        iv: Some("0x0123456789abcdef0123456789abcdef".into()),
                    }),
                    byte_range: Some(ByteRange { length: 100, offset: Some(800) }),
                    bitrate_kbps: Some(800),
                    ..Segment::default()
                },
                Segment {
                    uri: "b.mp4".into(),
                    duration: MediaSpan::from_secs(4),
                    is_discontinuous: true,
                    is_gap: true,
                    init,
                    bitrate_kbps: Some(800),
                    ..Segment::default()
                },
            ],
            has_ended: true,
            ..MediaPlaylist::default()
        }
    );
    assert_eq!(MediaPlaylist::parse(playlist.render().as_bytes()).as_ref(), Ok(&playlist));
}

#[test]
fn every_fault_of_a_media_playlist_has_a_rule_and_a_line() {
    let faults = [
        ("#EXTINF:2.0,\na.ts\n", "nothing"),
        ("#EXTINF:2.0,\na.ts\n\u{1}\n", "S01 in 7"),
        ("#EXT-X-VERSION:3\n", "S02 in 5"),
        ("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"b\"\n", "S03 in 5"),
        ("#EXT-X-ENDLIST\n#EXT-X-ENDLIST\n", "S04 in 6"),
        ("#EXT-X-PLAYLIST-TYPE:LIVE\n", "S04 in 5"),
        ("#EXT-X-SERVER-CONTROL:HOLD-BACK=1,HOLD-BACK=2\n", "S04 in 5"),
        ("#EXT-X-SERVER-CONTROL:hold-back=1\n", "S04 in 5"),
        ("#EXT-X-SERVER-CONTROL:HOLD-BACK=\"1\"\n", "S04 in 5"),
        ("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=MAYBE\n", "S04 in 5"),
        ("#EXT-X-SERVER-CONTROL:HOLD-BACK=1,\n", "S04 in 5"),
        ("#EXT-X-MAP:URI=\"a\n", "S04 in 5"),
        ("#EXTINF:2.0,\n#EXTINF:2.0,\na.ts\n", "S05 in 5"),
        ("#EXTINF:2.0,\n", "S05 in 5"),
        ("a.ts\n", "S05 in 5"),
        ("#EXTINF:2.0,\n#EXT-X-BYTERANGE:5@0\na.ts\n", "S06 in 6"),
        ("#EXT-X-TARGETDURATION:2\n", "S04 in 5"),
        ("#EXTINF:2.0\na.ts\n", "M03 in 5"),
        ("#EXTINF:two,\na.ts\n", "M03 in 5"),
        ("#EXTINF:2.0,\na.ts\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n", "M05 in 7"),
        ("#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n", "M05 in 6"),
        ("#EXT-X-MAP:BYTERANGE=\"5@0\"\n", "M07 in 5"),
        ("#EXT-X-KEY:METHOD=NONE,URI=\"k\"\n", "M08 in 5"),
        ("#EXT-X-KEY:METHOD=AES-128\n", "M08 in 5"),
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x12\n", "M08 in 5"),
        ("#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:34\n", "M09 in 5"),
        ("#EXT-X-DATERANGE:ID=\"a\"\n", "M10 in 5"),
        ("#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2023-11-14T22:13:34Z\"\n", "M10 in 0"),
        (
            "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2023-11-14T22:13:34Z\",\
             END-DATE=\"2023-11-14T22:13:39Z\",DURATION=4\n",
            "M10 in 5",
        ),
        (
            "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2023-11-14T22:13:34Z\",X-A=\"1\"\n\
             #EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2023-11-14T22:13:34Z\",X-A=\"2\"\n",
            "M10 in 6",
        ),
        ("#EXT-X-BITRATE:fast\n", "M11 in 5"),
        ("#EXT-X-BYTERANGE:x\n", "S04 in 5"),
    ];
    for (rest, found) in faults {
        assert_eq!(media_fault(rest), found, "{rest}");
    }
    let whole = |text: &[u8]| match MediaPlaylist::parse(text) {
        Err(ParseError::Broken(complaint)) => complaint.rule.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(whole(b"\xef\xbb\xbf#EXTM3U\n#EXT-X-TARGETDURATION:2\n"), "S01");
    assert_eq!(whole(b"#EXTM3U \n#EXT-X-TARGETDURATION:2\n"), "S01");
    assert_eq!(whole(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#\xff\n"), "S01");
    assert_eq!(whole(b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n"), "M01");
    assert_eq!(whole(b"#EXTM3U\n#EXT-X-TARGETDURATION:0\n"), "M01");
    assert_eq!(whole(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na\n#EXT-X-MEDIA-SEQUENCE:1\n"), "M04");
    assert_eq!(
        whole(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-VERSION:4\n#EXTINF:2,\n#EXT-X-BYTERANGE:5\na\n"),
        "M12"
    );
}

#[test]
fn every_fault_of_a_multivariant_playlist_has_a_rule_and_a_line() {
    let faults = [
        ("", "nothing"),
        ("#EXTINF:2,\n", "S03 in 4"),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1\n", "S05 in 4"),
        ("b.m3u8\n", "S05 in 4"),
        ("#EXT-X-STREAM-INF:CODECS=\"a\"\nb.m3u8\n", "V01 in 4"),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640*360\nb.m3u8\n", "S04 in 4"),
        ("#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"b\"\n", "V04 in 4"),
        ("#EXT-X-MEDIA:TYPE=SMELL,GROUP-ID=\"a\",NAME=\"b\"\n", "V04 in 4"),
        ("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"b\",DEFAULT=YES,AUTOSELECT=NO\n", "V04 in 4"),
        ("#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"a\",NAME=\"b\"\n", "V04 in 4"),
        (
            "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"a\",NAME=\"b\",INSTREAM-ID=\"SERVICE1\"\n",
            "S06 in 4",
        ),
        ("#EXT-X-SESSION-DATA:DATA-ID=\"a\"\n", "V07 in 4"),
        ("#EXT-X-CONTENT-STEERING:PATHWAY-ID=\"a\"\n", "V10 in 4"),
        ("#EXT-X-CONTENT-STEERING:SERVER-URI=\"a\"\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"a\"\n", "S04 in 5"),
    ];
    for (rest, found) in faults {
        assert_eq!(multivariant_fault(rest), found, "{rest}");
    }
}

#[test]
fn an_error_says_where_what_and_what_was_allowed() {
    let text = format!("{HEAD}#EXTINF:two,\na.ts\n");
    assert_eq!(
        MediaPlaylist::parse(text.as_bytes()).unwrap_err().to_string(),
        "line 5: EXTINF: \"two\", allowed is seconds as a decimal number (rule M03)"
    );
    assert_eq!(
        MultivariantPlaylist::parse(text.as_bytes()).unwrap_err().to_string(),
        "a media playlist, a multivariant playlist was expected"
    );
}

#[test]
fn a_version_above_what_is_needed_is_advice_only() {
    let mut complaints = Complaints::new();
    let lines = Lines::read(b"#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n", &mut complaints);
    read_media(&lines, &mut complaints);
    let found: Vec<_> = complaints.into_vec().into_iter().map(|c| (c.rule.0, c.level)).collect();
    assert_eq!(found, [("S02", Level::Should)]);
}

fn a_text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9/._?=&-]{1,20}"
}

fn a_segment() -> impl Strategy<Value = Segment> {
    (a_text(), 0_u64..900_000, prop::option::of(0_u64..2_000_000_000_000), any::<[bool; 2]>()).prop_map(
        |(uri, ticks, millis, [is_discontinuous, is_gap])| Segment {
            uri,
            duration: MediaSpan::from_ticks(ticks),
            program_date_time: millis.map(MediaTime::from_unix_millis),
            is_discontinuous,
            is_gap,
            ..Segment::default()
        },
    )
}

fn a_media_playlist() -> impl Strategy<Value = MediaPlaylist> {
    (1_u64..20, any::<u64>(), any::<u64>(), any::<[bool; 2]>(), prop::collection::vec(a_segment(), 0..20))
        .prop_map(|(target, sequence, discontinuity, [independent_segments, has_ended], segments)| {
            MediaPlaylist {
                target_duration: TargetDuration(target),
                media_sequence: MediaSequence(sequence),
                discontinuity_sequence: DiscontinuitySequence(discontinuity),
                independent_segments,
                segments,
                has_ended,
                ..MediaPlaylist::default()
            }
        })
}

fn a_variant_stream() -> impl Strategy<Value = VariantStream> {
    (
        a_text(),
        any::<u64>(),
        prop::option::of(any::<u64>()),
        prop::option::of((0_u32..9999, 0_u32..9999, 0_u32..240_000)),
    )
        .prop_map(|(uri, bandwidth, average, picture)| VariantStream {
            uri,
            bandwidth: BitRate(bandwidth),
            average_bandwidth: average.map(BitRate),
            codecs: Some("avc1.64001f,mp4a.40.2".into()),
            resolution: picture.map(|(width, height, _)| (width, height)),
            frame_rate: picture.map(|(_, _, rate)| FrameRate(rate)),
            pathway_id: Some("e1".into()),
            ..VariantStream::default()
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(playlist in a_media_playlist()) {
        prop_assert_eq!(MediaPlaylist::parse(playlist.render().as_bytes()), Ok(playlist));
    }

    #[test]
    fn what_is_written_is_read_back_multivariant(
        variant_streams in prop::collection::vec(a_variant_stream(), 1..8),
        data in "[a-z.]{1,9}",
    ) {
        let playlist = MultivariantPlaylist {
            independent_segments: true,
            variant_streams,
            session_data: vec![SessionData { data_id: data, value: Some("v".into()), ..SessionData::default() }],
            ..MultivariantPlaylist::default()
        };
        prop_assert_eq!(MultivariantPlaylist::parse(playlist.render().as_bytes()), Ok(playlist));
    }

    /// Another reader, by other people, understands what we write.
    #[test]
    fn quick_m3u8_reads_the_same(playlist in a_media_playlist()) {
        use quick_m3u8::{HlsLine, Reader, config::ParsingOptions, tag::{KnownTag, hls::Tag}};
        let text = playlist.render();
        let mut reader = Reader::from_str(&text, ParsingOptions::default());
        let (mut durations, mut uris, mut sequence) = (Vec::new(), Vec::new(), None);
        while let Some(line) = reader.read_line().unwrap() {
            match line {
                HlsLine::KnownTag(KnownTag::Hls(Tag::Inf(inf))) => durations.push(inf.duration()),
                HlsLine::KnownTag(KnownTag::Hls(Tag::MediaSequence(tag))) => sequence = Some(tag.media_sequence()),
                HlsLine::UnknownTag(tag) => prop_assert!(false, "unknown tag {:?}", tag),
                HlsLine::Uri(uri) => uris.push(uri.into_owned()),
                _ => {}
            }
        }
        prop_assert_eq!(sequence, Some(playlist.media_sequence.0));
        prop_assert_eq!(uris, playlist.segments.iter().map(|s| s.uri.clone()).collect::<Vec<_>>());
        for (found, segment) in durations.iter().zip(&playlist.segments) {
            prop_assert!((found - segment.duration.as_secs_f64()).abs() < 1e-5);
        }
    }

    #[test]
    fn a_strangers_text_never_panics(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = MediaPlaylist::parse(&text);
        let _ = MultivariantPlaylist::parse(&text);
    }

    #[test]
    fn a_damaged_playlist_never_panics(
        playlist in a_media_playlist(),
        harm in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..10),
    ) {
        let mut text = playlist.render().into_bytes();
        for (at, value) in harm {
            let at = at.index(text.len());
            text[at] = value;
        }
        let _ = MediaPlaylist::parse(&text);
        let _ = MultivariantPlaylist::parse(&text);
    }
}

#[test]
fn our_own_multivariant_playlist_keeps_every_rule() {
    let _ = Pathway::here();
    let text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,FRAME-RATE=29.970\na.m3u8\n";
    let playlist = MultivariantPlaylist::parse(text.as_bytes()).unwrap();
    assert_eq!(playlist.variant_streams[0].frame_rate, Some(FrameRate(29_970)));
    assert_eq!(playlist.render(), text);
}
