//! Opening a connection to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use super::endpoint::Endpoint;
use super::io::UpstreamIo;
use super::place::Place;
use super::pool::{Connection, Room};

/// Pause before a refused connection is tried once more where there is no other endpoint: an app that restarts is often back
/// by then, and a client still learns of an outage at once.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(25);

/// Why no connection could be had.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// Nobody listens, or the network says no; in the system's words.
    Refused(io::Error),
    /// No answer in time.
    TimedOut,
}

impl ConnectError {
    /// Whether it was for want of something of our own, descriptors or memory: then it says nothing of the endpoint. Ports are not
    /// among it: an address of a family that this machine does not have fails with the same error as a want of ports.
    pub(crate) fn is_ours(&self) -> bool {
        const WANTING: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        match self {
            Self::Refused(error) => Errno::from_io_error(error).is_some_and(|errno| WANTING.contains(&errno)),
            Self::TimedOut => false,
        }
    }
}

/// A new connection in its `room`, by `deadline`. `insist`: a refusal is met with a second attempt, which is counted here.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    deadline: Instant,
    room: Room,
    insist: Option<&mut u32>,
) -> Result<Connection, ConnectError> {
    let attempt = async {
        match (once(endpoint, deadline).await, insist) {
            (Err(ConnectError::Refused(_)), Some(again)) => {
                tokio::time::sleep(RETRY_AFTER).await;
                *again += 1;
                once(endpoint, deadline).await
            }
            (done, _) => done,
        }
    };
    let (io, peer) =
        tokio::time::timeout_at(deadline, attempt).await.unwrap_or(Err(ConnectError::TimedOut))?;
    Ok(Connection::new(io, peer, room))
}

/// One attempt at each of the endpoint's addresses.
pub(super) async fn once(
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<(UpstreamIo, Option<SocketAddr>), ConnectError> {
    let first = match &endpoint.place {
        Place::Unix(path) => {
            let io = UnixStream::connect(path).await.map_err(ConnectError::Refused)?;
            return Ok((UpstreamIo::Unix(io), None));
        }
        Place::Tcp(address) => *address,
    };
    let spare = endpoint.spare.load_full();
    let mut last = ConnectError::TimedOut;
    for (address, left) in std::iter::once(&first).chain(spare.iter()).zip((1..=spare.len() + 1).rev()) {
        // One that swallows packets leaves the others their chance.
        let share = deadline.saturating_duration_since(Instant::now()).div_f64(left as f64);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(io)) => {
                // Small writes must not wait for the acknowledgement of earlier ones.
                let _ = io.set_nodelay(true);
                return Ok((UpstreamIo::Tcp(io), Some(*address)));
            }
            Ok(Err(error)) => last = ConnectError::Refused(error),
            Err(_) => last = ConnectError::TimedOut,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use loadline_core::BreakerSettings;
    use socket2::{Domain, Socket, Type};

    use super::super::place::Found;
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
        let found = Found { spare: vec![there_at], ..Found::at(Place::Tcp(silent_at)) };
        let endpoint = Endpoint::new(found, 1, BreakerSettings::default(), 1, None);
        let room = Arc::clone(&endpoint).pool.room();
        let connected = connect(&endpoint, Instant::now() + Duration::from_secs(2), room, Some(&mut 0)).await;
        assert_eq!(connected.expect("one is there").peer, Some(there_at));
    }
}
