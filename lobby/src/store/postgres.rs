//! The fleet's database: PostgreSQL, a primary and its standbys, whichever of them takes writes now.
//!
//! The address names all of them (`host=db1,db2`): each new connection goes to whichever takes writes (`servers`), so that
//! after a promotion the next transaction finds the new primary by itself. A connection that failed, or whose server has
//! become a standby, is not used again, nor are those that lay idle beside it: they lead to the same machine, and each
//! would cost somebody a wait. Nor is a server waited for once another takes writes (`servers`). Durability is the server's: with `synchronous_commit = on` and a synchronous standby, what
//! is acknowledged here is on both.

use super::schema::{APPLIED, FOUND, MIGRATIONS, VERSION, VERSIONS};
use super::servers::Servers;
use super::{Filling, Later, Outcome, Row, Step, Store, StoreError, UnixMillis, Value};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use std::fmt;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// How long a transaction may wait for a connection.
const PLACE_WITHIN: Duration = Duration::from_secs(2);
/// How long a transaction may take: past it its connection is given up, and whether it held is not known.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// An answer that takes longer has the other servers asked whether one of them takes writes by now, and so often again.
const LATE_AFTER: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// Two lobbies that start at once migrate one after the other: the key of the advisory lock, "mascaret" in ASCII.
const MIGRATING: i64 = i64::from_be_bytes(*b"mascaret");

/// A pool of connections to whichever server takes writes.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    servers: Servers,
}

impl fmt::Debug for Postgres {
    /// The address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({:?})", self.pool.status())
    }
}

impl Postgres {
    /// Servers by their address, with up to so many connections. Nothing is dialled yet.
    pub fn new(address: &str, connections: usize) -> Result<Self, StoreError> {
        let servers = Servers::parse(address, ANSWER_WITHIN)?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_connect(servers.config(), servers.clone(), recycling))
            .max_size(connections.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PLACE_WITHIN))
            .create_timeout(Some(PLACE_WITHIN))
            .build()
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        Ok(Self { pool, servers })
    }

    async fn connection(&self) -> Result<Object, StoreError> {
        loop {
            let connection = self.pool.get().await.map_err(|error| match error {
                PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
                    StoreError::Busy { waiting: self.pool.status().waiting }
                }
                error => StoreError::Unavailable(told(&error)),
            })?;
            if Object::metrics(&connection).created >= self.servers.leader().borrow().since {
                return Ok(connection);
            }
            // To whoever took writes before; there are as many as the pool holds at most.
            drop(Object::take(connection));
        }
    }

    /// Waits for an answer, as long as nobody else takes writes and it does not take too long.
    async fn answer<T>(
        servers: &Servers,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let (mut leader, began) = (servers.leader(), tokio::time::Instant::now());
        let mut look = tokio::time::interval_at(began + LATE_AFTER, LOOK_EVERY);
        let waited = async {
            loop {
                tokio::select! {
                    // It ends only with the servers, of which this is one.
                    _ = leader.changed() => return StoreError::Unavailable("another server takes writes now".into()),
                    () = tokio::time::sleep_until(began + ANSWER_WITHIN) => {
                        return StoreError::Unavailable(format!("no answer within {} s", ANSWER_WITHIN.as_secs()));
                    }
                    _ = look.tick() => servers.look(),
                }
            }
        };
        tokio::select! {
            biased;
            result = work => result,
            error = waited => Err(error),
        }
    }

    /// Runs with a connection that is given up unless all went well or the server only has a rule against it. To its end,
    /// on a task of its own: who asked may go, and a connection that waits for an answer is nobody else's.
    fn with<T, F>(&self, run: impl FnOnce(Object) -> F + Send + 'static) -> Later<'_, T>
    where
        T: Send + 'static,
        F: Future<Output = (Object, Result<T, StoreError>)> + Send + 'static,
    {
        let whole = self.clone().carried_out(run);
        Box::pin(async move {
            let ended = tokio::spawn(whole).await;
            ended.unwrap_or_else(|error| Err(StoreError::Broken(format!("its task: {error}"))))
        })
    }

    async fn carried_out<T, F>(self, run: impl FnOnce(Object) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = (Object, Result<T, StoreError>)>,
    {
        let connection = self.connection().await?;
        let (connection, result) = run(connection).await;
        if matches!(result, Err(StoreError::Unavailable(_) | StoreError::Broken(_))) {
            // With a transaction still open it would fail the next one.
            drop(Object::take(connection));
        }
        if matches!(result, Err(StoreError::Unavailable(_))) {
            // Those that lie idle lead to the same machine.
            self.pool.retain(|_, _| false);
        }
        result
    }
}

impl Store for Postgres {
    fn transact(&self, steps: Vec<Step>) -> Later<'_, Outcome> {
        let servers = self.servers.clone();
        self.with(move |mut connection| async move {
            let result = Self::answer(&servers, transact(&mut connection, &steps)).await;
            (connection, result)
        })
    }

    fn look(&self, step: Step) -> Later<'_, Vec<Row>> {
        let servers = self.servers.clone();
        self.with(move |connection| async move {
            let result = Self::answer(&servers, async { rows(&connection, &step).await }).await;
            (connection, result)
        })
    }

    fn snapshot(&self, steps: Vec<Step>, to: mpsc::Sender<(usize, Row)>) -> Later<'_, ()> {
        self.with(move |mut connection| async move {
            let result = snapshot(&mut connection, &steps, &to).await;
            (connection, result)
        })
    }

    fn fill(&self, rows: mpsc::Receiver<Filling>) -> Later<'_, bool> {
        self.with(move |mut connection| async move {
            let result = fill(&mut connection, rows).await;
            (connection, result)
        })
    }

    fn migrate(&self) -> Later<'_, i64> {
        self.with(move |mut connection| async move {
            let result = migrate(&mut connection).await;
            (connection, result)
        })
    }

    fn kind(&self) -> &'static str {
        "postgresql"
    }
}

