//! Starting the cores, telling them things, and ending them.
//!
//! Lives here: threads, listening sockets, the messages' way in. Does not live here: what a core does (`engine`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::addresses::Addresses;
use crate::bell::Bell;
use crate::config::{Config, Driver};
use crate::counters::{Counters, DriverReport, Snapshot, snapshot};
use crate::driver::epoll::Epoll;
use crate::driver::uring::{self, Uring};
use crate::engine::Engine;
use crate::listen::{self, Bound};
use crate::service::{CoreIndex, Service};
use crate::tls::KernelSuites;

/// Starts one thread per core, each with the service that `make` makes on that thread.
///
/// Returns when every core listens (and accepts, unless [`Config::waits`]).
///
/// # Errors
/// An address cannot be listened on, the driver asked for does not work, or the system gives no thread.
pub fn start<S, F>(config: Config, make: F) -> Result<Running<S::Message>, StartError>
where
    S: Service + 'static,
    F: Fn(CoreIndex) -> S + Send + Sync + 'static,
{
    let count = config.core_count();
    let (addresses, mut sockets) = listen::all(&config, count)?;
    let driver = choose(config.driver)?;
    let has_tls = config.listeners.iter().any(|it| it.tls.is_some());
    let kernel = if has_tls { KernelSuites::probe(config.kernel_tls) } else { KernelSuites::default() };
    let make = Arc::new(make);
    let everyone = Arc::new(Addresses::new(config.limits.connections_per_address));
    let (tell_ready, ready) = crossbeam_channel::bounded(count);
    let (mut doors, mut inboxes, mut counters) = (Vec::new(), Vec::new(), Vec::new());
    let first_word = if config.waits { WAIT } else { GO };
    for _ in 0..count {
        let (post, inbox) = crossbeam_channel::bounded(config.limits.messages.max(1));
        let orders = Arc::new(Orders {
            bell: Bell::new().map_err(StartError::Bell)?,
            word: AtomicU64::new(first_word),
        });
        doors.push(Door { post, orders });
        inboxes.push(inbox);
        counters.push(Arc::new(Counters::default()));
    }
    let handle = Handle { cores: doors.into(), counters: counters.into(), driver };
    let mut running = Running { handle, addresses, threads: Vec::with_capacity(count) };
    for (index, inbox) in inboxes.into_iter().enumerate() {
        let seat = Seat {
            core: CoreIndex(index),
            config: config.clone(),
            listeners: sockets.remove(0),
            counters: Arc::clone(&running.handle.counters[index]),
            orders: Arc::clone(&running.handle.cores[index].orders),
            inbox,
            everyone: Arc::clone(&everyone),
            kernel: kernel.clone(),
        };
        let (make, tell_ready) = (Arc::clone(&make), tell_ready.clone());
        let is_ring = running.handle.driver.name == uring::NAME;
        let body = move || {
            if seat.config.pin {
                pin(seat.core);
            }
            let core = seat.core;
            if is_ring {
                run::<S, Uring>(seat, Uring::new(), move || make(core), &tell_ready);
            } else {
                run::<S, Epoll>(seat, Epoll::new(), move || make(core), &tell_ready);
            }
        };
        let thread = std::thread::Builder::new().name(format!("core-{index}")).spawn(body);
        running.threads.push(thread.map_err(StartError::Thread)?);
    }
    drop(tell_ready);
    for _ in 0..count {
        // A core that ends before it is ready has panicked in `make`.
        let answer = ready.recv_timeout(READY_MAX).map_err(|_| StartError::Silent(READY_MAX));
        if let Err(error) = answer.and_then(|it| it.map_err(StartError::Driver)) {
            running.stop();
            return Err(error);
        }
    }
    Ok(running)
}

/// How long a core may take from its thread's start to listening.
const READY_MAX: Duration = Duration::from_secs(10);

