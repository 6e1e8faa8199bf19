//! What may be set about an ingest. Every key is documented where it is defined, with unit, range and default.

use crate::keys::{KeyHash, PublishKeys};
use crate::proxied::Proxies;
use edgefan::NodeId;
use ladder::{Ladder, Step};
use media::{BroadcastId, Grid, MediaSpan};
use node::settings::{Address, Megabytes, Millis, Number, Parsed, Seconds};
use proxy::Network;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[ingest]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// This ingest's name in the cluster: 1 to 64 letters, digits, `-`, `_` and `.`. Default `ingest`.
    pub id: Parsed<NodeId>,
    /// Where publishers connect by RTMP. Default `0.0.0.0:1935`.
    pub rtmp: Address,
    /// Where publishers connect by RTMPS, with the HTTPS certificate. Default: not at all.
    pub rtmps: Option<Address>,
    /// Where edges connect, by mutual TLS (`edgefan/1`). Default `0.0.0.0:7001`.
    pub edgefan: Address,
    /// Who may publish what: `[[ingest.publishers]]` with `broadcast` and `key`. Default: nobody.
    pub publishers: Vec<Publisher>,
    /// The lobby that knows publish keys, `host:7003`, or those of a fleet with commas between them, tried in turn: asked
    /// about broadcasts that have no key here. Default: none.
    pub lobby: Option<Parsed<node::fan::lobbies::Lobbies>>,
    /// Proxies before this ingest, each an address or a range such as `10.0.0.0/24`: HAProxy with `send-proxy-v2`, a
    /// balancer's `l4` with `proxy_protocol`. Who connects from there says for whom by PROXY protocol version 2, or is
    /// refused; who says so from elsewhere is refused too. Default: none.
    pub proxies: Vec<Parsed<Network>>,
    /// Let anybody publish a broadcast that has no key here. For a laptop, never for a network; where a
    /// lobby is named it is asked instead. Default `false`.
    pub open: bool,
    /// What a second publisher of a broadcast that is on the air does: `refuse` or `takeover`. Default `refuse`.
    pub second_publisher: SecondPublisher,
    /// Connections taken at once, publishing or not, 1 to 100000. Default `1200`.
    pub connections: Number<1, 100_000>,
    /// Broadcasts on the air at once, each with a transcode process, 1 to 1000. Default `32`.
    pub broadcasts: Number<1, 1000>,
    /// Duration of a segment, 500 ms to 20 s. Default `2 s`. Changing it moves every number of every broadcast.
    pub segment: Millis<500, 20_000>,
    /// Segments a playlist lists, 6 to 1000. Default `15`.
    pub window: Number<6, 1000>,
    /// How long a publisher that is gone is waited for before the broadcast ends, 0 s to 10 min. Default `30 s`.
    pub grace: Seconds<0, 600>,
    /// How long a publisher may say nothing before it is taken for gone, 1 s to 60 s. Default `5 s`.
    pub silence: Millis<1000, 60_000>,
    /// What a broadcast is made into.
    pub ladder: LadderSettings,
    /// The program that links FFmpeg. Default: `mascaret-transcode` beside this program, else in `$PATH`.
    pub transcode: Option<PathBuf>,
    /// Memory a transcode process may have, 256 MB to 64 GB. Default `3 GB`.
    pub transcode_memory: Megabytes<256, 64_000>,
    /// The other ingest of this cluster, `host:7001`: what is published here is made there too, and goes on there.
    /// Default: none, or whoever names us.
    pub twin: Option<Parsed<edgefan::Address>>,
    /// Where is remembered, over a restart, how many discontinuities a broadcast has had. Default: nowhere.
    pub state: Option<PathBuf>,
}

/// One key of one broadcast; a broadcast may have several while one is rotated.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Publisher {
    /// Which broadcast: 1 to 64 letters, digits, `-` and `_`.
    pub broadcast: Parsed<BroadcastId>,
    /// The key's hash, `sha256:…`, as `mascaret ingest key` prints it.
    pub key: Parsed<KeyHash>,
}

/// `[ingest.ladder]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LadderSettings {
    /// Copy the source as the top rung where it fits (its sync units on the grid). Default `true`.
    pub copy: bool,
    /// Best first, each `"<lines>p <rate> [preset] [crf=n]"`; none above the source is made.
    /// Default `["1080p 5M", "720p 2.5M", "480p 1.0M", "360p 0.6M"]`.
    pub rungs: Rungs,
}

/// 1 to 8 steps with names of their own.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "Vec<Parsed<Step>>", into = "Vec<Parsed<Step>>")]
pub struct Rungs(Vec<Step>);

impl TryFrom<Vec<Parsed<Step>>> for Rungs {
    type Error = String;
    fn try_from(steps: Vec<Parsed<Step>>) -> Result<Self, String> {
        let steps: Vec<Step> = steps.into_iter().map(|step| step.0).collect();
        if !(1..=Ladder::MAX_STEPS).contains(&steps.len()) {
            return Err(format!("{} rungs; 1 to {} are allowed", steps.len(), Ladder::MAX_STEPS));
        }
        match steps
            .iter()
            .enumerate()
            .find(|(at, step)| steps[..*at].iter().any(|earlier| earlier.id == step.id))
        {
            Some((_, twice)) => Err(format!("two rungs are called {}; each name is allowed once", twice.id)),
            None => Ok(Self(steps)),
        }
    }
}

impl From<Rungs> for Vec<Parsed<Step>> {
    fn from(rungs: Rungs) -> Self {
        rungs.0.into_iter().map(Parsed).collect()
    }
}

/// What happens to a second publisher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecondPublisher {
    /// It is told that the broadcast is on the air.
    #[default]
    Refuse,
    /// The first one is closed, the timeline goes on.
    Takeover,
}

impl Default for Settings {
    fn default() -> Self {
        let any = |port| Address(std::net::SocketAddr::from(([0, 0, 0, 0], port)));
        Self {
            id: Parsed(NodeId::parse("ingest").expect("a constant that is a name")),
            rtmp: any(1935),
            rtmps: None,
            edgefan: any(7001),
            publishers: Vec::new(),
            lobby: None,
            proxies: Vec::new(),
            open: false,
            second_publisher: SecondPublisher::Refuse,
            connections: Number::new(1200),
            broadcasts: Number::new(32),
            segment: Millis::new(2000),
            window: Number::new(15),
            grace: Seconds::new(30),
            silence: Millis::new(5000),
            ladder: LadderSettings::default(),
            transcode: None,
            transcode_memory: Megabytes::new(3000),
            twin: None,
            state: None,
        }
    }
}

impl Default for LadderSettings {
    fn default() -> Self {
        let ladder = Ladder::default();
        Self { copy: ladder.copy, rungs: Rungs(ladder.steps) }
    }
}

impl Settings {
    pub(crate) fn grid(&self) -> Grid {
        let pitch = MediaSpan::from_millis(self.segment.value());
        Grid::new(pitch).expect("the range of `segment` is the grid's own")
    }

    pub(crate) fn keys(&self) -> PublishKeys {
        let keys = self.publishers.iter().map(|publisher| (publisher.broadcast.0.clone(), publisher.key.0));
        PublishKeys::new(keys.collect(), self.open)
    }

    pub(crate) fn proxies(&self) -> Proxies {
        Proxies(self.proxies.iter().map(|network| network.0).collect())
    }

    pub(crate) fn ladder(&self) -> Ladder {
        Ladder { copy: self.ladder.copy, steps: self.ladder.rungs.0.clone() }
    }
}
