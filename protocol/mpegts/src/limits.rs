//! Every bound of the reader. docs/LIMITS.md repeats them.

/// Bytes of a PSI section: what its 10-bit-and-a-bit length can say (2.4.4). Longer: a fault, not buffered.
pub const SECTION_BYTES: usize = 1024;

/// Programs of which the streams are followed; HLS allows one (rule C07). More are counted only.
pub const MOST_PROGRAMS: usize = 8;

/// Elementary streams followed. More: a fault, not followed.
pub const MOST_TRACKS: usize = 32;

/// Bytes of the first coded unit looked through for its kind: parameter sets and SEI of every encoder met stay
/// under 4 KiB. Longer: its kind stays unknown.
pub const FIRST_UNIT_BYTES: usize = 64 * 1024;

/// Faults kept with their place; what comes after is counted.
pub const MOST_FAULTS: usize = 64;
