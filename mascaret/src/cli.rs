//! What a person types.
//!
//! Lives here: every command and its words but those about edges (`cli/edge`) and about the lobby
//! (`cli/lobby`). Does not live here: what a command does.

mod edge;
mod lobby;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
pub(crate) use edge::*;
use loadtest::plan::{self, From, VIEWERS_MAX};
use loadtest::report::Condition;
use loadtest::viewer::{Player, RungChoice, Url};
pub(crate) use lobby::*;
use node::directory::NodeId;

/// Highly available live streaming: publish once by RTMP, watch on every edge.
#[derive(Debug, Parser)]
#[command(
    name = "mascaret",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  mascaret demo                         a whole cluster on this machine, with a picture to watch
  mascaret edge --settings edge.toml    one edge
  mascaret status                       the whole cluster, once
  mascaret plan --viewers 5000 --bitrate 3.5M --link 10G
  mascaret check all.toml               is everything in this file right, and what holds?
  mascaret lint http://127.0.0.31:8080/live/tide/index.m3u8
  mascaret loadtest http://127.0.0.31:8080/live/tide/index.m3u8 --viewers 1000

Exit status: 0 done, 1 failed, 2 wrong usage."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hold the live window in memory and send it to viewers; or say what is to become of edges.
    #[command(
        after_help = "\
Examples:
  mascaret edge --settings edge.toml
  mascaret edge --settings all.toml --set id=edge2 --set http=127.0.0.22:8080
  MASCARET_EDGE_CAPACITY='10 Gbit/s' mascaret edge --settings edge.toml
  mascaret edge drain edge2 --settings lb.toml --wait 30s",
        args_conflicts_with_subcommands = true
    )]
    Edge(Edge),
    /// Take broadcasts by RTMP, make the ladder, feed the edges.
    #[command(
        after_help = "\
Examples:
  mascaret ingest key                       a new publish key, and its hash for the settings
  mascaret ingest --settings ingest.toml
  mascaret ingest failover                  the twin leads from the next cut on
  mascaret ingest --set open=true           whoever connects may publish: for a laptop only",
        args_conflicts_with_subcommands = true
    )]
    Ingest(Ingest),
    /// Give each viewer an edge and a token.
    #[command(after_help = "\
Examples:
  mascaret lb --settings lb.toml
  mascaret lb --settings all.toml --set id=lb2 --set http=127.0.0.32:8080")]
    Lb(Role),
    /// Who may publish, who may watch, who says what: accounts, publish keys, private broadcasts, chat.
    #[command(
        after_help = "\
Examples:
  mascaret lobby --settings lobby.toml
  mascaret lobby backup lobby.jsonl --settings lobby.toml      everything but sessions, from a lobby that runs too
  mascaret lobby restore lobby.jsonl --settings other.toml     into an empty store, SQLite or PostgreSQL",
        args_conflicts_with_subcommands = true
    )]
    Lobby(Lobby),
    /// Accounts of a lobby, by whoever can read its settings.
    #[command(
        subcommand,
        after_help = "\
Examples:
  mascaret user add ada --role admin --settings lobby.toml     prints a password, once
  mascaret user passwd ada --password-stdin < password
  mascaret user role bob broadcaster
  mascaret user delete eve"
    )]
    User(UserCommand),
    /// Publish a test pattern: a clock, a number, a beep each second.
    #[command(after_help = "\
Examples:
  mascaret source rtmp://127.0.0.1/live/tide
  mascaret source rtmp://127.0.0.11/live/tide rtmp://127.0.0.12/live/tide --key-file tide.key
  mascaret source rtmp://127.0.0.1/live/tide --set width=1280 --set height=720 --set 'bitrate=3 Mbit/s'

With several URLs the next is tried when one ends. The number in the lowest row of the picture can be read
by a machine (crate `source`, module `counter`).")]
    Source(Source),
    /// Run a whole cluster on this machine, every role a process of its own.
    #[command(after_help = "\
Examples:
  mascaret demo                       until `q`
  mascaret demo --for 40s --json      for a script: status 0 only if every edge served every rung
  mascaret demo --no-sources          publish yourself, by OBS or ffmpeg
  mascaret demo --width 1280 --height 720 --rungs '480p 1M,240p 300k'

