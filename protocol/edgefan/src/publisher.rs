//! The ingest's end.

/// What a publisher has counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublisherCounters {
    /// Links that are up.
    pub links: u64,
    /// Bytes of media handed to connections.
    pub bytes_sent: u64,
    /// Objects that were too late for a link and became a SKIP there.
    pub late: u64,
    /// Objects whose bytes were not sent because the edge had them from elsewhere.
    pub withheld: u64,
    /// Objects asked for again.
    pub fetches: u64,
    /// Bytes of objects held for late joiners.
    pub hub_bytes: u64,
}
