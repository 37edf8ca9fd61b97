//! Workers: one thread, one runtime, one share of the connections each. The only file that knows the runtime.
//!
//! A request stays on the thread that accepted its connection, both sides of it: no channel, no second task, no lock
//! but the gate's. What must be process-wide is in [`Shared`]: the gate (a limit of N means N, at any number of
//! workers), the budget, the counters of connections.
//!
//! All workers accept from the same socket, so a port that is taken is noticed, and no connection waits in the backlog
//! of a worker that has ended. A worker that has clearly more connections than another hands new ones over.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use loadline_core::{self as core, Class, Occupancy, OverloadLevel, Reason, Snapshot};
use loadline_tower::Gate;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior};

use crate::buffers::{Budget, Scratches};
use crate::client::{Peer, Slot};
use crate::config::settings::Settings;
use crate::connection::{self, Active, Connection, Place};
use crate::history::History;
use crate::http2;
use crate::live::Live;
use crate::metrics::{ClientRetries, WorkerMetrics};
use crate::overload::Overload;
use crate::process::Process;
use crate::recent::Recent;
use crate::reply::Rejections;
use crate::shadow::ShadowRun;

/// Connections accepted beyond `max_connections`, so that a health check still gets an answer and others get a 503
/// instead of silence.
const RESERVE: usize = 128;

/// Pause after a failed accept: out of descriptors, say. Long enough not to spin, short enough to recover at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Time between the last accept and the closing of silent connections. A client that connected before the port was closed has sent
/// its request by then, or sends it at once; without this moment it would be closed unread. Short, for each shutdown takes it.
const LAST_MOMENT: Duration = Duration::from_millis(50);

/// How often a worker looks after its kept upstream connections.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

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
    /// Connections per worker, and the way to hand one over.
    loads: Box<[AtomicUsize]>,
    handovers: Box<[mpsc::UnboundedSender<Accepted>]>,
}

type Accepted = (StdStream, SocketAddr);

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
            loads: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            handovers: Vec::into_boxed_slice(handovers),
        };
        (Arc::new(shared), receivers)
    }

    /// The settings in force.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
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

/// One worker's own state; never leaves its thread.
pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) scratches: Scratches,
    /// For connections that are not idle.
    pub(crate) active: RefCell<Vec<Active<TcpStream>>>,
    /// Written under the settings in force.
    rejections: RefCell<Rejections>,
    live: RefCell<(u64, Rc<Live>)>,
    slots: RefCell<HashMap<u64, Rc<Slot>>>,
    next_slot: Cell<u64>,
    /// No longer accepting: connections close when they idle.
    stopping: Cell<bool>,
    all_closed: Notify,
}

/// What the workers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Accept and serve.
    Serving,
    /// Accept no more, finish what is under way, end at this moment at the latest.
    Stopping(Instant),
}

impl Worker {
    fn new(id: usize, shared: Arc<Shared>) -> Rc<Self> {
        let live = Rc::new(Live::clone(&shared.live()));
        Rc::new(Self {
            id,
            scratches: Scratches::default(),
            active: RefCell::default(),
            rejections: RefCell::default(),
            live: RefCell::new((shared.version.load(Ordering::Acquire), live)),
            slots: RefCell::default(),
            next_slot: Cell::new(0),
            stopping: Cell::new(false),
            all_closed: Notify::new(),
            shared,
        })
    }

    /// The slots that there are at this moment, or will be when a warm-up is over.
    pub(crate) fn limit(&self) -> u32 {
        let gate = self.shared.gate.occupancy();
        gate.limit.max(gate.effective_limit)
    }

    /// The settings in force, without a shared counter that all workers would write.
    pub(crate) fn live(&self) -> Rc<Live> {
        let version = self.shared.version.load(Ordering::Acquire);
        let mut live = self.live.borrow_mut();
        if live.0 != version {
            *live = (version, Rc::new(Live::clone(&self.shared.live())));
            self.rejections.take();
        }
        Rc::clone(&live.1)
    }

    /// The rejections written before under `live`; none when newer settings are in force: a request that waited while
    /// they changed is answered under its own, and leaves nothing behind.
    pub(crate) fn rejections_under(&self, live: &Rc<Live>) -> Option<&RefCell<Rejections>> {
        Rc::ptr_eq(&self.live.borrow().1, live).then_some(&self.rejections)
    }

    /// Closes every connection that idles, and the others after their answer.
    fn close_idle(&self) {
        self.stopping.set(true);
        for slot in self.slots.borrow().values() {
            slot.close();
        }
    }

    /// Serves a new connection here, or hands it to a worker that has clearly fewer.
    fn place(self: &Rc<Self>, stream: TcpStream, client: SocketAddr) {
        let loads = &self.shared.loads;
        let mine = loads[self.id].load(Ordering::Relaxed);
        let fewest = loads.iter().map(|load| load.load(Ordering::Relaxed)).enumerate().min_by_key(|at| at.1);
        let Some((other, _)) = fewest.filter(|(_, fewest)| mine > fewest + mine / 8) else {
            loads[self.id].fetch_add(1, Ordering::Relaxed);
            return self.serve(stream, client);
        };
        if let Ok(stream) = stream.into_std() {
            loads[other].fetch_add(1, Ordering::Relaxed);
            // A worker ends only when all do; then the connection is closed, as any new one is.
            let _ = self.shared.handovers[other].send((stream, client));
        }
    }

