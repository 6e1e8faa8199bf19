//! Every bound of the window, as a number with its reason. docs/LIMITS.md repeats them.

/// Segments a playlist lists at least, whatever the facts say (rule M15).
pub const SHORTEST_WINDOW: u32 = 6;

/// Segments a playlist lists at most: an hour of two-second segments. More is asked for: this many are listed.
pub const LONGEST_WINDOW: u32 = 1800;

/// Renditions of a broadcast: twice the longest ladder anyone is known to use. More: the facts are refused.
pub const MOST_RENDITIONS: usize = 16;

/// Target durations of media that stay listed while there are any (rule M16). A playlist of very short segments
/// grows past its window for it, to at most [`OVERSHOOT`] times the window.
pub const LEAST_TARGETS: u64 = 3;

/// See [`LEAST_TARGETS`].
pub const OVERSHOOT: usize = 2;

/// Segments that may be missing between two that are there and still be listed as gaps, one by one. A longer
/// hole would be a playlist of little else: listing begins anew behind it.
pub const LONGEST_GAP: u64 = 3;

/// Settled segments behind a hole after which it is taken for a gap: a lost segment holds a playlist up for two
/// segment durations, the time its repair has.
pub const GAP_PATIENCE: usize = 2;

/// Newer segments that may arrive before listing begins without word that the backfill is done.
pub const BACKFILL_PATIENCE: u64 = 3;

/// Segments the other renditions list before the multivariant playlist goes out without the one that lists none.
pub const RENDITION_PATIENCE: usize = 3;

/// Pitches a removed segment stays fetchable beyond rule T08 (its own duration and the longest playlist that held
/// it): media time is the window's clock, and arrivals jitter.
pub const TAIL_MARGIN: u64 = 2;

/// Bodies one rendition may hold, in windows: twice one listed, one and a bit in the tail, one waiting. At the
/// bound the oldest that no playlist lists goes.
pub const MOST_HELD_WINDOWS: usize = 5;

/// Parts of one segment: 20 s of the shortest part worth a request (200 ms). More are refused.
pub const MOST_PARTS_OF_A_SEGMENT: usize = 100;

/// Segments behind the newest listed whose parts stay fetchable: three target durations listed, three more
/// fetchable (rule L11).
pub const PARTS_BEHIND: u64 = 6;

/// Parts one rendition may hold: at the bound the oldest go.
pub const MOST_PARTS: usize = MOST_PARTS_OF_A_SEGMENT * (PARTS_BEHIND as usize + 2);

/// Runs whose place in the discontinuity sequence is remembered; the oldest is forgotten.
pub const MOST_RUNS: usize = 8;
