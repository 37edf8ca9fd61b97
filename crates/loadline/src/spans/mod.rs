//! Spans of recorded requests, for a collector of traces: who waited how long, and what was decided, beside what the
//! application's own spans tell.
//!
//! One span per request, from its first byte to the end of its response. Recorded is what its client records, by the flag in
//! `traceparent`, and of the requests without a trace the share `trace.sample`. The application is told of our span, so that its
//! own are children of it.
//!
//! A request hands its span over through a bounded queue and never waits: what finds the queue full is dropped and counted. A
//! thread of its own sends (`exporter.rs`). In a build without the feature `otlp`, `absent.rs` stands in for all of this.
//!
//! Out of scope: other ways to sample, other protocols, TLS: a collector beside the proxy does all three.

mod encode;
mod exporter;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadline_core::{Class, RouteId};
use loadline_http::trace_context::{SpanId, TraceId, TraceParent};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::exporter::Exporter;
use crate::buffers::Scratch;
use crate::config::settings::Trace;
use crate::exchange::{Exchange, Gone};
use crate::live::Live;
use crate::metrics;
use crate::observe;
use crate::shared::Shared;

/// Spans on their way to the collector. At some 500 bytes each this bounds what a dead one costs to 2 MB.
const QUEUE: usize = 4096;

/// Bytes of a path that a span tells.
const PATH: usize = 256;

/// Where spans go, if anywhere. Shared by all workers; no method but [`flush`](Self::flush) waits for anything.
#[derive(Debug)]
pub(crate) struct Spans {
    running: Option<Running>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Running {
    queue: mpsc::Sender<Message>,
    sample: f64,
    /// Makes ids: random, and a new one for each number drawn.
    random: RandomState,
    drawn: AtomicU64,
}

/// Totals that outlive a reload.
#[derive(Debug, Default)]
struct Counts {
    exported: AtomicU64,
    /// The queue was full.
    dropped: AtomicU64,
    /// The collector was not there, or did not take them.
    failed: AtomicU64,
}

/// What the exporter is handed.
#[derive(Debug)]
enum Message {
    Span(Box<Span>),
    /// Everything before it is to be sent at once; answered when it was.
    Flush(std_mpsc::Sender<()>),
}

/// The span of a request that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenSpan {
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
}

/// A request that is over. Times are nanoseconds since the Unix epoch.
#[derive(Debug)]
struct Span {
    open: OpenSpan,
    start: u128,
    end: u128,
    method: &'static str,
    path: String,
    status: u16,
    http2: bool,
    class: Class,
    decision: &'static str,
    reason: Option<&'static str>,
    route: Option<String>,
    gone: Option<Gone>,
    attempt: u32,
    position: u32,
    wait: Option<Duration>,
    service: Option<Duration>,
    deadline_left_ms: Option<i64>,
    limit: u32,
    in_flight: u32,
}

impl Spans {
    /// Sends nothing.
    pub(crate) fn off() -> Self {
        Self { running: None, counts: Arc::default() }
    }

    /// Starts as configured, as the successor of an `earlier` one if there is one: totals go on, and the earlier one sends
    /// what it holds once nobody uses it any more.
    ///
    /// # Errors
    /// Only if the exporter's thread cannot be started.
    pub(crate) fn start(settings: &Trace, earlier: Option<&Self>) -> Result<Arc<Self>, String> {
        let counts = earlier.map(|earlier| Arc::clone(&earlier.counts)).unwrap_or_default();
        let Some(endpoint) = &settings.endpoint else { return Ok(Arc::new(Self { running: None, counts })) };
        let (queue, messages) = mpsc::channel(QUEUE);
        let exporter = Exporter::new(endpoint, messages, Arc::clone(&counts));
        std::thread::Builder::new()
            .name("spans".to_owned())
            .spawn(move || exporter.run())
            .map_err(|error| format!("cannot start the thread that sends spans: {error}"))?;
        let (sample, random) = (settings.sample, RandomState::new());
        Ok(Arc::new(Self {
            running: Some(Running { queue, sample, random, drawn: AtomicU64::new(0) }),
            counts,
        }))
    }

    /// The span of a request that begins, if it is recorded.
    pub(crate) fn begin(&self, parent: Option<TraceParent>) -> Option<OpenSpan> {
        let running = self.running.as_ref()?;
        match parent {
            Some(parent) if parent.is_sampled() => {
                let id = SpanId::new(running.draw())?;
                Some(OpenSpan { trace: parent.trace, id, parent: Some(parent.span) })
            }
            Some(_) => None,
            None if !running.is_drawn() => None,
            None => {
                let trace = u128::from(running.draw()) << 64 | u128::from(running.draw());
                Some(OpenSpan { trace: TraceId::new(trace)?, id: SpanId::new(running.draw())?, parent: None })
            }
        }
    }

