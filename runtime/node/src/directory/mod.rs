//! What the operator has decided of edges, durably: which stand aside, and what each may carry.
//!
//! Lives here: the record of an edge, the two places where records are kept (a TOML file, etcd), changing them, and
//! following them. Does not live here: what a balancer makes of it (`lb`), nor how an edge is doing just now, which
//! rides on the links (`fan`).
//!
//! An edge that is not written here is active, with what it says of itself: adding an edge is starting it.

mod etcd;
mod file;
mod follow;
mod place;
mod record;

pub use etcd::Etcd;
pub use file::File;
pub use follow::{Following, Told, follow};
pub use place::{DirectorySettings, Place};
pub use record::{Record, parse_standing, standing_word};

/// An edge's name and how it stands, for who does not know the links.
pub use edgefan::{NodeId, Standing};

use crate::Stop;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Edges one directory has records of, as many as a balancer knows. More are an error, and what was known holds.
pub const RECORDS: usize = 1024;

/// Bytes of a directory as it is read: some hundred for each of [`RECORDS`]. More are an error.
pub const VIEW_BYTES: u64 = 1 << 20;

/// How often [`change`] begins again when somebody else was quicker.
const ATTEMPTS: usize = 8;

/// Which state of a record somebody has seen; 0 for none. Writing names it, so that nobody's word is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revision(pub u64);

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it says.
    pub record: Record,
    /// Which state of it.
    pub revision: Revision,
}

/// Everything that is written in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// By edge.
    pub edges: BTreeMap<NodeId, Entry>,
    /// What was found under an edge's name and cannot be read, and why.
    pub unread: BTreeMap<String, String>,
    /// Which state of all of it; only to be compared.
    pub revision: Revision,
}

impl View {
    /// What is written of one edge.
    pub fn record(&self, edge: &NodeId) -> Option<&Record> {
        self.edges.get(edge).map(|entry| &entry.record)
    }
}

/// What came of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there.
    Done,
    /// The record is another than the one that was seen: nothing was written.
    Overtaken,
}

/// Why a directory cannot be read or written. Names the place and what was wrong.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There is no such file.
    #[error("{}: there is no such file", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// The file is not to be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// The file is no directory.
    #[error("{}: {why}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// With line and column.
        why: String,
    },
    /// No endpoint of etcd answers as it should.
    #[error("etcd: {0}")]
    Etcd(String),
    /// Larger than any fleet.
    #[error("the directory has {count} {what}, at most {limit} are read")]
    TooMuch {
        /// Bytes or records.
        what: &'static str,
        /// So many.
        count: u64,
        /// As many as may be.
        limit: u64,
    },
    /// Others wrote the same record each time we tried.
    #[error("edge {edge} is being changed by somebody else: {ATTEMPTS} attempts were overtaken")]
    Overtaken {
        /// Which.
        edge: NodeId,
    },
}

/// Where records are kept.
pub trait Directory: Send {
    /// Everything that is written now.
    fn read(&mut self) -> Result<View, DirectoryError>;

    /// Writes the record of one edge, or takes it away, if it is still the one that was seen.
    fn write(
        &mut self,
        edge: &NodeId,
        seen: Revision,
        record: Option<&Record>,
    ) -> Result<Written, DirectoryError>;

    /// Returns when something may have changed since `seen` was read, or when it is time to look all the same, or when
    /// `stop` is signalled.
    fn await_change(&mut self, seen: &View, stop: &Stop) -> Result<(), DirectoryError>;
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was written before.
    pub before: Option<Record>,
    /// What is written now.
    pub after: Option<Record>,
}

impl Change {
    /// Whether anything is other than before.
    pub fn is_any(&self) -> bool {
        self.before != self.after
    }
}

/// Changes one edge's record from whatever it is now; begins again where somebody else was quicker. With `is_rehearsal`
/// nothing is written. A file that is not there yet is an empty directory.
pub fn change(
    directory: &mut dyn Directory,
    edge: &NodeId,
    is_rehearsal: bool,
    to: impl Fn(Option<&Record>) -> Option<Record>,
) -> Result<Change, DirectoryError> {
    for _ in 0..ATTEMPTS {
        let view = match directory.read() {
            Err(DirectoryError::Missing { .. }) => View::default(),
            read => read?,
        };
        let entry = view.edges.get(edge);
        let before = entry.map(|entry| entry.record.clone());
        let change = Change { after: to(before.as_ref()), before };
        let seen = entry.map(|entry| entry.revision).unwrap_or_default();
        if is_rehearsal
            || !change.is_any()
            || directory.write(edge, seen, change.after.as_ref())? == Written::Done
        {
            return Ok(change);
        }
    }
    Err(DirectoryError::Overtaken { edge: edge.clone() })
}
