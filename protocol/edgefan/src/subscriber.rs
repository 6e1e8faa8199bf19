//! The edge's end.

/// What a subscriber has counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriberCounters {
    /// Sources whose link is up.
    pub links: u64,
    /// Bytes of media received, second copies included.
    pub bytes_received: u64,
    /// Objects complete and checked.
    pub complete: u64,
    /// Objects that became gaps.
    pub skipped: u64,
    /// Second copies whose hash agreed.
    pub agreed: u64,
    /// Second copies whose hash differed.
    pub differed: u64,
    /// Copies whose bytes did not have the announced size or hash.
    pub corrupt: u64,
    /// Objects asked for again.
    pub fetches: u64,
    /// Bytes of objects that are not complete yet.
    pub assembly_bytes: u64,
}
