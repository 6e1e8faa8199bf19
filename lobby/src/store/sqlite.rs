//! The embedded database: SQLite in a file, one thread that writes and one that reads.
//!
//! Who writes waits for the disk, so the writer takes everything that waits, up to [`TOGETHER`] transactions, and commits
//! it as one: each in a savepoint of its own, none is answered before the commit. WAL, `synchronous = FULL`: what was
//! answered outlives the power.

use super::schema::{APPLIED, FOUND, MIGRATIONS, VERSION, VERSIONS};
use super::{Filling, Later, Outcome, Row, Step, Store, StoreError, UnixMillis, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Transactions that wait for the thread that writes, or for the one that reads.
const WAITING: usize = 1024;
/// Transactions that are committed as one.
const TOGETHER: usize = 64;
/// Texts kept prepared by a connection.
const PREPARED: usize = 128;
/// How long another process (`mascaret user`, a backup) may hold the file.
const LOCKED_WITHIN: Duration = Duration::from_secs(5);

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

enum Job {
    Transact(Vec<Step>, Reply<Outcome>),
    Migrate(Reply<i64>),
    Fill(mpsc::Receiver<Filling>, Reply<bool>),
}

enum Look {
    One(Step, Reply<Vec<Row>>),
    All(Vec<Step>, mpsc::Sender<(usize, Row)>, Reply<()>),
}

/// A database file.
#[derive(Debug)]
pub struct Sqlite {
    jobs: SyncSender<Job>,
    looks: SyncSender<Look>,
    path: PathBuf,
}

impl Sqlite {
    /// Opens the file, or makes it; with two threads that end when this is dropped.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let said = |error: rusqlite::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
        let writer = connect(path, false).map_err(said)?;
        let reader = connect(path, true).map_err(said)?;
        let (jobs, waiting_jobs) = sync_channel(WAITING);
        let (looks, waiting_looks) = sync_channel(WAITING);
        let thread = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.into())
                .spawn(body)
                .map(drop)
                .map_err(|error| StoreError::Unavailable(format!("no thread: {error}")))
        };
        thread("store-writes", Box::new(move || write(writer, &waiting_jobs)))?;
        thread("store-reads", Box::new(move || read(&reader, &waiting_looks)))?;
        Ok(Self { jobs, looks, path: path.to_owned() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn connect(path: &Path, reads_only: bool) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(LOCKED_WITHIN)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What was deleted is overwritten, in the file too.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "query_only", reads_only)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

fn queue<T>(to: &SyncSender<T>, job: T) -> Result<(), StoreError> {
    to.try_send(job).map_err(|error| match error {
        TrySendError::Full(_) => StoreError::Busy { waiting: WAITING },
        TrySendError::Disconnected(_) => StoreError::Unavailable("its thread has ended".into()),
    })
}

async fn heard<T>(answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
    answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("its thread has ended".into())))
}

impl Store for Sqlite {
    fn transact(&self, steps: Vec<Step>) -> Later<'_, Outcome> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            queue(&self.jobs, Job::Transact(steps, reply))?;
            heard(answer).await
        })
    }

    fn look(&self, step: Step) -> Later<'_, Vec<Row>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            queue(&self.looks, Look::One(step, reply))?;
            heard(answer).await
        })
    }

    fn snapshot(&self, steps: Vec<Step>, rows: mpsc::Sender<(usize, Row)>) -> Later<'_, ()> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            queue(&self.looks, Look::All(steps, rows, reply))?;
            heard(answer).await
        })
    }

    fn fill(&self, rows: mpsc::Receiver<Filling>) -> Later<'_, bool> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            queue(&self.jobs, Job::Fill(rows, reply))?;
            heard(answer).await
        })
    }

    fn migrate(&self) -> Later<'_, i64> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            queue(&self.jobs, Job::Migrate(reply))?;
            heard(answer).await
        })
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }
}

fn write(mut connection: Connection, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut together = vec![first];
        together.extend(jobs.try_iter().take(TOGETHER - 1));
        let mut transactions = Vec::new();
        for job in together {
            match job {
                Job::Transact(steps, reply) => transactions.push((steps, reply)),
                Job::Migrate(reply) => {
                    // Whoever asks for it waits for it before anything else.
                    let _ = reply.send(migrate(&mut connection));
                }
                Job::Fill(rows, reply) => {
                    let _ = reply.send(fill(&mut connection, rows));
                }
            }
        }
        if !transactions.is_empty() {
            commit(&mut connection, transactions);
        }
    }
}

fn fill(connection: &mut Connection, mut filling: mpsc::Receiver<Filling>) -> Result<bool, StoreError> {
    let begun = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
    let transaction = begun.map_err(|error| said(&error))?;
    loop {
        match filling.blocking_recv() {
            Some(Filling::Row(step)) => drop(rows(&transaction, &step)?),
            Some(Filling::Whole) => return transaction.commit().map(|()| true).map_err(|error| said(&error)),
            // Dropped, it rolls back.
            None => return Ok(false),
        }
    }
}

