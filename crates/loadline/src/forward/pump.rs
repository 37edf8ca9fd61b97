//! One exchange with the upstream: both directions at once, on one task.
//!
//! Each poll moves what can be moved: request bytes to the upstream, body bytes from the client, response bytes from
//! the upstream, response bytes to the client. Reading is tried only where the kernel has reported something, writing
//! is tried first; a usual exchange is one write, one read, one write.
//!
//! Two things end at different times. The exchange with the upstream ends when the last byte of the response has come
//! from it: then its connection goes back to the pool and the slot is free. The response is read ahead of the client
//! up to a bound, so only what exceeds the bound ties the slot to a slow reader, and a reader that is slower than
//! the minimum rate meanwhile is dropped when others wait for the slot.

mod clock;
mod response;

use std::sync::Arc;
use std::task::{Context, Poll};

use loadline_h1::{OutFraming, RequestKind, Version};
use loadline_tower::Permit;
use tokio::time::Instant;

use super::response::Phase;
use crate::buffers::{BUFFER, Charge, Scratch};
use crate::client::{BodyError, Client, ClientIo, RequestBody};
use crate::exchange::Exchange;
use crate::hold;
use crate::live::Live;
use crate::upstream::{Connection, Endpoint, Pick};
use crate::worker::Worker;

/// How an exchange ended.
pub(crate) enum End {
    /// The client has the whole response. `keep`: its connection may carry another request.
    Done { keep: bool },
    /// The upstream switched protocols; the client has been told.
    Tunnel,
    /// The upstream closed or reset the connection before the first byte of a response. `written`: bytes of the
    /// request that went to it; `whole`: the request is still in memory from its first byte to its last.
    Closed { written: usize, whole: bool },
    /// The upstream's answer is not HTTP, or breaks its rules or our limits: this one.
    Invalid(&'static str),
    /// The response broke off after its head went to the client.
    Truncated,
    /// The endpoint's loadline turned the request away, and it may go elsewhere.
    TurnedAway,
    /// No response, or no more of it, within `timeouts.upstream` or another bound. `blame`: whether that is the endpoint's fault.
    TimedOut { blame: bool },
    /// The client has left.
    ClientGone,
    /// The client owes body bytes, or does not read, for too long or too slowly.
    ClientSlow,
    /// The client's body framing is broken.
    ClientRefused(loadline_h1::Refusal),
}

/// Where a request has been, and how far it may go.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    /// Endpoints that had their chance before.
    pub(crate) tried: &'a [Arc<Endpoint>],
    /// Whether the request may be sent a second time.
    pub(crate) repeatable: bool,
    /// When the answer has to be complete.
    pub(crate) total: Option<Instant>,
}

pub(crate) struct Pump<'a, S> {
    pub(crate) client: &'a mut Client<S>,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) worker: &'a Worker,
    pub(crate) live: &'a Live,
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) body: &'a mut RequestBody,
    pub(crate) kind: RequestKind,
    pub(crate) version: Version,
    /// What the request allows; the response may say less.
    pub(crate) keep: bool,
    /// Long-lived by nature (gRPC): no minimum rate.
    pub(crate) streaming: bool,
    /// Taken when the exchange with the upstream is over.
    pub(crate) connection: Option<Connection>,
    pub(crate) permit: Option<Permit>,
    /// The endpoint, likewise.
    pub(crate) pick: Option<Pick>,
    /// Endpoints that had their chance before.
    tried: &'a [Arc<Endpoint>],
    /// Whether the request may be sent a second time, to another endpoint.
    repeatable: bool,
    /// When the answer has to be complete.
    total: Option<Instant>,
    /// When the request began to go to the endpoint.
    began: Instant,
    pub(crate) phase: Phase,
    /// How the body goes to the client.
    pub(crate) out: OutFraming,
    /// Whether the response's head went to the client's buffer.
    pub(crate) answered: bool,
    /// The response has no end of its own: a stream of events.
    pub(crate) endless: bool,
    /// Set once the response's framing or the upstream's behaviour forbids another exchange on its connection.
    spoiled: bool,
    /// Bytes of the request that the upstream's socket took.
    written: usize,
    /// Whether nothing of the request was forgotten after it was written.
    whole: bool,
    charge: Charge,
    /// What the clock showed in this poll, if it was read since something came.
    now: Option<Instant>,
    upstream_moved: Instant,
    client_moved: Instant,
    /// Start and bytes of the window in which the client's rate is judged; running while the client ties the slot.
    window: Option<(Instant, u64)>,
    client_bytes: u64,
}

