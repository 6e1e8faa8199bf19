//! Hashing passwords: slow and large on purpose, so on a few threads with a short queue before them.
//!
//! Argon2id with OWASP's least parameters, 19 MiB and two passes. A password for an account that does not exist is
//! compared with one nobody knows, and takes as long. Each thread keeps its memory: as much is used by a flood as by one.

use crate::secret::random;
use argon2::password_hash::{Output, PasswordHash, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use subtle::ConstantTimeEq;
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
    hash_in(password, &mut vec![Block::default(); argon().params().block_count()])
}

fn hash_in(password: &str, memory: &mut [Block]) -> String {
    let (salt, mut out) = (random::<16>(), [0; Params::DEFAULT_OUTPUT_LEN]);
    argon()
        .hash_password_into_with_memory(password.as_bytes(), &salt, &mut out, memory)
        .expect("a password that fits");
    let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
    PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: argon().params().try_into().expect("constants that argon2 allows"),
        salt: Some(salt.as_salt()),
        hash: Some(Output::new(&out).expect("32 bytes are an output")),
    }
    .to_string()
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
    let mut memory = vec![Block::default(); argon().params().block_count()];
    loop {
        let work = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match work {
            Ok(Work::Hash(password, reply)) if !reply.is_closed() => {
                let _ = reply.send(hash_in(&password, &mut memory));
            }
            Ok(Work::Verify(password, hashed, reply)) if !reply.is_closed() => {
                let is_there = hashed.is_some();
                let is_right = verify(&password, hashed.as_deref().unwrap_or(nobodys), &mut memory);
                let _ = reply.send(is_right && is_there);
            }
            // Whoever asked has gone.
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn verify(password: &str, hashed: &str, memory: &mut [Block]) -> bool {
    let Ok(known) = PasswordHash::new(hashed) else { return false };
    let costs = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    let is_ours = Params::try_from(&known).is_ok_and(|params| costs(&params) == costs(argon().params()))
        && known.algorithm == Algorithm::Argon2id.ident()
        && known.version == Some(Version::V0x13.into());
    match (known.salt, known.hash) {
        (Some(salt), Some(wanted)) if is_ours && wanted.len() == Params::DEFAULT_OUTPUT_LEN => {
            let mut salted = [0; 64];
            let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
            let Ok(salted) = salt.decode_b64(&mut salted) else { return false };
            argon().hash_password_into_with_memory(password.as_bytes(), salted, &mut out, memory).is_ok()
                && out.ct_eq(wanted.as_bytes()).into()
        }
        // Of another time, with other parameters: with memory of its own.
        _ => argon().verify_password(password.as_bytes(), &known).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::PasswordHasher;

    #[tokio::test]
    async fn a_password_is_known_again_and_nothing_else_is() {
        let passwords = Passwords::start(1).unwrap();
        let hashed = passwords.hash("correct horse").await.unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert_eq!(passwords.verify("correct horse", Some(hashed.clone())).await, Ok(true));
        assert_eq!(passwords.verify("battery staple", Some(hashed)).await, Ok(false));
        assert_eq!(passwords.verify("correct horse", None).await, Ok(false));
    }

    /// What another version of this program kept opens still, and what is no hash opens nothing.
    #[test]
    fn a_password_is_what_argon2_says_it_is() {
        let mut memory = vec![Block::default(); argon().params().block_count()];
        let salt = SaltString::encode_b64(&[7; 16]).unwrap();
        let theirs = argon().hash_password(b"correct horse", &salt).unwrap().to_string();
        let weaker = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let weaker = weaker.hash_password(b"correct horse", &salt).unwrap().to_string();
        let own = hash_in("correct horse", &mut memory);
        for hashed in [theirs, weaker, own.clone()] {
            assert!(verify("correct horse", &hashed, &mut memory), "{hashed}");
            assert!(!verify("battery staple", &hashed, &mut memory), "{hashed}");
        }
        let own = PasswordHash::new(&own).unwrap();
        assert!(argon().verify_password(b"correct horse", &own).is_ok(), "argon2 itself knows it");
        assert!(!verify("", "", &mut memory) && !verify("x", "$argon2id$v=19$m=19456,t=2,p=1$", &mut memory));
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
