//! What happened to one request: filled in along the pipeline, read once at its end by metrics and access log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use loadline_core::{Class, Reason, Rejection, RouteId};
use loadline_h1::ResponseHead;
use loadline_http::deadline::HeaderSet;
use loadline_http::server_timing;
use loadline_tower::Permit;
use tokio::time::Instant;

use crate::asked::{Asked, DecidedBy};
use crate::budget::Deadline;
use crate::reply::{LocalError, Told};
use crate::shadow::Fate;
use crate::trace::Trace;
use crate::upstream::Connection;

/// Where a client was when it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Before its request was complete.
    InRequest,
    /// Waiting for a slot.
    InQueue,
    /// It had a slot, but nothing was sent upstream yet.
    BeforeUpstream,
    /// The upstream was working on it.
    InService,
    /// Its response was under way.
    InBody,
}

/// How the exchange with the upstream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamResult {
    /// A complete response below 500.
    Ok,
    /// A 5xx.
    Error,
    /// None in time.
    Timeout,
    /// The client left first.
    Canceled,
    /// No connection, a broken one, or no valid response.
    Transport,
    /// It was not asked: it had failed too often.
    BreakerOpen,
}

/// Why a request was sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A kept connection had died.
    StaleConnection,
    /// The endpoint could not be reached.
    Unreachable,
    /// The endpoint closed a new connection before the first byte of an answer.
    Closed,
    /// The endpoint's own loadline turned it away.
    TurnedAway,
}

/// Why the upstream worked in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waste {
    /// Its client had left.
    ClientGone,
    /// The answer came after the deadline, or not in time at all.
    Late,
}

/// The record of one request.
pub(crate) struct Exchange {
    /// When the connection was accepted.
    pub(crate) accepted: Instant,
    /// Since when the connection had been idle before the request's first byte.
    pub(crate) idle_since: Instant,
    /// First byte of the request.
    pub(crate) began: Instant,
    /// End of the request's head.
    pub(crate) head_done: Instant,
    /// When it came to the question of a slot: the same, or later where a body was waited for.
    pub(crate) asked_at: Instant,
    pub(crate) trace: Trace,
    /// Under which it is judged: a retry's may be below the one that it asked for.
    pub(crate) class: Class,
    /// The rule that gave it its class.
    pub(crate) decided_by: DecidedBy,
    pub(crate) route: RouteId,
    /// Longest time for the upstream, if its route says.
    pub(crate) timeout: Option<Duration>,
    /// Deadline headers that were ignored.
    pub(crate) invalid_headers: HeaderSet,
    /// Until when its answer is worth something.
    pub(crate) deadline: Option<Deadline>,
    /// Which attempt of its client this is: 1 for the first.
    pub(crate) attempt: u32,
    /// Whether it asked for a slot and got one.
    pub(crate) was_admitted: bool,
    /// Time spent waiting for a slot; `None` when it never came to the question.
    pub(crate) queued: Option<Duration>,
    /// Its place in the queue as Spillway counts: 0 if it never waited, else 1 for the first.
    pub(crate) depth: u32,
    /// Time to get a new upstream connection; zero for a kept one.
    pub(crate) connect: Option<Duration>,
    /// When the request began to go to the upstream.
    pub(crate) sent: Option<Instant>,
    /// When the upstream's final response head had come.
    pub(crate) answered: Option<Instant>,
    /// When the upstream's part was over.
    pub(crate) upstream_done: Option<Instant>,
    /// Status given to the client; 0 when there was none.
    pub(crate) status: u16,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Why it was rejected, or what failed.
    pub(crate) reason: Option<&'static str>,
    pub(crate) was_shed: bool,
    /// After how many seconds it was told to come back.
    pub(crate) retry_after: Option<u32>,
    /// In a dry run: what would have become of it.
    pub(crate) dry_run: Option<Arc<Fate>>,
    /// How often it was sent once more, by [`Repeat`].
    pub(crate) repeats: [u8; 4],
    /// How often a refused connection was asked for once more.
    pub(crate) reconnects: u32,
    /// Whether it was sent to another endpoint than at first.
    pub(crate) redispatched: bool,
    pub(crate) upstream_result: Option<UpstreamResult>,
    pub(crate) gone: Option<Gone>,
    /// It runs on without a client: what that costs is counted when it ends.
    pub(crate) unseen: bool,
    /// The proxy's own address and the upstream's.
    pub(crate) upstream: (Option<SocketAddr>, Option<SocketAddr>),
    /// Response headers that the log's format asks for: name and value.
    pub(crate) captured: Vec<(String, Vec<u8>)>,
    /// How the session ended, in HAProxy's two letters: who ended it, and in which phase.
    pub(crate) termination: [u8; 2],
}

impl Exchange {
    pub(crate) fn new(accepted: Instant, idle_since: Instant, began: Instant, head_done: Instant) -> Self {
        Self {
            accepted,
            idle_since,
            began,
            head_done,
            asked_at: head_done,
            trace: Trace::default(),
            class: Class::Normal,
            decided_by: DecidedBy::Default,
            route: RouteId::OTHER,
            timeout: None,
            invalid_headers: HeaderSet::default(),
            deadline: None,
            attempt: 1,
            was_admitted: false,
            queued: None,
            depth: 0,
            connect: None,
            sent: None,
            answered: None,
            upstream_done: None,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            reason: None,
            was_shed: false,
            retry_after: None,
            dry_run: None,
            repeats: [0; 4],
            reconnects: 0,
            redispatched: false,
            upstream_result: None,
            gone: None,
            unseen: false,
            upstream: (None, None),
            captured: Vec::new(),
            termination: *b"--",
        }
    }

