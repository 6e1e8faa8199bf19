//! Awkward publishers, each played by the real ffmpeg, and what an edge gets of them.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends")]

mod stage;

use media::DiscontinuitySequence;
use stage::{ENCODE, SOURCE, Stage, ffmpeg, must_decode, must_play, probe};
use std::collections::BTreeSet;
use std::time::Duration;

/// Publishes `tide` with these words, and has the run end at once when ffmpeg does.
fn played(words: &str) -> Stage {
    let stage = Stage::set(|settings| settings.grace = node::settings::Seconds::new(0));
    let said = ffmpeg(words, &stage.url("tide")).wait();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    stage.wait_end("tide");
    stage
}

fn discontinuities(stage: &Stage) -> BTreeSet<DiscontinuitySequence> {
    stage.with(|got| {
        got.segments
            .values()
            .flat_map(|segments| segments.values().map(|(facts, _)| facts.discontinuity))
            .collect()
    })
}

#[test]
fn an_ordinary_publisher_plays_on_every_rung() {
    let stage = played(&format!("{SOURCE} -t 6 {ENCODE}"));
    stage.with(|got| {
        assert_eq!(got.renditions("tide"), ["source", "180p"]);
        must_play(got, "tide");
        let facts = &got.streams["tide"];
        for rendition in &facts.renditions {
            assert!(rendition.codecs().starts_with("avc1.") && rendition.codecs().ends_with("mp4a.40.2"));
            assert!(rendition.average.0 > 0 && rendition.peak >= rendition.average, "{rendition:?}");
            let video = rendition.video.as_ref().unwrap();
            assert_eq!((video.width, video.height, video.frame_rate.0), (320, 180, 30_000));
        }
        let seconds: f64 =
            got.of("tide", "180p").iter().map(|(_, facts, _)| facts.duration.as_secs_f64()).sum();
        assert!((5.9..=6.1).contains(&seconds), "{seconds} s of 6 s");
    });
    assert_eq!(discontinuities(&stage).len(), 1);
}

#[test]
fn a_reconnect_within_the_grace_leaves_no_hole() {
    let stage = Stage::set(|_| ());
    let words = format!("-re {SOURCE} -t 3 {ENCODE}");
    ffmpeg(&words, &stage.url("tide")).wait();
    std::thread::sleep(Duration::from_millis(1500));
    ffmpeg(&words, &stage.url("tide")).wait();
    stage.wait_segments("tide", 7);
    stage.with(|got| must_play(got, "tide"));
    assert_eq!(discontinuities(&stage).len(), 1, "the coding did not change");
}

#[test]
fn an_encoder_that_is_killed_is_filled_in_for() {
    let stage = Stage::set(|_| ());
    let publisher = ffmpeg(&format!("-re {SOURCE} -t 30 {ENCODE}"), &stage.url("tide"));
    stage.wait_segments("tide", 2);
    publisher.kill();
    stage.wait_segments("tide", 6);
    stage.with(|got| must_play(got, "tide"));
}

#[test]
fn after_the_grace_the_broadcast_ends_and_a_later_run_is_one_discontinuity() {
    let stage = Stage::set(|settings| settings.grace = node::settings::Seconds::new(1));
    ffmpeg(&format!("-re {SOURCE} -t 2 {ENCODE}"), &stage.url("tide")).wait();
    stage.wait_end("tide");
    let before = stage.with(|got| got.of("tide", "180p").len());
    ffmpeg(&format!("-re {SOURCE} -t 3 {ENCODE}"), &stage.url("tide")).wait();
    stage.wait_segments("tide", before + 2);
    let counts: Vec<_> = discontinuities(&stage).into_iter().map(|count| count.0).collect();
    assert_eq!(counts.len(), 2);
    assert_eq!(counts[1], counts[0] + 1);
}

#[test]
fn a_second_publisher_is_refused_and_the_first_goes_on() {
    let stage = Stage::set(|_| ());
    let _first = ffmpeg(&format!("-re {SOURCE} -t 30 {ENCODE}"), &stage.url("tide"));
    stage.wait_segments("tide", 1);
    let second = ffmpeg(&format!("{SOURCE} -t 5 {ENCODE}"), &stage.url("tide")).wait();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("already"), "{said}");
    stage.wait_segments("tide", 3);
    stage.with(|got| must_play(got, "tide"));
}

