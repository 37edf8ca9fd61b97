//! What is process-wide, and so shared by all workers and the main thread: the gate (a limit of N means N, at any number of
//! workers), the settings in force, the budget of memory, the counters of connections.
//!
//! Whatever concerns the gate and what stands beside it, a shadow or the endpoints' capacity, goes through here, so that all of them
//! hear of it. What belongs to one worker is in [`crate::worker`].

use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use loadline_core::{self as core, Occupancy, OverloadLevel, Snapshot};
use loadline_tower::Gate;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::buffers::Budget;
use crate::config::settings::Settings;
use crate::history::History;
use crate::live::Live;
use crate::metrics::{ClientRetries, WorkerMetrics};
use crate::overload::Overload;
use crate::process::Process;
use crate::recent::Recent;
use crate::shadow::ShadowRun;

/// For how many milliseconds it holds that nobody idles: a flood of connections must not go through all workers and all they have.
const ASK_AGAIN: u64 = 100;

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) gate: Gate,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: Box<[Mutex<WorkerMetrics>]>,
    /// What was decided lately, per worker.
    pub(crate) recent: Box<[Mutex<Recent>]>,
    /// Client connections that are open, the reserve included.
    pub(crate) connections: AtomicUsize,
    /// Exchanges that run on without a client.
    pub(crate) abandoned: AtomicUsize,
    /// Upgraded connections.
    pub(crate) tunnels: AtomicUsize,
    pub(crate) client_retries: ClientRetries,
    pub(crate) process: Process,
    pub(crate) history: History,
    /// The document of `/api/v1/config`.
    pub(crate) effective: ArcSwap<serde_json::Value>,
    pub(crate) overload: Overload,
    live: ArcSwap<Live>,
    /// The limit as it was last set, in view of the endpoints.
    fitted: AtomicU32,
    version: AtomicU64,
    draining: AtomicBool,
    /// Until when no worker need be asked for a connection that makes room, in milliseconds since the start.
    nobody_idles_until: AtomicU64,
    began: Instant,
    /// Connections per worker, and the way to hand one over.
    pub(crate) loads: Box<[AtomicUsize]>,
    pub(crate) handovers: Box<[mpsc::UnboundedSender<Accepted>]>,
}

/// A connection that a worker hands to another.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    /// Whose it is.
    pub(crate) client: SocketAddr,
    /// At the maximum of connections: how many workers have nobody who makes room for it.
    pub(crate) without_room: usize,
}

/// The receiving ends that go with [`Shared`]: one for each worker.
pub(crate) type Handovers = Vec<mpsc::UnboundedReceiver<Accepted>>;

impl Shared {
    /// `beside`: the settings of a shadow.
    pub(crate) fn new(mut live: Live, beside: Option<Settings>, gate: Gate) -> (Arc<Self>, Handovers) {
        live.shadow = ShadowRun::of(&live, beside, None, &gate);
        let workers = live.settings.workers.get();
        let (handovers, receivers) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let shared = Self {
            gate,
            budget: Budget::new(live.buffer_total),
            metrics: (0..workers).map(|_| Mutex::default()).collect(),
            recent: (0..workers).map(|_| Mutex::default()).collect(),
            connections: AtomicUsize::new(0),
            abandoned: AtomicUsize::new(0),
            tunnels: AtomicUsize::new(0),
            client_retries: ClientRetries::default(),
            process: Process::new(),
            history: History::default(),
            effective: ArcSwap::default(),
            overload: Overload::new(workers),
            fitted: AtomicU32::new(live.admission().limit.get()),
            live: ArcSwap::from_pointee(live),
            version: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            nobody_idles_until: AtomicU64::new(0),
            began: Instant::now(),
            loads: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            handovers: Vec::into_boxed_slice(handovers),
        };
        (Arc::new(shared), receivers)
    }

