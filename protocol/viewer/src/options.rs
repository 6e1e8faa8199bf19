//! How a viewer behaves. One value is shared by all viewers of a kind.

use std::time::Duration;

/// Silence that is borne: one of them fits into a hold-back of 6 s, with room to fetch a segment elsewhere.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Until a steering server has said a TTL, our page asks it this often (web/src/steering.ts).
const STEERING_OF_THE_PAGE: Duration = Duration::from_secs(5);

/// How a viewer behaves; the default is our page: hls.js as web/src/player.ts sets it up, over the hedged loader of
/// web/builtin/hedge.js with hedging off (see [`Options::hedge`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Whether segments are fetched. Without, only playlists are followed, and nothing plays.
    pub fetch_segments: bool,
    /// How the media playlist is reloaded.
    pub reload: Reload,
    /// Which rung is fetched.
    pub rung: RungChoice,
    /// Plays once so many segments are held, ...
    pub start_segments: u32,
    /// ... and so much media.
    pub start_held: Duration,
    /// Plays again after a stall once so much media is held (and one segment).
    pub resume_held: Duration,
    /// Fetches ahead until so much media is held (hls.js: maxBufferLength, 30 s).
    pub ahead: Duration,
    /// How far from the live edge it starts, instead of HOLD-BACK or three target durations.
    pub hold_back: Option<Duration>,
    /// Leaps to the live edge when it is so many target durations behind it (hls.js:
    /// liveMaxLatencyDurationCount, 12 in our page).
    pub behind_targets_max: Option<u32>,
    /// Bounds of playlist asks.
    pub playlist_bounds: Bounds,
    /// Bounds of segment asks.
    pub segment_bounds: Bounds,
    /// Asks a second pathway when the first says nothing. Off unless asked for: a second ask is load that a
    /// server under test did not cause.
    pub hedge: Option<Hedge>,
    /// What happens when every pathway that may be asked has failed.
    pub retry: Retry,
    /// A pathway that failed is not asked first for so long (hedge.js: 30 s).
    pub rest: Duration,
    /// Content steering is followed (RFC 8216bis, 7); a server that has not said a TTL yet is asked again after so
    /// long. `None` takes no notice of it.
    pub steering: Option<Duration>,
    /// Pathways it knows what to do with; the others of a playlist are as if they were not there.
    pub pathways_max: usize,
    /// Whether another pathway is tried when the playlist stands still.
    pub leaves_stale: bool,
    /// Begins again at the entry so long after the retries are used up (player.ts: 2 s); `None` gives up then.
    pub reenter_after: Option<Duration>,
    /// Times in a row it begins again without a segment in between (without segments: a media playlist).
    pub reentries_max: u32,
}

/// How long an ask may take. A viewer that waits longer cancels it, and the next pathway is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Until the head is there, from when it was asked for. A blocking reload has one target duration on top.
    pub first_byte: Duration,
    /// Between a head and the first [`crate::Input::Progress`], and from one to the next or to the end.
    pub idle: Duration,
    /// Until it is whole, from when it was asked for. A blocking reload has one target duration on top.
    pub whole: Duration,
    /// How often a pathway that was silent is asked again, at once, before another one is. None in our page.
    pub again_when_silent: u32,
    /// How often one that answered with 5xx is, after the waits of [`Retry`]. None in our page.
    pub again_when_refused: u32,
}

impl Bounds {
    /// Bounds of a player that asks the next pathway at once.
    const fn of(first_byte: Duration, idle: Duration, whole: Duration) -> Self {
        Self { first_byte, idle, whole, again_when_silent: 0, again_when_refused: 0 }
    }
}

/// After how long without a first byte a second pathway is asked too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// For a playlist (a blocking reload has one target duration on top).
    pub playlist: Duration,
    /// For a segment.
    pub segment: Duration,
}

/// How often and after how long all pathways are tried again (hls.js: errorRetry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Rounds after the first.
    pub rounds: u32,
    /// Before the first of them; twice as long before each that follows, ...
    pub delay: Duration,
    /// ... up to this. Each is lengthened by up to a quarter, by the viewer's seed.
    pub delay_max: Duration,
}

