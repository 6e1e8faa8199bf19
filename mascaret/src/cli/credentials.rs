//! What a person types about ticket keys and certificates.

use clap::{Args, Subcommand};
use node::directory::NodeId;
use std::net::SocketAddr;
use std::path::PathBuf;

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