#[test]
fn a_takeover_is_one_broadcast_without_a_mix() {
    let stage = Stage::set(|settings| settings.second_publisher = ingest::SecondPublisher::Takeover);
    let first = ffmpeg(&format!("-re {SOURCE} -t 30 {ENCODE}"), &stage.url("tide"));
    stage.wait_segments("tide", 2);
    let _second = ffmpeg(&format!("-re {SOURCE} -t 30 {ENCODE}"), &stage.url("tide"));
    assert!(!first.wait().status.success(), "the first is closed");
    stage.wait_segments("tide", 6);
    stage.with(|got| must_play(got, "tide"));
}

#[test]
fn a_wrong_key_a_missing_key_and_a_long_key_are_refused_before_any_media() {
    let stage = Stage::set(|_| ());
    let address = stage.addresses.rtmp;
    let long = "k".repeat(1024);
    for stream in
        ["tide", "tide?key=wrong", "unknown?key=secret", &format!("tide?key={long}"), "a.b?key=secret"]
    {
        let said =
            ffmpeg(&format!("{SOURCE} -t 3 {ENCODE}"), &format!("rtmp://{address}/live/{stream}")).wait();
        assert!(!said.status.success(), "{stream} was let in");
    }
    assert!(stage.with(|got| got.segments.is_empty() && got.streams.is_empty()));
}

#[test]
fn the_key_may_come_as_a_token_and_the_app_may_have_a_query() {
    let stage = Stage::set(|_| ());
    let url = format!("rtmp://{}/live?user=1/tide?token=secret", stage.addresses.rtmp);
    let _publisher = ffmpeg(
        &format!("-re {SOURCE} -t 20 {ENCODE} -rtmp_app live?user=1 -rtmp_playpath tide?token=secret"),
        &url,
    );
    stage.wait_segments("tide", 1);
}

#[test]
fn rtmps_is_rtmp_in_tls() {
    let stage = Stage::set(|_| ());
    let url = format!("rtmps://{}/live/tide?key=secret", stage.addresses.rtmps.unwrap());
    let _publisher = ffmpeg(&format!("-re {SOURCE} -t 20 {ENCODE}"), &url);
    stage.wait_segments("tide", 2);
}

#[test]
fn a_start_without_a_sync_unit_waits_for_one() {
    let stage = played(&format!("{SOURCE} -t 7 {ENCODE} -bsf:v noise=drop='key*lt(n\\,50)'"));
    stage.with(|got| must_play(got, "tide"));
}

#[test]
fn an_endless_picture_group_is_cut_all_the_same_but_not_copied() {
    let encode = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 100000 -keyint_min 100000 -sc_threshold 0 -c:a aac";
    let stage = played(&format!("{SOURCE} -t 6 {encode}"));
    stage.with(|got| {
        let segments = got.of("tide", "180p");
        assert!(
            segments.len() >= 5 && segments.iter().all(|(_, facts, _)| !facts.is_gap),
            "{}",
            got.summary()
        );
        assert_eq!(got.renditions("tide"), ["180p"], "the copied rung is refused");
    });
}

#[test]
fn a_variable_frame_rate_keeps_its_times() {
    let words = format!(
        "{SOURCE} -t 6 -vf select='not(between(mod(n\\,30)\\,10\\,22))*gt(random(1)\\,0.2)' -vsync vfr {ENCODE} \
         -force_key_frames expr:gte(t,n_forced)"
    );
    let stage = played(&words);
    stage.with(|got| {
        let segments = got.of("tide", "180p");
        assert!(segments.iter().all(|(_, facts, _)| !facts.is_gap), "{}", got.summary());
        let whole: Vec<u8> = segments.iter().flat_map(|(_, _, body)| body.iter().copied()).collect();
        must_decode("tide/180p", &whole);
    });
}

#[test]
fn pictures_alone_play() {
    let stage = played(&format!("-f lavfi -i testsrc2=s=320x180:r=30 -t 5 {ENCODE}"));
    stage.with(|got| {
        must_play(got, "tide");
        assert!(got.streams["tide"].renditions.iter().all(|rendition| rendition.audio.is_none()));
    });
}

