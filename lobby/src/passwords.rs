//! Hashing passwords: slow and large on purpose, so on a few threads with a short queue before them.
//!
//! Argon2id with OWASP's least parameters, 19 MiB and two passes. A password for an account that does not exist is
//! compared with one nobody knows, and takes as long.

use crate::secret::random;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Passwords that wait for a thread; at 20 ms each the last is done within two seconds.
pub const PASSWORDS_WAITING: usize = 64;
/// Memory one thread needs.
pub const HASHING_KIB: u32 = 19 * 1024;

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords wait to be looked at")]
pub struct Crowded;

enum Work {
    Hash(String, oneshot::Sender<String>),
    Verify(String, Option<String>, oneshot::Sender<bool>),
}

/// The threads; clones share them.
#[derive(Clone, Debug)]
pub struct Passwords {
    work: SyncSender<Work>,
}

fn argon() -> Argon2<'static> {
    let params = Params::new(HASHING_KIB, 2, 1, None).expect("constants that argon2 allows");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Argon2id of a password, in PHC's spelling.
pub fn hash(password: &str) -> String {
    let salt = SaltString::encode_b64(&random::<16>()).expect("16 bytes are a salt");
    argon().hash_password(password.as_bytes(), &salt).expect("a password that fits").to_string()
}

impl Passwords {
    /// So many threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let (work, waiting) = sync_channel(PASSWORDS_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let nobodys: Arc<str> = hash(&crate::secret::word()).into();
        for n in 0..threads.max(1) {
            let (waiting, nobodys) = (waiting.clone(), nobodys.clone());
            std::thread::Builder::new()
                .name(format!("password-{n}"))
                .spawn(move || turn(&waiting, &nobodys))?;
        }
        Ok(Self { work })
    }

    fn queue(&self, work: Work) -> Result<(), Crowded> {
        self.work.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Crowded,
        })
    }

    /// Argon2id of a new password.
    pub async fn hash(&self, password: &str) -> Result<String, Crowded> {
        let (reply, answer) = oneshot::channel();
        self.queue(Work::Hash(password.to_owned(), reply))?;
        answer.await.map_err(|_| Crowded)
    }

    /// Whether it is the one that was hashed; of nothing it never is, after as long a time.
    pub async fn verify(&self, password: &str, hashed: Option<String>) -> Result<bool, Crowded> {
        let (reply, answer) = oneshot::channel();
        self.queue(Work::Verify(password.to_owned(), hashed, reply))?;
        answer.await.map_err(|_| Crowded)
    }
}

fn turn(waiting: &Mutex<Receiver<Work>>, nobodys: &str) {
    loop {
        let work = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match work {
            Ok(Work::Hash(password, reply)) if !reply.is_closed() => {
                let _ = reply.send(hash(&password));
            }
            Ok(Work::Verify(password, hashed, reply)) if !reply.is_closed() => {
                let is_there = hashed.is_some();
                let is_right = verify(&password, hashed.as_deref().unwrap_or(nobodys));
                let _ = reply.send(is_right && is_there);
            }
            // Whoever asked has gone.
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn verify(password: &str, hashed: &str) -> bool {
    PasswordHash::new(hashed)
        .is_ok_and(|hashed| argon().verify_password(password.as_bytes(), &hashed).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_nothing_else_is() {
        let passwords = Passwords::start(1).unwrap();
        let hashed = passwords.hash("correct horse").await.unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert_eq!(passwords.verify("correct horse", Some(hashed.clone())).await, Ok(true));
        assert_eq!(passwords.verify("battery staple", Some(hashed)).await, Ok(false));
        assert_eq!(passwords.verify("correct horse", None).await, Ok(false));
    }

    #[tokio::test]
    async fn a_flood_is_turned_away_and_does_not_wait() {
        let passwords = Passwords::start(1).unwrap();
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..4 * PASSWORDS_WAITING {
            let passwords = passwords.clone();
            asked.spawn(async move { passwords.verify("guess", None).await });
        }
        let answers = asked.join_all().await;
        let turned_away = answers.iter().filter(|answer| **answer == Err(Crowded)).count();
        assert!(turned_away >= 2 * PASSWORDS_WAITING, "{turned_away}");
        assert!(answers.contains(&Ok(false)));
    }
}
