//! An application on raw sockets that records every byte it is sent and answers by script.
//!
//! It is deliberately naive: it believes whatever framing it is given, so a request smuggled past the proxy shows up
//! in its records as a request.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Gate, PATIENCE, find};

/// Bytes of a body, and of a connection, that are kept; beyond it only the length counts.
const KEPT: usize = 1 << 20;

/// What the upstream saw of one request.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Which connection it came on, counted from 0.
    pub(crate) connection: usize,
    /// The head's bytes with the empty line.
    pub(crate) head: Vec<u8>,
    /// The body's bytes without chunk framing, as far as they are kept.
    pub(crate) body: Vec<u8>,
    /// The body's length.
    pub(crate) body_length: u64,
    /// The trailer lines after the last chunk.
    pub(crate) trailers: String,
    /// Whether the script ran to its end without a failed read or write.
    pub(crate) finished: bool,
}

impl Recorded {
    /// The head as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }

    /// The request line.
    pub(crate) fn line(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    /// The request target.
    pub(crate) fn target(&self) -> String {
        self.line().split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// The first field of this name, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.text(), name)
    }

    /// The field names as they came, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let text = self.text();
        text.lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}

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

    /// Listens on this port, as an application does that was restarted.
    pub(crate) fn start_at(
        addr: SocketAddr,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(TcpListener::bind(addr).unwrap(), script)
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
        let gate = gate.clone();
        Self::start(move |exchange| {
            gate.pass()?;
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
            let mut wire = Wire { stream, unread: Vec::new(), number, shared };
            serve(&mut wire);
            wire.shared.state().connections[number].stream = None;
        });
    }
}

/// Requests of one connection until it ends.
fn serve(wire: &mut Wire) {
    while let Ok(head) = wire.read_until(b"\r\n\r\n") {
        let shared = Arc::clone(&wire.shared);
        let index = {
            let mut state = shared.state();
            state.in_service += 1;
            state.peak = state.peak.max(state.in_service);
            state.requests.push(Recorded {
                connection: wire.number,
                head: head.clone(),
                body: Vec::new(),
                body_length: 0,
                trailers: String::new(),
                finished: false,
            });
            state.requests.len() - 1
        };
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut exchange = Exchange { head, wire, index, body_read: false, left: false, closed: false };
        let result = (shared.script)(&mut exchange);
        exchange.leave();
        let go_on = result.is_ok() && !exchange.closed && exchange.read_body().is_ok();
        shared.state().requests[index].finished = result.is_ok();
        if !go_on {
            return;
        }
    }
}

/// One request that a script answers.
pub(crate) struct Exchange<'a> {
    head: String,
    wire: &'a mut Wire,
    index: usize,
    body_read: bool,
    left: bool,
    closed: bool,
}

impl Exchange<'_> {
    pub(crate) fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }

    /// Which request of the upstream this is, counted from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Reads and records the request's body; the kept part is returned. A second call returns nothing.
    pub(crate) fn read_body(&mut self) -> io::Result<Vec<u8>> {
        if std::mem::replace(&mut self.body_read, true) {
            return Ok(Vec::new());
        }
        if self.header("transfer-encoding").is_some() {
            self.read_chunked()
        } else {
            let length = self.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            self.read_part(length)?;
            Ok(self.wire.shared.state().requests[self.index].body.clone())
        }
    }

    /// Sends bytes after which more follow.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.stream.write_all(bytes.as_ref())
    }

    /// Sends the answer's last bytes. The request is out of service before they can be seen, so that its successor
    /// is never counted beside it.
    pub(crate) fn finish(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.leave();
        self.send(bytes)
    }

    /// Reads the body and sends a whole response with `Content-Length`.
    pub(crate) fn respond(&mut self, status: u16, body: &[u8]) -> io::Result<()> {
        self.respond_with(status, "", body)
    }

    /// The same with further header lines, each with its CRLF.
    pub(crate) fn respond_with(&mut self, status: u16, headers: &str, body: &[u8]) -> io::Result<()> {
        self.read_body()?;
        let mut bytes =
            format!("HTTP/1.1 {status} Status\r\n{headers}Content-Length: {}\r\n\r\n", body.len())
                .into_bytes();
        if self.method() != "HEAD" {
            bytes.extend_from_slice(body);
        }
        self.finish(&bytes)
    }

    /// Ends the connection after this request.
    pub(crate) fn close(&mut self) {
        self.leave();
        self.closed = true;
        let _ = self.wire.stream.shutdown(Shutdown::Both);
    }

    /// Ends it with a reset.
    pub(crate) fn reset(&mut self) {
        self.leave();
        self.closed = true;
        let _ = socket2::SockRef::from(&self.wire.stream).set_linger(Some(Duration::ZERO));
        // The other handle of the socket has to go too, or nothing is closed until the upstream stops.
        self.wire.shared.state().connections[self.wire.number].stream = None;
    }

    /// Whether the proxy closes the connection, within [`PATIENCE`]; what it sends before is read away.
    pub(crate) fn peer_closes(&mut self) -> bool {
        loop {
            match self.wire.fill() {
                Ok(()) => self.wire.unread.clear(),
                Err(error) => return !is_timeout(&error),
            }
        }
    }

    /// Reads exactly this many bytes after the head, for tunnels.
    pub(crate) fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.wire.read_exact(count)
    }

    fn leave(&mut self) {
        if !std::mem::replace(&mut self.left, true) {
            self.wire.shared.state().in_service -= 1;
        }
    }

    fn read_chunked(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let line = self.wire.read_until(b"\r\n")?;
            let line = String::from_utf8_lossy(&line);
            let size = u64::from_str_radix(line.trim_end().split(';').next().unwrap_or_default(), 16)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if size == 0 {
                break;
            }
            self.read_part(size)?;
            self.wire.read_exact(2)?;
        }
        loop {
            let line = self.wire.read_until(b"\r\n")?;
            let mut state = self.wire.shared.state();
            let recorded = &mut state.requests[self.index];
            if line == b"\r\n" {
                return Ok(recorded.body.clone());
            }
            recorded.trailers.push_str(&String::from_utf8_lossy(&line));
        }
    }

    fn read_part(&mut self, length: u64) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            if self.wire.unread.is_empty() {
                self.wire.fill()?;
            }
            let available = self.wire.unread.len();
            let count = usize::try_from(left).map_or(available, |left| left.min(available));
            let part: Vec<u8> = self.wire.unread.drain(..count).collect();
            let mut state = self.wire.shared.state();
            let recorded = &mut state.requests[self.index];
            let room = KEPT.saturating_sub(recorded.body.len()).min(count);
            recorded.body.extend_from_slice(&part[..room]);
            recorded.body_length += count as u64;
            left -= count as u64;
        }
        Ok(())
    }
}

/// The upstream's end of one connection.
struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
    number: usize,
    shared: Arc<Shared>,
}

impl Wire {
    fn read_until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.unread, mark) {
                return Ok(self.unread.drain(..at + mark.len()).collect());
            }
            self.fill()?;
        }
    }

    fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < count {
            self.fill()?;
        }
        Ok(self.unread.drain(..count).collect())
    }

    fn fill(&mut self) -> io::Result<()> {
        self.stream.set_read_timeout(Some(3 * PATIENCE))?;
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend_from_slice(&buffer[..count]);
        let mut state = self.shared.state();
        let received = &mut state.connections[self.number].received;
        let room = KEPT.saturating_sub(received.len()).min(count);
        received.extend_from_slice(&buffer[..room]);
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
}