Keys while it runs: k kill an edge, r revive it, d drain one, l add 100 simulated viewers, q quit.")]
    Demo(Demo),
    /// Show the whole cluster: nodes, edges, broadcasts, what happened.
    #[command(after_help = "\
Examples:
  mascaret status                                  the demo's nodes, or a node on this machine
  mascaret status 10.0.0.3:9090                    a balancer, and the nodes its settings name
  mascaret status 10.0.0.5:9090 10.0.0.6:9090      these operator listeners
  mascaret status --json | jq .edges

Exit status 1 if a node does not answer.")]
    Status(Status),
    /// Watch the whole cluster, live.
    #[command(after_help = "\
Examples:
  mascaret top                        the demo's nodes, or a node on this machine
  mascaret top 10.0.0.3:9090          a balancer, and the nodes its settings name
  mascaret top --lines | tee day.txt  one line a second, and what happens

Keys: arrows (or j, k) select an edge, d drains it and r lets it take viewers again, each asked first; l shows
lines of the log among the events, q quits.")]
    Top(Top),
    /// Say how many edges a crowd needs, of which size, and what the loss of one does.
    #[command(after_help = "\
Examples:
  mascaret plan --viewers 5000 --bitrate 3.5M --link 10G
  mascaret plan --viewers 60000 --bitrate 3.5M --link 25G --redundancy 2 --tls
  mascaret plan --viewers 5000 --bitrate 2.5M --link 10G --broadcasts 20 --ladder 5M,2.5M,1M,0.6M --ingest-link 1G
  mascaret plan --viewers 5000 --bitrate 3.5M --link 10G --json | jq .fleet.edges")]
    Plan(Plan),
    /// Say everything that is wrong with settings, or what holds and where it came from.
    #[command(after_help = "\
Examples:
  mascaret check all.toml
  mascaret check edge.toml --role edge
  mascaret check all.toml --json")]
    Check(Check),
    /// Watch with thousands of simulated viewers, and say what they saw.
    #[command(after_help = "\
Examples:
  mascaret loadtest http://127.0.0.31:8080/live/tide/index.m3u8 --viewers 1000
  mascaret loadtest URL --viewers 5000 --ramp 30s --for 10m --fail-if 'stall_ratio > 0.1%'
  mascaret loadtest URL --flash --rung lowest --html flash.html --json flash.json
  mascaret loadtest URL --viewers 200 --churn 30s --downlink 20M --hash
  mascaret loadtest https://127.0.0.21:8443/live/tide/index.m3u8 --ca certs/ca.pem

Only this machine's loopback is asked, wherever redirects and playlists lead; --i-own-this-host allows the
URL's host, --i-own-this-host=HOST another one. docs/LOADTEST.md says what is measured and how.

Exit status 1 if a condition is met, or nothing was played; 2 if nothing was begun.")]
    Loadtest(Box<Loadtest>),
    /// Check a server's playlists and segments against the HLS specification.
    #[command(after_help = "\
Examples:
  mascaret lint http://127.0.0.31:8080/live/tide/index.m3u8
  mascaret lint https://example.org/live.m3u8 --for 60s
  mascaret lint https://127.0.0.31:8443/live/tide/index.m3u8 --ca certs/ca.pem --json

Exit status 1 if a rule is broken; the rules are listed in docs/HLS.md.")]
    Lint(Lint),
    /// Certificates.
    #[command(subcommand)]
    Certs(CertsCommand),
    /// The keys tickets are sealed with.
    #[command(subcommand)]
    Keys(KeysCommand),
}

/// What every role is told by.
#[derive(Args, Clone, Debug)]
pub(crate) struct Role {
    /// The TOML file with settings, for this program or with a table for each.
    #[arg(long, short = 'c', value_name = "FILE", env = "MASCARET_SETTINGS")]
    pub(crate) settings: Option<PathBuf>,
    /// One setting, over file and environment; may be given again.
    #[arg(long, short = 's', value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) set: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("allowed: KEY=VALUE, such as log.level=debug".into()),
    }
}

