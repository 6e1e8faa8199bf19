//! What a person types about edges.

use super::{Role, duration};
use clap::{Args, Subcommand};
use node::directory::{NodeId, Place};
use node::settings::{Mbps, Number};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args, Debug)]
pub(crate) struct Edge {
    #[command(subcommand)]
    pub(crate) command: Option<EdgeCommand>,
    #[command(flatten)]
    pub(crate) role: Role,
}

/// What may be said of edges, in the directory that the balancers follow.
#[derive(Debug, Subcommand)]
pub(crate) enum EdgeCommand {
    /// Every edge that is written, or that a balancer knows, and how it is.
    #[command(after_help = "\
Examples:
  mascaret edge ls --settings lb.toml
  mascaret edge ls --directory /etc/mascaret/edges.toml --ask 10.0.0.3:9090
  mascaret edge ls --directory http://10.0.0.7:2379,http://10.0.0.8:2379 --json")]
    Ls(InDirectory),
    /// Write an edge down; it need not be there yet. Without a word on it an edge is active once it is started.
    #[command(after_help = "\
Examples:
  mascaret edge add edge5 --settings lb.toml --wait 30s
  mascaret edge add edge5 --standing maintenance --directory edges.toml    it takes nobody until `edge ready`
  mascaret edge add edge5 --weight 50 --capacity '5 Gbit/s' --settings lb.toml")]
    Add(EdgeAdd),
    /// Lead its viewers elsewhere, then leave it empty; it goes on running, fed and ready to come back.
    #[command(after_help = "\
Examples:
  mascaret edge drain edge2 --settings lb.toml --wait 30s     returns when it is empty, 1 if it is not in time
  mascaret edge drain edge2 --settings lb.toml --dry-run")]
    Drain(OnEdge),
    /// Let it take viewers again.
    #[command(after_help = "\
Examples:
  mascaret edge ready edge2 --settings lb.toml --wait 30s")]
    Ready(OnEdge),
    /// As drain, without waiting for anybody: its playlists are gone at once.
    #[command(after_help = "\
Examples:
  mascaret edge maintenance edge2 --settings lb.toml")]
    Maintenance(OnEdge),
    /// Take away what is written of it: it is active, with its own weight and capacity.
    #[command(after_help = "\
Examples:
  mascaret edge rm edge2 --settings lb.toml")]
    Rm(OnEdge),
    /// Its share of viewers in per cent; 0 keeps new ones away, `own` is what the edge says itself.
    #[command(after_help = "\
Examples:
  mascaret edge weight edge2 50 --settings lb.toml
  mascaret edge weight edge2 own --settings lb.toml")]
    Weight(EdgeWeight),
    /// What it may send; `own` is what the edge says itself.
    #[command(after_help = "\
Examples:
  mascaret edge capacity edge2 '2.5 Gbit/s' --settings lb.toml
  mascaret edge capacity edge2 own --settings lb.toml")]
    Capacity(EdgeCapacity),
}

/// Where the operator's word is kept.
#[derive(Args, Clone, Debug)]
pub(crate) struct InDirectory {
    /// A TOML file, or etcd's endpoints with commas between them [default: as the settings say].
    #[arg(long, value_name = "FILE-OR-URL", value_parser = str::parse::<Place>)]
    pub(crate) directory: Option<Place>,
    /// A balancer's settings, for the directory and its operator listener.
    #[arg(long, short = 'c', value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// The CA of etcd's certificates, for https:// endpoints [default: as the settings say].
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Operator listener of a balancer, or of the edge, to ask how it is; may be given again [default: as the settings say,
    /// else 127.0.0.1:9090].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ask: Vec<SocketAddr>,
    /// JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A word on one edge.
#[derive(Args, Clone, Debug)]
pub(crate) struct OnEdge {
    /// The edge, by its id.
    #[arg(value_name = "ID", value_parser = edge_id)]
    pub(crate) edge: NodeId,
    #[command(flatten)]
    pub(crate) place: InDirectory,
    /// Say what would be written, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Return when it is so (empty, or ready), and with status 1 if it is not by then.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct EdgeAdd {
    #[command(flatten)]
    pub(crate) on: OnEdge,
    /// How it is to stand [default: as it does, else active].
    #[arg(long, value_parser = ["active", "drain", "maintenance"])]
    pub(crate) standing: Option<String>,
    /// Its share of viewers in per cent, 0 to 1000.
    #[arg(long, value_name = "PERCENT", value_parser = weight)]
    pub(crate) weight: Option<Weight>,
    /// What it may send, such as '5 Gbit/s'.
    #[arg(long, value_name = "RATE", value_parser = capacity)]
    pub(crate) capacity: Option<Capacity>,
}

#[derive(Args, Debug)]
pub(crate) struct EdgeWeight {
    #[command(flatten)]
    pub(crate) on: OnEdge,
    /// Per cent, 0 to 1000, or own.
    #[arg(value_name = "PERCENT", value_parser = |text: &str| own_or(text, weight))]
    pub(crate) weight: OwnOr<Weight>,
}

#[derive(Args, Debug)]
pub(crate) struct EdgeCapacity {
    #[command(flatten)]
    pub(crate) on: OnEdge,
    /// Such as '5 Gbit/s', or own.
    #[arg(value_name = "RATE", value_parser = |text: &str| own_or(text, capacity))]
    pub(crate) capacity: OwnOr<Capacity>,
}

type Weight = Number<0, 1000>;
type Capacity = Mbps<1, 1_000_000>;

/// What the operator says, or `None` for what the edge says itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnOr<T>(pub(crate) Option<T>);

fn own_or<T>(text: &str, parse: fn(&str) -> Result<T, String>) -> Result<OwnOr<T>, String> {
    if text == "own" { Ok(OwnOr(None)) } else { parse(text).map(|value| OwnOr(Some(value))) }
}

fn weight(text: &str) -> Result<Weight, String> {
    setting(text)
}

fn capacity(text: &str) -> Result<Capacity, String> {
    setting(text)
}

/// As a settings file takes it.
fn setting<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let value = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
    T::deserialize(value).map_err(|error| error.to_string())
}

fn edge_id(text: &str) -> Result<NodeId, String> {
    match text.parse::<::edge::EdgeName>() {
        Ok(name) => Ok(name.node().clone()),
        Err(why) => Err(why),
    }
}