/// How the media playlist is reloaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reload {
    /// Blocking where CAN-BLOCK-RELOAD says so, else polling.
    #[default]
    AsOffered,
    /// Polling: one target duration after the last load began, half of that when nothing had changed (RFC
    /// 8216bis, 6.3.4).
    Poll,
    /// Blocking, whatever is offered.
    Block,
}

/// Which rung is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RungChoice {
    /// By throughput, as hls.js chooses; the first listed to start with.
    #[default]
    Adaptive,
    /// The one with the lowest BANDWIDTH.
    Lowest,
    /// The one with the highest BANDWIDTH.
    Highest,
    /// By its place among the rungs in the multivariant playlist's order, from 0; the last if there are fewer.
    Index(u8),
}

/// A player there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Player {
    /// Our page, without its hedges ([`Options::default`]).
    #[default]
    Page,
    /// hls.js as it is ([`Options::hls_js`]).
    HlsJs,
    /// `ffmpeg -i URL` ([`Options::ffmpeg`]).
    Ffmpeg,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fetch_segments: true,
            reload: Reload::AsOffered,
            rung: RungChoice::Adaptive,
            start_segments: 1,
            start_held: Duration::ZERO,
            resume_held: Duration::ZERO,
            ahead: Duration::from_secs(30),
            hold_back: None,
            behind_targets_max: Some(12),
            playlist_bounds: Bounds::of(PATIENCE, PATIENCE, Duration::from_secs(10)),
            segment_bounds: Bounds::of(PATIENCE, PATIENCE, Duration::from_secs(20)),
            hedge: None,
            retry: Retry { rounds: 6, delay: Duration::from_secs(1), delay_max: Duration::from_secs(8) },
            rest: Duration::from_secs(30),
            steering: Some(STEERING_OF_THE_PAGE),
            pathways_max: usize::MAX,
            leaves_stale: true,
            reenter_after: Some(Duration::from_secs(2)),
            reentries_max: u32::MAX,
        }
    }
}

impl Options {
    /// Our page to the letter: the default with its hedges.
    pub fn page() -> Self {
        let hedge = Hedge { playlist: Duration::from_millis(500), segment: Duration::from_millis(300) };
        Self { hedge: Some(hedge), ..Self::default() }
    }

    /// hls.js 1.7 with its default settings: silence is borne for 10 s, and several times at the same place; a
    /// pathway that failed rests for five minutes; a list that stands still is followed for ever; an error for which
    /// no place is left is the end. (It tries the other rungs of a pathway before another one, which is not modelled.)
    pub fn hls_js() -> Self {
        let (first_byte, seconds) = (Duration::from_secs(10), Duration::from_secs);
        let playlist_bounds = Bounds {
            again_when_silent: 2,
            again_when_refused: 2,
            ..Bounds::of(first_byte, seconds(20), seconds(20))
        };
        let segment_bounds = Bounds {
            again_when_silent: 4,
            again_when_refused: 6,
            ..Bounds::of(first_byte, seconds(120), seconds(120))
        };
        Self {
            playlist_bounds,
            segment_bounds,
            retry: Retry { rounds: 0, ..Self::default().retry },
            rest: seconds(300),
            steering: Some(seconds(300)),
            leaves_stale: false,
            behind_targets_max: None,
            reenter_after: None,
            ..Self::default()
        }
    }

    /// `ffmpeg -i URL` as of FFmpeg 5.1: one pathway, chosen at the start and never left; it reads the highest rung, polls,
    /// and has no time-out of its own.
    pub fn ffmpeg() -> Self {
        let hour = Duration::from_secs(3600);
        let bounds = Bounds::of(hour, hour, hour);
        Self {
            rung: RungChoice::Highest,
            reload: Reload::Poll,
            playlist_bounds: bounds,
            segment_bounds: bounds,
            retry: Retry { rounds: 0, ..Self::default().retry },
            steering: None,
            pathways_max: 1,
            leaves_stale: false,
            behind_targets_max: None,
            reenter_after: None,
            ..Self::default()
        }
    }

    /// What this player does.
    pub fn of(player: Player) -> Self {
        match player {
            Player::Page => Self::default(),
            Player::HlsJs => Self::hls_js(),
            Player::Ffmpeg => Self::ffmpeg(),
        }
    }
}
