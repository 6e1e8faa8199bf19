//! A playlist as it is sent: pressed once for everybody, and how long a cache may keep it.

use super::Rules;
use delivery::Access;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How hard playlists are pressed: a window of 15 minutes (40 KB of text) is pressed in half a millisecond, once for
/// everybody.
const GZIP_LEVEL: u32 = 6;

impl Rules {
    pub(super) fn media_page(&self, mut playlist: hls::MediaPlaylist, access: Access) -> Arc<delivery::Page> {
        if self.blocking_reload {
            playlist.server_control =
                Some(hls::ServerControl { can_block_reload: true, ..hls::ServerControl::default() });
        }
        // Half a target duration: what a cache answers is then never older than a player expects (rule T13).
        let age = playlist.target_duration.span().as_duration() / 2;
        self.page(&playlist.render(), age, access)
    }

    pub(super) fn page(&self, text: &str, max_age: Duration, access: Access) -> Arc<delivery::Page> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
        let gzip = gzip.write_all(text.as_bytes()).and_then(|()| gzip.finish()).ok();
        let hash = blake3::hash(text.as_bytes());
        let tag = u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"));
        delivery::playlist(text, gzip.as_deref(), tag, max_age, access, &self.cors)
    }
}
