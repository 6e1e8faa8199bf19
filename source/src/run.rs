//! The role: a thread that draws and paces, a thread that reads what is coded, a publisher.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ladder::{PatternBegin, PatternOrder, PatternReport};
use media::{BitRate, FrameRate};
use node::operator::{Panel, Readiness};
use node::{Node, Stop};
use prometheus_client::registry::Registry;
use rml_rtmp::sessions::StreamMetadata;
use tokio::sync::watch;

use crate::encoder::{Encoder, Reports};
use crate::pace::Pace;
use crate::picture::{Picture, Scene};
use crate::publisher::{Counters, Publisher, Standing};
use crate::queue::Queue;
use crate::settings::Settings;
use crate::sound::{BEEP_MS, Sound};
use crate::tags::Tag;

const SAMPLE_RATE: u32 = 48_000;
const CHANNELS: u8 = 2;

/// An encoder that ended is started again after this long: it begins on the grid anyway.
const ENCODER_PAUSE: Duration = Duration::from_millis(500);

/// How long the drawing may take to end.
const END_MAX: Duration = Duration::from_secs(1);

/// Why a source could not start. Whatever happens later is survived.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No URL at all.
    #[error("`urls` is empty; at least one URL is needed")]
    NoUrl,
    /// Sync units would not fall on pictures.
    #[error("sync_distance {distance} at {frame_rate} pictures per second is no whole number of pictures")]
    SyncDistance {
        /// As set.
        distance: String,
        /// As set.
        frame_rate: u64,
    },
    /// The helper is nowhere.
    #[error(transparent)]
    NoTranscode(#[from] node::program::NotFound),
    /// The publish key could not be read.
    #[error("publish key: {0}")]
    Key(std::io::Error),
    /// The CA for `rtmps://` could not be read.
    #[error(transparent)]
    Certificates(#[from] node::certs::CertificateError),
    /// No thread or runtime to be had.
    #[error("could not start: {0}")]
    Start(std::io::Error),
}

/// Publishes a test pattern until `node.stop`.
pub fn run(settings: Settings, node: Node) -> Result<(), SourceError> {
    let urls: Vec<_> = settings.urls.iter().map(|url| url.0.clone()).collect();
    if urls.is_empty() {
        return Err(SourceError::NoUrl);
    }
    let gop = settings.gop().ok_or_else(|| SourceError::SyncDistance {
        distance: settings.sync_distance.to_string(),
        frame_rate: settings.frame_rate.value(),
    })?;
    let program = node::program::transcode(settings.transcode.as_deref())?;
    let key = settings.key_file.as_ref().map(node::settings::SecretFile::read).transpose();
    let key = key.map_err(SourceError::Key)?;
    let tls =
        urls.iter().any(|url| url.is_tls).then(|| node.certificates.https_client_config()).transpose()?;

    let counters = Arc::new(Counters::default());
    let (standing, watched) = watch::channel(Standing::Waiting { why: "starting".into() });
    open_panel(&node, &settings, counters.clone(), watched);
    let (queue, tags) = Queue::new();
    let pattern = Pattern { gop, program, settings: settings.clone(), stop: node.stop.clone() };
    let drawing = std::thread::Builder::new()
        .name("pattern".into())
        .spawn(move || pattern.run(queue))
        .map_err(SourceError::Start)?;
    let publisher = Publisher { urls, key, metadata: metadata(&settings), tls, counters, standing };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SourceError::Start)?;
    runtime.block_on(publisher.run(tags, node.stop.clone()));
    node.stop.signal();
    // An encoder that takes nothing any more would hold the thread for ever; it ends with the process.
    let asked = Instant::now();
    while !drawing.is_finished() && asked.elapsed() < END_MAX {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

struct Pattern {
    gop: u32,
    program: PathBuf,
    settings: Settings,
    stop: Stop,
}

impl Pattern {
    /// One encoder after the other, until `stop`. The queue goes from reader to reader.
    fn run(self, mut queue: Queue) {
        while !self.stop.is_stopping() {
            let began = Encoder::start(&self.program, self.begin());
            let (encoder, reports) = match began {
                Ok(both) => both,
                Err(error) => {
                    tracing::error!(program = %self.program.display(), %error, "pattern encoder");
                    self.stop.wait_timeout(ENCODER_PAUSE * 4);
                    continue;
                }
            };
            let reading =
                std::thread::Builder::new().name("coded".into()).spawn(move || carry(reports, queue));
            let Ok(reading) = reading else { return };
            if let Err(error) = self.draw(encoder)
                && !self.stop.is_stopping()
            {
                tracing::warn!(%error, "the pattern encoder ended; it is started again");
            }
            // The encoder was dropped with `draw`, so its pipe has ended and so does the reader.
            queue = match reading.join() {
                Ok(queue) => queue,
                Err(_) => return,
            };
            self.stop.wait_timeout(ENCODER_PAUSE);
        }
    }

    fn begin(&self) -> PatternBegin {
        let settings = &self.settings;
        PatternBegin {
            width: settings.width.value() as u32 & !1,
            height: settings.height.value() as u32 & !1,
            frame_rate: FrameRate(settings.frame_rate.value() as u32 * 1_000),
            bitrate: BitRate(settings.bitrate.bits_per_second()),
            gop: self.gop,
            b_pictures: settings.b_pictures.value() as u8,
            sample_rate: if settings.sound { SAMPLE_RATE } else { 0 },
            channels: CHANNELS,
            audio_bitrate: BitRate(settings.audio_bitrate.bits_per_second()),
        }
    }

    /// Draws when it is due, until `stop` or until the encoder takes no more.
    fn draw(&self, mut encoder: Encoder) -> std::io::Result<()> {
        let frame_rate = self.settings.frame_rate.value();
        let name = self.settings.shown_name();
        let mut picture =
            Picture::new(self.settings.width.value() as usize, self.settings.height.value() as usize);
        let mut pace = Pace::new(Instant::now(), unix_millis(), frame_rate, u64::from(self.gop));
        let mut sound = Sound::new(SAMPLE_RATE, CHANNELS.into(), pace.begin_ms());
        let mut sound_until = 0;
        let begin_ms = pace.begin_ms();
        loop {
            let (due, left_out) = pace.next(Instant::now());
            if left_out > 0 {
                tracing::warn!(
                    pictures = left_out,
                    "the encoder is slower than the clock; pictures are left out"
                );
            }
            if self.stop.wait_timeout(due.at.saturating_duration_since(Instant::now())) {
                return Ok(());
            }
            let flash = due.wall_ms % 1_000 < BEEP_MS;
            picture.draw(&Scene { number: due.number, wall_ms: due.wall_ms, name: &name, flash });
            let planes = Bytes::copy_from_slice(&picture.planes);
            encoder.order(&PatternOrder::Picture { time: due.time, planes })?;
            if self.settings.sound {
                // Up to where the next picture is shown, counted from the begin, so that nothing is rounded twice.
                let until = (due.wall_ms - begin_ms) * u64::from(SAMPLE_RATE) / 1_000
                    + u64::from(SAMPLE_RATE) / frame_rate;
                let samples = sound.take(until.saturating_sub(sound_until) as usize);
                sound_until = sound_until.max(until);
                encoder.order(&PatternOrder::Sound { time: due.time, samples: samples.into() })?;
            }
        }
    }
}

/// From the encoder to the queue, until the encoder ends.
fn carry(mut reports: Reports, mut queue: Queue) -> Queue {
    let mut told = 0;
    loop {
        match reports.next() {
            Ok(Some(PatternReport::Note { text })) => tracing::info!(%text, "pattern encoder"),
            Ok(Some(report)) => {
                if let Some(tag) = Tag::of(&report) {
                    queue.push(tag);
                }
            }
            Ok(None) => return queue,
            Err(error) => {
                tracing::warn!(%error, "pattern encoder");
                return queue;
            }
        }
        if queue.left_out() >= told + 100 {
            told = queue.left_out();
            tracing::warn!(units = told, "the network is slower than the pattern; units are left out");
        }
    }
}

fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn metadata(settings: &Settings) -> StreamMetadata {
    let mut metadata = StreamMetadata::new();
    metadata.video_width = Some(settings.width.value() as u32 & !1);
    metadata.video_height = Some(settings.height.value() as u32 & !1);
    metadata.video_codec_id = Some(7);
    metadata.video_frame_rate = Some(settings.frame_rate.value() as f32);
    metadata.video_bitrate_kbps = Some(settings.bitrate.value() as u32);
    if settings.sound {
        metadata.audio_codec_id = Some(10);
        metadata.audio_bitrate_kbps = Some(settings.audio_bitrate.value() as u32);
        metadata.audio_sample_rate = Some(SAMPLE_RATE);
        metadata.audio_channels = Some(CHANNELS.into());
        metadata.audio_is_stereo = Some(true);
    }
    metadata.encoder = Some(concat!("Mascaret source ", env!("CARGO_PKG_VERSION")).into());
    metadata
}

fn open_panel(
    node: &Node,
    settings: &Settings,
    counters: Arc<Counters>,
    standing: watch::Receiver<Standing>,
) {
    let readiness = {
        let standing = standing.clone();
        move || match &*standing.borrow() {
            Standing::Publishing { .. } => Readiness::Ready,
            Standing::Connecting { url } => Readiness::NotFed(format!("connecting to {url}")),
            Standing::Waiting { why } => Readiness::NotFed(why.clone()),
        }
    };
    let shape = format!("{}x{}@{}", settings.width, settings.height, settings.frame_rate);
    let name = settings.shown_name();
    let status = move || {
        let (state, detail) = match &*standing.borrow() {
            Standing::Publishing { url } => ("publishing", url.clone()),
            Standing::Connecting { url } => ("connecting", url.clone()),
            Standing::Waiting { why } => ("waiting", why.clone()),
        };
        serde_json::json!({
            "state": state,
            "detail": detail,
            "name": name,
            "picture": shape,
            "connections": counters.connections.load(Ordering::Relaxed),
            "units_sent": counters.units.load(Ordering::Relaxed),
            "bytes_sent": counters.bytes.load(Ordering::Relaxed),
        })
    };
    node.operator.open(Panel {
        registry: Registry::default(),
        readiness: Box::new(readiness),
        status: Box::new(status),
        admin: node::operator::Router::new(),
    });
    node.service.is_ready();
}
