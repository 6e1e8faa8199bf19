//! What a person types.
//!
//! Lives here: which commands there are, and the words of those that run, watch and check a cluster. Does not live here:
//! the words about edges (`edge`), ingests (`ingest`), the lobby (`lobby`), keys and certificates (`credentials`), a plan
//! (`plan`) and a load test (`loadtest`); what a command does.

mod credentials;
mod edge;
mod ingest;
mod loadtest;
mod lobby;
mod plan;

use clap::{Args, Parser, Subcommand};
pub(crate) use credentials::*;
pub(crate) use edge::*;
pub(crate) use ingest::*;
pub(crate) use loadtest::*;
pub(crate) use lobby::*;
pub(crate) use plan::*;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// End by itself after this long.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, requires = "lines")]
    pub(crate) lasts: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The TOML file.
    pub(crate) file: PathBuf,
    /// Which program the file is for, when it has no table for each [default: by the file's name].
    #[arg(long, value_parser = ["edge", "ingest", "lb", "lobby", "source"])]
    pub(crate) role: Option<String>,
    /// Look at the file alone: take no notice of MASCARET_… variables.
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
}
