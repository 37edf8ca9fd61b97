//! The upstream's side of an exchange: reading the response, rewriting it, and the moment when the upstream is done.

use std::sync::Arc;
use std::task::{Context, Poll};

use loadline_core::Outcome;
use loadline_h1::{
    ForwardResponse, Framing, OutFraming, RequestKind, ResponseHead, Version, encode_chunk_header,
    encode_last_chunk,
};
use tokio::time::Instant;

use super::{End, Moved, Pump};
use crate::buffers::{BUFFER, Scratch, poll_read_into};
use crate::client::ClientIo;
use crate::config::settings::Release;
use crate::forward::response::Phase;

/// The share of `buffer.total` that one response may be read ahead by while others wait for its slot.
const GENEROUS_SHARE: usize = 16;

/// Beyond what is usually read ahead a buffer grows by one in so many: often enough to stay near what it holds, and seldom enough that
/// copying costs little.
const GROWS_BY: usize = 4;

/// Bytes for the framing of what one read brings: that of some dozens of chunks.
const FRAMING: usize = 1024;

impl<S: ClientIo> Pump<'_, S> {
    pub(super) fn read_response(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Result<bool, End> {
        // After its end there is nothing more to read: what a switched protocol sends is the tunnel's.
        if self.connection.is_none() || self.phase.has_ended() || !self.has_room() {
            return Ok(false);
        }
        let Some(connection) = &mut self.connection else { return Ok(false) };
        // A body of known length needs no second look: it is read straight into the client's buffer.
        let straight = matches!((&self.phase, &self.out), (Phase::Body(_), OutFraming::Length(_)));
        let into = if straight { &mut self.scratch.to_client.bytes } else { &mut self.scratch.from_upstream };
        let at = into.len();
        let room = if straight { BUFFER } else { BUFFER / 4 };
        let Poll::Ready(read) = poll_read_into(&mut connection.io, cx, into, room) else { return Ok(false) };
        // Time has passed until this came.
        self.now = None;
        if !matches!(read, Ok(n) if n > 0) {
            return self.upstream_closed(read.is_ok());
        }
        if straight {
            self.count_straight(at)?;
        } else {
            self.digest()?;
        }
        // A head has to be complete in time: pieces of it buy none.
        moved.upstream |= self.answered;
        if self.phase.has_ended() {
            self.upstream_over(Outcome::Completed);
        }
        Ok(true)
    }

    /// Whether more of the response may be read now.
    pub(super) fn has_room(&mut self) -> bool {
        let pending = self.scratch.to_client.pending();
        if pending == 0 {
            return true;
        }
        self.scratch.to_client.compact();
        let mut most = self.live.read_ahead;
        if pending >= most && pending < self.worker.shared.budget.total() / GENEROUS_SHARE {
            // Others wait for the slot: memory is cheaper than their time.
            if self.permit.is_some() && self.worker.shared.gate.occupancy().queued > 0 {
                most = usize::MAX;
            }
        }
        pending < most && self.make_room()
    }

    /// Room in the client's buffer for the next read, if the total allows it. What counts is what the buffer takes, not what is in
    /// it: a read fills whatever is spare.
    fn make_room(&mut self) -> bool {
        let Scratch { from_upstream, to_client, .. } = &mut *self.scratch;
        let out = &mut to_client.bytes;
        // What is read elsewhere comes here with its framing.
        let next = BUFFER.max(from_upstream.capacity()) + FRAMING;
        if out.capacity() - out.len() >= next {
            return self.charge.cover(out.capacity());
        }
        // As far as it will be needed, at once: each step on the way there would leave memory behind that nobody else needs.
        let ahead = match self.out {
            OutFraming::Length(length) => {
                usize::try_from(length).unwrap_or(usize::MAX).min(self.live.read_ahead)
            }
            _ => 2 * out.len(),
        };
        let more = ahead.saturating_sub(out.len()).max(out.len() / GROWS_BY) + next;
        let granted = [more, next].into_iter().find(|more| self.charge.cover(out.len() + more));
        if let Some(more) = granted {
            out.reserve_exact(more);
        }
        granted.is_some()
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
        // Taken out while it is read from, and shortened once: a body behind its head need not move to the front.
        let mut received = std::mem::take(&mut self.scratch.from_upstream);
        let mut taken = 0;
        let result = self.digest_from(&received, &mut taken);
        received.drain(..taken);
        self.scratch.from_upstream = received;
        result
    }

    /// Advances `taken` over what it has used of `received`.
    fn digest_from(&mut self, received: &[u8], taken: &mut usize) -> Result<(), End> {
        loop {
            let rest = &received[*taken..];
            match &mut self.phase {
                Phase::Ended => {
                    // More than was announced belongs to no request. After a switch it belongs to the new protocol.
                    if !rest.is_empty() && self.scratch.response.status != 101 {
                        self.spoiled = true;
                        *taken = received.len();
                    }
                    return Ok(());
                }
                Phase::Head => {
                    let response = &mut self.scratch.response;
                    let complete = Phase::parse_head(response, rest, self.kind, &self.live.limits);
                    if !complete.map_err(|refusal| End::Invalid(refusal.kind.text()))? {
                        return Ok(());
                    }
                    *taken += response.len;
                    self.take_head(rest)?;
                }
                Phase::Body(decoder) => {
                    let step = decoder.decode(rest).map_err(|_| End::Truncated)?;
                    let out = &mut self.scratch.to_client.bytes;
                    let data = &rest[step.data.clone()];
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
                    *taken += step.consumed;
                    if step.done {
                        self.phase = Phase::Ended;
                    } else if step.consumed == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Passes a complete head on to the client; `received` begins with it.
    fn take_head(&mut self, received: &[u8]) -> Result<(), End> {
        let Scratch { response, to_client, .. } = &mut *self.scratch;
        if response.is_interim() {
            // Our own 100 was sent when the body was asked for; an HTTP/1.0 client knows no interim responses.
            if response.status != 100 && self.version == Version::Http11 {
                let options = ForwardResponse {
                    client_version: self.version,
                    framing: OutFraming::None,
                    keep_alive: true,
                    extra: b"",
                    head_request: false,
                    drop: &[],
                };
                response.write_forward(received, &mut to_client.bytes, &options);
            }
            return Ok(());
        }
        self.judge_head(received)?;
        let Scratch { inbox, head, response, to_client, .. } = &mut *self.scratch;
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
        self.endless = matches!(response.framing, Framing::Chunked | Framing::Close)
            && response.field(received, "content-type").is_some_and(is_event_stream);
        // How loaded the application is concerns us alone.
        let reports = self.live.load_report().map(|(header, metric)| {
            if let Some(report) = response.field(received, header) {
                self.worker.shared.overload.upstream_reported(report, metric);
            }
            header
        });
        let mut extra = Vec::new();
        if self.live.settings.response.server_timing {
            self.exchange.write_timing(&mut extra);
        }
        let options = ForwardResponse {
            client_version: self.version,
            framing: self.out,
            keep_alive: self.keep,
            extra: &extra,
            head_request: self.kind == RequestKind::Head,
            drop: reports.as_slice(),
        };
        response.write_forward(received, &mut to_client.bytes, &options);
        if matches!(self.out, OutFraming::Length(length) if length > self.live.read_ahead as u64) {
            self.client.io.show_progress();
        }
        if let Some(format) = self.live.log.format() {
            self.exchange.capture(&format.needs().response_headers, response, received);
        }
        self.phase = Phase::after(response, &self.live.limits);
        self.answered = true;
        let now = *self.now.get_or_insert_with(Instant::now);
        self.exchange.answered(response.status, now);
        self.live.upstream.outage.answered();
        if self.live.settings.limit.release == Release::Headers {
            self.free_slot(Outcome::Completed);
        }
        Ok(())
    }

    /// Tells the endpoint what its final head says of it; a request that was turned away unseen goes elsewhere if it can.
    fn judge_head(&mut self, received: &[u8]) -> Result<(), End> {
        let response = &self.scratch.response;
        let turned_away = turned_away(response, received);
        let Some(pick) = &mut self.pick else { return Ok(()) };
        let busy = turned_away == Some(TurnedAway::Busy);
        let now = *self.now.get_or_insert_with(Instant::now);
        pick.answered(&self.live.upstream, response.status, self.began, now, busy);
        if turned_away.is_none() || !self.repeatable || !self.whole || !self.body.done() {
            return Ok(());
        }
        let tried = [self.tried, &[Arc::clone(pick.endpoint())]].concat();
        if !self.live.upstream.may_repeat(&tried) {
            return Ok(());
        }
        // Its connection is good for the next one if all of the answer is here.
        let rest = (received.len() - response.len) as u64;
        let ended = match response.framing {
            Framing::None => rest == 0,
            Framing::Length(length) => rest == length,
            Framing::Chunked | Framing::Close => false,
        };
        if ended
            && response.keep_alive
            && !self.spoiled
            && self.scratch.to_upstream.pending() == 0
            && let Some(connection) = self.connection.take()
        {
            pick.endpoint().pool.give(self.worker.id, connection, now);
        }
        Err(End::TurnedAway)
    }

    /// `cleanly`: it was no reset, which ends a message before its end, also one that lasts until the connection is closed
    /// (RFC 9112, 8).
    fn upstream_closed(&mut self, cleanly: bool) -> Result<bool, End> {
        self.spoiled = true;
        match &mut self.phase {
            Phase::Head if self.scratch.from_upstream.is_empty() => {
                Err(End::Closed { written: self.written, whole: self.whole && self.body.done() })
            }
            Phase::Head => Err(End::Invalid("closed within the head")),
            Phase::Body(_) if !cleanly => Err(End::Truncated),
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
        let now = self.now();
        let request_sent = self.body.done() && self.scratch.to_upstream.pending() == 0;
        if let Some(connection) = self.connection.take()
            && let Some(pick) = &self.pick
            && request_sent
            && !self.spoiled
            && self.scratch.response.keep_alive
        {
            pick.endpoint().pool.give(self.worker.id, connection, now);
        }
        // The endpoint has room for the next one before the next one gets its slot.
        self.pick = None;
        self.exchange.upstream_over(now);
        self.free_slot(outcome);
    }

    pub(super) fn free_slot(&mut self, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            permit.complete_at(self.now(), outcome);
        }
    }
}

/// Server-sent events (the HTML standard's `text/event-stream`), with or without parameters.
fn is_event_stream(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// What the answer of a loadline of the endpoint's own means. A tenant that has had its share has had it everywhere.
fn turned_away(response: &ResponseHead, received: &[u8]) -> Option<TurnedAway> {
    if !matches!(response.status, 503 | 429) {
        return None;
    }
    let said = response.field(received, "proxy-status")?.strip_prefix(b"loadline; error=")?;
    if said.ends_with(b"details=\"fairness\"") {
        return None;
    }
    // The others say that it cannot reach its application.
    let busy: [&[u8]; 3] = [b"connection_limit_reached", b"http_request_denied", b"http_request_error"];
    Some(if busy.iter().any(|error| said.starts_with(error)) { TurnedAway::Busy } else { TurnedAway::Broken })
}

/// Nothing of the request reached the application.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TurnedAway {
    /// It has enough to do.
    Busy,
    /// It is not there, or fails.
    Broken,
}