fn commit(connection: &mut Connection, transactions: Vec<(Vec<Step>, Reply<Outcome>)>) {
    let mut done = Vec::with_capacity(transactions.len());
    let committed = (|| {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut transaction = transaction;
        for (steps, _) in &transactions {
            let savepoint = transaction.savepoint()?;
            let outcome = carry_out(&savepoint, steps);
            match &outcome {
                Ok(Outcome::Done(_)) => savepoint.commit()?,
                // Dropped, it rolls back.
                _ => drop(savepoint),
            }
            done.push(outcome);
        }
        transaction.commit()
    })();
    match committed.map_err(|error| said(&error)) {
        Ok(()) => {
            for ((_, reply), outcome) in transactions.into_iter().zip(done) {
                // Whoever asked may have gone.
                let _ = reply.send(outcome);
            }
        }
        Err(error) => {
            for (_, reply) in transactions {
                let _ = reply.send(Err(error.clone()));
            }
        }
    }
}

fn carry_out(connection: &Connection, steps: &[Step]) -> Result<Outcome, StoreError> {
    let mut all = Vec::with_capacity(steps.len());
    for (at, step) in steps.iter().enumerate() {
        let rows = rows(connection, step)?;
        if step.needs_row && rows.is_empty() {
            return Ok(Outcome::Undone(at));
        }
        all.push(rows);
    }
    Ok(Outcome::Done(all))
}

fn rows(connection: &Connection, step: &Step) -> Result<Vec<Row>, StoreError> {
    let mut all = Vec::new();
    each_row(connection, step, |row| {
        all.push(row);
        true
    })?;
    Ok(all)
}

fn each_row(
    connection: &Connection,
    step: &Step,
    mut take: impl FnMut(Row) -> bool,
) -> Result<(), StoreError> {
    let mut run = || {
        let mut statement = connection.prepare_cached(step.sql)?;
        let columns = statement.column_count();
        let mut found = statement.query(rusqlite::params_from_iter(&step.values))?;
        while let Some(row) = found.next()? {
            let values: rusqlite::Result<Vec<Value>> =
                (0..columns).map(|at| row.get_ref(at).map(value)).collect();
            if !take(Row(values?)) {
                break;
            }
        }
        Ok(())
    };
    run().map_err(|error: rusqlite::Error| said(&error))
}

fn value(from: ValueRef<'_>) -> Value {
    match from {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Text(number.to_string()),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn said(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => StoreError::Conflict(error.to_string()),
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly,
        ) => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Broken(error.to_string()),
    }
}

fn migrate(connection: &mut Connection) -> Result<i64, StoreError> {
    let mut run = || {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(VERSIONS)?;
        let found: i64 = transaction.query_row(FOUND, [], |row| row.get(0))?;
        for (number, texts) in MIGRATIONS.iter().filter(|(number, _)| *number > found) {
            texts.iter().try_for_each(|text| transaction.execute_batch(text))?;
            transaction.execute(APPLIED, (number, UnixMillis::now().0))?;
        }
        transaction.commit()?;
        Ok(found)
    };
    match run().map_err(|error: rusqlite::Error| said(&error))? {
        found if found > VERSION => Err(StoreError::Newer { found, known: VERSION }),
        _ => Ok(VERSION),
    }
}

fn read(connection: &Connection, looks: &Receiver<Look>) {
    while let Ok(look) = looks.recv() {
        match look {
            Look::One(step, reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(rows(connection, &step));
            }
            Look::All(steps, to, reply) => {
                let _ = reply.send(all(connection, &steps, &to));
            }
        }
    }
}

/// Under one read transaction; other readers wait meanwhile, writers do not.
fn all(connection: &Connection, steps: &[Step], to: &mpsc::Sender<(usize, Row)>) -> Result<(), StoreError> {
    let snapshot = connection.unchecked_transaction().map_err(|error| said(&error))?;
    for (at, step) in steps.iter().enumerate() {
        each_row(&snapshot, step, |row| to.blocking_send((at, row)).is_ok())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sql;

    fn fresh() -> (tempfile::TempDir, Sqlite) {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("lobby.db")).unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn a_database_of_a_newer_program_is_not_touched() {
        let (_folder, store) = fresh();
        assert_eq!(store.migrate().await, Ok(VERSION));
        assert_eq!(store.migrate().await, Ok(VERSION), "twice is once");
        let other = Connection::open(store.path()).unwrap();
        other.execute(APPLIED, (VERSION + 1, 0)).unwrap();
        let refused = store.migrate().await;
        assert_eq!(refused, Err(StoreError::Newer { found: VERSION + 1, known: VERSION }));
    }

    #[tokio::test]
    async fn every_text_is_understood() {
        let (_folder, store) = fresh();
        store.migrate().await.unwrap();
        let connection = Connection::open(store.path()).unwrap();
        for (name, text) in sql::ALL {
            connection.prepare(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
