//! One connection of the upstream: requests come in, the script answers them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::recorded::{Recorded, header};
use crate::support::{PATIENCE, find};

/// Bytes of a body, and of a connection, that are kept; beyond it only the length counts.
const KEPT: usize = 1 << 20;

/// Requests of one connection until it ends.
pub(super) fn serve(wire: &mut Wire) {
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
pub(super) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
    number: usize,
    pub(super) shared: Arc<Shared>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, number: usize, shared: Arc<Shared>) -> Self {
        Self { stream, unread: Vec::new(), number, shared }
    }

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
