//! What an edge costs, as `make bench` measured it last: `benches/results/edge.json`, put into the program when it is built.

use serde_json::Value;

const MEASURED: &str = include_str!("../../../benches/results/edge.json");

/// Medians of one machine; another one differs, and `make bench` says by how much.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Costs {
    /// CPU seconds for a gigabyte of segments, in the clear and by TLS 1.3, to viewers next door.
    pub(crate) seconds_per_gb: f64,
    pub(crate) tls_seconds_per_gb: f64,
    /// The same in the clear to viewers with 20 Mbit/s each and a delay.
    pub(crate) far_seconds_per_gb: f64,
    /// CPU microseconds of a playlist.
    pub(crate) playlist_micros: f64,
    /// Memory of a connection that waits.
    pub(crate) idle_bytes: f64,
    pub(crate) idle_tls_bytes: f64,
    /// When, on what.
    pub(crate) source: String,
}

impl Costs {
    /// As measured; `None` if the file's rows have other names by now.
    pub(crate) fn measured() -> Option<Self> {
        let file: Value = serde_json::from_str(MEASURED).ok()?;
        let ours = |key: &str| -> Option<f64> {
            let row = file["rows"].as_array()?.iter().find(|row| row["key"] == key)?;
            let ours = row["measured"].as_array()?.iter().find(|it| it["is_ours"] == true)?;
            ours["spread"]["median"].as_f64()
        };
        let about = |key: &str| -> Option<&str> {
            let pair = file["machine"].as_array()?.iter().find(|pair| pair[0] == key)?;
            pair[1].as_str()
        };
        Some(Self {
            seconds_per_gb: ours("segment")?,
            tls_seconds_per_gb: ours("tls")?,
            far_seconds_per_gb: ours("far")?,
            playlist_micros: ours("playlist")?,
            idle_bytes: ours("idle")?,
            idle_tls_bytes: ours("idle-tls")?,
            source: format!("{}, {}, commit {}", about("date")?, about("machine")?, about("commit")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_that_are_counted_on_are_in_the_results() {
        let costs = Costs::measured().expect("benches/results/edge.json has the rows");
        assert!((0.01..10.0).contains(&costs.seconds_per_gb), "{costs:?}");
        assert!((0.01..10.0).contains(&costs.far_seconds_per_gb), "{costs:?}");
        assert!((0.1..1000.0).contains(&costs.playlist_micros) && costs.idle_bytes < costs.idle_tls_bytes);
    }
}
