//! A source made by the pattern encoder, and the process under test with its pipes.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test's ground: each scenario uses its own part, and what cannot be is a failure"
)]

use bytes::Bytes;
use ladder::{
    Begin, Encoding, Message, Order, PatternBegin, PatternOrder, PatternReport, PatternReportReader, Preset,
    Report, ReportReader, Rung, RungVideo,
};
use media::{
    AccessUnit, AudioConfig, BitRate, BroadcastId, MediaSequence, MediaSpan, MediaTime, RenditionId, Track,
    VideoConfig,
};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

pub const WIDTH: u32 = 320;
pub const HEIGHT: u32 = 180;
/// A moment on the 2 s grid, in 2023.
pub const EPOCH: u64 = 1_700_000_000 * 90_000;
pub const SECOND: u64 = 90_000;

/// What a publisher would send, times from [`EPOCH`] on.
#[derive(Clone)]
pub struct Source {
    pub video: Option<VideoConfig>,
    pub audio: Option<AudioConfig>,
    /// In decode order over both tracks.
    pub units: Vec<AccessUnit>,
}

impl Source {
    pub fn sequence(nth: u64) -> MediaSequence {
        MediaSequence(EPOCH / SECOND / 2 + nth)
    }

    /// Only the units a filter lets through.
    pub fn only(&self, keep: impl Fn(&AccessUnit) -> bool) -> Self {
        let units = self.units.iter().filter(|unit| keep(unit)).cloned().collect();
        Self { units, ..self.clone() }
    }

    /// Everything that many ticks later.
    pub fn later(&self, ticks: u64) -> Self {
        let span = MediaSpan::from_ticks(ticks);
        let units = self.units.iter().cloned().map(|mut unit| {
            unit.decode_time += span;
            unit.presentation_time += span;
            unit
        });
        Self { units: units.collect(), ..self.clone() }
    }

    pub fn orders(&self) -> Vec<Order> {
        self.units.iter().cloned().map(Order::Unit).collect()
    }

    /// Where in `units` the nth sync picture is.
    pub fn sync_at(&self, nth: usize) -> usize {
        let is_sync = |(_, unit): &(usize, &AccessUnit)| unit.track == Track::Video && unit.is_sync;
        self.units.iter().enumerate().filter(is_sync).nth(nth).unwrap().0
    }
}

/// `seconds` of moving bars with a tone, coded by the pattern encoder; the first picture is shown at [`EPOCH`].
pub fn source(begin: &PatternBegin, seconds: u64) -> Source {
    let mut child = spawn(&["pattern"]);
    let mut pipe = child.stdin.take().unwrap();
    let (begin_order, begin) = (PatternOrder::Begin(begin.clone()), begin.clone());
    let writer = std::thread::spawn(move || {
        send(&mut pipe, &begin_order);
        let pictures = seconds * u64::from(begin.frame_rate.0) / 1000;
        for picture in 0..pictures {
            // One second in, so that units of B pictures have room in front.
            let ticks = SECOND + picture * 90_000_000 / u64::from(begin.frame_rate.0);
            let planes = bars(begin.width, begin.height, picture);
            send(&mut pipe, &PatternOrder::Picture { time: MediaTime::from_ticks(ticks), planes });
            if begin.sample_rate > 0 {
                let rate = u64::from(begin.sample_rate);
                let from = picture * rate * 1000 / u64::from(begin.frame_rate.0);
                let until = (picture + 1) * rate * 1000 / u64::from(begin.frame_rate.0);
                let tone = (from..until).flat_map(|sample| {
                    let value =
                        ((sample as f64 * 440.0 * std::f64::consts::TAU / rate as f64).sin() * 8000.0) as i16;
                    std::iter::repeat_n(value.to_le_bytes(), usize::from(begin.channels)).flatten()
                });
                let samples = tone.collect::<Vec<u8>>().into();
                send(&mut pipe, &PatternOrder::Sound { time: MediaTime::from_ticks(SECOND), samples });
            }
        }
        send(&mut pipe, &PatternOrder::End);
    });
    let mut source = Source { video: None, audio: None, units: Vec::new() };
    let mut reader = PatternReportReader::new();
    let mut bytes = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    reader.push(&bytes);
    while let Some(report) = reader.pull().unwrap() {
        match report {
            PatternReport::VideoConfig(config) => source.video = Some(config),
            PatternReport::AudioConfig(config) => source.audio = Some(config),
            PatternReport::Unit(unit) => source.units.push(unit),
            PatternReport::Note { text } => panic!("{text}"),
        }
    }
    source.units.sort_by_key(|unit| unit.decode_time);
    source.later(EPOCH - SECOND)
}