    pub(crate) fn asked(&mut self, asked: &Asked) {
        self.class = asked.class;
        self.decided_by = asked.decided_by;
        self.route = asked.route;
        self.timeout = asked.timeout;
        self.attempt = asked.attempt;
        self.deadline = asked.deadline;
        self.invalid_headers = asked.invalid_headers;
    }

    /// The deadline, unless this is a dry run, in which nobody is held to it.
    pub(crate) fn binding_deadline(&self) -> Option<Deadline> {
        self.deadline.filter(|_| self.dry_run.is_none())
    }

    /// Why it would have been rejected, if this is a dry run and it would have been.
    pub(crate) fn would_shed(&self) -> Option<Reason> {
        self.dry_run.as_ref()?.shed()
    }

    pub(crate) fn admitted(&mut self, permit: &Permit) {
        self.was_admitted = true;
        self.class = permit.class();
        self.queued = Some(permit.queued());
        self.depth = permit.depth();
    }

    pub(crate) fn shed(&mut self, rejection: &Rejection, told: &Told) {
        self.was_shed = true;
        self.class = rejection.class;
        self.status = told.status;
        self.retry_after = Some(told.retry_after);
        self.reason = Some(rejection.reason.as_str());
        self.depth = rejection.depth;
        self.queued = Some(rejection.waited);
        self.termination = if rejection.depth > 0 { *b"sQ" } else { *b"PQ" };
    }

    pub(crate) fn failed(&mut self, error: &LocalError) {
        self.status = error.status();
        self.reason = Some(error.reason());
        self.retry_after = error.retry_after();
        self.termination = error.termination;
    }

    /// When it got its slot, or was told that it gets none.
    pub(crate) fn decided_at(&self) -> Instant {
        self.asked_at + self.queued.unwrap_or_default()
    }

    /// `fresh`: the connection was opened for this request, at `now`.
    pub(crate) fn connected(&mut self, now: Instant, fresh: bool, connection: &Connection) {
        let took = || now.saturating_duration_since(self.decided_at());
        self.connect = Some(if fresh { took() } else { Duration::ZERO });
        self.sent = Some(now);
        if fresh || self.upstream.1.is_none() {
            self.upstream = connection.addresses;
        }
    }

    pub(crate) fn answered(&mut self, status: u16, now: Instant) {
        self.status = status;
        self.answered = Some(now);
        self.upstream_result = Some(if status < 500 { UpstreamResult::Ok } else { UpstreamResult::Error });
    }

    /// Keeps the response headers called `names`.
    pub(crate) fn capture(&mut self, names: &[String], response: &ResponseHead, bytes: &[u8]) {
        for name in names {
            let values =
                response.iter(bytes).filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()));
            if let Some((_, value)) = values.last() {
                self.captured.push((name.clone(), value.to_vec()));
            }
        }
    }

    /// Appends the line that tells the client how long it waited, and the upstream took until now.
    pub(crate) fn write_timing(&self, out: &mut Vec<u8>) {
        let app = self.sent.map(|sent| sent.elapsed()).unwrap_or_default();
        out.extend_from_slice(server_timing::NAME.as_bytes());
        out.extend_from_slice(b": ");
        server_timing::write(&[("queue", self.queued.unwrap_or_default()), ("app", app)], out);
        out.extend_from_slice(b"\r\n");
    }

    /// It is sent once more. `elsewhere`: to another endpoint.
    pub(crate) fn repeated(&mut self, why: Repeat, elsewhere: bool) {
        let count = &mut self.repeats[why as usize];
        *count = count.saturating_add(1);
        self.redispatched |= elsewhere;
    }

    /// Attempts to reach an endpoint and to be answered by it, but for the first.
    pub(crate) fn retries(&self) -> u32 {
        self.repeats.iter().map(|count| u32::from(*count)).sum::<u32>() + self.reconnects
    }

    pub(crate) fn upstream_over(&mut self, now: Instant) {
        self.upstream_done = Some(now);
    }

    /// The response broke off.
    pub(crate) fn upstream_broke(&mut self) {
        self.upstream_result = Some(UpstreamResult::Transport);
        self.termination = *b"SD";
    }

    pub(crate) fn timed_out(&mut self, answered: bool) {
        self.upstream_result = Some(UpstreamResult::Timeout);
        self.termination = if answered { *b"sD" } else { *b"sH" };
    }

    /// Whether the upstream worked in vain, and why; nothing that was not sent to it is.
    pub(crate) fn waste(&self) -> Option<Waste> {
        self.sent?;
        let late = |done: Instant| self.deadline.is_some_and(|deadline| done > deadline.at);
        if self.upstream_result == Some(UpstreamResult::Timeout) || self.upstream_done.is_some_and(late) {
            Some(Waste::Late)
        } else {
            self.gone.map(|_| Waste::ClientGone)
        }
    }

    /// The client left after it had waited for so long, at this place.
    pub(crate) fn left_queue(&mut self, waited: Duration, depth: u32) {
        self.queued = Some(waited);
        self.depth = depth;
        self.client_gone(Gone::InQueue);
    }

    pub(crate) fn client_gone(&mut self, stage: Gone) {
        self.gone = Some(stage);
        self.termination = match stage {
            Gone::InRequest => *b"CR",
            Gone::InQueue => *b"CQ",
            Gone::BeforeUpstream => *b"CC",
            Gone::InService => *b"CH",
            Gone::InBody => *b"CD",
        };
        if self.upstream_done.is_none() && self.sent.is_some() {
            self.upstream_result = Some(UpstreamResult::Canceled);
        }
    }
}
