//! Everything the store holds as lines of text, and back: from one database, or one kind of database, to another.
//!
//! The first line says what it is and the schema's version; each other is a table's name and a row, as JSON; the last says
//! how many. Bytes are `{"hex": …}`. Sessions are not in it. It holds password hashes and the webhooks' secrets: whoever
//! writes it to a file keeps that file to himself.

use super::schema::{TABLES, VERSION};
use super::{Filling, Row, Step, Store, StoreError, Value, sql};
use serde_json::{Value as Json, json};
use std::io::{self, BufRead, Write};
use tokio::sync::mpsc::Sender;

/// The longest line that is read back: the longest row has a message, a hash or a URL in it.
pub const BACKUP_LINE_BYTES: u64 = 64 << 10;
/// Rows on their way to the file, or from it.
const ROWS: usize = 256;

/// Why a backup cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The database does not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file does not.
    #[error("the backup: {0}")]
    Io(#[from] io::Error),
    /// It is not what we wrote.
    #[error("the backup's line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Something is there.
    #[error("the database has {rows} rows in {table}; a backup is restored into an empty one")]
    NotEmpty {
        /// Where.
        table: &'static str,
        /// How many, at least.
        rows: usize,
    },
}

/// Writes all rows as they stand at one moment; how many.
pub async fn backup(store: &dyn Store, mut to: impl Write) -> Result<u64, TransferError> {
    writeln!(to, "{}", json!({ "mascaret": "lobby", "schema": VERSION }))?;
    let (rows, mut heard) = tokio::sync::mpsc::channel::<(usize, Row)>(ROWS);
    let steps = TABLES.iter().map(|table| Step::new(table.select, [])).collect();
    let mut count = 0;
    let writing = async {
        while let Some((at, Row(values))) = heard.recv().await {
            let row: Vec<Json> = values.iter().map(as_json).collect();
            writeln!(to, "{}", json!([TABLES[at].name, row]))?;
            count += 1;
        }
        Ok::<(), io::Error>(())
    };
    let (read, written) = tokio::join!(store.snapshot(steps, rows), writing);
    read?;
    written?;
    writeln!(to, "{}", json!({ "rows": count }))?;
    to.flush()?;
    Ok(count)
}

/// Fills an empty database, in one transaction: a copy that is cut short, or is none, leaves nothing there. How many rows.
pub async fn restore(store: &dyn Store, from: impl BufRead) -> Result<u64, TransferError> {
    for table in TABLES.iter().filter(|table| table.name != "secrets") {
        let rows = store.look(Step::new(table.select, [])).await?.len();
        if rows > 0 {
            return Err(TransferError::NotEmpty { table: table.name, rows });
        }
    }
    let (tell, rows) = tokio::sync::mpsc::channel(ROWS);
    let (read, filled) = tokio::join!(read(from, tell), store.fill(rows));
    // A row that the database does not take ends the reading early: what it said of it is the reason.
    let (count, is_whole) = (read?, filled?);
    match is_whole {
        true => Ok(count),
        false => Err(StoreError::Broken("the backup was not taken to its end".into()).into()),
    }
}

/// Reads all of it into `rows`; dropped before the end, nothing of it holds.
async fn read(mut from: impl BufRead, rows: Sender<Filling>) -> Result<u64, TransferError> {
    let (mut line, mut count, mut text) = (0, 0, String::new());
    loop {
        line += 1;
        text.clear();
        let mut limited = io::Read::take(&mut from, BACKUP_LINE_BYTES);
        let read = limited.read_line(&mut text)?;
        let problem = |problem: &str| TransferError::Line { line, problem: problem.to_owned() };
        if read == 0 || !text.ends_with('\n') {
            return Err(problem("it ends without saying how many rows it has: it is cut short"));
        }
        let json: Json = serde_json::from_str(&text).map_err(|error| problem(&error.to_string()))?;
        let next = match &json {
            Json::Object(head) if line == 1 => match head.get("schema").and_then(Json::as_i64) {
                // A lobby that was started on it has made secrets of its own: what is restored has others.
                Some(schema) if schema == VERSION => Filling::Row(Step::new(sql::SECRETS_OUT, [])),
                Some(schema) => {
                    return Err(problem(&format!(
                        "it is of schema version {schema}, this program writes {VERSION}"
                    )));
                }
                None => return Err(problem("it is no backup of a lobby")),
            },
            _ if line == 1 => return Err(problem("it is no backup of a lobby")),
            Json::Object(foot) => match foot.get("rows").and_then(Json::as_u64) {
                Some(rows) if rows == count => break,
                _ => return Err(problem(&format!("it had {count} rows, and says another number"))),
            },
            Json::Array(row) => {
                count += 1;
                Filling::Row(step(row).ok_or_else(|| problem("it is no row of a table that we know"))?)
            }
            _ => return Err(problem("it is no row")),
        };
        if rows.send(next).await.is_err() {
            return Ok(count);
        }
    }
    // Whoever does not take it any more says why.
    let _ = rows.send(Filling::Whole).await;
    Ok(count)
}

fn step(row: &[Json]) -> Option<Step> {
    let [Json::String(name), Json::Array(values)] = row else { return None };
    let table = TABLES.iter().find(|table| table.name == name)?;
    let values: Vec<Value> = values.iter().map(from_json).collect::<Option<_>>()?;
    (values.len() == table.columns).then_some(Step { sql: table.insert, values, needs_row: false })
}

fn as_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!({ "hex": crate::secret::hex(bytes) }),
    }
}

fn from_json(json: &Json) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Null),
        Json::Number(number) => number.as_i64().map(Value::Int),
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Object(object) => crate::secret::unhex(object.get("hex")?.as_str()?).map(Value::Bytes),
        _ => None,
    }
}
