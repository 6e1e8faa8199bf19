//! What the lobby remembers: one trait, two thin backends, one set of texts.
//!
//! Lives here: [`Store`], which carries out a transaction of fixed texts whole or not at all, and beside it, in a
//! file for each subject, what is kept and asked (`impl dyn Store`). Does not live here: who may do what (`policy`),
//! nor the texts (`sql`) and tables (`schema`) themselves.
//!
//! Every text is a constant in the subset that SQLite and PostgreSQL share; values go beside it and never into it, so
//! there is nothing to inject into. A text's `$n` first occur in the order of their numbers, because SQLite counts them
//! so (`sql::tests`).

mod accounts;
mod bounds;
mod broadcasts;
mod chat;
mod invites;
mod links;
mod postgres;
mod publish_keys;
mod schema;
mod servers;
mod sessions;
pub(crate) mod sql;
mod sqlite;
mod transfer;
mod webhooks;

pub use accounts::{Account, AccountId, NewAccount};
pub use broadcasts::{Broadcast, Visibility};
pub use chat::{ChatMessage, MessageKind, Post, PostRefusal, Posted, Restraint, RestraintKind, Room};
pub use invites::Invite;
pub use links::{DENIALS_OF_ONE, Denial, ShareLink};
pub use postgres::Postgres;
pub use publish_keys::{KeyDigest, PublishKey};
pub use schema::VERSION;
pub use sessions::{Session, SessionDigest};
pub use sqlite::Sqlite;
pub use transfer::{BACKUP_LINE_BYTES, TransferError, backup, restore};
pub use webhooks::{Telling, Webhook};

use std::future::Future;
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch: how the store writes moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// By the clock on the wall.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// So much later.
    pub fn plus(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long from `self` until `later`; nothing if that is past.
    pub fn until(self, later: Self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

/// What goes into a text's `$n`, and what comes back in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `BIGINT`.
    Int(i64),
    /// `TEXT`.
    Text(String),
    /// `BYTEA`.
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<UnixMillis> for Value {
    fn from(at: UnixMillis) -> Self {
        Self::Int(at.0)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Int(i64::from(is))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        // PostgreSQL's TEXT takes every character but this one.
        Self::Text(text.replace('\0', "\u{fffd}"))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer, column by column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn column(&self, at: usize, wanted: &'static str) -> StoreError {
        StoreError::Broken(format!("column {at} of a row is {:?}, {wanted} is wanted", self.0.get(at)))
    }

    fn int(&self, at: usize) -> Result<i64, StoreError> {
        match self.0.get(at) {
            Some(Value::Int(number)) => Ok(*number),
            _ => Err(self.column(at, "a number")),
        }
    }

    fn sequence(&self, at: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(at)?).map_err(|_| self.column(at, "a number from 0"))
    }

    fn text(&self, at: usize) -> Result<String, StoreError> {
        match self.0.get(at) {
            Some(Value::Text(text)) => Ok(text.clone()),
            _ => Err(self.column(at, "text")),
        }
    }

    fn bytes<const N: usize>(&self, at: usize) -> Result<[u8; N], StoreError> {
        match self.0.get(at) {
            Some(Value::Bytes(bytes)) => bytes.as_slice().try_into().map_err(|_| self.column(at, "a digest")),
            _ => Err(self.column(at, "bytes")),
        }
    }

    fn maybe<T>(
        &self,
        at: usize,
        read: impl Fn(&Self, usize) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match self.0.get(at) {
            Some(Value::Null) => Ok(None),
            _ => read(self, at).map(Some),
        }
    }

    fn parsed<T: std::str::FromStr>(&self, at: usize, wanted: &'static str) -> Result<T, StoreError> {
        self.text(at)?.parse().map_err(|_| self.column(at, wanted))
    }
}

/// One text of a transaction and its values.
#[derive(Clone, Debug)]
pub struct Step {
    /// One of `sql`'s.
    pub sql: &'static str,
    /// Its `$1`, `$2` …
    pub values: Vec<Value>,
    /// Whether the transaction is undone if this step answers without a row.
    pub needs_row: bool,
}

impl Step {
    /// A step that may answer nothing.
    pub(crate) fn new<const N: usize>(sql: &'static str, values: [Value; N]) -> Self {
        Self { sql, values: values.into(), needs_row: false }
    }

    /// The same, and nothing of the transaction holds if it answers no row.
    pub(crate) fn needing_a_row(self) -> Self {
        Self { needs_row: true, ..self }
    }
}

/// How a transaction went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Whole, durable, and each step's rows.
    Done(Vec<Vec<Row>>),
    /// Undone: this step, counted from 0, had no row and needed one.
    Undone(usize),
}

impl Outcome {
    /// The rows of the last step; none if it was undone.
    fn last(self) -> Vec<Row> {
        match self {
            Self::Done(mut rows) => rows.pop().unwrap_or_default(),
            Self::Undone(_) => Vec::new(),
        }
    }
}

/// What an empty store is filled with.
#[derive(Debug)]
pub enum Filling {
    /// One row.
    Row(Step),
    /// That was all of it: it holds.
    Whole,
}

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No database answers that takes writes. Whether a write held is not known; who repeats it with its nonce finds out.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// Too much waits for it already.
    #[error("{waiting} transactions wait for the database already")]
    Busy {
        /// The bound.
        waiting: usize,
    },
    /// It is there already, or what it belongs to is not.
    #[error("the database has a rule against it: {0}")]
    Conflict(String),
    /// The tables are not as this program knows them.
    #[error(
        "the database is at schema version {found}, this program knows up to {known}: it is too old for it"
    )]
    Newer {
        /// What the tables say.
        found: i64,
        /// The last of our migrations.
        known: i64,
    },
    /// Anything that should not be.
    #[error("the database: {0}")]
    Broken(String),
}

/// What a [`Store`] answers later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A database that carries out transactions of fixed texts.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Carries out all steps or none. When it has answered [`Outcome::Done`] to steps that write, they are durable.
    fn transact(&self, steps: Vec<Step>) -> Later<'_, Outcome>;

    /// The same for one text that only reads; what was acknowledged before is seen.
    fn look(&self, step: Step) -> Later<'_, Vec<Row>>;

    /// Reads these as they stand at one moment, row by row, each with the number of its step.
    fn snapshot(&self, steps: Vec<Step>, rows: tokio::sync::mpsc::Sender<(usize, Row)>) -> Later<'_, ()>;

    /// Carries out every step that comes, in one transaction; whether it holds, which it does only if [`Filling::Whole`] came
    /// last. Nothing else is written meanwhile.
    fn fill(&self, rows: tokio::sync::mpsc::Receiver<Filling>) -> Later<'_, bool>;

    /// Brings the tables to [`VERSION`]; refuses those that are beyond it.
    fn migrate(&self) -> Later<'_, i64>;

    /// `sqlite` or `postgresql`.
    fn kind(&self) -> &'static str;
}

impl dyn Store + '_ {
    async fn one(&self, step: Step) -> Result<Option<Row>, StoreError> {
        Ok(self.look(step).await?.into_iter().next())
    }

    /// Whether that did anything.
    async fn changed(&self, step: Step) -> Result<bool, StoreError> {
        Ok(!self.transact(vec![step]).await?.last().is_empty())
    }
}
