//! An application on raw sockets that records every byte it is sent and answers by script.
//!
//! It is deliberately naive: it believes whatever framing it is given, so a request smuggled past the proxy shows up
//! in its records as a request.

mod exchange;
mod recorded;

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(crate) use self::exchange::Exchange;
use self::exchange::Wire;
pub(crate) use self::recorded::Recorded;
use super::{Gate, eventually};

type Script = dyn Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync;

/// A listening application; stops when dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

struct Shared {
    script: Box<Script>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    requests: Vec<Recorded>,
    connections: Vec<Connection>,
    in_service: usize,
    peak: usize,
}

#[derive(Debug)]
struct Connection {
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Upstream {
    /// Listens on a free port and runs `script` for each request.
    pub(crate) fn start(
        script: impl Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), script)
    }

    /// Listens on this port, as an application does that was restarted. A port that was given up may be somebody's for a moment: a
    /// connection of another test has it.
    pub(crate) fn start_at(
        addr: SocketAddr,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let mut listener = None;
        eventually("the port is free again", || {
            listener = TcpListener::bind(addr).ok();
            listener.is_some()
        });
        Self::listen(listener.expect("it was bound just now"), script)
    }

    /// Answers everything at once with 200 `hello`.
    pub(crate) fn hello() -> Self {
        Self::start(|exchange| exchange.respond(200, b"hello"))
    }

    /// Answers 200 after this service time.
    pub(crate) fn delayed(service_time: Duration) -> Self {
        Self::start(move |exchange| {
            thread::sleep(service_time);
            exchange.respond(200, b"hello")
        })
    }

    /// Answers 200 when the gate lets the request pass.
    pub(crate) fn gated(gate: &Gate) -> Self {
        Self::gated_where(gate, |_| true)
    }

    /// Answers 200 to `/held` when the gate lets the request pass, and to all others at once.
    pub(crate) fn gated_at_held(gate: &Gate) -> Self {
        Self::gated_where(gate, |target| target == "/held")
    }

    /// Answers 200, to those with such a target when the gate lets them pass.
    pub(crate) fn gated_where(gate: &Gate, held: fn(&str) -> bool) -> Self {
        let gate = gate.clone();
        Self::start(move |exchange| {
            if held(exchange.target()) {
                gate.pass()?;
            }
            exchange.respond(200, b"hello")
        })
    }

    /// Sends these bytes as the answer to every request, and closes if asked to.
    pub(crate) fn raw(answer: impl Into<Vec<u8>>, close: bool) -> Self {
        let answer = answer.into();
        Self::start(move |exchange| {
            exchange.read_body()?;
            exchange.finish(&answer)?;
            if close {
                exchange.close();
            }
            Ok(())
        })
    }

    fn listen(
        listener: TcpListener,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { script: Box::new(script), state: Mutex::default() });
        let accept = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { addr, shared, accept: Some(accept) }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Every request so far, in order of arrival.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.shared.state().requests.clone()
    }

    /// How many requests arrived so far.
    pub(crate) fn seen(&self) -> usize {
        self.shared.state().requests.len()
    }

    /// The only request so far.
    #[track_caller]
    pub(crate) fn only_request(&self) -> Recorded {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// Requests whose answer is not complete.
    pub(crate) fn in_service(&self) -> usize {
        self.shared.state().in_service
    }

    /// Waits until exactly this many are in service: the proxy counts a request before its bytes have arrived here.
    #[track_caller]
    pub(crate) fn wait_in_service(&self, count: usize) {
        eventually(&format!("{count} in service"), || self.in_service() == count);
    }

    /// Waits until this many arrived, and asserts that no more did.
    #[track_caller]
    pub(crate) fn wait_seen(&self, count: usize) {
        eventually(&format!("{count} requests arrived"), || self.seen() >= count);
        assert_eq!(self.seen(), count, "more requests than expected");
    }

    /// The most that were ever in service at once.
    pub(crate) fn peak(&self) -> usize {
        self.shared.state().peak
    }

    /// How many connections were ever accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state().connections.len()
    }

    /// How many connections are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.shared.state().connections.iter().filter(|connection| connection.stream.is_some()).count()
    }

    /// Every byte received, connection by connection.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        self.shared.state().connections.iter().map(|connection| connection.received.clone()).collect()
    }

    /// Closes all connections that nobody uses now, as applications do after their idle time.
    pub(crate) fn close_all(&self) {
        for connection in &self.shared.state().connections {
            if let Some(stream) = &connection.stream {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Dies as a killed process: the port refuses, every connection is cut. Returns when the port is closed.
    pub(crate) fn kill(&mut self) {
        let Some(accept) = self.accept.take() else { return };
        self.shared.state().stopped = true;
        // Wakes the accepting thread; it closes the port.
        let _ = TcpStream::connect(self.addr);
        let _ = accept.join();
        self.close_all();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.kill();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let mut state = shared.state();
        if state.stopped {
            return;
        }
        let Ok(stream) = stream else { continue };
        let _ = stream.set_nodelay(true);
        let Ok(handle) = stream.try_clone() else { continue };
        let number = state.connections.len();
        state.connections.push(Connection { stream: Some(handle), received: Vec::new() });
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let mut wire = Wire::new(stream, number, shared);
            exchange::serve(&mut wire);
            wire.shared.state().connections[number].stream = None;
        });
    }
}