    /// Hands over the span of a request that ended at `now`, if it has one.
    pub(crate) fn end(
        &self,
        shared: &Shared,
        live: &Live,
        scratch: &Scratch,
        http2: bool,
        exchange: &Exchange,
        now: Instant,
    ) {
        let (Some(running), Some(open)) = (&self.running, exchange.trace.span) else { return };
        let Scratch { head, inbox, .. } = scratch;
        let bypass = exchange.class == Class::Bypass;
        let gate = shared.occupancy();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = head.path.of(inbox);
        let span = Span {
            open,
            start: wall.saturating_sub(now.saturating_duration_since(exchange.began)).as_nanos(),
            end: wall.as_nanos(),
            method: metrics::method_name(metrics::method_of(head.method.of(inbox))),
            path: String::from_utf8_lossy(&path[..path.len().min(PATH)]).into_owned(),
            status: exchange.status,
            http2,
            class: exchange.class,
            decision: observe::decision(exchange),
            reason: observe::reason(exchange),
            route: (exchange.route != RouteId::OTHER).then(|| live.routes.name(exchange.route).to_owned()),
            gone: exchange.gone,
            attempt: exchange.attempt,
            position: exchange.depth,
            wait: exchange.queued,
            service: exchange
                .sent
                .map(|sent| exchange.upstream_done.unwrap_or(now).saturating_duration_since(sent)),
            deadline_left_ms: observe::deadline_left(exchange),
            limit: if bypass { gate.bypass_limit } else { gate.limit },
            in_flight: if bypass { gate.bypass_in_flight } else { gate.in_flight },
        };
        if running.queue.try_send(Message::Span(Box::new(span))).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends what is queued, and waits for it for at most `within`.
    pub(crate) fn flush(&self, within: Duration) {
        let Some(running) = &self.running else { return };
        let (done, wait) = std_mpsc::channel();
        if running.queue.try_send(Message::Flush(done)).is_ok() {
            // Whether it was sent or its time is up: the process ends now.
            let _ = wait.recv_timeout(within);
        }
    }

    /// How many there were, with the words for what became of them.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 3] {
        let Counts { exported, dropped, failed } = &*self.counts;
        [("exported", exported), ("dropped", dropped), ("failed", failed)]
            .map(|(result, count)| (result, count.load(Ordering::Relaxed)))
    }
}

impl Running {
    fn draw(&self) -> u64 {
        self.random.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether one more of the requests without a trace is recorded.
    fn is_drawn(&self) -> bool {
        /// What a float tells apart below 1.
        const STEPS: f64 = (1_u64 << 53) as f64;
        self.sample > 0.0 && (self.draw() >> 11) as f64 / STEPS < self.sample
    }
}

impl OpenSpan {
    pub(crate) fn trace(&self) -> TraceId {
        self.trace
    }

    /// What the application is told: its spans are children of this one.
    pub(crate) fn for_children(&self) -> TraceParent {
        TraceParent::sampled(self.trace, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(sample: f64) -> (Spans, mpsc::Receiver<Message>) {
        let (queue, messages) = mpsc::channel(1);
        let running = Running { queue, sample, random: RandomState::new(), drawn: AtomicU64::new(0) };
        (Spans { running: Some(running), counts: Arc::default() }, messages)
    }

    #[test]
    fn a_clients_flag_counts_and_the_share_for_everybody_else() {
        let parent = |flags| {
            let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            TraceParent::parse(text.as_bytes())
        };
        let (never, _messages) = running(0.0);
        let span = never.begin(parent("01")).unwrap();
        assert_eq!(
            (Some(span.trace), span.parent),
            (parent("01").map(|p| p.trace), parent("01").map(|p| p.span))
        );
        assert!(span.for_children().is_sampled() && Some(span.for_children().span) != span.parent);
        assert!(never.begin(None).is_none());
        let (always, _messages) = running(1.0);
        assert!(always.begin(parent("00")).is_none());
        let (one, other) = (always.begin(None).unwrap(), always.begin(None).unwrap());
        assert!(one.trace != other.trace && one.parent.is_none());
        assert!(Spans::off().begin(parent("01")).is_none());
    }

    #[test]
    fn a_share_of_the_requests_is_recorded() {
        let (spans, _messages) = running(0.25);
        let recorded = (0..10_000).filter(|_| spans.begin(None).is_some()).count();
        // Ten standard deviations, of 43 each.
        assert!((2_070..2_930).contains(&recorded), "{recorded}");
    }
}
