//! Connections to the upstream, kept between requests.
//!
//! A connection belongs to a permit: whoever holds a permit may hold one connection, so that the upstream never sees
//! more connections than the limit (and the bypass cap) allow. That matters for the thread-per-connection app, whose
//! worker is taken by an idle connection as much as by a busy one. Each worker keeps its own idle ones, newest first
//! (the warmest), because a stream is cheapest on the runtime where it was opened; only when a worker has none and
//! the process has already as many open as it may does it take one over from another worker.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::io::UpstreamIo;

/// An open connection to the upstream; counted until dropped.
pub(crate) struct Connection {
    pub(crate) io: UpstreamIo,
    /// Where it leads; `None` for a unix socket.
    pub(crate) peer: Option<SocketAddr>,
    /// Whether it has carried an exchange before: then it may have been closed under our hands, and a request that
    /// may be sent twice is.
    pub(crate) reused: bool,
    /// The proxy's own end and the upstream's, for the log; asked for once, when it was opened.
    pub(crate) addresses: (Option<SocketAddr>, Option<SocketAddr>),
    count: OpenCount,
}

/// Counts one open connection for as long as it lives.
struct OpenCount(Arc<AtomicUsize>);

impl OpenCount {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Idle {
    connection: Connection,
    since: Instant,
}

pub(crate) struct Pool {
    idle: Box<[Mutex<Vec<Idle>>]>,
    open: Arc<AtomicUsize>,
}

impl Pool {
    pub(crate) fn new(workers: usize) -> Self {
        Self { idle: (0..workers).map(|_| Mutex::default()).collect(), open: Arc::default() }
    }

    /// Connections open at the moment, idle ones included.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A usable idle connection to one of `peers` (any, when empty): from this worker, or from another one when
    /// `allowed` are open already.
    pub(crate) fn checkout(&self, worker: usize, peers: &[SocketAddr], allowed: usize) -> Option<Connection> {
        let own = self.take_from(worker, peers);
        if own.is_some() || self.idle.len() == 1 || self.open() < allowed {
            return own;
        }
        (0..self.idle.len()).filter(|other| *other != worker).find_map(|other| {
            let taken = self.take_from(other, peers)?;
            let Connection { io, peer, reused, addresses, count } = taken;
            io.rehome().ok().map(|io| Connection { io, peer, reused, addresses, count })
        })
    }

    /// Keeps `connection` for the next request of this worker.
    pub(crate) fn give(&self, worker: usize, mut connection: Connection) {
        connection.reused = true;
        self.shard(worker).push(Idle { connection, since: Instant::now() });
    }

    /// Wraps a stream that was just opened.
    pub(crate) fn adopt(&self, io: UpstreamIo, peer: Option<SocketAddr>) -> Connection {
        let addresses = io.addresses();
        Connection { io, peer, reused: false, addresses, count: OpenCount::new(&self.open) }
    }

    /// Closes this worker's idle connections that the upstream has closed, that are older than `max_idle`, or all of
    /// them when `max_idle` is zero.
    pub(crate) fn prune(&self, worker: usize, max_idle: Duration) {
        let now = Instant::now();
        self.shard(worker).retain(|idle| {
            now.saturating_duration_since(idle.since) < max_idle && idle.connection.io.is_quiet()
        });
    }

    fn take_from(&self, worker: usize, peers: &[SocketAddr]) -> Option<Connection> {
        let mut shard = self.shard(worker);
        while let Some(Idle { connection, .. }) = shard.pop() {
            let wanted = connection.peer.is_none_or(|peer| peers.is_empty() || peers.contains(&peer));
            if wanted && connection.io.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    fn shard(&self, worker: usize) -> MutexGuard<'_, Vec<Idle>> {
        self.idle[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
