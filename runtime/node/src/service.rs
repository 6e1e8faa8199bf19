//! What the service manager is told (sd_notify(3)): ready, how it is going, reading again, stopping, still alive.
//!
//! Where nobody listens (`NOTIFY_SOCKET` is not set), nothing is said. Does not live here: when a role is ready.

use crate::{Reload, Stop};
use sd_notify::NotifyState;
use std::sync::{Arc, Mutex, PoisonError};

/// The word to the service manager; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Service {
    last_status: Arc<Mutex<String>>,
}

impl Service {
    /// Does what can be done without the role: says that we stop when `stop` is signalled, and, where a watchdog is
    /// set (`WATCHDOG_USEC`), twice in its time that we are alive, as long as the stop switch can be looked at.
    pub fn start(stop: &Stop) -> std::io::Result<Self> {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(Self::default());
        }
        let stop = stop.clone();
        std::thread::Builder::new().name("service".into()).spawn(move || {
            match sd_notify::watchdog_enabled() {
                None => stop.wait_blocking(),
                Some(within) => {
                    while !stop.wait_timeout(within / 2) {
                        say(&[NotifyState::Watchdog]);
                    }
                }
            }
            say(&[NotifyState::Stopping]);
            // A drain may last longer than the watchdog's time.
            while let Some(within) = sd_notify::watchdog_enabled() {
                say(&[NotifyState::Watchdog]);
                std::thread::sleep(within / 2);
            }
        })?;
        Ok(Self::default())
    }

    /// We listen.
    pub fn is_ready(&self) {
        say(&[NotifyState::Ready]);
    }

    /// One line on how it is going; said again only when it changes.
    pub fn status(&self, line: &str) {
        let mut last = self.last_status.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != line {
            line.clone_into(&mut last);
            say(&[NotifyState::Status(line)]);
        }
    }

    /// Has everything read again, and says so before and after (`Type=notify-reload`).
    pub fn reload(&self, reload: &Reload) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => say(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "no monotonic clock"),
        }
        reload.signal();
        say(&[NotifyState::Ready]);
    }
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
