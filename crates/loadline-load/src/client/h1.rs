//! HTTP/1.1: a connection per request in flight, kept for the next one.
//!
//! The codec is `loadline-h1`'s, so that an answer is read as strictly as the proxy reads one. Per request there is one
//! write and, for a small answer, one read.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io::Write as _;

use loadline_h1::{BodyDecoder, Limits, RequestKind, ResponseHead, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Dialer, Failure, Outgoing, REASON_BYTES};
use crate::outcome::Answer;
use crate::plan::Plan;

/// What is read at once: more than a head and a small body.
const READ_BYTES: usize = 8 * 1024;

/// What came is something else.
const NOT_HTTP: Failure = Failure::Broken(Cow::Borrowed("the answer is not HTTP/1.1"));

/// The end came in the middle.
const CUT: Failure = Failure::Broken(Cow::Borrowed("the connection was closed in the middle of an answer"));

/// Connections that are open and free.
pub(super) struct Pool {
    idle: RefCell<Vec<Connection>>,
    /// The part of each target's head that never changes.
    heads: Vec<Vec<u8>>,
    limits: Limits,
    keep: bool,
    resent: Cell<u64>,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    head: ResponseHead,
    /// Whether a byte of the current answer has come.
    answered: bool,
}

impl Pool {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            idle: RefCell::default(),
            heads: (0..plan.targets.len()).map(|target| head(plan, target)).collect(),
            limits: Limits::default(),
            keep: !plan.new_connections,
            resent: Cell::new(0),
        }
    }

    pub(super) fn resent(&self) -> u64 {
        self.resent.get()
    }

    pub(super) async fn exchange(&self, dialer: &Dialer, outgoing: &Outgoing<'_>) -> Result<Answer, Failure> {
        if let Some(mut kept) = self.take_idle() {
            match self.run(&mut kept, outgoing).await {
                // The server may close a kept connection at the moment in which we use it. That says nothing about how it
                // treats requests, so it gets the request again, if twice does no more than once.
                Err(Failure::Broken(_)) if !kept.answered && outgoing.target().is_idempotent() => {
                    self.resent.set(self.resent.get() + 1);
                }
                result => return self.finish(kept, result),
            }
        }
        let mut fresh = Connection::new(dialer.connect().await?);
        let result = self.run(&mut fresh, outgoing).await;
        self.finish(fresh, result)
    }

    /// A kept connection that the server has not closed and has sent nothing on.
    fn take_idle(&self) -> Option<Connection> {
        loop {
            let connection = self.idle.borrow_mut().pop()?;
            let unread = connection.stream.try_read(&mut [0]);
            if unread.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock) {
                return Some(connection);
            }
        }
    }

    fn finish(
        &self,
        connection: Connection,
        result: Result<(Answer, bool), Failure>,
    ) -> Result<Answer, Failure> {
        let (answer, reusable) = result?;
        if reusable && self.keep {
            self.idle.borrow_mut().push(connection);
        }
        Ok(answer)
    }

    /// Sends the request and reads the answer to its end; says whether the connection can be used again.
    async fn run(&self, on: &mut Connection, outgoing: &Outgoing<'_>) -> Result<(Answer, bool), Failure> {
        on.answered = false;
        on.output.clear();
        on.output.extend_from_slice(&self.heads[outgoing.target]);
        let output = &mut on.output;
        outgoing.each_field(|name, value| {
            output.extend_from_slice(name.as_bytes());
            output.extend_from_slice(b": ");
            output.extend_from_slice(value);
            output.extend_from_slice(b"\r\n");
        });
        on.output.extend_from_slice(b"\r\n");
        on.output.extend_from_slice(outgoing.target().body.as_bytes());
        // A server may answer, and close, before it has read all of a large body: what it says counts.
        let sent = on.stream.write_all(&on.output).await;
        let kind = if outgoing.target().method == "HEAD" { RequestKind::Head } else { RequestKind::Other };
        let (answer, reusable) = on.read_answer(kind, &self.limits).await?;
        Ok((answer, reusable && sent.is_ok()))
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, input: Vec::new(), output: Vec::new(), head: ResponseHead::default(), answered: false }
    }

    async fn read_answer(&mut self, kind: RequestKind, limits: &Limits) -> Result<(Answer, bool), Failure> {
        self.input.clear();
        loop {
            match self.head.parse(&self.input, kind, limits) {
                Ok(Status::Complete) if self.head.is_interim() => drop(self.input.drain(..self.head.len)),
                Ok(Status::Complete) => break,
                Ok(Status::Partial) if self.read().await? > 0 => {}
                Ok(Status::Partial) if self.answered => return Err(CUT),
                Ok(Status::Partial) => {
                    return Err(Failure::Broken("the connection was closed without an answer".into()));
                }
                Err(_) => return Err(NOT_HTTP),
            }
        }
        let mut body = BodyDecoder::for_response(self.head.framing, limits);
        let mut start = Vec::new();
        let wants_start = self.head.status >= 400;
        // The head stays in the buffer while the rest of it is filled again and again with pieces of the body.
        let mut at = self.head.len;
        loop {
            let decoded = body.decode(&self.input[at..]).map_err(|_| NOT_HTTP)?;
            if wants_start && start.len() < REASON_BYTES {
                start.extend_from_slice(&self.input[at..][decoded.data.clone()]);
            }
            at += decoded.consumed;
            if decoded.done {
                break;
            }
            if decoded.consumed == 0 {
                self.input.truncate(self.head.len);
                at = self.head.len;
                if self.read().await? == 0 {
                    body.on_eof().map_err(|_| CUT)?;
                    break;
                }
            }
        }
        let answer = Answer::read(self.head.status, self.head.iter(&self.input), &start);
        Ok((answer, self.head.keep_alive && at == self.input.len()))
    }

    /// Appends what has come; 0 is the end.
    async fn read(&mut self) -> Result<usize, Failure> {
        self.input.reserve(READ_BYTES);
        let count = self.stream.read_buf(&mut self.input).await.map_err(Failure::broken)?;
        self.answered |= count > 0;
        Ok(count)
    }
}

/// Request line and fields up to those that differ from request to request.
fn head(plan: &Plan, target: usize) -> Vec<u8> {
    let target = &plan.targets[target];
    let mut head = Vec::new();
    // Writing to a vector cannot fail.
    let _ = write!(head, "{} {} HTTP/1.1\r\n", target.method, target.path);
    if !target.headers.iter().any(|field| field.name == "host") {
        let _ = write!(head, "host: {}\r\n", plan.url.authority);
    }
    for field in &target.headers {
        let _ = write!(head, "{}: {}\r\n", field.name, field.value);
    }
    if !target.body.is_empty() || ["POST", "PUT", "PATCH"].contains(&target.method.as_str()) {
        let _ = write!(head, "content-length: {}\r\n", target.body.len());
    }
    if plan.new_connections {
        head.extend_from_slice(b"connection: close\r\n");
    }
    head
}
