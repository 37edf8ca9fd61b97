//! One exchange with the upstream: both directions at once, on one task.
//!
//! Each poll moves what can be moved: request bytes to the upstream, body bytes from the client, response bytes from
//! the upstream, response bytes to the client. Reading is tried only where the kernel has reported something, writing
//! is tried first; a usual exchange is one write, one read, one write.
//!
//! Two things end at different times. The exchange with the upstream ends when the last byte of the response has come
//! from it: then its connection goes back to the pool and the slot is free. The response is read ahead of the client
//! up to a bound, so only what exceeds the bound ties the slot to a slow reader, and a reader that is slower than
//! the minimum rate meanwhile is dropped.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use loadline_core::Outcome;
use loadline_h1::{
    ForwardResponse, Framing, OutFraming, RequestKind, Version, encode_chunk_header, encode_last_chunk,
};
use loadline_tower::Permit;
use tokio::time::Instant;

use super::response::Phase;
use crate::buffers::{BUFFER, Charge, Scratch, poll_read_into};
use crate::client::{BodyError, Client, ClientIo, RequestBody};
use crate::config::settings::Release;
use crate::exchange::Exchange;
use crate::live::Live;
use crate::upstream::Connection;
use crate::worker::Worker;

/// While a slow reader ties a slot, how often it is asked whether others wait for it by now.
const RECHECK: Duration = Duration::from_millis(100);

/// The share of `buffer.total` that one response may be read ahead by while others wait for its slot.
const GENEROUS_SHARE: usize = 16;