async fn transact(connection: &mut Object, steps: &[Step]) -> Result<Outcome, StoreError> {
    if let [step] = steps {
        // A transaction of its own, in one round trip.
        let rows = rows(connection, step).await?;
        return Ok(if step.needs_row && rows.is_empty() {
            Outcome::Undone(0)
        } else {
            Outcome::Done(vec![rows])
        });
    }
    let transaction = connection.transaction().await.map_err(|error| said(&error))?;
    let mut all = Vec::with_capacity(steps.len());
    for (at, step) in steps.iter().enumerate() {
        let rows = {
            let statement = transaction.prepare_cached(step.sql).await.map_err(|error| said(&error))?;
            let found = transaction.query(&statement, &values(step)).await.map_err(|error| said(&error))?;
            found.iter().map(row).collect::<Result<Vec<_>, _>>()?
        };
        if step.needs_row && rows.is_empty() {
            transaction.rollback().await.map_err(|error| said(&error))?;
            return Ok(Outcome::Undone(at));
        }
        all.push(rows);
    }
    transaction.commit().await.map_err(|error| said(&error))?;
    Ok(Outcome::Done(all))
}

async fn rows(client: &deadpool_postgres::ClientWrapper, step: &Step) -> Result<Vec<Row>, StoreError> {
    let statement = client.prepare_cached(step.sql).await.map_err(|error| said(&error))?;
    let found = client.query(&statement, &values(step)).await.map_err(|error| said(&error))?;
    found.iter().map(row).collect()
}

