//! The end of a request: numbers for the metrics, a line for the log.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadline_core::{Class, Reason, RouteId};
use loadline_h1::{RequestHead, Version};
use loadline_http::log::{Counters, HeaderLookup, Record, Timers};
use tokio::time::Instant;

use crate::buffers::Scratch;
use crate::client::Peer;
use crate::exchange::Exchange;
use crate::live::Live;
use crate::metrics;
use crate::worker::Worker;

/// Records a request that was served, rejected or abandoned, and returns the moment that it counts as over.
pub(crate) fn request(
    worker: &Worker,
    live: &Live,
    peer: &Peer,
    scratch: &Scratch,
    exchange: &Exchange,
) -> Instant {
    let now = Instant::now();
    let method = metrics::method_of(scratch.head.method.of(&scratch.inbox));
    let seconds = now.saturating_duration_since(exchange.began).as_secs_f64();
    let mut metrics = worker.shared.metrics_of(worker.id);
    metrics.record(method, exchange, seconds);
    if !exchange.invalid_headers.is_empty() {
        let invalid = live.deadlines.headers().filter(|(id, ..)| exchange.invalid_headers.contains(*id));
        invalid.for_each(|(_, name, _)| metrics.record_invalid_header(name));
    }
    drop(metrics);
    worker.shared.recent_of(worker.id).record(exchange, method, scratch.head.path.of(&scratch.inbox), now);
    live.spans.end(&worker.shared, live, scratch, peer.http2, exchange, now);
    if live.log.is_on() {
        log(worker, live, peer, Some(scratch), exchange, now);
    }
    now
}

/// Records what could not be read as a request.
pub(crate) fn unreadable(worker: &Worker, live: &Live, peer: &Peer, exchange: &Exchange) {
    worker.shared.metrics_of(worker.id).record_refused(exchange.status);
    if live.log.is_on() {
        log(worker, live, peer, None, exchange, Instant::now());
    }
}

fn log(
    worker: &Worker,
    live: &Live,
    peer: &Peer,
    scratch: Option<&Scratch>,
    exchange: &Exchange,
    now: Instant,
) {
    let shared = &worker.shared;
    let gate = shared.occupancy();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ago = |at: Instant| nanos(wall.saturating_sub(now.saturating_duration_since(at)));
    let connections = shared.connections.load(std::sync::atomic::Ordering::Relaxed) as u64;
    let bypass = exchange.class == Class::Bypass;
    let request = scratch.map(|scratch| Headers { head: &scratch.head, bytes: &scratch.inbox });
    let mut record = Record {
        now_ns: nanos(wall),
        accepted_at_ns: ago(exchange.accepted),
        started_at_ns: ago(exchange.began),
        timers: timers(exchange, now, request.is_some()),
        frontend: "http",
        backend: match (request.is_some(), bypass) {
            (false, _) => "",
            (true, true) => "healthcheck",
            (true, false) => "app",
        },
        server: exchange.sent.is_some().then_some("main"),
        client: Some(peer.client),
        local: Some(peer.local),
        source: exchange.upstream.0,
        upstream: exchange.upstream.1,
        status: (exchange.status > 0).then_some(exchange.status),
        bytes_in: exchange.bytes_in,
        bytes_out: exchange.bytes_out,
        queue_position: u64::from(exchange.depth),
        counters: Counters {
            active_connections: connections,
            frontend_connections: connections,
            backend_connections: u64::from(gate.in_flight + gate.queued),
            server_connections: u64::from(gate.in_flight),
            retries: exchange.retries(),
            redispatched: exchange.redispatched,
            log_counter: live.log.written(),
            request_counter: worker.shared.metrics_of(worker.id).requests_seen(),
        },
        termination: exchange.termination,
        hostname: &shared.process.hostname,
        pid: std::process::id(),
        decision: decision(exchange),
        reason: reason(exchange),
        retry_after: exchange.retry_after,
        class: exchange.class.as_str(),
        route: if exchange.route == RouteId::OTHER { "" } else { live.routes.name(exchange.route) },
        limit: u64::from(if bypass { gate.bypass_limit } else { gate.limit }),
        in_flight: u64::from(if bypass { gate.bypass_in_flight } else { gate.in_flight }),
        deadline_left_ms: deadline_left(exchange),
        attempt: exchange.attempt,
        entropy: shared.process.entropy(),
        ..Record::default()
    };
    let trace = exchange.trace.id().map(|id| id.digits());
    record.trace_id = trace.as_ref().map_or("", |digits| text(Some(digits)));
    if let Some(Headers { head, bytes }) = &request {
        record.method = head.method.of(bytes);
        record.target = head.target.of(bytes);
        record.version = match (peer.http2, head.version) {
            (true, _) => b"HTTP/2.0",
            (false, Version::Http11) => b"HTTP/1.1",
            (false, Version::Http10) => b"HTTP/1.0",
        };
        record.request_id = text(head.field(bytes, "x-request-id"));
        record.request_headers = request.as_ref().map(|headers| headers as &dyn HeaderLookup);
    }
    let captured = Captured(&exchange.captured);
    if exchange.answered.is_some() {
        record.response_headers = Some(&captured);
        record.response_version = b"HTTP/1.1";
    }
    live.log.record(&record);
}

