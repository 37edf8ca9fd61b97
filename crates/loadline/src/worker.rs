//! Workers: one thread, one runtime, one share of the connections each. The only file that knows the runtime.
//!
//! A request stays on the thread that accepted its connection, both sides of it: no channel, no second task, no lock
//! but the gate's. What must be process-wide is in [`Shared`].
//!
//! All workers accept from the same socket, so a port that is taken is noticed, and no connection waits in the backlog
//! of a worker that has ended. A worker that has clearly more connections than another hands new ones over.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use loadline_core::{Class, Reason};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior};

use crate::buffers::Scratches;
use crate::client::{Peer, Slot};
use crate::connection::{self, Active, Connection, Place};
use crate::http2;
use crate::live::Live;
use crate::reply::Rejections;
use crate::shared::{Accepted, Shared};

/// Connections accepted beyond `max_connections`, so that a health check still gets an answer and others get a 503
/// instead of silence.
const RESERVE: usize = 128;

/// After so much silence a connection may have to make room for a new one. One that was answered a moment ago is about to ask
/// again, and would be closed under its client's hands.
const IDLE_ENOUGH: Duration = Duration::from_secs(1);

/// Pause after a failed accept: out of descriptors, say. Long enough not to spin, short enough to recover at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Time between the last accept and the closing of silent connections. A client that connected before the port was closed has sent
/// its request by then, or sends it at once; without this moment it would be closed unread. Short, for each shutdown takes it.
const LAST_MOMENT: Duration = Duration::from_millis(50);

/// How often a worker looks after its kept upstream connections.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

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
            live: RefCell::new((shared.version(), live)),
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
        let version = self.shared.version();
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
            return self.serve(stream, client, 0);
        };
        self.hand_over(stream, client, other, 0);
    }

    fn hand_over(&self, stream: TcpStream, client: SocketAddr, other: usize, without_room: usize) {
        if let Ok(stream) = stream.into_std() {
            self.shared.loads[other].fetch_add(1, Ordering::Relaxed);
            // A worker ends only when all do; then the connection is closed, as any new one is.
            let _ = self.shared.handovers[other].send(Accepted { stream, client, without_room });
        }
    }

    /// Serves a connection that is counted in this worker's load already. `without_room`: how many other workers have none for it.
    fn serve(self: &Rc<Self>, stream: TcpStream, client: SocketAddr, without_room: usize) {
        let open = self.shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let live = self.live();
        let most = live.settings.max_connections as usize;
        let leave = Leaving { worker: Rc::clone(self), id: self.next_slot.get() };
        let known = self.shared.nobody_idles();
        let over_limit = open > most && (known || !self.make_room());
        if over_limit && !known && !self.shared.is_draining() {
            let workers = self.shared.loads.len();
            if without_room + 1 < workers {
                // Who idles may be another worker's. The last to be asked keeps it, room or not.
                return self.hand_over(stream, client, (self.id + 1) % workers, without_room + 1);
            }
            self.shared.note_nobody_idles();
        }
        if over_limit && open > most + RESERVE {
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
        let place = Place { slot, over_limit };
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

    /// Closes the connection that has idled for longest, in favour of one that comes to ask. `false`: none has for
    /// [`IDLE_ENOUGH`].
    fn make_room(&self) -> bool {
        let slots = self.slots.borrow();
        let idle = slots.values().filter_map(|slot| Some((slot.idle_since()?, slot)));
        let longest =
            idle.min_by_key(|(since, _)| *since).filter(|(since, _)| since.elapsed() >= IDLE_ENOUGH);
        longest.inspect(|(_, slot)| slot.close()).is_some()
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
                worker.serve(stream, client, 0);
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
    while let Some(Accepted { stream, client, without_room }) = handovers.recv().await {
        match TcpStream::from_std(stream) {
            Ok(stream) => worker.serve(stream, client, without_room),
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
