//! The demo service: it asks an upstream for everything, and sheds what is too much.
//!
//! | path | what it does |
//! |---|---|
//! | `GET /client?ms&fail_rate&timeout_ms&priority` | asks the upstream, within a time, through a breaker |
//! | `POST /work?ms&fail_rate&queue_depth&queue_limit` | computes; sheds what finds too long a queue |
//! | `GET /healthz`, `/metrics`, `/` | well; in numbers; in words |
//!
//! Overload on `/client` is real: at most [`ApiSettings::max_in_flight`] of its requests are in service, and the next is answered 429
//! with `Retry-After` at once. Breaker and cap are beside each other on purpose: the one protects the upstream, the other us.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};

use crate::burn::Burners;
use crate::call::{Called, Upstream};
use crate::metrics::{Gauges, Metrics};
use crate::query::{Query, Refused};
use crate::reply::{Body, detail, json, text};
use crate::serve::App;
use crate::{MAX_WORK_MS, upstream};

/// Threads for `/work`: few, so that it has a queue that can be seen.
pub(crate) const WORK_THREADS: usize = 4;

/// Longest queue that a caller may wish for.
const MAX_QUEUE: u32 = 100_000;

/// Seconds after which a shed client may try again: one, as requests here take much less.
const RETRY_AFTER_SECONDS: &str = "1";

/// What the demo service is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// The upstream, `http://host:port`.
    pub upstream: String,
    /// Requests on `/client` in service at once; those with `priority=high` or without a priority may take all of them.
    pub max_in_flight: NonZeroU32,
    /// From so many in service on, `priority=normal` is shed; at most [`Self::max_in_flight`].
    pub normal_in_flight: NonZeroU32,
    /// From so many in service on, `priority=low` is shed; at most [`Self::normal_in_flight`].
    pub low_in_flight: NonZeroU32,
    /// Failed calls in a row that open the breaker.
    pub breaker_failures: NonZeroU32,
    /// How long it stays open, the first time.
    pub breaker_open: Duration,
}

/// The demo service's state.
#[derive(Debug)]
pub(crate) struct Api {
    settings: ApiSettings,
    upstream: Upstream,
    clients: AtomicUsize,
    work: Burners,
    metrics: Metrics,
}

/// A request on `/client` in service.
struct Slot<'a>(&'a AtomicUsize);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl App for Api {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        self.metrics.measured(request.method(), self.route(&request)).await
    }
}

impl Api {
    pub(crate) fn new(settings: ApiSettings) -> Self {
        let base = settings.upstream.trim_end_matches('/').to_owned();
        Self {
            upstream: Upstream::new(base, settings.breaker_failures, settings.breaker_open),
            clients: AtomicUsize::new(0),
            work: Burners::new(WORK_THREADS),
            metrics: Metrics::default(),
            settings,
        }
    }

    /// The route's name and its answer.
    async fn route(&self, request: &Request<Incoming>) -> (&'static str, Response<Body>) {
        let query = Query::new(request.uri().query());
        let post = request.method() == Method::POST;
        let read = [Method::GET, Method::HEAD].contains(request.method());
        match request.uri().path() {
            "/client" if read => ("/client", or_refused(self.client(query).await)),
            "/client" => ("/client", not_allowed("GET")),
            "/work" if post => ("/work", or_refused(self.work(query).await)),
            "/work" => ("/work", not_allowed("POST")),
            "/healthz" => ("/healthz", json(StatusCode::OK, "{\"ok\":true}")),
            "/metrics" => ("/metrics", text(StatusCode::OK, self.metrics.page(Some(self.gauges())))),
            "/" => ("/", text(StatusCode::OK, self.home())),
            _ => ("other", detail(StatusCode::NOT_FOUND, "not found")),
        }
    }

