//! What a person types to have thousands of viewers.

use super::duration;
use clap::Args;
use loadtest::plan::{self, From, VIEWERS_MAX};
use loadtest::report::Condition;
use loadtest::viewer::{Player, RungChoice, Url};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args, Debug)]
pub(crate) struct Loadtest {
    /// What every viewer opens: a multivariant or a media playlist.
    #[arg(value_name = "URL", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// How many viewers there are at a time.
    #[arg(long, short = 'n', default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(VIEWERS_MAX)))]
    pub(crate) viewers: u32,
    /// When it ends by itself.
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) lasts: Duration,
    /// They arrive evenly over this time [default: 10s].
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with_all = ["rate", "flash"])]
    pub(crate) ramp: Option<Duration>,
    /// They arrive at this rate, such as 50/s.
    #[arg(long, value_name = "N/s", value_parser = plan::rate, conflicts_with = "flash")]
    pub(crate) rate: Option<f64>,
    /// They arrive all at once.
    #[arg(long)]
    pub(crate) flash: bool,
    /// One stays this long on average, then another one takes its place.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) churn: Option<Duration>,
    /// Threads [default: one for 5000 viewers, at most one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// What a viewer's line carries in bits a second, such as 20M [default: no limit].
    #[arg(long, value_name = "RATE", value_parser = plan::bits_a_second)]
    pub(crate) downlink: Option<u64>,
    /// Whom the viewers behave like when something fails: page (ours), hls.js, ffmpeg.
    #[arg(long, value_name = "PLAYER", default_value = "page", value_parser = plan::player)]
    pub(crate) player: Player,
    /// The rung that is watched: lowest, highest, abr (by throughput), or its place in the playlist, from 0
    /// [default: what the player chooses].
    #[arg(long, value_name = "RUNG", value_parser = plan::rung)]
    pub(crate) rung: Option<RungChoice>,
    /// Reload playlists by blocking even where it is not offered [default: where it is offered].
    #[arg(long, conflicts_with = "polling")]
    pub(crate) blocking: bool,
    /// Reload playlists by polling only.
    #[arg(long)]
    pub(crate) polling: bool,
    /// Ask a second pathway when the first is slow, as our page does.
    #[arg(long, conflicts_with = "player")]
    pub(crate) hedge: bool,
    /// Take no notice of content steering.
    #[arg(long)]
    pub(crate) no_steering: bool,
    /// Hash the bodies of segments, of all or of every Nth, and compare what different origins send.
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) hash: Option<u64>,
    /// Take playlists compressed.
    #[arg(long)]
    pub(crate) gzip: bool,
    /// Viewers' own addresses: a block such as 127.1.0.0/16, or own [default: that block for a server on 127.x].
    #[arg(long, value_name = "BLOCK")]
    pub(crate) from: Option<From>,
    /// A CA to trust beside those of this machine.
    #[arg(long, value_name = "FILE", conflicts_with = "tls_insecure")]
    pub(crate) ca: Option<PathBuf>,
    /// Take every certificate.
    #[arg(long)]
    pub(crate) tls_insecure: bool,
    /// The URL's host (or HOST) is yours, and may be asked although it is not this machine's loopback.
    #[arg(long = "i-own-this-host", value_name = "HOST", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) ours: Vec<String>,
    /// A condition under which the run has failed, such as 'stall_ratio > 0.1%'; may be given again.
    #[arg(long, value_name = "CONDITION", value_parser = Condition::parse)]
    pub(crate) fail_if: Vec<Condition>,
    /// The report as JSON; - for stdout.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The checks as JUnit XML; - for stdout.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// The report as one HTML file with plots; - for stdout.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// The seed of all randomness: the same seed, the same viewers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Nothing on the terminal but what went wrong.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn a_load_test_has_one_way_to_arrive_and_names_hosts_with_an_equals_sign() {
        let parse = |args: &[&str]| {
            let parsed =
                Cli::try_parse_from(["mascaret", "loadtest", "http://127.0.0.1/x.m3u8"].iter().chain(args));
            parsed.map(|parsed| match parsed.command {
                Command::Loadtest(loadtest) => loadtest,
                _ => panic!("a load test"),
            })
        };
        let all = parse(&["--i-own-this-host", "--i-own-this-host=e1", "--hash", "--rate", "50/s"]).unwrap();
        assert_eq!((all.ours, all.hash, all.rate), (vec![String::new(), "e1".into()], Some(1), Some(50.0)));
        assert_eq!(parse(&["--hash=10"]).unwrap().hash, Some(10));
        for wrong in [
            &["--flash", "--ramp", "5s"][..],
            &["--rate", "5/s", "--flash"],
            &["--fail-if", "luck < 3"],
            &["--viewers", "0"],
            &["--downlink", "fast"],
            &["--ca", "x", "--tls-insecure"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
