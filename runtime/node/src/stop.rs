//! The wish to stop, and the wish to be empty: two switches that threads and tasks wait on alike.
//!
//! Does not live here: what a role does about it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Set once, never unset; every clone sees it.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    switch: Arc<Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    is_on: Mutex<bool>,
    threads: Condvar,
    tasks: Notify,
}

impl Switch {
    fn lock(&self) -> MutexGuard<'_, bool> {
        // Nothing can panic while it is held; a bool cannot be half set.
        self.is_on.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stop {
    /// Not stopping yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everybody who waits goes on; everybody who asks hears yes, from now on.
    pub fn signal(&self) {
        *self.switch.lock() = true;
        self.switch.threads.notify_all();
        self.switch.tasks.notify_waiters();
    }

    /// Whether it is time to end.
    pub fn is_stopping(&self) -> bool {
        *self.switch.lock()
    }

    /// Returns when signalled; for tasks, on any runtime.
    pub async fn wait(&self) {
        let mut notified = std::pin::pin!(self.switch.tasks.notified());
        // Enlisted before asking, or a signal between the two would be slept through.
        notified.as_mut().enable();
        if !self.is_stopping() {
            notified.await;
        }
    }

    /// Blocks until signalled; for threads.
    pub fn wait_blocking(&self) {
        let guard = self.switch.lock();
        drop(self.switch.threads.wait_while(guard, |is_on| !*is_on));
    }

    /// Blocks until signalled, or for so long; says whether it was signalled. For threads.
    pub fn wait_timeout(&self, at_most: Duration) -> bool {
        let guard = self.switch.lock();
        match self.switch.threads.wait_timeout_while(guard, at_most, |is_on| !*is_on) {
            Ok((is_on, _)) => *is_on,
            Err(poisoned) => *poisoned.into_inner().0,
        }
    }

    /// SIGTERM and SIGINT signal it from now on; a second one ends the process at once with status 130. With `reload`,
    /// SIGHUP calls it; else it ends the process, as a terminal that closes should.
    pub fn on_signals(&self, reload: Option<Box<dyn Fn() + Send>>) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let stop = self.clone();
        let (wired, is_wired) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(wired.send(Err(error))),
            };
            runtime.block_on(async {
                let all = signal(SignalKind::terminate()).and_then(|terminate| {
                    let hangup = reload.is_some().then(|| signal(SignalKind::hangup())).transpose()?;
                    Ok((terminate, signal(SignalKind::interrupt())?, hangup))
                });
                let (mut terminate, mut interrupt, mut hangup) = match all {
                    Ok(all) => all,
                    Err(error) => return drop(wired.send(Err(error))),
                };
                let _ = wired.send(Ok(()));
                loop {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                        () = hung_up(hangup.as_mut()) => {
                            tracing::info!("told to read files again");
                            reload.iter().for_each(|reload| reload());
                            continue;
                        }
                    }
                    if stop.is_stopping() {
                        tracing::warn!("told to stop a second time: ending at once");
                        std::process::exit(130);
                    }
                    tracing::info!("told to stop");
                    stop.signal();
                }
            });
        })?;
        is_wired.recv().unwrap_or_else(|_| Err(io::Error::other("the signal thread ended")))
    }
}

async fn hung_up(signal: Option<&mut tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The operator's wish that this node be empty; may be taken back.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    draining: Arc<AtomicBool>,
}

impl Drain {
    /// From now on, or no longer.
    pub fn set(&self, draining: bool) {
        self.draining.store(draining, Ordering::Release);
    }

    /// Whether this node should let its viewers go and take no new ones.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_and_a_task_both_hear_it() {
        let stop = Stop::new();
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || stop.wait_timeout(Duration::from_secs(10))
        });
        let task = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(stop.wait());
                stop.is_stopping()
            }
        });
        assert!(!stop.is_stopping());
        stop.signal();
        assert!(thread.join().unwrap());
        assert!(task.join().unwrap());
    }

    #[test]
    fn a_wait_that_runs_out_says_so() {
        assert!(!Stop::new().wait_timeout(Duration::from_millis(5)));
    }
}