fn run<S: Service, D: crate::driver::Driver>(
    seat: Seat<S::Message>,
    driver: io::Result<D>,
    make: impl FnOnce() -> S,
    ready: &Sender<io::Result<()>>,
) {
    match driver.and_then(|driver| Engine::new(seat, driver, make)) {
        Ok(engine) => {
            let _ = ready.send(Ok(()));
            engine.run();
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

fn choose(asked: Driver) -> Result<DriverReport, StartError> {
    let report = |name, why: String| DriverReport { name, why };
    match asked {
        Driver::Epoll => Ok(report(crate::driver::epoll::NAME, "asked for".to_owned())),
        Driver::IoUring => {
            uring::probe().map_err(StartError::Driver)?;
            Ok(report(uring::NAME, "asked for".to_owned()))
        }
        Driver::Auto => match uring::probe() {
            Ok(()) => Ok(report(uring::NAME, "io_uring works here".to_owned())),
            Err(error) => {
                let why = format!("io_uring does not work here: {error}");
                tracing::info!(driver = crate::driver::epoll::NAME, "{why}");
                Ok(report(crate::driver::epoll::NAME, why))
            }
        },
    }
}

fn pin(core: CoreIndex) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let pinned = sched_getaffinity(None).and_then(|allowed| {
        let ours: Vec<_> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let mut one = CpuSet::new();
        one.set(ours[core.0 % ours.len()]);
        sched_setaffinity(None, &one)
    });
    if let Err(error) = pinned {
        tracing::warn!(core = core.0, %error, "a core could not be pinned to a processor");
    }
}

/// What one core is given.
pub(crate) struct Seat<M> {
    pub(crate) core: CoreIndex,
    pub(crate) config: Config,
    pub(crate) listeners: Vec<Bound>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) orders: Arc<Orders>,
    pub(crate) inbox: Receiver<M>,
    pub(crate) everyone: Arc<Addresses>,
    /// Which TLS the kernel can do for us.
    pub(crate) kernel: KernelSuites,
}

/// What a core is ordered besides messages, so that a full inbox cannot keep it from stopping.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) bell: Bell,
    word: AtomicU64,
}

const GO: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;
const WAIT: u64 = u64::MAX - 2;
/// In a drain's word, above its milliseconds: somebody else serves at our address already.
const HANDED_OVER: u64 = 1 << 62;
const DRAIN_MAX: u64 = HANDED_OVER - 1;

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Do everything but accept.
    Wait,
    Go,
    Drain {
        within: Duration,
        /// Somebody else serves at our address already: who is connected is told so with its next answer.
        is_handed_over: bool,
    },
    Stop,
}

impl Orders {
    pub(crate) fn order(&self) -> Order {
        match self.word.load(Ordering::Acquire) {
            WAIT => Order::Wait,
            GO => Order::Go,
            STOP => Order::Stop,
            word => Order::Drain {
                within: Duration::from_millis(word & DRAIN_MAX),
                is_handed_over: word & HANDED_OVER != 0,
            },
        }
    }

    fn go(&self) {
        if self.word.compare_exchange(WAIT, GO, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.bell.ring();
        }
    }

    fn give(&self, word: u64) {
        self.word.store(word, Ordering::Release);
        self.bell.ring();
    }
}

fn millis(within: Duration) -> u64 {
    u64::try_from(within.as_millis()).map_or(DRAIN_MAX, |it| it.min(DRAIN_MAX))
}

#[derive(Debug)]
struct Door<M> {
    post: Sender<M>,
    orders: Arc<Orders>,
}

/// Speaks to running cores from any thread.
#[derive(Debug)]
pub struct Handle<M> {
    cores: Arc<[Door<M>]>,
    counters: Arc<[Arc<Counters>]>,
    driver: DriverReport,
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self {
            cores: Arc::clone(&self.cores),
            counters: Arc::clone(&self.counters),
            driver: self.driver.clone(),
        }
    }
}

impl<M> Handle<M> {
    /// How many cores there are.
    pub fn core_count(&self) -> usize {
        self.cores.len()
    }