    async fn client(&self, query: Query<'_>) -> Result<Response<Body>, Refused> {
        let ms = upstream::milliseconds(query)?;
        let fail_rate = query.share("fail_rate")?.unwrap_or(0.0);
        let timeout_ms = query.count("timeout_ms", 1..=10_000)?.unwrap_or(200);
        let cap = self.cap(query.text("priority"))?;
        let Some(_slot) = self.slot(cap) else {
            let mut shed = detail(StatusCode::TOO_MANY_REQUESTS, "load shed: too many requests in flight");
            shed.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
            return Ok(shed);
        };
        let begun = Instant::now();
        let path = format!("/upstream?ms={ms}&fail_rate={fail_rate}");
        let called = self.upstream.call(&path, Duration::from_millis(timeout_ms.into())).await;
        let made = !matches!(called, Called::BreakerOpen(_));
        self.metrics.called(called.as_str(), made.then(|| begun.elapsed()));
        Ok(match called {
            Called::Ok => {
                json(StatusCode::OK, format!("{{\"ok\":true,\"ms\":{ms},\"timeout_ms\":{timeout_ms}}}"))
            }
            Called::Error => detail(StatusCode::BAD_GATEWAY, "upstream error"),
            Called::Transport => detail(StatusCode::BAD_GATEWAY, "upstream transport error"),
            Called::TimedOut => detail(StatusCode::GATEWAY_TIMEOUT, "upstream timeout"),
            Called::BreakerOpen(wait) => {
                let mut refused = detail(StatusCode::SERVICE_UNAVAILABLE, "circuit breaker open");
                // Zero while probes decide; a client that comes at once would only find the same.
                let seconds = (wait.as_millis().div_ceil(1_000)).max(1).to_string();
                let seconds = HeaderValue::try_from(seconds).expect("digits make a header");
                refused.headers_mut().insert(RETRY_AFTER, seconds);
                refused
            }
        })
    }

    async fn work(&self, query: Query<'_>) -> Result<Response<Body>, Refused> {
        let ms = query.count("ms", 1..=MAX_WORK_MS)?.unwrap_or(50);
        let fail_rate = query.share("fail_rate")?.unwrap_or(0.02);
        let queue_limit = query.count("queue_limit", 0..=MAX_QUEUE)?.unwrap_or(50);
        let waiting = u32::try_from(self.work.waiting()).unwrap_or(u32::MAX);
        // A caller may pretend a depth, to see what would happen.
        let depth = query.count("queue_depth", 0..=MAX_QUEUE)?.unwrap_or(waiting);
        if depth > queue_limit {
            self.metrics.worked("shed");
            let mut shed = detail(StatusCode::TOO_MANY_REQUESTS, "load shed: queue depth too high");
            shed.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
            return Ok(shed);
        }
        self.work.burn(Duration::from_millis(ms.into())).await;
        if fastrand::f64() < fail_rate {
            self.metrics.worked("error");
            return Ok(detail(StatusCode::INTERNAL_SERVER_ERROR, "simulated failure"));
        }
        self.metrics.worked("ok");
        Ok(json(StatusCode::OK, format!("{{\"status\":\"ok\",\"ms\":{ms},\"queue_depth\":{depth}}}")))
    }

    /// How many may be in service for a request of this priority to be let in.
    fn cap(&self, priority: Option<&str>) -> Result<NonZeroU32, Refused> {
        match priority {
            None | Some("high") => Ok(self.settings.max_in_flight),
            Some("normal") => Ok(self.settings.normal_in_flight),
            Some("low") => Ok(self.settings.low_in_flight),
            Some(_) => Err(Refused::Unreadable("priority must be high, normal or low".to_owned())),
        }
    }

    fn slot(&self, cap: NonZeroU32) -> Option<Slot<'_>> {
        let cap = usize::try_from(cap.get()).unwrap_or(usize::MAX);
        let free = |taken: usize| (taken < cap).then_some(taken + 1);
        self.clients.fetch_update(Relaxed, Relaxed, free).ok().map(|_| Slot(&self.clients))
    }

    fn gauges(&self) -> Gauges {
        let (breaker_open, left) = self.upstream.open();
        let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + left;
        let open_until = if left.is_zero() { 0.0 } else { until.as_secs_f64() };
        Gauges { breaker_open, open_until, work_queue: self.work.waiting() }
    }

    fn home(&self) -> String {
        format!(
            "loadline's demo service, before the upstream {upstream}\n\
             \n\
             GET  /client?ms=50&fail_rate=0&timeout_ms=200   asks the upstream; 429 beyond {most} at once\n\
             POST /work?ms=50&fail_rate=0.02&queue_limit=50  computes here; 429 when its queue is too long\n\
             GET  /healthz                                   well\n\
             GET  /metrics                                   in numbers\n",
            upstream = self.settings.upstream,
            most = self.settings.max_in_flight,
        )
    }
}

fn or_refused(result: Result<Response<Body>, Refused>) -> Response<Body> {
    result.unwrap_or_else(|refused| refused.response())
}

fn not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = detail(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
