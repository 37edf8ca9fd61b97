//! Connections to one endpoint, kept between requests.
//!
//! A connection belongs to a permit: whoever holds a permit may hold one connection, and where the limit's number is open
//! already, no other is opened while one idles. So the upstream never sees more connections than the limit allows, or than
//! requests are in service there, nor more than `balance.max_per_endpoint`. That matters for the thread-per-connection app,
//! whose worker is taken by an idle connection as much as by a busy one: one connection too many waits for ever. Each
//! worker keeps its own idle ones, newest first (the warmest), because a stream is cheapest on the runtime where it was
//! opened; only when a worker has none and the limit's number is open does it take one over from another worker.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::io::UpstreamIo;

/// An open connection to the upstream.
pub(crate) struct Connection {
    pub(crate) io: UpstreamIo,
    /// Where it leads; `None` for a unix socket.
    pub(crate) peer: Option<SocketAddr>,
    /// Whether it has carried an exchange before: then it may have been closed under our hands, and a request that
    /// may be sent twice is.
    pub(crate) reused: bool,
    /// The proxy's own end and the upstream's, for the log; asked for once, when it was opened.
    pub(crate) addresses: (Option<SocketAddr>, Option<SocketAddr>),
    room: Room,
}

/// A connection's place among those that may be open: taken before it is opened, so that workers that open one at the
/// same moment see each other; free again when dropped.
pub(crate) struct Room(Arc<AtomicUsize>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// One endpoint's connections.
pub(crate) struct Pool {
    idle: Box<[Mutex<Vec<Idle>>]>,
    open: Arc<AtomicUsize>,
    /// The endpoint is gone: nothing is kept any more.
    retired: AtomicBool,
}

impl Connection {
    /// A stream that was just opened, in its `room`.
    pub(crate) fn new(io: UpstreamIo, peer: Option<SocketAddr>, room: Room) -> Self {
        let addresses = io.addresses();
        Self { io, peer, reused: false, addresses, room }
    }
}

impl Pool {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            idle: (0..workers).map(|_| Mutex::default()).collect(),
            open: Arc::default(),
            retired: false.into(),
        }
    }

    /// Connections open or being opened at the moment, idle ones included.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A usable idle connection, from this worker, or from another one when `allowed` are open already; else the right
    /// to open one.
    pub(crate) fn checkout(
        &self,
        worker: usize,
        allowed: impl FnOnce() -> usize,
    ) -> Result<Connection, Room> {
        if let Some(own) = self.take_from(worker) {
            return Ok(own);
        }
        let allowed = allowed();
        // At the limit, somebody has an idle one; it may move between two workers while it is looked for.
        for _ in 0..2 {
            if let Some(room) = self.reserve(allowed) {
                return Err(room);
            }
            if let Some(taken) = self.take_over(worker) {
                return Ok(taken);
            }
        }
        Err(self.room())
    }

    /// The right to open a connection although idle ones were there and turned out to be dead: one of them goes
    /// for it where there would be too many.
    pub(crate) fn replace(&self, allowed: usize) -> Room {
        self.reserve(allowed).unwrap_or_else(|| self.displace())
    }

    /// The right to open a connection in the place of an idle one, if there is one.
    pub(crate) fn displace(&self) -> Room {
        drop((0..self.idle.len()).find_map(|worker| self.shard(worker).pop()));
        self.room()
    }

    /// The right to open a connection, unconditionally.
    pub(crate) fn room(&self) -> Room {
        self.open.fetch_add(1, Ordering::Relaxed);
        Room(Arc::clone(&self.open))
    }

    fn reserve(&self, allowed: usize) -> Option<Room> {
        let one_more = |open: usize| (open < allowed).then_some(open + 1);
        let reserved = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        reserved.is_ok().then(|| Room(Arc::clone(&self.open)))
    }

    fn take_over(&self, worker: usize) -> Option<Connection> {
        (0..self.idle.len()).filter(|other| *other != worker).find_map(|other| {
            let Connection { io, peer, reused, addresses, room } = self.take_from(other)?;
            io.rehome().ok().map(|io| Connection { io, peer, reused, addresses, room })
        })
    }

    /// Keeps `connection` for the next request of this worker, from `now` on.
    pub(crate) fn give(&self, worker: usize, mut connection: Connection, now: Instant) {
        connection.reused = true;
        let mut shard = self.shard(worker);
        // Looked at under the lock that retiring takes: it finds what came before, and what comes after finds it.
        if !self.retired.load(Ordering::Relaxed) {
            shard.push(Idle { connection, since: now });
        }
    }

    /// Closes what idles, now and from now on.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        for worker in 0..self.idle.len() {
            self.shard(worker).clear();
        }
    }

    /// Closes this worker's idle connections that the upstream has closed, that are older than `max_idle`, or that
    /// are too many since a lower limit allows only `allowed`.
    pub(crate) fn prune(&self, worker: usize, max_idle: Duration, allowed: usize) {
        let now = Instant::now();
        self.shard(worker).retain(|idle| {
            now.saturating_duration_since(idle.since) < max_idle
                && self.open() <= allowed
                && idle.connection.io.is_quiet()
        });
    }

    fn take_from(&self, worker: usize) -> Option<Connection> {
        let mut shard = self.shard(worker);
        while let Some(Idle { connection, .. }) = shard.pop() {
            if connection.io.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    fn shard(&self, worker: usize) -> MutexGuard<'_, Vec<Idle>> {
        self.idle[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
