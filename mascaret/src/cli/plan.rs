//! What a person types to know how many edges are needed.

use super::duration;
use clap::Args;
use loadtest::plan;
use std::time::Duration;

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
