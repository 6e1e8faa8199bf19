//! Playlists as servers write them, and as they should not.

use super::*;

fn media(text: &str) -> Media<'_> {
    match read(text.as_bytes()) {
        Some(Reading::Media(media)) => media,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_media_playlist_is_read_as_its_writer_meant_it() {
    let init = hls::InitSection {
        uri: "i,1.mp4".into(),
        byte_range: Some(hls::ByteRange { length: 7, offset: Some(3) }),
    };
    let segment = |n: u64| hls::Segment {
        uri: format!("{n}.m4s"),
        duration: media::MediaSpan::from_millis(1960 + n),
        is_discontinuous: n == 8,
        is_gap: n == 9,
        init: Some(init.clone()),
        byte_range: (n < 8).then_some(hls::ByteRange { length: 100, offset: (n == 6).then_some(0) }),
        ..hls::Segment::default()
    };
    let written = hls::MediaPlaylist {
        target_duration: hls::TargetDuration(2),
        media_sequence: media::MediaSequence(6),
        discontinuity_sequence: media::DiscontinuitySequence(3),
        server_control: Some(hls::ServerControl {
            can_block_reload: true,
            hold_back: Some(media::MediaSpan::from_millis(6500)),
            ..hls::ServerControl::default()
        }),
        segments: (6..10).map(segment).collect(),
        has_ended: true,
        ..hls::MediaPlaylist::default()
    };
    let text = written.render();
    let read = media(&text);
    assert_eq!((read.target_secs, read.media_sequence, read.discontinuity_sequence), (2, 6, 3));
    assert_eq!((read.can_block_reload, read.hold_back), (true, Some(Duration::from_millis(6500))));
    assert_eq!((read.has_ended, read.next_sequence(), read.segments.len()), (true, 10, 4));
    for (read, n) in read.segments.iter().zip(6..) {
        assert_eq!(read.uri, format!("{n}.m4s"));
        assert_eq!(read.duration, Duration::from_millis(1960 + n));
        assert_eq!((read.is_discontinuous, read.is_gap), (n == 8, n == 9));
        assert_eq!(read.init, Some(Init { uri: "i,1.mp4", range: Some((3, 7)) }));
    }
    // Each range is of a resource of its own, so one without an offset begins at 0.
    assert_eq!(read.segments[0].range, Some((0, 100)));
    assert_eq!(read.segments[1].range, Some((0, 100)));
    assert_eq!(read.segments[2].range, None);
}

#[test]
fn a_range_goes_on_where_the_one_before_ended() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n#EXT-X-BYTERANGE:100@50\nall.ts\n\
                #EXTINF:4,\n#EXT-X-BYTERANGE:70\nall.ts\n";
    let read = media(text);
    assert_eq!(read.segments[1].range, Some((150, 70)));
}

#[test]
fn dates_count_on_until_a_discontinuity() {
    let text = "#EXTM3U\r\n#EXT-X-TARGETDURATION:4\r\n\
                #EXT-X-PROGRAM-DATE-TIME:2026-07-31T12:34:56.789Z\r\n#EXTINF:4.5,title, and more\r\n1.ts\r\n\
                #EXTINF:4\r\n2.ts\r\n#EXT-X-DISCONTINUITY\r\n#EXTINF:4,\r\n3.ts\r\n";
    let dates: Vec<_> = media(text).segments.iter().map(|segment| segment.unix_millis).collect();
    assert_eq!(dates, [Some(1_785_501_296_789), Some(1_785_501_301_289), None]);
}

#[test]
fn a_date_has_a_zone_and_a_fraction_or_not() {
    for (text, millis) in [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("1970-01-01T00:00:00.5", Some(500)),
        ("2000-02-29T12:00:00.1239+01:30", Some(951_820_200_123)),
        ("2000-02-29T12:00:00-0130", Some(951_831_000_000)),
        ("1969-12-31T23:59:59.999Z", Some(-1)),
        ("2000-13-01T00:00:00Z", None),
        ("2000-02-29", None),
        ("2000-02-29T12:00:00+é", None),
        ("", None),
    ] {
        assert_eq!(unix_millis(text), millis, "{text}");
    }
}

#[test]
fn a_multivariant_playlist_lists_pathways_and_edges() {
    let text = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"/s?a=1,2\",PATHWAY-ID=\"e2\"\n\
        #EXT-X-SESSION-DATA:DATA-ID=\"com.mascaret.edges\",VALUE=\"e1=http://e1 e2=http://e2:8080\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS=\"avc1,mp4a\",PATHWAY-ID=\"e1\"\n\nhttp://e1/720p/index.m3u8\n\
        #EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=9,PATHWAY-ID=\"e2\",BANDWIDTH=1000\nb\n#EXT-X-MEDIA:TYPE=AUDIO\nno\n";
    let Some(Reading::Multivariant(read)) = read(text.as_bytes()) else { panic!("not read") };
    assert_eq!((read.first_pathway, read.steering_uri), (Some("e2"), Some("/s?a=1,2")));
    assert_eq!(read.edges, [("e1", "http://e1"), ("e2", "http://e2:8080")]);
    let streams: Vec<_> = read.variant_streams.iter().map(|v| (v.uri, v.bandwidth, v.pathway_id)).collect();
    assert_eq!(streams, [("http://e1/720p/index.m3u8", 2_000_000, Some("e1")), ("b", 1000, Some("e2"))]);
}

#[test]
fn what_is_no_playlist_is_none() {
    for body in [
        "",
        "<html>",
        "#EXTM3U\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:0\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:-1\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:x\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n",
    ] {
        assert_eq!(read(body.as_bytes()), None, "{body}");
    }
    assert_eq!(read(b"#EXTM3U\n\xff"), None);
    // Odd, and borne.
    let odd = media("#EXTM3U\n#EXT-X-TARGETDURATION:2\nstray.ts\n#EXTINF:inf,\na.ts\n#EXTINF:-1\nb.ts");
    assert_eq!(odd.segments.iter().map(|s| s.duration.as_secs()).collect::<Vec<_>>(), [0, 0]);
}