    /// Serves a connection that is counted in this worker's load already.
    fn serve(self: &Rc<Self>, stream: TcpStream, client: SocketAddr) {
        let open = self.shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let live = self.live();
        let most = live.settings.max_connections as usize;
        let leave = Leaving { worker: Rc::clone(self), id: self.next_slot.get() };
        if open > most + RESERVE {
            self.refuse(stream, &live);
            return;
        }
        // Answers are written whole: waiting to fill a segment would only delay them.
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().unwrap_or(client);
        let peer = Peer { client, local, http2: false };
        self.next_slot.set(leave.id + 1);
        let slot = Rc::new(Slot::default());
        if self.stopping.get() {
            slot.close();
        }
        self.slots.borrow_mut().insert(leave.id, Rc::clone(&slot));
        let worker = Rc::clone(self);
        let place = Place { slot, over_limit: open > most };
        let connection = Connection::new(stream, peer, place, Rc::clone(self));
        spawn_local(async move {
            let leave = leave;
            if let Some(upgraded) = connection::serve(connection).await {
                // Boxed: most connections never become one.
                Box::pin(http2::serve(upgraded, worker)).await;
            }
            drop(leave);
        });
    }

    /// Tells a connection for which there is not even a place in the reserve, without a task of its own.
    fn refuse(&self, stream: TcpStream, live: &Live) {
        self.shared.gate.record_shed(Class::Normal, Reason::ConnectionLimit);
        let mut answer = Vec::new();
        crate::reply::connection_limit(live, &mut answer);
        if let Ok(mut stream) = stream.into_std() {
            let _ = stream.write_all(&answer);
        }
    }
}

/// Counts a connection out when it ends, however it ends.
struct Leaving {
    worker: Rc<Worker>,
    id: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
        worker.shared.loads[worker.id].fetch_sub(1, Ordering::Relaxed);
        let mut slots = worker.slots.borrow_mut();
        slots.remove(&self.id);
        if slots.is_empty() {
            worker.all_closed.notify_one();
        }
    }
}

/// Runs worker `id` on the calling thread until it has stopped. `listeners` are shared by all workers.
pub(crate) fn run(
    id: usize,
    shared: Arc<Shared>,
    listeners: Vec<StdListener>,
    handovers: mpsc::UnboundedReceiver<Accepted>,
    mut phase: watch::Receiver<Phase>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let worker = Worker::new(id, shared);
        let mut accepting = Vec::new();
        for listener in &listeners {
            let listener = TcpListener::from_std(listener.try_clone()?)?;
            accepting.push(spawn_local(accept(Rc::clone(&worker), listener)));
        }
        spawn_local(take_over(Rc::clone(&worker), handovers));
        spawn_local(keep_house(Rc::clone(&worker)));

        let mut deadline = ending(phase.wait_for(|phase| *phase != Phase::Serving).await.as_deref());
        for task in accepting {
            task.abort();
            let _ = task.await;
        }
        take_backlog(&worker, listeners);
        tokio::time::sleep_until(deadline.min(Instant::now() + LAST_MOMENT)).await;
        worker.close_idle();
        while !worker.slots.borrow().is_empty() {
            tokio::select! {
                () = worker.all_closed.notified() => {}
                () = tokio::time::sleep_until(deadline) => break,
                // A second signal shortens it.
                told = phase.changed() => deadline = ending(told.map(|()| *phase.borrow_and_update()).as_ref()),
            }
        }
        Ok(())
    })
}

/// Until when a worker goes on: no longer if there is nobody to tell it.
fn ending<E>(told: Result<&Phase, E>) -> Instant {
    match told {
        Ok(Phase::Stopping(deadline)) => *deadline,
        _ => Instant::now(),
    }
}

async fn accept(worker: Rc<Worker>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => worker.place(stream, client),
            Err(error) if is_about_one_connection(&error) => {}
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves who has connected already, for the kernel would reset those connections; then gives the listeners up. Taken past the
/// runtime, which learns of a new connection only when it next asks the kernel.
fn take_backlog(worker: &Rc<Worker>, listeners: Vec<StdListener>) {
    for listener in listeners {
        while let Ok((stream, client)) = listener.accept() {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                worker.shared.loads[worker.id].fetch_add(1, Ordering::Relaxed);
                worker.serve(stream, client);
            }
        }
    }
}

/// Errors of `accept` that concern the connection that was about to come, not the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

async fn take_over(worker: Rc<Worker>, mut handovers: mpsc::UnboundedReceiver<Accepted>) {
    while let Some((stream, client)) = handovers.recv().await {
        match TcpStream::from_std(stream) {
            Ok(stream) => worker.serve(stream, client),
            Err(_) => {
                worker.shared.loads[worker.id].fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

async fn keep_house(worker: Rc<Worker>) {
    let mut ticks = tokio::time::interval(HOUSEKEEPING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let live = worker.live();
        worker.shared.overload.measure_worker(worker.id, &live.settings.overload);
        let allowed = live.connections_allowed(worker.limit());
        live.upstream.prune(worker.id, live.settings.timeouts.upstream_idle, allowed);
        worker.shared.gate.tick();
    }
}
