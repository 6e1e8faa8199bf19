//! What can be wrong with a transport stream, and where.

use std::fmt;

/// One thing that is wrong, and in which packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which packet, from 0.
    pub packet: u64,
    /// What is wrong with it.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packet {}: {}", self.packet, self.kind)
    }
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// No 0x47 where a packet should begin.
    #[error("{skipped} bytes without a packet's 0x47")]
    LostSync {
        /// Bytes until the next packet.
        skipped: u64,
    },
    /// The stream ends inside a packet.
    #[error("the last packet has {bytes} bytes of 188")]
    Truncated {
        /// Bytes there.
        bytes: usize,
    },
    /// transport_error_indicator is set.
    #[error("PID {pid} is marked as damaged")]
    Damaged {
        /// Whose.
        pid: u16,
    },
    /// A counter that does not follow the one before (2.4.3.3).
    #[error("PID {pid} has continuity counter {found}, expected {expected}")]
    Continuity {
        /// Whose.
        pid: u16,
        /// What should be there.
        expected: u8,
        /// What is.
        found: u8,
    },
    /// An adaptation field that does not fit its packet.
    #[error("PID {pid} has an adaptation field of {bytes} bytes, at most {limit} fit")]
    Adaptation {
        /// Whose.
        pid: u16,
        /// Bytes announced.
        bytes: u8,
        /// Bytes that fit.
        limit: u8,
    },
    /// A table that is cut short, too long, or whose checksum does not agree.
    #[error("PID {pid} has a table that cannot be read: {why}")]
    Table {
        /// Whose.
        pid: u16,
        /// Why.
        why: &'static str,
    },
    /// A PES header that cannot be read.
    #[error("PID {pid} has a PES header that cannot be read: {why}")]
    Pes {
        /// Whose.
        pid: u16,
        /// Why.
        why: &'static str,
    },
    /// Decoding times that go back within a stream.
    #[error("PID {pid} goes back from DTS {last} to {found}")]
    Backwards {
        /// Whose.
        pid: u16,
        /// The time before.
        last: u64,
        /// The time found.
        found: u64,
    },
    /// A stream that became another codec (rule C07).
    #[error("PID {pid} changes from stream type {from:#04x} to {to:#04x}")]
    CodecChanged {
        /// Whose.
        pid: u16,
        /// Before.
        from: u8,
        /// After.
        to: u8,
    },
    /// More streams than are followed.
    #[error("PID {pid} is not followed: {limit} streams are")]
    TooManyTracks {
        /// Whose.
        pid: u16,
        /// How many are.
        limit: usize,
    },
}