/// The usual source: 320x180 at 30, a sync unit each second.
pub fn plain() -> PatternBegin {
    PatternBegin {
        width: WIDTH,
        height: HEIGHT,
        bitrate: BitRate(300_000),
        gop: 30,
        ..PatternBegin::default()
    }
}

fn bars(width: u32, height: u32, picture: u64) -> Bytes {
    let mut planes = Vec::with_capacity((width * height * 3 / 2) as usize);
    for y in 0..height {
        for x in 0..width {
            planes.push((16 + (u64::from(x * 2 + y) + picture * 3) % 200) as u8);
        }
    }
    for plane in 0..2_u64 {
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                planes.push((64 + (u64::from(x + y) + picture * (plane + 1)) % 128) as u8);
            }
        }
    }
    planes.into()
}

/// `source` copied, and 320x180 and 160x90 encoded.
pub fn rungs() -> Vec<Rung> {
    let encoding = |width, height, rate| Encoding {
        width,
        height,
        bitrate: BitRate(rate),
        preset: Preset::Veryfast,
        crf: 26,
    };
    let rung = |id: &str, video| Rung { id: RenditionId::parse(id).unwrap(), video, has_audio: true };
    vec![
        rung("source", RungVideo::Copy { instead: encoding(WIDTH, HEIGHT, 400_000) }),
        rung("180p", RungVideo::Encode(encoding(WIDTH, HEIGHT, 300_000))),
        rung("90p", RungVideo::Encode(encoding(160, 90, 150_000))),
    ]
}

pub fn begin(source: &Source, from: u64) -> Order {
    Order::Begin(Begin {
        broadcast: BroadcastId::parse("test").unwrap(),
        segment: MediaSpan::from_secs(2),
        from: Source::sequence(from),
        rungs: rungs(),
        video: source.video.clone(),
        audio: source.audio.clone(),
    })
}

pub fn spawn(words: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_mascaret-transcode"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

pub fn send(pipe: &mut ChildStdin, message: &impl Message) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    // A process that was killed on purpose does not read.
    let _ = pipe.write_all(&bytes);
}

/// One segment as it was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub start: u64,
    pub duration: u64,
    pub bytes: Vec<u8>,
}

/// Everything one process reported.
#[derive(Default)]
pub struct Made {
    pub ready: Option<String>,
    /// Complete segments by rendition and nth segment since [`EPOCH`].
    pub segments: BTreeMap<(String, u64), Segment>,
    pub skipped: BTreeMap<(String, u64), String>,
    pub refused: BTreeMap<String, String>,
    pub renditions: Vec<media::Rendition>,
    pub notes: Vec<String>,
    pub progress: Vec<MediaTime>,
    open: BTreeMap<(String, u64), Segment>,
}

impl Made {
    pub fn take(&mut self, report: Report) {
        let key = |rendition: &RenditionId, sequence: MediaSequence| {
            (rendition.to_string(), sequence.0 - Source::sequence(0).0)
        };
        match report {
            Report::Ready { digest } => self.ready = Some(digest),
            Report::Rung(rendition) => self.renditions.push(rendition),
            Report::Refused { rung, why } => drop(self.refused.insert(rung.to_string(), why)),
            Report::Open { rendition, sequence, start } => {
                let name = rendition.to_string();
                assert!(
                    self.renditions.iter().any(|known| known.id == rendition),
                    "{name} was not described"
                );
                let segment = Segment { start: start.ticks(), duration: 0, bytes: Vec::new() };
                assert!(self.open.insert(key(&rendition, sequence), segment).is_none());
            }
            Report::Bytes { rendition, sequence, bytes } => {
                assert!(bytes.len() % 188 == 0 && !bytes.is_empty(), "not whole TS packets");
                self.open.get_mut(&key(&rendition, sequence)).unwrap().bytes.extend(bytes);
            }
            Report::Close { rendition, sequence, duration } => {
                let key = key(&rendition, sequence);
                let mut segment = self.open.remove(&key).unwrap();
                segment.duration = duration.ticks();
                self.segments.insert(key, segment);
            }
            Report::Skip { rendition, sequence, why, .. } => {
                self.skipped.insert(key(&rendition, sequence), why);
            }
            Report::Progress { decoded_until } => self.progress.push(decoded_until),
            Report::Note { text } => self.notes.push(text),
        }
    }