    /// Tells one core. Never blocks.
    ///
    /// # Errors
    /// The core's inbox is full, or it has stopped; the message is dropped.
    pub fn tell(&self, core: CoreIndex, message: M) -> Result<(), TellError> {
        let door = self.cores.get(core.0).ok_or(TellError::Stopped { core })?;
        door.post.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => {
                TellError::Full { core, limit: door.post.capacity().unwrap_or_default() }
            }
            TrySendError::Disconnected(_) => TellError::Stopped { core },
        })?;
        door.orders.bell.ring();
        Ok(())
    }

    /// Tells every core, each its own message.
    ///
    /// # Errors
    /// The first core that could not be told; the others were told all the same.
    pub fn tell_all(&self, message: impl Fn(CoreIndex) -> M) -> Result<(), TellError> {
        let mut result = Ok(());
        for core in (0..self.cores.len()).map(CoreIndex) {
            let told = self.tell(core, message(core));
            result = result.and(told);
        }
        result
    }

    /// All counters now.
    pub fn counters(&self) -> Snapshot {
        snapshot(&self.driver, &self.counters)
    }

    /// Accepts from now on, where [`Config::waits`] has kept the cores from it.
    pub fn accept(&self) {
        self.cores.iter().for_each(|door| door.orders.go());
    }

    /// Accepts no more, lets running answers finish for at most `within`, then closes everything and ends the cores.
    pub fn drain(&self, within: Duration) {
        self.cores.iter().for_each(|door| door.orders.give(millis(within)));
    }

    /// The same when another process accepts at our address already: who is connected is not closed before its next
    /// answer, or the end of `within`, so that nobody's request meets a closed connection.
    pub fn hand_over(&self, within: Duration) {
        self.cores.iter().for_each(|door| door.orders.give(millis(within) | HANDED_OVER));
    }

    /// Closes everything now and ends the cores.
    pub fn stop(&self) {
        self.cores.iter().for_each(|door| door.orders.give(STOP));
    }
}

/// Cores that run. Dropping it stops them without waiting.
#[derive(Debug)]
pub struct Running<M> {
    handle: Handle<M>,
    addresses: Vec<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
}

impl<M> Running<M> {
    /// For other threads.
    pub fn handle(&self) -> Handle<M> {
        self.handle.clone()
    }

    /// Where we listen, in the order of the configuration, with the kernel's choice for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All counters now.
    pub fn counters(&self) -> Snapshot {
        self.handle.counters()
    }

    /// As [`Handle::drain`].
    pub fn drain(&self, within: Duration) {
        self.handle.drain(within);
    }

    /// As [`Handle::accept`].
    pub fn accept(&self) {
        self.handle.accept();
    }

    /// As [`Handle::hand_over`].
    pub fn hand_over(&self, within: Duration) {
        self.handle.hand_over(within);
    }

    /// As [`Handle::stop`].
    pub fn stop(&self) {
        self.handle.stop();
    }

    /// Waits until every core has ended, after [`Running::drain`] or [`Running::stop`].
    ///
    /// # Errors
    /// A core panicked; the others have ended too.
    pub fn join(mut self) -> Result<(), CorePanicked> {
        let mut result = Ok(());
        for (index, thread) in self.threads.drain(..).enumerate() {
            if thread.join().is_err() {
                result = Err(CorePanicked { core: CoreIndex(index) });
            }
        }
        result
    }
}

impl<M> Drop for Running<M> {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.stop();
        }
    }
}

/// Why the cores did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The driver asked for does not work.
    #[error("the driver cannot be set up: {0}")]
    Driver(#[source] io::Error),
    /// The system gives no eventfd.
    #[error("no way to wake a core: {0}")]
    Bell(#[source] io::Error),
    /// The system gives no thread.
    #[error("no thread for a core: {0}")]
    Thread(#[source] io::Error),
    /// A core did not come up in time.
    #[error("a core was not ready within {0:?}")]
    Silent(Duration),
}

/// Why a core could not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TellError {
    /// Its inbox is full.
    #[error("core {} has {limit} messages waiting already", .core.0)]
    Full {
        /// Which core.
        core: CoreIndex,
        /// How many may wait.
        limit: usize,
    },
    /// It has stopped, or there is no such core.
    #[error("core {} does not run", .core.0)]
    Stopped {
        /// Which core.
        core: CoreIndex,
    },
}

/// A core ended by a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("core {} panicked", .core.0)]
pub struct CorePanicked {
    /// Which core.
    pub core: CoreIndex,
}