#[test]
fn sound_alone_plays_on_a_rung_of_its_own() {
    let stage = played("-f lavfi -i sine=f=440:r=48000 -t 9 -c:a aac -ac 2");
    stage.with(|got| {
        must_play(got, "tide");
        assert_eq!(got.renditions("tide"), ["audio"]);
        assert_eq!(got.streams["tide"].renditions[0].codecs(), "mp4a.40.2");
    });
}

#[test]
fn b_pictures_are_never_shown_before_they_are_decoded() {
    let stage = played(&format!("{SOURCE} -t 5 {ENCODE} -preset veryfast -bf 3 -b_strategy 0"));
    stage.with(|got| {
        must_play(got, "tide");
        for rendition in got.renditions("tide") {
            for (_, _, body) in got.of("tide", &rendition) {
                for line in probe(&body, "packet=pts,dts").lines().filter(|line| !line.is_empty()) {
                    let times: Vec<i64> =
                        line.trim_end_matches(',').split(',').filter_map(|t| t.parse().ok()).collect();
                    assert!(times[0] >= times[1] && times[1] >= 0, "{line}");
                }
            }
        }
    });
}

#[test]
fn mono_sound_at_44_1_khz_is_copied_as_it_is() {
    let stage = played(
        "-f lavfi -i testsrc2=s=320x180:r=30 -f lavfi -i sine=f=440:r=44100 -t 5 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 30 -c:a aac -ac 1 -ar 44100",
    );
    stage.with(|got| {
        must_play(got, "tide");
        let audio = got.streams["tide"].renditions[0].audio.as_ref().unwrap();
        assert_eq!((audio.sample_rate, audio.channels), (44_100, 1));
    });
}

#[test]
fn a_hole_in_the_sound_is_silence() {
    let stage = played(&format!("{SOURCE} -t 6 -af aselect='not(between(t\\,2\\,3))' {ENCODE}"));
    stage.with(|got| must_play(got, "tide"));
}

#[test]
fn late_sound_keeps_its_skew() {
    let stage = played(&format!("{SOURCE} -t 6 {ENCODE} -bsf:a setts=ts='TS+500'"));
    stage.with(|got| must_play(got, "tide"));
}

#[test]
fn a_jump_of_ten_seconds_leaves_no_hole() {
    let stage = played(&format!(
        "{SOURCE} -t 6 {ENCODE} -bsf:v setts=ts='TS+gte(N\\,90)*10000' -bsf:a setts=ts='TS+gte(N\\,141)*10000'"
    ));
    stage.with(|got| {
        must_play(got, "tide");
        assert!(got.of("tide", "180p").len() <= 7, "{}", got.summary());
    });
}

#[test]
fn extended_timestamps_and_their_wrap_are_read() {
    for offset in ["16774", "4294965"] {
        let stage = played(&format!("{SOURCE} -t 5 -output_ts_offset {offset} {ENCODE}"));
        stage.with(|got| must_play(got, "tide"));
    }
}

#[test]
fn a_transcode_process_killed_at_any_moment_leaves_no_trace() {
    let stage = Stage::set(|_| ());
    let _publisher = ffmpeg(&format!("-re {SOURCE} -t 40 {ENCODE}"), &stage.url("tide"));
    stage.wait_segments("tide", 2);
    for (nth, wait_ms) in [(1, 130), (2, 710), (3, 1340)] {
        std::thread::sleep(Duration::from_millis(wait_ms));
        let pid = stage.status()["broadcasts"]["tide"]["transcode_pid"].as_u64().unwrap();
        let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
        stage.wait_segments("tide", 2 + nth * 3);
    }
    stage.with(|got| must_play(got, "tide"));
    assert!(stage.status()["broadcasts"]["tide"]["transcode_starts"].as_u64().unwrap() >= 4);
    assert_eq!(discontinuities(&stage).len(), 1);
}

#[test]
fn hevc_by_enhanced_rtmp_is_refused_in_words() {
    // ffmpeg 5.1 does not write HEVC into FLV at all; the refusal on the wire is told in protocol/rtmp and
    // protocol/flv. Here: the nearest thing it does write that is not H.264.
    let stage = Stage::set(|_| ());
    let said = ffmpeg("-f lavfi -i testsrc2=s=320x180:r=30 -t 20 -re -c:v flv1", &stage.url("tide")).wait();
    assert!(!said.status.success());
    assert!(stage.with(|got| got.segments.is_empty()));
}