/// What one poll moved.
#[derive(Default)]
struct Moved {
    upstream: bool,
    client: bool,
}

impl<'a, S: ClientIo> Pump<'a, S> {
    #[expect(clippy::too_many_arguments, reason = "one constructor for the pump's whole context")]
    pub(crate) fn new(
        client: &'a mut Client<S>,
        scratch: &'a mut Scratch,
        worker: &'a Worker,
        live: &'a Live,
        exchange: &'a mut Exchange,
        body: &'a mut RequestBody,
        connection: Connection,
        pick: Pick,
        permit: Permit,
        route: Route<'a>,
        now: Instant,
    ) -> Self {
        let head = &scratch.head;
        let kind = if head.method.of(&scratch.inbox) == b"HEAD" {
            RequestKind::Head
        } else if head.upgrade.is_some() {
            RequestKind::Upgrade
        } else {
            RequestKind::Other
        };
        let (version, keep, streaming) =
            (head.version, head.keep_alive, hold::streams(scratch, &client.peer));
        Self {
            client,
            scratch,
            worker,
            live,
            exchange,
            body,
            kind,
            version,
            keep,
            streaming,
            connection: Some(connection),
            permit: Some(permit),
            pick: Some(pick),
            tried: route.tried,
            repeatable: route.repeatable,
            total: route.total,
            began: now,
            phase: Phase::Head,
            out: OutFraming::None,
            answered: false,
            endless: false,
            spoiled: false,
            written: 0,
            whole: true,
            charge: Charge::new(&worker.shared.budget),
            now: Some(now),
            upstream_moved: now,
            client_moved: now,
            window: None,
            client_bytes: 0,
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut moved = Moved::default();
        loop {
            let mut again = false;
            for step in [Self::send_request, Self::read_body, Self::read_response, Self::send_response] {
                match step(self, cx, &mut moved) {
                    Ok(progress) => again |= progress,
                    Err(end) => return Poll::Ready(end),
                }
            }
            if !again {
                break;
            }
        }
        if self.phase.has_ended() && self.scratch.to_client.pending() == 0 {
            return Poll::Ready(if self.answered && self.scratch.response.status == 101 {
                End::Tunnel
            } else {
                End::Done { keep: self.keep && self.body.done() }
            });
        }
        if self.body.done() && self.client.poll_gone(cx, &mut self.scratch.inbox).is_ready() {
            return Poll::Ready(End::ClientGone);
        }
        self.poll_clock(cx, &moved)
    }

    fn send_request(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Result<bool, End> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        let out = &mut self.scratch.to_upstream;
        if out.pending() == 0 {
            return Ok(false);
        }
        match out.poll_write(&mut connection.io, cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(n)) => {
                moved.upstream = true;
                self.written += n;
                // A request that is complete in memory is kept, in case it must be sent again.
                if !self.body.done() {
                    out.compact();
                    self.whole = false;
                }
                Ok(true)
            }
            // The upstream may have answered early and closed: what it said is still to be read.
            Poll::Ready(Err(_)) => {
                self.spoiled = true;
                if self.body.done() {
                    out.sent = out.bytes.len();
                } else {
                    out.clear();
                    self.whole = false;
                }
                Ok(true)
            }
        }
    }

    fn read_body(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Result<bool, End> {
        if self.body.done() || self.connection.is_none() || self.scratch.to_upstream.pending() >= 4 * BUFFER {
            return Ok(false);
        }
        let before = self.body.bytes;
        let out = &mut self.scratch.to_upstream.bytes;
        match self.client.poll_body(cx, self.body, &mut self.scratch.inbox, out) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(_)) => {
                moved.client = true;
                self.client_bytes += self.body.bytes - before;
                Ok(true)
            }
            Poll::Ready(Err(BodyError::Gone)) => Err(End::ClientGone),
            Poll::Ready(Err(BodyError::Refused(refusal))) => Err(End::ClientRefused(refusal)),
        }
    }

    fn send_response(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Result<bool, End> {
        let out = &mut self.scratch.to_client;
        if out.pending() == 0 {
            return Ok(false);
        }
        match out.poll_write(&mut self.client.io, cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(n)) => {
                self.exchange.bytes_out += n as u64;
                // A response of unknown length turns out to be a large one.
                let before = self.client_bytes;
                self.client_bytes += n as u64;
                let large = self.live.read_ahead as u64;
                if before <= large && self.client_bytes > large {
                    self.client.io.show_progress();
                }
                moved.client = true;
                out.compact();
                Ok(true)
            }
            Poll::Ready(Err(_)) => {
                self.client.gone = true;
                Err(End::ClientGone)
            }
        }
    }
}