    /// The segments of one rendition, in order.
    pub fn of(&self, rendition: &str) -> Vec<(u64, Segment)> {
        let of = |((name, nth), segment): (&(String, u64), &Segment)| {
            (name == rendition).then(|| (*nth, segment.clone()))
        };
        self.segments.iter().filter_map(of).collect()
    }

    pub fn numbers(&self, rendition: &str) -> Vec<u64> {
        self.of(rendition).into_iter().map(|(nth, _)| nth).collect()
    }

    /// Every segment starts where the one before it ends.
    pub fn assert_seamless(&self, rendition: &str) {
        for pair in self.of(rendition).windows(2) {
            let ((nth, one), (next, other)) = (&pair[0], &pair[1]);
            assert_eq!(nth + 1, *next, "{rendition}: a number is missing");
            assert_eq!(
                one.start + one.duration,
                other.start,
                "{rendition}: {nth} does not end where {next} begins"
            );
        }
    }

    /// All segments of the rendition, one after the other.
    pub fn joined(&self, rendition: &str) -> Vec<u8> {
        self.of(rendition).into_iter().flat_map(|(_, segment)| segment.bytes).collect()
    }
}

/// Gives a process these orders, and collects what it reports until it ends.
pub fn transcode(orders: Vec<Order>) -> Made {
    let mut child = spawn(&[]);
    let mut pipe = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        orders.iter().for_each(|order| send(&mut pipe, order));
        send(&mut pipe, &Order::End);
    });
    let made = collect(&mut child);
    writer.join().unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "the process ended with {status}");
    made
}

/// Reads until the pipe ends.
pub fn collect(child: &mut Child) -> Made {
    let mut made = Made::default();
    let mut reader = ReportReader::new();
    let mut pipe = child.stdout.take().unwrap();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = pipe.read(&mut buffer).unwrap();
        if read == 0 {
            return made;
        }
        reader.push(&buffer[..read]);
        while let Some(report) = reader.pull().unwrap() {
            made.take(report);
        }
    }
}

pub fn whole(source: &Source, from: u64) -> Made {
    let mut orders = vec![begin(source, from)];
    orders.extend(source.orders());
    transcode(orders)
}

/// What `ffmpeg` has to say when it decodes these bytes, at warning level: nothing, if all is well.
pub fn complaints(bytes: &[u8]) -> String {
    let file = file(bytes);
    let decoded = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-v", "warning", "-f", "mpegts", "-i"])
        .arg(file.path())
        .args(["-fps_mode", "passthrough", "-f", "null", "-"])
        .output()
        .unwrap();
    let mut text = String::from_utf8_lossy(&decoded.stderr).into_owned();
    text += if decoded.status.success() { "" } else { "(failed)" };
    text += if counts_go_on(bytes) { "" } else { "(continuity counters jump)" };
    text
}

/// ISO/IEC 13818-1, 2.4.3.3: each PID counts its packets modulo 16, unless it says that it does not. True of these.
pub fn counts_go_on(bytes: &[u8]) -> bool {
    let mut last: BTreeMap<u16, u8> = BTreeMap::new();
    bytes.chunks(188).all(|packet| {
        let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
        let (has_field, has_payload, count) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0, packet[3] & 15);
        let is_discontinuous = has_field && packet[4] > 0 && packet[5] & 0x80 != 0;
        let goes_on = match last.insert(pid, count) {
            Some(before) if has_payload => count == (before + 1) % 16,
            Some(before) => count == before,
            None => true,
        };
        packet[0] == 0x47 && (goes_on || is_discontinuous)
    })
}

/// Presentation times of one kind of stream (`v` or `a`), in ticks, as ffprobe reads them, in order of decoding.
pub fn times(bytes: &[u8], kind: &str) -> Vec<u64> {
    let file = file(bytes);
    let probed = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            kind,
            "-show_entries",
            "packet=pts",
            "-of",
            "csv=p=0",
            "-f",
            "mpegts",
        ])
        .arg(file.path())
        .output()
        .unwrap();
    let text = String::from_utf8(probed.stdout).unwrap();
    text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect()
}

pub fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}