fn timers(exchange: &Exchange, now: Instant, read: bool) -> Timers {
    let since = |from: Instant, to: Instant| to.saturating_duration_since(from);
    Timers {
        handshake: Duration::ZERO,
        idle: since(exchange.idle_since, exchange.began),
        request: read.then(|| since(exchange.began, exchange.head_done)),
        queue: exchange.queued,
        connect: exchange.connect,
        response: exchange.sent.zip(exchange.answered).map(|(sent, answered)| since(sent, answered)),
        transfer: exchange.answered.map(|answered| since(answered, now)),
        total: since(exchange.began, now),
    }
}

/// Why it was rejected or failed, or in a dry run would have been rejected.
pub(crate) fn reason(exchange: &Exchange) -> Option<&'static str> {
    exchange.reason.or_else(|| exchange.would_shed().map(Reason::as_str))
}

/// Milliseconds that were left at the decision; negative if the deadline had passed by then.
pub(crate) fn deadline_left(exchange: &Exchange) -> Option<i64> {
    let at = exchange.deadline?.at;
    let decided = exchange.decided_at();
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Some(millis(at.saturating_duration_since(decided)) - millis(decided.saturating_duration_since(at)))
}

/// The log's word for what was decided.
pub(crate) fn decision(exchange: &Exchange) -> &'static str {
    match exchange {
        Exchange { was_shed: true, .. } => "shed",
        exchange if exchange.would_shed().is_some() => "would_shed",
        Exchange { was_admitted: false, .. } => "",
        Exchange { class: Class::Bypass, .. } => "bypass",
        Exchange { depth: 0, .. } => "admitted",
        Exchange { .. } => "queued",
    }
}

/// A request's headers, looked up in the bytes that they came in.
struct Headers<'a> {
    head: &'a RequestHead,
    bytes: &'a [u8],
}

impl HeaderLookup for Headers<'_> {
    fn last(&self, name: &str) -> Option<&[u8]> {
        let wanted = name.as_bytes();
        self.head.iter(self.bytes).rfind(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|at| at.1)
    }
}

/// The response headers that were kept for the log.
struct Captured<'a>(&'a [(String, Vec<u8>)]);

impl HeaderLookup for Captured<'_> {
    fn last(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(captured, _)| captured == name).map(|(_, value)| value.as_slice())
    }
}

/// A header's value if it is text; what is not cannot be an id.
fn text(value: Option<&[u8]>) -> &str {
    value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
}

fn nanos(since_epoch: Duration) -> i64 {
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}
