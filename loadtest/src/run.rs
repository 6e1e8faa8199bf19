//! A run: threads, and what they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;
use viewer::Options;

use crate::client::TrustError;
use crate::core::Core;
use crate::measure::{Snapshot, hand_over};
use crate::origin::{Origins, Refusal};
use crate::plan::{Block, LASTS_MAX, Plan, VIEWERS_MAX};

/// Descriptors a viewer may need at a time: playlist, segment, and the balancer's connection for a while.
const DESCRIPTORS_OF_A_VIEWER: u64 = 3;
/// Descriptors for everything else.
const DESCRIPTORS_BESIDE: u64 = 256;
/// Submissions a ring holds before it must be entered.
const RING_ENTRIES: u32 = 4096;

/// Why a run did not begin, or broke.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Too many, or none.
    #[error("{asked} viewers: 1 to {VIEWERS_MAX} are simulated")]
    Viewers {
        /// How many were asked for.
        asked: u32,
    },
    /// Too long.
    #[error("{asked:?} is longer than the longest run, {LASTS_MAX:?}")]
    Lasts {
        /// How long was asked for.
        asked: Duration,
    },
    /// The server must not be asked, or cannot be found.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody can be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Too few descriptors.
    #[error(
        "{viewers} viewers need {needed} descriptors at least, {allowed} are allowed (ulimit -n, LimitNOFILE=)"
    )]
    Descriptors {
        /// How many viewers.
        viewers: u32,
        /// The least they need.
        needed: u64,
        /// How many there are.
        allowed: u64,
    },
    /// A thread or its ring could not be made, or a thread broke.
    #[error("core {core}: {why}")]
    Core {
        /// Which.
        core: u32,
        /// What happened.
        why: String,
    },
}

/// What all threads of a run share.
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) threads: u32,
    pub(crate) options: Arc<Options>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) client: Arc<ClientConfig>,
    /// Whose addresses viewers have.
    pub(crate) block: Option<Block>,
    pub(crate) begin: Instant,
    pub(crate) begin_unix_millis: u64,
    stopped: AtomicBool,
}

impl Shared {
    fn new(plan: Plan) -> Result<Self, RunError> {
        if !(1..=VIEWERS_MAX).contains(&plan.viewers) {
            return Err(RunError::Viewers { asked: plan.viewers });
        }
        if plan.lasts > LASTS_MAX {
            return Err(RunError::Lasts { asked: plan.lasts });
        }
        let origins = Arc::new(Origins::new(&plan.entry, plan.ours.iter().cloned()));
        let entry = origins.resolved(&plan.entry)?;
        raise_descriptors(plan.viewers)?;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            threads: plan.threads() as u32,
            options: Arc::new(plan.options.clone()),
            client: plan.trust.client()?,
            block: plan.from.block(entry.ip()),
            origins,
            begin: Instant::now(),
            begin_unix_millis: since_epoch.as_millis() as u64,
            stopped: AtomicBool::new(false),
            plan,
        })
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// A run that goes on.
pub struct Run {
    shared: Arc<Shared>,
    cores: Vec<thread::JoinHandle<Result<(), String>>>,
    told: Receiver<Box<Snapshot>>,
}

/// Ends a run before its time.
#[derive(Clone)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// Everybody leaves now; what was measured is told.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Run {
    /// Begins.
    pub fn start(plan: Plan) -> Result<Self, RunError> {
        let shared = Arc::new(Shared::new(plan)?);
        let (teller, told) = hand_over();
        let start = |core| {
            let (own, teller) = (shared.clone(), teller.clone());
            let serve = move || {
                // However a thread ends, the others end with it.
                let _ends = Ends(own.clone());
                serve(own, core, teller)
            };
            thread::Builder::new().name(format!("viewers {core}")).spawn(serve).map_err(|error| {
                shared.stop();
                RunError::Core { core, why: error.to_string() }
            })
        };
        let cores = (0..shared.threads).map(start).collect::<Result<_, _>>()?;
        Ok(Self { shared, cores, told })
    }

    /// What its cores say, until the last of them has ended.
    pub fn told(&self) -> &Receiver<Box<Snapshot>> {
        &self.told
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        self.cores.len()
    }

    /// For whoever may end it before its time.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.shared.clone())
    }

    /// Waits for its end: how long it was, and where viewers were led and did not go.
    pub fn end(self) -> Result<(Duration, Vec<Refusal>), RunError> {
        // What nobody has listened to is thrown away, and nobody waits for that.
        drop(self.told);
        for (core, thread) in (0..).zip(self.cores) {
            let ended = thread.join().unwrap_or_else(|_| Err("panicked".into()));
            ended.map_err(|why| RunError::Core { core, why })?;
        }
        Ok((self.shared.begin.elapsed(), self.shared.origins.refused()))
    }
}

struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// One thread.
fn serve(shared: Arc<Shared>, index: u32, teller: Sender<Box<Snapshot>>) -> Result<(), String> {
    let builder = monoio::RuntimeBuilder::<monoio::FusionDriver>::new().with_entries(RING_ENTRIES);
    let mut runtime = builder.enable_timer().build().map_err(|error| error.to_string())?;
    runtime.block_on(async move { Core::new(shared, index).run(teller).await });
    Ok(())
}

/// As many descriptors as all viewers may need, or as many as there may be.
fn raise_descriptors(viewers: u32) -> Result<(), RunError> {
    let wanted = u64::from(viewers) * DESCRIPTORS_OF_A_VIEWER + DESCRIPTORS_BESIDE;
    let now = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>, needed: u64| limit.is_none_or(|limit| limit >= needed);
    if !is_enough(now.current, wanted) {
        let maximum = if is_enough(now.maximum, wanted) { now.maximum } else { Some(wanted) };
        // Over the hard limit for who may, else up to it.
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
        if raised.is_err() {
            let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
        }
    }
    let needed = u64::from(viewers) + DESCRIPTORS_BESIDE;
    let allowed = getrlimit(Resource::Nofile).current;
    match allowed {
        Some(allowed) if allowed < needed => Err(RunError::Descriptors { viewers, needed, allowed }),
        _ => Ok(()),
    }
}