/// How an exchange ended.
pub(crate) enum End {
    /// The client has the whole response. `keep`: its connection may carry another request.
    Done { keep: bool },
    /// The upstream switched protocols; the client has been told.
    Tunnel,
    /// The upstream closed or reset the connection before the first byte of a response.
    Closed { sent: usize },
    /// The upstream's answer is not HTTP, or breaks its rules.
    Invalid,
    /// The response broke off after its head went to the client.
    Truncated,
    /// No response, or no more of it, within `timeouts.upstream`.
    TimedOut,
    /// The client has left.
    ClientGone,
    /// The client owes body bytes, or does not read, for too long or too slowly.
    ClientSlow,
    /// The client's body framing is broken.
    ClientRefused(loadline_h1::Refusal),
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
    pub(crate) phase: Phase,
    /// How the body goes to the client.
    out: OutFraming,
    /// Whether the response's head went to the client's buffer.
    pub(crate) answered: bool,
    /// Set once the response's framing or the upstream's behaviour forbids another exchange on its connection.
    spoiled: bool,
    charge: Charge,
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
        permit: Permit,
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
        let (version, keep, streaming) = (head.version, head.keep_alive, head.is_grpc(&scratch.inbox));
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
            phase: Phase::Head,
            out: OutFraming::None,
            answered: false,
            spoiled: false,
            charge: Charge::new(&worker.shared.budget),
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
            Poll::Ready(Ok(_)) => {
                moved.upstream = true;
                // A request that is complete in memory is kept, in case it must be sent again.
                if !self.body.done() {
                    out.compact();
                }
                Ok(true)
            }
            // The upstream may have answered early and closed: what it said is still to be read.
            Poll::Ready(Err(_)) => {
                self.spoiled = true;
                out.sent = out.bytes.len();
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

    fn read_response(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Result<bool, End> {
        if self.connection.is_none() || !self.has_room() {
            return Ok(false);
        }
        let Some(connection) = &mut self.connection else { return Ok(false) };
        // A body of known length needs no second look: it is read straight into the client's buffer.
        let straight = matches!((&self.phase, &self.out), (Phase::Body(_), OutFraming::Length(_)));
        let into = if straight { &mut self.scratch.to_client.bytes } else { &mut self.scratch.from_upstream };
        let at = into.len();
        let room = if straight { BUFFER } else { BUFFER / 4 };
        let n = match poll_read_into(&mut connection.io, cx, into, room) {
            Poll::Pending => return Ok(false),
            Poll::Ready(read) => read.unwrap_or(0),
        };
        moved.upstream = true;
        if n == 0 {
            return self.upstream_closed();
        }
        if straight {
            self.count_straight(at)?
        } else {
            self.digest()?
        }
        if self.phase.has_ended() {
            self.upstream_over(Outcome::Completed);
        }
        Ok(true)
    }

    /// Whether more of the response may be read now.
    fn has_room(&mut self) -> bool {
        let pending = self.scratch.to_client.pending();
        if pending == 0 {
            return true;
        }
        self.scratch.to_client.compact();
        let mut most = self.live.read_ahead;
        if pending >= most && pending < self.worker.shared.budget.total() / GENEROUS_SHARE {
            // Others wait for the slot: memory is cheaper than their time.
            if self.permit.is_some() && self.worker.shared.gate.snapshot().queued > 0 {
                most = usize::MAX;
            }
        }
        pending < most && self.charge.cover(pending + BUFFER)
    }

    /// Accounts for body bytes that were read into the client's buffer behind position `at`.
    fn count_straight(&mut self, at: usize) -> Result<(), End> {
        let Phase::Body(decoder) = &mut self.phase else { return Ok(()) };
        let bytes = &mut self.scratch.to_client.bytes;
        let step = decoder.decode(&bytes[at..]).map_err(|_| End::Truncated)?;
        if step.consumed < bytes.len() - at {
            // More than was announced: what follows belongs to no request.
            bytes.truncate(at + step.consumed);
            self.spoiled = true;
        }
        if step.done {
            self.phase = Phase::Ended;
        }
        Ok(())
    }

    /// Takes what has arrived from the upstream.
    fn digest(&mut self) -> Result<(), End> {
        loop {
            match &mut self.phase {
                Phase::Ended => {
                    if !self.scratch.from_upstream.is_empty() && self.scratch.response.status != 101 {
                        self.spoiled = true;
                        self.scratch.from_upstream.clear();
                    }
                    return Ok(());
                }
                Phase::Head => {
                    let scratch = &mut *self.scratch;
                    let complete = Phase::parse_head(
                        &mut scratch.response,
                        &scratch.from_upstream,
                        self.kind,
                        &self.live.limits,
                    )
                    .map_err(|_| End::Invalid)?;
                    if !complete {
                        return Ok(());
                    }
                    self.take_head();
                }
                Phase::Body(decoder) => {
                    let step = decoder.decode(&self.scratch.from_upstream).map_err(|_| End::Truncated)?;
                    let out = &mut self.scratch.to_client.bytes;
                    let data = &self.scratch.from_upstream[step.data.clone()];
                    let chunked = matches!(self.out, OutFraming::Chunked);
                    if !data.is_empty() {
                        if chunked {
                            encode_chunk_header(out, data.len());
                        }
                        out.extend_from_slice(data);
                        if chunked {
                            out.extend_from_slice(b"\r\n");
                        }
                    }
                    if step.done && chunked {
                        encode_last_chunk(out, decoder.trailers());
                    }
                    self.scratch.from_upstream.drain(..step.consumed);
                    if step.done {
                        self.phase = Phase::Ended;
                    } else if step.consumed == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Passes a complete head on to the client.
    fn take_head(&mut self) {
        let Scratch { inbox, head, response, from_upstream, to_client, .. } = &mut *self.scratch;
        if response.is_interim() {
            // Our own 100 was sent when the body was asked for; an HTTP/1.0 client knows no interim responses.
            if response.status != 100 && self.version == Version::Http11 {
                let options = ForwardResponse {
                    client_version: self.version,
                    framing: OutFraming::None,
                    keep_alive: true,
                    extra: b"",
                    head_request: false,
                };
                response.write_forward(from_upstream, &mut to_client.bytes, &options);
            }
            from_upstream.drain(..response.len);
            return;
        }
        self.out = match response.framing {
            Framing::None => OutFraming::None,
            Framing::Length(length) => OutFraming::Length(length),
            Framing::Chunked | Framing::Close if self.version == Version::Http11 => OutFraming::Chunked,
            Framing::Chunked | Framing::Close => OutFraming::Close,
        };
        // A request whose body has not been read to its end must be the last on its connection. So must one whose
        // upgrade was declined if its client has already gone on in the other protocol.
        let switched_alone =
            self.kind == RequestKind::Upgrade && response.status != 101 && inbox.len() > head.len;
        self.keep &= self.body.done()
            && self.out != OutFraming::Close
            && !self.worker.shared.is_draining()
            && !switched_alone;
        let options = ForwardResponse {
            client_version: self.version,
            framing: self.out,
            keep_alive: self.keep,
            extra: b"",
            head_request: self.kind == RequestKind::Head,
        };
        response.write_forward(from_upstream, &mut to_client.bytes, &options);
        if let Some(format) = self.live.log.format() {
            self.exchange.capture(&format.needs().response_headers, response, from_upstream);
        }
        from_upstream.drain(..response.len);
        self.phase = Phase::after(response, &self.live.limits);
        self.answered = true;
        self.exchange.answered(response.status);
        if self.live.settings.limit.release == Release::Headers {
            self.free_slot(Outcome::Completed);
        }
    }

    fn upstream_closed(&mut self) -> Result<bool, End> {
        self.spoiled = true;
        match &mut self.phase {
            Phase::Head if self.scratch.from_upstream.is_empty() => {
                Err(End::Closed { sent: self.scratch.to_upstream.sent })
            }
            Phase::Head => Err(End::Invalid),
            Phase::Body(decoder) => {
                decoder.on_eof().map_err(|_| End::Truncated)?;
                if matches!(self.out, OutFraming::Chunked) {
                    encode_last_chunk(&mut self.scratch.to_client.bytes, b"");
                }
                self.phase = Phase::Ended;
                self.upstream_over(Outcome::Completed);
                Ok(true)
            }
            Phase::Ended => Ok(false),
        }
    }

    /// The upstream's part is over: its connection goes back, the slot is free.
    fn upstream_over(&mut self, outcome: Outcome) {
        if self.scratch.response.status == 101 {
            // The tunnel keeps both.
            return;
        }
        let request_sent = self.body.done() && self.scratch.to_upstream.pending() == 0;
        if let Some(connection) = self.connection.take()
            && request_sent
            && !self.spoiled
            && self.scratch.response.keep_alive
        {
            self.live.upstream.pool.give(self.worker.id, connection);
        }
        self.exchange.upstream_over();
        self.free_slot(outcome);
    }

    fn free_slot(&mut self, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            permit.complete(outcome);
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
                self.client_bytes += n as u64;
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

    /// Whoever makes the exchange wait has a bounded time for it.
    fn poll_clock(&mut self, cx: &mut Context<'_>, moved: &Moved) -> Poll<End> {
        let now = Instant::now();
        if moved.upstream {
            self.upstream_moved = now;
        }
        if moved.client {
            self.client_moved = now;
        }
        let timeouts = &self.live.settings.timeouts;
        let reading = self.connection.is_some();
        let owes_body = reading && !self.body.done() && self.scratch.to_upstream.pending() == 0;
        let unread = self.scratch.to_client.pending() > 0;
        let tied = reading && unread && !self.has_room();

        let upstream_due = self.upstream_moved.max(self.client_moved) + timeouts.upstream;
        let client_due = self.client_moved + timeouts.client;
        let mut next = if reading && !tied && !owes_body { upstream_due } else { client_due };
        if reading && !tied && !owes_body && now >= upstream_due {
            return Poll::Ready(End::TimedOut);
        }
        if (unread || owes_body) && now >= client_due {
            return Poll::Ready(End::ClientSlow);
        }
        if unread {
            next = next.min(client_due);
        }
        if tied || (owes_body && !self.streaming) {
            if self.is_too_slow(now) {
                return Poll::Ready(End::ClientSlow);
            }
            next = next.min(now + RECHECK);
        } else {
            self.window = None;
        }
        ready!(self.client.watchdog.poll(cx, now, next));
        // The time came between reading the clock and arming: look again.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Judges the client by the bytes it moved in the last whole window of `buffer.grace`.
    fn is_too_slow(&mut self, now: Instant) -> bool {
        let buffer = &self.live.settings.buffer;
        let (start, bytes) = *self.window.get_or_insert((now, self.client_bytes));
        if now < start + buffer.grace {
            return false;
        }
        self.window = Some((now, self.client_bytes));
        let least = (buffer.min_rate as f64 * buffer.grace.as_secs_f64()) as u64;
        self.client_bytes - bytes < least
    }
}
