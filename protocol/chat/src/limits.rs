//! Every bound of this room, with its unit, its reason, and what happens at it (rows of docs/LIMITS.md).

use std::time::Duration;

/// Entries of a room that are kept at the lobby and at every edge: some minutes of a busy room, a second of a flood. Who comes
/// back later is told which numbers are lost here; the lobby has them.
pub const RING: usize = 200;

/// Rooms one lobby publishes and one edge follows: as many as broadcasts. One more takes the place of the one nothing was
/// said in for the longest.
pub const ROOMS: usize = 256;

/// How long entries of a room are gathered after a batch of it left. The first one after a pause leaves at once.
pub const BATCH_EVERY: Duration = Duration::from_millis(200);

/// Entries of a batch; a full one leaves at once.
pub const BATCH_ENTRIES: usize = 100;

/// Bytes of a batch, as soon as it has more than one entry: far below what a frame may hold.
pub const BATCH_BYTES: usize = 128 << 10;

/// Bytes of what one viewer says: 500 characters of four bytes. More is refused.
pub const TEXT_BYTES: usize = 2000;

/// Bytes of an author's name, and of his id. More are refused.
pub const NAME_BYTES: usize = 64;

/// Links of a lobby: edges of one cluster. One more hears nothing.
pub const LINKS: usize = 512;

/// Readers of one core; ordinarily half of its connections. One more is told to ask another edge.
pub const READERS: usize = 20_000;

/// Silence in a room after which its readers are sent an empty comment, so that neither proxies nor we take them for gone.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Seconds that slow mode may ask for between two messages of a viewer.
pub const SLOW_SECONDS: u32 = 3600;
