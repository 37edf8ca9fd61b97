//! The upstream: where it is, how it is reached, and the connections kept to it.
//!
//! Names are resolved again while running, so that a re-scheduled app is found without a restart, and a name that
//! does not resolve (yet) does not stop start-up: requests fail at once with the reason until it does.

mod io;
mod outage;
mod pool;

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::config::settings::Upstream as Target;

use self::io::UpstreamIo;
use self::outage::Outage;
pub(crate) use self::pool::{Connection, Pool, Room};

/// How often a name is resolved again. Short enough that a moved app is found within a client's patience, long
/// enough not to matter to a name server.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// Pause before a refused connection is tried once more: an app that restarts is often back by then, and a client
/// still learns of an outage at once.
const RETRY_AFTER: Duration = Duration::from_millis(25);

/// Why no connection could be had.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The name has no address.
    Unresolved,
    /// Nobody listens, or the network says no.
    Refused,
    /// No answer within `timeouts.connect`.
    TimedOut,
}

/// One upstream and its addresses.
pub(crate) struct Upstream {
    target: Target,
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// Set when the target is a name.
    named: bool,
    resolve_now: Notify,
    resolved: Notify,
    pub(crate) pool: Pool,
    pub(crate) outage: Outage,
    ever_reached: std::sync::atomic::AtomicBool,
}

impl Upstream {
    pub(crate) fn new(target: Target, workers: usize) -> Arc<Self> {
        let literal = match &target {
            Target::Tcp { host, port } => host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, *port)),
            Target::Unix(_) | Target::Demo => None,
        };
        let named = literal.is_none() && matches!(target, Target::Tcp { .. });
        Arc::new(Self {
            target,
            addresses: ArcSwap::from_pointee(literal.into_iter().collect()),
            named,
            resolve_now: Notify::new(),
            resolved: Notify::new(),
            pool: Pool::new(workers),
            outage: Outage::default(),
            ever_reached: false.into(),
        })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether a connection has ever been made: until then there is nothing to send traffic to.
    pub(crate) fn ever_reached(&self) -> bool {
        self.ever_reached.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Keeps the addresses of a name up to date; never returns for a name, at once for an address or a socket path.
    pub(crate) async fn keep_resolved(self: Arc<Self>) {
        let Target::Tcp { host, port } = &self.target else { return };
        if !self.named {
            return;
        }
        loop {
            if let Ok(found) = tokio::net::lookup_host((host.as_str(), *port)).await {
                let mut found: Vec<SocketAddr> = found.collect();
                found.sort_unstable();
                found.dedup();
                // An empty or failed answer keeps the last good addresses: a name server's hiccup is not an outage.
                if !found.is_empty() && **self.addresses.load() != found {
                    self.addresses.store(Arc::new(found));
                }
            }
            self.resolved.notify_waiters();
            let _ = timeout(RESOLVE_EVERY, self.resolve_now.notified()).await;
            // Failing connections ask for a fresh answer; once in a while is enough.
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// An idle connection if there is one, else the right to open one. `allowed`: connections the process may have
    /// open.
    pub(crate) fn idle(&self, worker: usize, allowed: usize) -> Result<Connection, Room> {
        if self.named {
            self.pool.checkout(worker, &self.addresses.load(), allowed)
        } else {
            self.pool.checkout(worker, &[], allowed)
        }
    }

    /// A new connection in its `room`, within `patience`.
    pub(crate) async fn connect(&self, patience: Duration, room: Room) -> Result<Connection, ConnectError> {
        let deadline = Instant::now() + patience;
        let attempt = async {
            match self.connect_once(deadline).await {
                Err(ConnectError::Refused | ConnectError::Unresolved) => {
                    self.resolve_now.notify_one();
                    tokio::time::sleep(RETRY_AFTER).await;
                    self.connect_once(deadline).await
                }
                done => done,
            }
        };
        let (io, peer) =
            tokio::time::timeout_at(deadline, attempt).await.unwrap_or(Err(ConnectError::TimedOut))?;
        self.ever_reached.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(Connection::new(io, peer, room))
    }

    async fn connect_once(
        &self,
        deadline: Instant,
    ) -> Result<(UpstreamIo, Option<SocketAddr>), ConnectError> {
        if let Target::Unix(path) = &self.target {
            let io = UnixStream::connect(path).await.map_err(|_| ConnectError::Refused)?;
            return Ok((UpstreamIo::Unix(io), None));
        }
        let mut addresses = self.addresses.load_full();
        if addresses.is_empty() {
            // Only before the first answer: wait for the one under way, but not for ever.
            let answer = self.resolved.notified();
            self.resolve_now.notify_one();
            let _ = timeout(RETRY_AFTER * 4, answer).await;
            addresses = self.addresses.load_full();
        }
        let mut last = ConnectError::Unresolved;
        for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
            // One that swallows packets leaves the others their chance.
            let share = (deadline - Instant::now()).div_f64(left as f64);
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(io)) => {
                    // Small writes must not wait for the acknowledgement of earlier ones.
                    let _ = io.set_nodelay(true);
                    return Ok((UpstreamIo::Tcp(io), Some(*address)));
                }
                Ok(Err(_)) => last = ConnectError::Refused,
                Err(_) => last = ConnectError::TimedOut,
            }
        }
        Err(last)
    }

    /// Whether a fresh connection can be made right now; used by the readiness check until the first success.
    pub(crate) async fn probe(&self, patience: Duration) -> bool {
        let connecting = self.connect(patience, self.pool.room());
        let mut connecting = std::pin::pin!(connecting);
        poll_fn(|cx| connecting.as_mut().poll(cx)).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[tokio::test]
    async fn an_address_that_swallows_packets_leaves_the_others_their_chance() {
        // A listener whose backlog is full: the kernel drops what comes.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        silent.listen(0).unwrap();
        let silent_at = silent.local_addr().unwrap().as_socket().unwrap();
        let mut filling = Vec::new();
        while let Ok(Ok(filled)) = timeout(Duration::from_millis(100), TcpStream::connect(silent_at)).await {
            filling.push(filled);
        }
        let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there_at = there.local_addr().unwrap();
        let upstream = Upstream::new(Target::Tcp { host: "app".into(), port: 1 }, 1);
        upstream.addresses.store(Arc::new(vec![silent_at, there_at]));
        let connected =
            upstream.connect(Duration::from_secs(2), upstream.pool.room()).await.expect("one is there");
        assert_eq!(connected.peer, Some(there_at));
    }
}
