//! The server behind the proxies: fixed answers, as cheap as a socket allows.
//!
//! One thread, one epoll loop, prebuilt answers. Requests arrive one at a time per connection (proxies do not pipeline
//! upstream), heads and bodies may arrive in pieces. Chunked request bodies are not understood: no scenario sends them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::event_loop::Poller;
use super::measure::CpuOf;
use super::wire::{content_length, field, head_end, read_buffer};
use super::{LOAD_CORE, Result, measure};

/// Answered with 128 bytes.
pub(super) const SMALL: &str = "/small";
/// Answered with 10,000 bytes.
pub(super) const LARGE: &str = "/large";
/// Never answered: holds a slot of the proxy's limit.
pub(super) const HOLD: &str = "/hold";

const SMALL_BODY: usize = 128;
const LARGE_BODY: usize = 10_000;

/// Token of the listening socket; connections count from 0.
const LISTENER: u64 = u64::MAX;

/// A running origin. Its thread ends with the process.
pub(super) struct Origin {
    /// Where it listens.
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    thread: AtomicU32,
    held: AtomicUsize,
}

impl Origin {
    /// Starts it on the load's core.
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::Builder::new().name("origin".into()).spawn(move || {
            // Failing here would fail every scenario after it, with this message above.
            if let Err(error) = Server::new(listener, serving).and_then(Server::run) {
                eprintln!("origin: {error}");
            }
        })?;
        Ok(Self { address, shared })
    }

    /// Its thread, for the row without a proxy.
    pub(super) fn cpu(&self) -> CpuOf {
        CpuOf::Thread(self.shared.thread.load(Ordering::Acquire))
    }

    /// Waits until exactly `count` requests for [`HOLD`] are open.
    pub(super) fn wait_for_held(&self, count: usize, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let held = self.held();
            if held == count {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the origin holds {held} requests, not {count}").into());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Requests for [`HOLD`] whose connection is open.
    pub(super) fn held(&self) -> usize {
        self.shared.held.load(Ordering::Acquire)
    }
}

struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    poller: Poller,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    small: Vec<u8>,
    large: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// A head that has not arrived completely.
    partial: Vec<u8>,
    /// Bytes of the request body still to come; the answer follows them.
    body_left: usize,
    reply: Reply,
    /// The unsent rest of an answer.
    unsent: Vec<u8>,
    close: bool,
    held: bool,
}

#[derive(Clone, Copy)]
enum Reply {
    Small,
    Large,
    Never,
}

impl Server {
    fn new(listener: TcpListener, shared: Arc<Shared>) -> Result<Self> {
        let poller = Poller::new()?;
        poller.watch_input(&listener, LISTENER)?;
        Ok(Self {
            listener,
            shared,
            poller,
            connections: Vec::new(),
            free: Vec::new(),
            small: answer(SMALL_BODY),
            large: answer(LARGE_BODY),
        })
    }

    fn run(mut self) -> Result<()> {
        /// Nothing happens on time here; any bound does.
        const WAIT_MS: u32 = 10_000;
        measure::pin_to(LOAD_CORE)?;
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        self.shared.thread.store(thread, Ordering::Release);
        let mut buffer = read_buffer();
        let mut ready = Vec::new();
        loop {
            self.poller.wait(WAIT_MS, &mut ready)?;
            for token in &ready {
                if *token == LISTENER {
                    self.accept()?;
                } else {
                    self.serve(*token as usize, &mut buffer);
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poller.watch_input(&stream, slot as u64)?;
            self.connections[slot] = Some(Connection {
                stream,
                partial: Vec::new(),
                body_left: 0,
                reply: Reply::Never,
                unsent: Vec::new(),
                close: false,
                held: false,
            });
        }
    }

    fn serve(&mut self, slot: usize, buffer: &mut [u8]) {
        // A connection closed earlier in the same batch may still have an event.
        let Some(connection) = &mut self.connections[slot] else { return };
        let was_blocked = !connection.unsent.is_empty();
        let open = if was_blocked {
            let rest = std::mem::take(&mut connection.unsent);
            connection.send(&rest)
        } else {
            match connection.stream.read(buffer) {
                Ok(0) => false,
                Ok(count) => match connection.take(&buffer[..count]) {
                    Some(Reply::Small) => connection.send(&self.small),
                    Some(Reply::Large) => connection.send(&self.large),
                    Some(Reply::Never) => {
                        connection.held = true;
                        self.shared.held.fetch_add(1, Ordering::AcqRel);
                        true
                    }
                    None => true,
                },
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            }
        };
        let blocked = !connection.unsent.is_empty();
        let watched = blocked == was_blocked
            || self.poller.watch_output(&connection.stream, slot as u64, blocked).is_ok();
        if !open || !watched {
            if connection.held {
                self.shared.held.fetch_sub(1, Ordering::AcqRel);
            }
            self.connections[slot] = None;
            self.free.push(slot);
        }
    }
}

impl Connection {
    /// Takes received bytes; returns the reply once a request is complete.
    fn take(&mut self, bytes: &[u8]) -> Option<Reply> {
        if self.body_left > 0 {
            self.body_left = self.body_left.saturating_sub(bytes.len());
            return (self.body_left == 0).then_some(self.reply);
        }
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(bytes);
            let whole = std::mem::take(&mut self.partial);
            return self.take_head(&whole);
        }
        self.take_head(bytes)
    }

    fn take_head(&mut self, bytes: &[u8]) -> Option<Reply> {
        let Some(end) = head_end(bytes) else {
            self.partial = bytes.to_vec();
            return None;
        };
        let head = &bytes[..end];
        let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        self.reply = if target == LARGE.as_bytes() {
            Reply::Large
        } else if target == HOLD.as_bytes() {
            Reply::Never
        } else {
            Reply::Small
        };
        self.close = field(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        if head.starts_with(b"P") {
            self.body_left = content_length(head).unwrap_or(0).saturating_sub(bytes.len() - end);
        }
        (self.body_left == 0).then_some(self.reply)
    }

    /// Sends an answer, keeping what the socket does not take; `false` when the connection is over.
    fn send(&mut self, answer: &[u8]) -> bool {
        let sent = match self.stream.write(answer) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return false,
        };
        self.unsent = answer[sent..].to_vec();
        !(self.close && self.unsent.is_empty())
    }
}

fn answer(body: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {body}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + body, b'x');
    answer
}
