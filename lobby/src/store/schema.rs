//! The tables, as numbered steps from nothing to now. A step that was ever released never changes; another follows it.

/// One step: its number, and the texts that carry it out, in one transaction.
pub(crate) type Migration = (i64, &'static [&'static str]);

/// What a database must be at when this program works with it.
pub const VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Where the number is kept.
pub(crate) const VERSIONS: &str =
    "CREATE TABLE IF NOT EXISTS schema_versions (number BIGINT PRIMARY KEY, applied_ms BIGINT NOT NULL)";
/// The number.
pub(crate) const FOUND: &str = "SELECT COALESCE(MAX(number), 0) FROM schema_versions";
/// It was carried out.
pub(crate) const APPLIED: &str = "INSERT INTO schema_versions (number, applied_ms) VALUES ($1, $2)";

/// A table as a backup reads it and a restore fills it.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// How many columns.
    pub(crate) columns: usize,
    /// Every row.
    pub(crate) select: &'static str,
    /// One row.
    pub(crate) insert: &'static str,
}

macro_rules! table {
    ($name:literal, $count:literal, $columns:literal, $values:literal) => {
        Table {
            name: $name,
            columns: $count,
            select: concat!("SELECT ", $columns, " FROM ", $name),
            insert: concat!("INSERT INTO ", $name, " (", $columns, ") VALUES (", $values, ")"),
        }
    };
}

/// Those whose rows a backup has, in the order in which they can be filled again. Sessions are not among them: who was
/// signed in signs in again.
pub(crate) const TABLES: &[Table] = &[
    table!("accounts", 6, "id, name, folded, password, role, made_ms", "$1, $2, $3, $4, $5, $6"),
    table!("invites", 5, "digest, role, made_by, made_ms, expires_ms", "$1, $2, $3, $4, $5"),
    table!("broadcasts", 5, "name, owner, title, visibility, made_ms", "$1, $2, $3, $4, $5"),
    table!("publish_keys", 5, "id, broadcast, digest, label, made_ms", "$1, $2, $3, $4, $5"),
    table!("share_links", 5, "id, broadcast, made_by, made_ms, expires_ms", "$1, $2, $3, $4, $5"),
    table!("denials", 4, "broadcast, holder, until_ms, made_ms", "$1, $2, $3, $4"),
    table!("rooms", 4, "broadcast, log, last_sequence, slow_ms", "$1, $2, $3, $4"),
    table!(
        "messages",
        10,
        "broadcast, sequence, kind, account, name, badge, text, target, at_ms, nonce",
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10"
    ),
    table!("restraints", 6, "broadcast, account, kind, until_ms, made_by, made_ms", "$1, $2, $3, $4, $5, $6"),
    table!("webhooks", 5, "id, broadcast, url, secret, made_ms", "$1, $2, $3, $4, $5"),
    table!("secrets", 2, "name, secret", "$1, $2"),
];

/// All steps, in order.
pub(crate) const MIGRATIONS: &[Migration] = &[FIRST, TOLD];

/// How the last telling of a webhook went; of no use in a backup.
const TOLD: Migration =
    (2, &["ALTER TABLE webhooks ADD COLUMN told_ms BIGINT", "ALTER TABLE webhooks ADD COLUMN refusal TEXT"]);

const FIRST: Migration = (
    1,
    &[
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE, password TEXT NOT NULL, role TEXT NOT NULL, made_ms BIGINT NOT NULL)",
        "CREATE TABLE sessions (digest BYTEA PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, made_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL)",
        "CREATE INDEX sessions_account ON sessions (account)",
        "CREATE TABLE invites (digest BYTEA PRIMARY KEY, role TEXT NOT NULL, made_by TEXT REFERENCES accounts (id) ON DELETE SET NULL, made_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL)",
        "CREATE TABLE broadcasts (name TEXT PRIMARY KEY, owner TEXT REFERENCES accounts (id) ON DELETE CASCADE, title TEXT NOT NULL, visibility TEXT NOT NULL, made_ms BIGINT NOT NULL)",
        "CREATE INDEX broadcasts_owner ON broadcasts (owner)",
        "CREATE TABLE publish_keys (id TEXT PRIMARY KEY, broadcast TEXT NOT NULL REFERENCES broadcasts (name) ON DELETE CASCADE, digest BYTEA NOT NULL UNIQUE, label TEXT NOT NULL, made_ms BIGINT NOT NULL)",
        "CREATE INDEX publish_keys_broadcast ON publish_keys (broadcast)",
        "CREATE TABLE share_links (id TEXT PRIMARY KEY, broadcast TEXT NOT NULL REFERENCES broadcasts (name) ON DELETE CASCADE, made_by TEXT REFERENCES accounts (id) ON DELETE SET NULL, made_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL)",
        "CREATE INDEX share_links_broadcast ON share_links (broadcast)",
        "CREATE TABLE denials (broadcast TEXT NOT NULL, holder BIGINT NOT NULL, until_ms BIGINT NOT NULL, made_ms BIGINT NOT NULL, PRIMARY KEY (broadcast, holder))",
        "CREATE TABLE rooms (broadcast TEXT PRIMARY KEY REFERENCES broadcasts (name) ON DELETE CASCADE, log BIGINT NOT NULL, last_sequence BIGINT NOT NULL, slow_ms BIGINT NOT NULL)",
        "CREATE TABLE messages (broadcast TEXT NOT NULL REFERENCES rooms (broadcast) ON DELETE CASCADE, sequence BIGINT NOT NULL, kind TEXT NOT NULL, account TEXT REFERENCES accounts (id) ON DELETE SET NULL, name TEXT NOT NULL, badge TEXT NOT NULL, text TEXT NOT NULL, target BIGINT, at_ms BIGINT NOT NULL, nonce TEXT, PRIMARY KEY (broadcast, sequence))",
        "CREATE UNIQUE INDEX messages_nonce ON messages (broadcast, account, nonce)",
        "CREATE INDEX messages_account ON messages (account, at_ms)",
        "CREATE TABLE restraints (broadcast TEXT NOT NULL REFERENCES broadcasts (name) ON DELETE CASCADE, account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, kind TEXT NOT NULL, until_ms BIGINT, made_by TEXT, made_ms BIGINT NOT NULL, PRIMARY KEY (broadcast, account, kind))",
        "CREATE TABLE webhooks (id TEXT PRIMARY KEY, broadcast TEXT NOT NULL REFERENCES broadcasts (name) ON DELETE CASCADE, url TEXT NOT NULL, secret TEXT NOT NULL, made_ms BIGINT NOT NULL)",
        "CREATE TABLE secrets (name TEXT PRIMARY KEY, secret BYTEA NOT NULL)",
    ],
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_from_one_without_a_hole() {
        assert!(MIGRATIONS.iter().zip(1..).all(|((number, _), wanted)| *number == wanted));
    }

    #[test]
    fn every_table_is_in_a_backup_but_sessions() {
        let made = MIGRATIONS
            .iter()
            .flat_map(|(_, texts)| *texts)
            .filter_map(|text| text.strip_prefix("CREATE TABLE "));
        let made: Vec<&str> = made.map(|rest| rest.split(' ').next().unwrap()).collect();
        assert!(
            made.iter().all(|table| *table == "sessions" || TABLES.iter().any(|kept| kept.name == *table))
        );
        for table in TABLES {
            assert_eq!(table.select.split(',').count(), table.columns, "{}", table.name);
            assert_eq!(table.insert.split('$').count(), table.columns + 1, "{}", table.name);
        }
    }
}
