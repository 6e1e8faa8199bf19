//! The wish that what was read from files be read again: SIGHUP, or `POST /admin/reload`.
//!
//! Lives here: who wants to hear of it, and asking them one by one. Does not live here: any file; who follows one says
//! by [`Reload::on_reload`] what is to be done, and keeps what it had where the new file is no good.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What is asked to read again; why not, if it could not.
type Follower = Box<dyn FnMut() -> Result<(), String> + Send>;

/// Everything of a node that can be read again; clones are the same.
#[derive(Clone, Default)]
pub struct Reload {
    followers: Arc<Mutex<Vec<(&'static str, Follower)>>>,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}

/// What one of those asked has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// What it is.
    pub what: &'static str,
    /// Why it stays as it was, if it does.
    pub result: Result<(), String>,
}

impl Reload {
    /// `follower` is called at every reload, one call at a time; on an error it must have changed nothing.
    pub fn on_reload(
        &self,
        what: &'static str,
        follower: impl FnMut() -> Result<(), String> + Send + 'static,
    ) {
        self.followers().push((what, Box::new(follower)));
    }

    /// Has everything read again, on this thread, and says what came of it; one log line for each.
    pub fn signal(&self) -> Vec<Reloaded> {
        let mut followers = self.followers();
        let ask = |(what, follower): &mut (&'static str, Follower)| Reloaded { what, result: follower() };
        let answers: Vec<_> = followers.iter_mut().map(ask).collect();
        for Reloaded { what, result } in &answers {
            match result {
                Ok(()) => tracing::info!("{what}: read again"),
                Err(why) => tracing::error!("{what}: stays as it was: {why}"),
            }
        }
        answers
    }

    fn followers(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, Follower)>> {
        // Whoever panicked with it was one follower; the others are as they were.
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn everybody_is_asked_even_after_one_that_cannot() {
        let (reload, asked) = (Reload::default(), Arc::new(AtomicU32::new(0)));
        assert!(reload.signal().is_empty());
        reload.on_reload("keys", || Err("ticket.key: gone".into()));
        let count = Arc::clone(&asked);
        reload.clone().on_reload("certificate", move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        for times in 1..=2 {
            let answers = reload.signal();
            assert_eq!(answers[0], Reloaded { what: "keys", result: Err("ticket.key: gone".into()) });
            assert_eq!(answers[1], Reloaded { what: "certificate", result: Ok(()) });
            assert_eq!(asked.load(Ordering::Relaxed), times);
        }
    }
}
