//! What an ingest remembers over its own restart: per broadcast, where its last run ended and how many
//! discontinuities there were. Without it numbers still never go back (they come from the epoch), but a
//! discontinuity sequence may jump by more than one.

use media::{BroadcastId, DiscontinuitySequence, MediaTime};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where the last run of a broadcast was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {
    /// End of everything placed, 90 kHz ticks since the epoch.
    pub(crate) end_ticks: u64,
    /// The discontinuity sequence of its last segment.
    pub(crate) discontinuity: u64,
    /// The greatest term known of (docs/WIRE.md, `twin/1`).
    #[serde(default)]
    pub(crate) term: u64,
}

impl Left {
    /// Where a broadcast nobody remembers begins: at a count that no earlier run has reached, because there were
    /// fewer discontinuities than ten minutes. Not at the number of the segment, which would be safer still: hls.js
    /// copies an array indexed by it with every segment (1.7.4 in Chromium 156: 10 s at 9 × 10^8, nothing at 10^5).
    pub(crate) fn unknown(wall: MediaTime) -> Self {
        let since = wall.unix_millis().saturating_sub(COUNTED_FROM_UNIX_MS);
        Self { end_ticks: 0, discontinuity: since / TEN_MINUTES_MS, term: 0 }
    }

    pub(crate) fn end(self) -> MediaTime {
        MediaTime::from_ticks(self.end_ticks)
    }

    pub(crate) fn discontinuity(self) -> DiscontinuitySequence {
        DiscontinuitySequence(self.discontinuity)
    }
}

/// 2026-01-01T00:00:00Z: before the first release.
const COUNTED_FROM_UNIX_MS: u64 = 1_767_225_600_000;
const TEN_MINUTES_MS: u64 = 600_000;

/// The folder with one small file per broadcast; `None`: nothing is remembered.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    folder: Option<PathBuf>,
}

impl Remembered {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    fn file(&self, broadcast: &BroadcastId) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{broadcast}.json")))
    }

    /// Where that broadcast was left; `None` if nobody remembers, or the file is not ours.
    pub(crate) fn recall(&self, broadcast: &BroadcastId) -> Option<Left> {
        let text = std::fs::read_to_string(self.file(broadcast)?).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Remembers it: written beside and renamed, so that a reader finds the old or the new.
    pub(crate) fn keep(&self, broadcast: &BroadcastId, left: Left) -> std::io::Result<()> {
        let Some(file) = self.file(broadcast) else { return Ok(()) };
        std::fs::create_dir_all(file.parent().unwrap_or_else(|| Path::new(".")))?;
        let beside = file.with_extension("new");
        std::fs::write(&beside, serde_json::to_string(&left)?)?;
        std::fs::rename(beside, file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_recalled_and_rubbish_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let remembered = Remembered::new(Some(folder.path().join("ingest")));
        let tide = BroadcastId::parse("tide").unwrap();
        assert_eq!(remembered.recall(&tide), None);
        let left = Left { end_ticks: 77, discontinuity: 5, term: 3 };
        remembered.keep(&tide, left).unwrap();
        assert_eq!(remembered.recall(&tide), Some(left));
        std::fs::write(folder.path().join("ingest/tide.json"), "{").unwrap();
        assert_eq!(remembered.recall(&tide), None);
    }

    #[test]
    fn an_unknown_broadcast_begins_above_any_count_it_can_have_reached() {
        let earlier = Left::unknown(MediaTime::from_unix_millis(1_795_000_000_000));
        let hour_later = Left::unknown(MediaTime::from_unix_millis(1_795_003_600_000));
        assert_eq!(hour_later.discontinuity - earlier.discontinuity, 6);
        assert!(earlier.discontinuity < 100_000, "hls.js would crawl: {}", earlier.discontinuity);
    }
}