#[derive(Args, Debug)]
pub(crate) struct Ingest {
    #[command(subcommand)]
    pub(crate) command: Option<IngestCommand>,
    #[command(flatten)]
    pub(crate) role: Role,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IngestCommand {
    /// Make a publish key; prints the key once, and the hash to put into the settings.
    Key(IngestKey),
    /// Let the twin lead, from the next cut on: before an ingest is stopped, or looked at.
    #[command(after_help = "\
Examples:
  mascaret ingest failover --dry-run                     what would happen at this machine's ingest
  mascaret ingest failover                               every broadcast it leads goes to its twin
  mascaret ingest failover 127.0.0.11:9090 --broadcast tide

Done twice is done once. Exit status 1, and why, where the twin does not follow.")]
    Failover(Failover),
}

#[derive(Args, Debug)]
pub(crate) struct Failover {
    /// The operator listener of the ingest that leads.
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub(crate) ingest: SocketAddr,
    /// One broadcast [default: all].
    #[arg(long, value_name = "BROADCAST")]
    pub(crate) broadcast: Option<String>,
    /// Say what would happen, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct IngestKey {
    /// For which broadcast.
    #[arg(default_value = "live")]
    pub(crate) broadcast: String,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Source {
    /// Where to publish; the next is tried when one ends.
    #[arg(value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// A file with the publish key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) role: Role,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Demo {
    /// End by itself after this long; the exit status says whether video reached every edge.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) lasts: Option<Duration>,
    /// One JSON object a line instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// No test patterns: somebody else publishes.
    #[arg(long, visible_alias = "publish-only")]
    pub(crate) no_sources: bool,
    /// How many edges, 1 to 9.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) edges: u8,
    /// Pixels across of the pattern [default: by the number of cores].
    #[arg(long, value_parser = clap::value_parser!(u32).range(160..=2560))]
    pub(crate) width: Option<u32>,
    /// Pixels down of the pattern [default: by the number of cores].
    #[arg(long, value_parser = clap::value_parser!(u32).range(90..=1440))]
    pub(crate) height: Option<u32>,
    /// Pictures per second [default: by the number of cores].
    #[arg(long, value_parser = clap::value_parser!(u32).range(5..=60))]
    pub(crate) frame_rate: Option<u32>,
    /// Rungs made beside the copied source, as in the ingest's settings [default: by the number of cores].
    #[arg(long, value_name = "RUNG,…", value_delimiter = ',')]
    pub(crate) rungs: Option<Vec<String>>,
    /// Added to every port, where the usual ones are taken.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=50_000))]
    pub(crate) port_offset: u16,
    /// Where settings, logs and certificates are kept [default: $XDG_STATE_HOME/mascaret/demo].
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Operator listeners [default: those of the demo, and 127.0.0.1:9090].
    #[arg(value_name = "ADDRESS", value_parser = operator)]
    pub(crate) nodes: Vec<SocketAddr>,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Top {
    /// Operator listeners [default: those of the demo, and 127.0.0.1:9090].
    #[arg(value_name = "ADDRESS", value_parser = operator)]
    pub(crate) nodes: Vec<SocketAddr>,
    /// One line a second, as where stdout is no terminal.
    #[arg(long)]
    pub(crate) lines: bool,
    /// Lines end by themselves.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, requires = "lines")]
    pub(crate) lasts: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// How many watch at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) viewers: u32,
    /// What one of them takes on average, sound included, such as 3.5M.
    #[arg(long, value_name = "RATE", value_parser = plan::bits_a_second)]
    pub(crate) bitrate: u64,
    /// What an edge's line carries, such as 10G.
    #[arg(long, value_name = "RATE", value_parser = plan::bits_a_second)]
    pub(crate) link: u64,
    /// Edges that may be lost at a time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) redundancy: u32,
    /// Broadcasts on the air at a time; every edge has them all.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) broadcasts: u32,
    /// The rungs of a broadcast, such as 5M,2.5M,1M [default: one, of the viewers' bit rate].
    #[arg(long, value_name = "RATES", value_delimiter = ',', value_parser = plan::bits_a_second)]
    pub(crate) ladder: Vec<u64>,
    /// How long a segment is.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) segment: Duration,
    /// Segments in a playlist.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(6..=1000))]
    pub(crate) window: u32,
    /// What an ingest's line carries [default: as an edge's].
    #[arg(long, value_name = "RATE", value_parser = plan::bits_a_second)]
    pub(crate) ingest_link: Option<u64>,
    /// Viewers come by TLS.
    #[arg(long)]
    pub(crate) tls: bool,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The TOML file.
    pub(crate) file: PathBuf,
    /// Which program the file is for, when it has no table for each [default: by the file's name].
    #[arg(long, value_parser = ["edge", "ingest", "lb", "lobby", "source"])]
    pub(crate) role: Option<String>,
    /// Look at the file alone, not at MASCARET_… variables.
    #[arg(long)]
    pub(crate) no_environment: bool,
    /// JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Lint {
    /// A multivariant or media playlist.
    pub(crate) url: String,
    /// How long to look at a live playlist.
    #[arg(long = "for", value_name = "TIME", default_value = "20s", value_parser = duration)]
    pub(crate) lasts: Duration,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// A CA to trust beside those of this machine.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

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
    /// All the randomness there is.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Nothing on the terminal but what went wrong.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Have tickets sealed with a new key, at one balancer and all that are linked to it; no viewer is refused.
    #[command(after_help = "\
Examples:
  mascaret keys rotate --dry-run                what would be done by the balancer of this machine
  mascaret keys rotate
  mascaret keys rotate 10.0.0.3:9090

The key before goes on opening tickets; the one before that does not. So a second rotation is refused within the
lifetime of a ticket (24 h), unless --force says that those viewers may be refused.")]
    Rotate(KeysRotate),
}

#[derive(Args, Debug)]
pub(crate) struct KeysRotate {
    /// The operator listener of any balancer.
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub(crate) node: SocketAddr,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Even if tickets of the key before the present one are still good.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertsCommand {
    /// Make a development CA (if there is none) and new leaves for nodes and viewers.
    #[command(after_help = "\
Examples:
  mascaret certs init
  mascaret certs init --dir /etc/mascaret/certs --name live.example.org --name 10.0.0.5
  mascaret certs init --dir /etc/mascaret/certs --node edge1 --node edge2    a leaf for each, good for that node only")]
    Init(CertsInit),
}

#[derive(Args, Debug)]
pub(crate) struct CertsInit {
    /// Where they are written.
    #[arg(long, default_value = "certs")]
    pub(crate) dir: PathBuf,
    /// A DNS name or an address that viewers use; may be given again.
    #[arg(long = "name", value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Make a leaf for links between nodes that is good for this node only (node-ID.pem), and leave other leaves alone; may
    /// be given again.
    #[arg(long = "node", value_name = "ID", value_parser = str::parse::<NodeId>, conflicts_with = "names")]
    pub(crate) nodes: Vec<NodeId>,
    /// Say what would be written, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `10.0.0.5:9090`, or a URL of it as browsers have it.
fn operator(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    address.parse().map_err(|_| "allowed: a numeric address and a port, such as 10.0.0.5:9090".into())
}

/// `20s`, `2m`, `1h`, `500ms`, or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("allowed: a number with ms, s, m or h, such as 40s".into()),
    };
    match number.parse::<f64>() {
        Ok(number) if number * factor > 0.0 && number * factor <= 1e7 => {
            Ok(Duration::from_secs_f64(number * factor))
        }
        _ => Err("allowed: more than nothing and at most 2777h, such as 40s".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        let mut waiting = vec![Cli::command()];
        while let Some(command) = waiting.pop() {
            let has_subcommands_only = command.is_subcommand_required_set();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_small = ["help", "key", "keys", "certs"].contains(&command.get_name());
            assert!(is_small || has_subcommands_only || help.contains("Examples:"), "{}", command.get_name());
            waiting.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("40s"), Ok(Duration::from_secs(40)));
        assert_eq!(duration("1.5 m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("0s").is_err() && duration("soon").is_err() && duration("5 d").is_err());
    }

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

    #[test]
    fn an_ingest_runs_or_makes_a_key() {
        let parsed = Cli::try_parse_from(["mascaret", "ingest", "key", "tide"]).unwrap();
        assert!(matches!(parsed.command, Command::Ingest(Ingest { command: Some(_), .. })));
        let parsed = Cli::try_parse_from(["mascaret", "ingest", "--set", "open=true"]).unwrap();
        let Command::Ingest(ingest) = parsed.command else { panic!("an ingest") };
        assert_eq!(ingest.role.set, [("open".to_owned(), "true".to_owned())]);
    }
}
