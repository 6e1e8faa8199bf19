//! Every text that is ever sent to a database.
//!
//! What writes and is asked about says `RETURNING`, so that "did it?" is the same question of both databases. Values in a
//! select list are cast, because there PostgreSQL would take them for text.

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $text;)*
        /// All of them; each is prepared by a test.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

texts! {
    PING = "SELECT 1";

    ACCOUNT_ADD = "INSERT INTO accounts (id, name, folded, password, role, made_ms) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
    ACCOUNT_BY_NAME = "SELECT id, name, role, made_ms, password FROM accounts WHERE folded = $1";
    ACCOUNT_BY_ID = "SELECT id, name, role, made_ms, password FROM accounts WHERE id = $1";
    ACCOUNTS = "SELECT id, name, role, made_ms, password FROM accounts WHERE folded > $1 ORDER BY folded LIMIT $2";
    ACCOUNT_COUNT = "SELECT COUNT(*) FROM accounts";
    ADMIN_COUNT = "SELECT COUNT(*) FROM accounts WHERE role = 'admin'";
    ACCOUNT_ROLE = "UPDATE accounts SET role = $1 WHERE id = $2 RETURNING id";
    ACCOUNT_PASSWORD = "UPDATE accounts SET password = $1 WHERE id = $2 RETURNING id";
    ACCOUNT_DELETE = "DELETE FROM accounts WHERE id = $1 RETURNING id";

    ACCOUNT_HOLD = "UPDATE accounts SET role = role WHERE id = $1 RETURNING id";

    SESSION_ADD = "INSERT INTO sessions (digest, account, made_ms, expires_ms) VALUES ($1, $2, $3, $4) RETURNING account";
    SESSION_BY_DIGEST = "SELECT s.account, s.made_ms, s.expires_ms, a.name, a.role FROM sessions s JOIN accounts a ON a.id = s.account WHERE s.digest = $1 AND s.expires_ms > $2";
    SESSION_END = "DELETE FROM sessions WHERE digest = $1 RETURNING account";
    SESSIONS_OF_END = "DELETE FROM sessions WHERE account = $1 RETURNING account";
    SESSIONS_OVER = "DELETE FROM sessions WHERE expires_ms <= $1 RETURNING account";
    SESSIONS_OLDEST_END = "DELETE FROM sessions WHERE account = $1 AND digest NOT IN (SELECT digest FROM sessions WHERE account = $1 ORDER BY made_ms DESC, digest LIMIT $2) RETURNING account";

    INVITE_ADD = "INSERT INTO invites (digest, role, made_by, made_ms, expires_ms) VALUES ($1, $2, $3, $4, $5) RETURNING role";
    INVITE_TAKE = "DELETE FROM invites WHERE digest = $1 AND expires_ms > $2 RETURNING role";
    INVITES = "SELECT digest, role, made_by, made_ms, expires_ms FROM invites ORDER BY made_ms DESC LIMIT $1";
    INVITE_DELETE = "DELETE FROM invites WHERE digest = $1 RETURNING role";
    INVITES_OVER = "DELETE FROM invites WHERE expires_ms <= $1 RETURNING role";

    BROADCAST_ADD = "INSERT INTO broadcasts (name, owner, title, visibility, made_ms) VALUES ($1, $2, $3, $4, $5) RETURNING name";
    BROADCAST_BY_NAME = "SELECT name, owner, title, visibility, made_ms FROM broadcasts WHERE name = $1";
    BROADCASTS = "SELECT name, owner, title, visibility, made_ms FROM broadcasts WHERE name > $1 ORDER BY name LIMIT $2";
    BROADCASTS_OF = "SELECT name, owner, title, visibility, made_ms FROM broadcasts WHERE owner = $1 AND name > $2 ORDER BY name LIMIT $3";
    BROADCASTS_OF_COUNT = "SELECT COUNT(*) FROM broadcasts WHERE owner = $1";
    BROADCASTS_SEEN = "SELECT name, owner, title, visibility, made_ms FROM broadcasts WHERE visibility = 'public' AND name > $1 ORDER BY name LIMIT $2";
    BROADCASTS_UNLISTED = "SELECT name FROM broadcasts WHERE visibility <> 'public' ORDER BY name LIMIT $1";
    BROADCASTS_PRIVATE = "SELECT name FROM broadcasts WHERE visibility = 'private' ORDER BY name LIMIT $1";
    /// Takes the broadcast until the transaction ends.
    BROADCAST_HOLD = "UPDATE broadcasts SET owner = owner WHERE name = $1 RETURNING name";
    BROADCASTS_ROOM = "SELECT id FROM accounts WHERE id = $1 AND (SELECT COUNT(*) FROM broadcasts WHERE owner = $1) < $2";
    BROADCAST_VISIBILITY = "UPDATE broadcasts SET visibility = $1 WHERE name = $2 RETURNING name";
    BROADCAST_TITLE = "UPDATE broadcasts SET title = $1 WHERE name = $2 RETURNING name";
    BROADCAST_DELETE = "DELETE FROM broadcasts WHERE name = $1 RETURNING name";

    KEY_ADD = "INSERT INTO publish_keys (id, broadcast, digest, label, made_ms) VALUES ($1, $2, $3, $4, $5) RETURNING id";
    KEYS_ROOM = "SELECT name FROM broadcasts WHERE name = $1 AND (SELECT COUNT(*) FROM publish_keys WHERE broadcast = $1) < $2";
    KEY_BY_DIGEST = "SELECT id, broadcast, digest, label, made_ms FROM publish_keys WHERE digest = $1 AND broadcast = $2";
    KEYS_OF = "SELECT id, broadcast, digest, label, made_ms FROM publish_keys WHERE broadcast = $1 ORDER BY made_ms, id";
    KEY_REVOKE = "DELETE FROM publish_keys WHERE id = $1 AND broadcast = $2 RETURNING digest";
    KEYS_REVOKE_OTHERS = "DELETE FROM publish_keys WHERE broadcast = $1 AND id <> $2 RETURNING digest";

    LINK_ADD = "INSERT INTO share_links (id, broadcast, made_by, made_ms, expires_ms) VALUES ($1, $2, $3, $4, $5) RETURNING id";
    LINKS_ROOM = "SELECT name FROM broadcasts WHERE name = $1 AND (SELECT COUNT(*) FROM share_links WHERE broadcast = $1) < $2";
    LINK_BY_ID = "SELECT id, broadcast, made_by, made_ms, expires_ms FROM share_links WHERE id = $1 AND broadcast = $2";
    LINKS_OF = "SELECT id, broadcast, made_by, made_ms, expires_ms FROM share_links WHERE broadcast = $1 ORDER BY made_ms DESC LIMIT $2";
    LINK_DELETE = "DELETE FROM share_links WHERE id = $1 AND broadcast = $2 RETURNING expires_ms";
    LINKS_OVER = "DELETE FROM share_links WHERE expires_ms <= $1 RETURNING id";
    DENIAL_ADD = "INSERT INTO denials (broadcast, holder, until_ms, made_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (broadcast, holder) DO UPDATE SET until_ms = excluded.until_ms RETURNING holder";
    DENIALS_ROOM = "SELECT name FROM broadcasts WHERE name = $1 AND (SELECT COUNT(*) FROM denials WHERE broadcast = $1 AND until_ms > $2) < $3";
    DENIALS = "SELECT broadcast, holder, until_ms FROM denials WHERE until_ms > $1 ORDER BY made_ms DESC, holder LIMIT $2";
    DENIAL_DELETE = "DELETE FROM denials WHERE broadcast = $1 AND holder = $2 RETURNING holder";
    DENIALS_OVER = "DELETE FROM denials WHERE until_ms <= $1 RETURNING holder";

    ROOM_ADD = "INSERT INTO rooms (broadcast, log, last_sequence, slow_ms) VALUES ($1, $2, 0, 0) ON CONFLICT (broadcast) DO NOTHING";
    ROOM = "SELECT broadcast, log, last_sequence, slow_ms FROM rooms WHERE broadcast = $1";
    ROOMS = "SELECT broadcast, log, last_sequence, slow_ms FROM rooms ORDER BY broadcast LIMIT $1";
    ROOM_SLOW = "UPDATE rooms SET slow_ms = $1 WHERE broadcast = $2 RETURNING broadcast";
    /// Takes the room's next number and, with it, the room until the transaction ends.
    ROOM_NEXT = "UPDATE rooms SET last_sequence = last_sequence + 1 WHERE broadcast = $1 RETURNING last_sequence";
    /// Under the number taken: a refusal undoes both, so that the sequence has no gap.
    MESSAGE_ADD = "INSERT INTO messages (account, name, text, at_ms, nonce, badge, broadcast, sequence, kind) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS TEXT), CAST($6 AS TEXT), r.broadcast, r.last_sequence, 'message' FROM rooms r WHERE r.broadcast = $7 AND NOT EXISTS (SELECT 1 FROM restraints x WHERE x.broadcast = $7 AND x.account = $1 AND (x.until_ms IS NULL OR x.until_ms > $4)) AND NOT EXISTS (SELECT 1 FROM messages n WHERE n.broadcast = $7 AND n.account = $1 AND n.nonce = $5) AND (CAST($8 AS BIGINT) = 1 OR r.slow_ms = 0 OR NOT EXISTS (SELECT 1 FROM messages m WHERE m.broadcast = $7 AND m.account = $1 AND m.kind = 'message' AND m.at_ms > $4 - r.slow_ms)) RETURNING sequence";
    MESSAGE_BLANK = "UPDATE messages SET text = '', account = NULL, name = '', badge = 'viewer', nonce = NULL, kind = 'blank' WHERE broadcast = $1 AND sequence = $2 AND kind = 'message' RETURNING sequence";
    /// What is no message: a tombstone, an author whose messages are all gone, a pace.
    MARK_ADD = "INSERT INTO messages (name, at_ms, target, kind, text, badge, broadcast, sequence) SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS BIGINT), CAST($4 AS TEXT), CAST($5 AS TEXT), 'viewer', r.broadcast, r.last_sequence FROM rooms r WHERE r.broadcast = $6 RETURNING sequence";
    MESSAGES_BLANK_BY = "UPDATE messages SET text = '', account = NULL, name = '', badge = 'viewer', nonce = NULL, kind = 'blank' WHERE broadcast = $1 AND account = $2 AND kind = 'message' RETURNING sequence";
    MESSAGE_BY_NONCE = "SELECT broadcast, sequence, kind, account, name, text, target, at_ms, badge FROM messages WHERE broadcast = $1 AND account = $2 AND nonce = $3";
    MESSAGES_AFTER = "SELECT broadcast, sequence, kind, account, name, text, target, at_ms, badge FROM messages WHERE broadcast = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
    MESSAGES_NEWEST = "SELECT broadcast, sequence, kind, account, name, text, target, at_ms, badge FROM messages WHERE broadcast = $1 ORDER BY sequence DESC LIMIT $2";
    MESSAGE = "SELECT broadcast, sequence, kind, account, name, text, target, at_ms, badge FROM messages WHERE broadcast = $1 AND sequence = $2";
    ROOMS_SAID_IN = "SELECT DISTINCT broadcast FROM messages WHERE account = $1 AND kind = 'message' ORDER BY broadcast LIMIT $2";
    MESSAGE_LAST_AT = "SELECT at_ms FROM messages WHERE broadcast = $1 AND account = $2 AND kind = 'message' ORDER BY at_ms DESC LIMIT 1";
    RESTRAINT_PUT = "INSERT INTO restraints (broadcast, account, kind, until_ms, made_by, made_ms) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (broadcast, account, kind) DO UPDATE SET until_ms = excluded.until_ms, made_by = excluded.made_by, made_ms = excluded.made_ms RETURNING kind";
    RESTRAINT_LIFT = "DELETE FROM restraints WHERE broadcast = $1 AND account = $2 AND kind = $3 RETURNING kind";
    RESTRAINTS_OF = "SELECT r.broadcast, r.account, r.kind, r.until_ms, a.name FROM restraints r JOIN accounts a ON a.id = r.account WHERE r.broadcast = $1 AND r.account = $2 AND (r.until_ms IS NULL OR r.until_ms > $3) ORDER BY r.kind";
    RESTRAINTS = "SELECT r.broadcast, r.account, r.kind, r.until_ms, a.name FROM restraints r JOIN accounts a ON a.id = r.account WHERE r.broadcast = $1 AND (r.until_ms IS NULL OR r.until_ms > $2) ORDER BY r.made_ms DESC LIMIT $3";

    WEBHOOK_ADD = "INSERT INTO webhooks (id, broadcast, url, secret, made_ms) VALUES ($1, $2, $3, $4, $5) RETURNING id";
    WEBHOOKS_ROOM = "SELECT name FROM broadcasts WHERE name = $1 AND (SELECT COUNT(*) FROM webhooks WHERE broadcast = $1) < $2";
    WEBHOOKS_OF = "SELECT id, broadcast, url, secret, made_ms, told_ms, refusal FROM webhooks WHERE broadcast = $1 ORDER BY made_ms, id LIMIT $2";
    WEBHOOK_TOLD = "UPDATE webhooks SET told_ms = $1, refusal = $2 WHERE id = $3 RETURNING id";
    WEBHOOK_DELETE = "DELETE FROM webhooks WHERE id = $1 AND broadcast = $2 RETURNING id";

    SECRET_PUT = "INSERT INTO secrets (name, secret) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    SECRETS_OUT = "DELETE FROM secrets RETURNING name";
    SECRET = "SELECT secret FROM secrets WHERE name = $1";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    /// SQLite numbers `$n` by where each first stands.
    fn is_in_order(text: &str) -> bool {
        let mut last = 0;
        text.split('$').skip(1).all(|rest| {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let number: usize = rest[..digits].parse().unwrap();
            let fits = number <= last + 1;
            last = last.max(number);
            fits
        })
    }

    #[test]
    fn values_first_stand_in_their_order() {
        assert!(ALL.len() > 40);
        for (name, text) in ALL {
            assert!(is_in_order(text), "{name}");
            assert!(!text.contains('?') && !text.contains(';'), "{name}");
        }
        assert!(!is_in_order("SELECT $2, $1"));
    }
}
