//! A named thread with a tokio runtime of its own, that ends when the last handle is dropped.

use crate::Stop;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// The thread behind a handle. Dropping it stops the thread and waits for it.
#[derive(Debug)]
pub(super) struct FanThread {
    stop: Stop,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl FanThread {
    /// Runs `run`'s future on a new thread until it returns; it should when `stop` is signalled.
    pub(super) fn start<F>(
        name: &str,
        stop: Stop,
        run: impl FnOnce(Stop) -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = ()>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(name.into()).spawn({
            let stop = stop.clone();
            move || tokio::task::LocalSet::new().block_on(&runtime, run(stop))
        })?;
        Ok(Self { stop, thread: Mutex::new(Some(thread)) })
    }

    /// Asks the thread to end, and waits until it has.
    pub(super) fn stop(&self) {
        self.stop.signal();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            // The last handle may be dropped by the thread's own callback.
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("a link thread panicked");
        }
    }
}

impl Drop for FanThread {
    fn drop(&mut self) {
        self.stop();
    }
}
