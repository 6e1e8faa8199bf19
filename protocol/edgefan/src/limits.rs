//! Every bound of this room, with its unit, its reason, and what happens at it (rows of docs/LIMITS.md).

use std::time::Duration;

/// Bytes of one frame's payload. A receiver buffers at most one frame; a longer one ends the connection.
pub const FRAME_PAYLOAD_BYTES: u32 = 1 << 20;

/// Bytes of media in one DATA frame: the longest a more urgent object waits behind a less urgent one.
pub const DATA_PIECE_BYTES: usize = 64 * 1024;

/// Bytes of one object: 20 s at 25 Mbit/s. A longer one is abandoned and becomes a gap.
pub const OBJECT_BYTES: u64 = 64 << 20;

/// Broadcasts one publisher, subscriber or control link knows. The one over it is ignored and counted.
pub const BROADCASTS: usize = 256;

/// Renditions of one broadcast. A STREAM with more ends the connection.
pub const RENDITIONS: usize = 32;

/// Bytes of one text on the wire (URL, version, codec, reason). A longer one ends the connection.
pub const TEXT_BYTES: usize = 512;

/// Addresses or ticket keys in one frame. More end the connection.
pub const LIST_ENTRIES: usize = 256;

/// Sequence numbers a HAVE bitmap or a SKIP run spans: over any window. A wider one ends the connection.
pub const SPAN_SEQUENCES: u64 = 1024;

/// Sequence numbers of one run a sender of SKIP names: what left the window long ago interests nobody.
pub const SKIP_RUN: u64 = 64;

/// Media connections of a link beside its control connection: two, so that one lost packet stalls half.
pub const MEDIA_CONNECTIONS: u8 = 2;

/// References to objects waiting on one media connection. At the bound the least urgent becomes a SKIP.
pub const QUEUED_REFERENCES: usize = 2048;

/// Bytes of control frames waiting on one connection. At the bound the peer does not read: the link is cut.
pub const CONTROL_BYTES: usize = 1 << 20;

/// Bytes of a sketch of viewers (`routing::Crowd`). A longer one ends the connection.
pub const SEEN_BYTES: usize = 4096;

/// Links of one publisher or control server. The one over it is refused.
pub const LINKS: usize = 512;

/// Changes of a broadcast's lead that are remembered, at either end: older ones are out of every window.
pub const LANES: usize = 16;

/// How long segments of an older term are refused after the last ingest of the newer one is gone. Then anything is
/// better than nothing.
pub const REFUSED_FOR: Duration = Duration::from_secs(5);

/// Processes of one node with a link each: one, and its successor while it is handed over to. A third ends the oldest.
pub const PROCESSES: usize = 2;

/// Segments kept by the hub beyond a playlist's window, for whoever read the playlist just before it moved.
pub const HOLD_BEYOND_WINDOW: u64 = 3;

/// Bytes of all objects a publisher's hub holds unless set otherwise. At the bound the oldest are let go.
pub const HUB_BYTES: usize = 512 << 20;

/// Bytes of all incomplete copies a subscriber holds unless set otherwise. At the bound a new copy's bytes are
/// dropped and the object is fetched again when there is room.
pub const ASSEMBLY_BYTES: usize = 256 << 20;

/// Incomplete objects a subscriber holds. At the bound a new one is ignored and fetched when there is room.
pub const ASSEMBLIES: usize = 4096;

/// Settled objects of one rendition, run and kind that a subscriber remembers, to know a second copy.
/// Anything older than all of them is dropped.
pub const SETTLED: usize = 256;

/// How often an object is fetched again before it becomes a gap.
pub const FETCHES: u32 = 4;

/// How long after a round trip an announced object may be missing before another source is asked.
pub const REPAIR_AFTER: Duration = Duration::from_millis(150);

/// How often each end of a connection says that it is there.
pub const HEARTBEAT: Duration = Duration::from_millis(250);

/// Heartbeats missed before a peer is silent.
pub const MISSED_HEARTBEATS: u32 = 3;

/// How long the connections of a link may take from the first HELLO to the last; after it they are closed.
pub const LINK_ASSEMBLY: Duration = Duration::from_secs(5);