async fn snapshot(
    connection: &mut Object,
    steps: &[Step],
    to: &mpsc::Sender<(usize, Row)>,
) -> Result<(), StoreError> {
    let transaction = connection
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(|error| said(&error))?;
    for (at, step) in steps.iter().enumerate() {
        let statement = transaction.prepare_cached(step.sql).await.map_err(|error| said(&error))?;
        // A portal: so many rows at a time, not the whole table.
        let portal = transaction.bind(&statement, &values(step)).await.map_err(|error| said(&error))?;
        loop {
            let found = transaction.query_portal(&portal, 500).await.map_err(|error| said(&error))?;
            if found.is_empty() {
                break;
            }
            for found in &found {
                if to.send((at, row(found)?)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    transaction.commit().await.map_err(|error| said(&error))
}

async fn fill(connection: &mut Object, mut filling: mpsc::Receiver<Filling>) -> Result<bool, StoreError> {
    let transaction = connection.transaction().await.map_err(|error| said(&error))?;
    loop {
        match filling.recv().await {
            Some(Filling::Row(step)) => {
                let statement = transaction.prepare_cached(step.sql).await.map_err(|error| said(&error))?;
                transaction.execute(&statement, &values(&step)).await.map_err(|error| said(&error))?;
            }
            Some(Filling::Whole) => {
                return transaction.commit().await.map(|()| true).map_err(|error| said(&error));
            }
            None => return transaction.rollback().await.map(|()| false).map_err(|error| said(&error)),
        }
    }
}

async fn migrate(connection: &mut Object) -> Result<i64, StoreError> {
    let run = async {
        let transaction = connection.transaction().await?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATING]).await?;
        transaction.batch_execute(VERSIONS).await?;
        let found: i64 = transaction.query_one(FOUND, &[]).await?.get(0);
        for (number, texts) in MIGRATIONS.iter().filter(|(number, _)| *number > found) {
            for text in *texts {
                transaction.batch_execute(text).await?;
            }
            transaction.execute(APPLIED, &[number, &UnixMillis::now().0]).await?;
        }
        transaction.commit().await?;
        Ok(found)
    };
    match run.await.map_err(|error: tokio_postgres::Error| said(&error))? {
        found if found > VERSION => Err(StoreError::Newer { found, known: VERSION }),
        _ => Ok(VERSION),
    }
}

fn values(step: &Step) -> Vec<&(dyn ToSql + Sync)> {
    step.values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn row(from: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let value = |(at, column): (usize, &tokio_postgres::Column)| {
        let taken = match *column.type_() {
            Type::INT8 => from.try_get(at).map(|it: Option<i64>| it.map(Value::Int)),
            Type::INT4 => from.try_get(at).map(|it: Option<i32>| it.map(|it| Value::Int(it.into()))),
            Type::TEXT | Type::VARCHAR => from.try_get(at).map(|it: Option<String>| it.map(Value::Text)),
            Type::BYTEA => from.try_get(at).map(|it: Option<Vec<u8>>| it.map(Value::Bytes)),
            ref other => return Err(StoreError::Broken(format!("a column of type {other}"))),
        };
        taken.map(|value| value.unwrap_or(Value::Null)).map_err(|error| said(&error))
    };
    from.columns().iter().enumerate().map(value).collect::<Result<_, _>>().map(Row)
}

impl ToSql for Value {
    fn to_sql(
        &self,
        wanted: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *wanted == Type::INT4 => i32::try_from(*number)?.to_sql(wanted, out),
            Self::Int(number) => number.to_sql(&Type::INT8, out),
            Self::Text(text) => text.to_sql(&Type::TEXT, out),
            Self::Bytes(bytes) => bytes.as_slice().to_sql(&Type::BYTEA, out),
        }
    }

    fn accepts(wanted: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::TEXT, Type::BYTEA].contains(wanted)
    }

    to_sql_checked!();
}

/// With what lies beneath, which says more.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(beneath) = source {
        text = format!("{text}: {beneath}");
        source = beneath.source();
    }
    text
}

fn said(error: &tokio_postgres::Error) -> StoreError {
    let Some(code) = error.code() else { return StoreError::Unavailable(told(error)) };
    // Class 23: constraints. 40: another transaction was first. 25006: it has become a standby. 53, 57, 58, 08: it has no
    // room, is going down or starting up, or its disk fails.
    match code.code() {
        code if code.starts_with("23") => StoreError::Conflict(told(error)),
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::Unavailable(told(error)),
        code if ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            StoreError::Unavailable(told(error))
        }
        _ => StoreError::Broken(told(error)),
    }
}