    /// The settings in force.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Another one whenever settings were replaced.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Puts new settings in force: for each request that begins from now on.
    pub(crate) fn replace(&self, mut live: Live, beside: Option<Settings>) {
        self.budget.set_total(live.buffer_total);
        let admission = fitting(&live);
        self.fitted.store(admission.limit.get(), Ordering::Relaxed);
        self.gate.reconfigure(admission);
        live.shadow = ShadowRun::of(&live, beside, self.live().shadow.as_ref(), &self.gate);
        self.live.store(Arc::new(live));
        self.version.fetch_add(1, Ordering::Release);
        self.set_overload(self.overload.level());
        self.set_draining(self.is_draining());
    }

    /// The gate's state; in a dry run with the limits that would hold, for the gate itself is open then.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut gate = self.gate.snapshot();
        if let Some(run) = self.live().shadow.as_ref().filter(|run| run.is_dry_run()) {
            let meant = run.snapshot();
            gate.utilization *= f64::from(gate.limit) / f64::from(meant.limit);
            gate.limit = meant.limit;
            gate.effective_limit = meant.effective_limit;
            gate.reserve = meant.reserve;
            gate.bypass_limit = meant.bypass_limit;
            gate.queue_depth = meant.queue_depth;
            gate.retry_share = meant.retry_share;
            gate.overload = meant.overload;
            gate.limiter = meant.limiter;
        }
        gate
    }

    /// Makes the limit what the endpoints may have in service together. Called when one came, went, failed or returned.
    pub(crate) fn fit_limit(&self) {
        let live = self.live();
        let admission = fitting(&live);
        if self.fitted.swap(admission.limit.get(), Ordering::Relaxed) != admission.limit.get() {
            self.gate.reconfigure(admission);
        }
    }

    /// Every worker was asked for a connection that makes room, and none had one.
    pub(crate) fn note_nobody_idles(&self) {
        self.nobody_idles_until.store(self.millis() + ASK_AGAIN, Ordering::Relaxed);
    }

    /// Whether that was just now.
    pub(crate) fn nobody_idles(&self) -> bool {
        self.millis() < self.nobody_idles_until.load(Ordering::Relaxed)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How full the gate is; in a dry run with the limits that would hold.
    pub(crate) fn occupancy(&self) -> Occupancy {
        let mut gate = self.gate.occupancy();
        if let Some(run) = self.live.load().shadow.as_ref().filter(|run| run.is_dry_run()) {
            let meant = run.occupancy();
            gate.limit = meant.limit;
            gate.queue_depth = meant.queue_depth;
            gate.bypass_limit = meant.bypass_limit;
        }
        gate
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// While draining, connections close after their answer and nobody new begins to wait.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
        self.gate.set_draining(draining);
        if let Some(run) = &self.live().shadow {
            run.set_draining(draining);
        }
    }

    /// The upstream is back after it was gone.
    pub(crate) fn restart_warmup(&self) {
        self.gate.restart_warmup();
        if let Some(run) = &self.live().shadow {
            run.restart_warmup();
        }
    }

    /// How overloaded something other than the slots is.
    pub(crate) fn set_overload(&self, level: OverloadLevel) {
        let live = self.live();
        self.gate.set_overload(if live.settings.dry_run { OverloadLevel::None } else { level });
        if let Some(run) = &live.shadow {
            run.set_overload(level);
        }
    }

    pub(crate) fn metrics_of(&self, worker: usize) -> MutexGuard<'_, WorkerMetrics> {
        self.metrics[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn recent_of(&self, worker: usize) -> MutexGuard<'_, Recent> {
        self.recent[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The settings of admission, with the limit lowered to what the endpoints may have in service together: the rest waits in the one
/// queue, in its order.
fn fitting(live: &Live) -> core::Settings {
    let mut admission = live.admission();
    if let Some(capacity) = live.upstream.capacity().and_then(NonZeroU32::new) {
        admission.limit = admission.limit.min(capacity);
    }
    admission
}
