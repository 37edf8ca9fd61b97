//! Calls to the upstream: a pool of connections, a bound on time, and the core's breaker in front.
//!
//! What counts as a failure of the upstream: no answer in time, a broken connection, 5xx. A 4xx is the caller's fault and says that
//! the upstream works.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use loadline_core::{Breaker, BreakerCall, BreakerResult, BreakerSettings, BreakerState, Instant};

/// Idle connections that are kept: as many as a small service needs, few beside what an upstream can hold.
const IDLE_CONNECTIONS: usize = 20;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// With 2xx or 3xx.
    Ok,
    /// With 4xx or 5xx.
    Error,
    /// Not in time.
    TimedOut,
    /// With a broken connection, or none.
    Transport,
    /// It was not made; the breaker may let one through after this time.
    BreakerOpen(Duration),
}

impl Called {
    /// Its label in the metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::TimedOut => "timeout",
            Self::Transport => "transport",
            Self::BreakerOpen(_) => "breaker_open",
        }
    }
}

/// An upstream and what protects it.
#[derive(Debug)]
pub(crate) struct Upstream {
    base: String,
    client: Client<HttpConnector, Empty<Bytes>>,
    breaker: Mutex<Breaker>,
    epoch: std::time::Instant,
}

/// A call that the breaker let through; if it is dropped unended, nothing is learned from it.
struct Begun<'a> {
    upstream: &'a Upstream,
    call: Option<BreakerCall>,
}

impl Upstream {
    /// The one at `base` (`http://host:port`, without a final slash), whose breaker opens for `open` after so many `failures`
    /// in a row, or when half of at least 20 calls within 10 s failed.
    pub(crate) fn new(base: String, failures: NonZeroU32, open: Duration) -> Self {
        let mut settings = BreakerSettings::default();
        settings.consecutive_failures = Some(failures);
        settings.open = open;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Self {
            base,
            client,
            breaker: Mutex::new(Breaker::new(settings, fastrand::u64(..))),
            epoch: std::time::Instant::now(),
        }
    }

    /// Asks for `path` (with its query) and waits for the whole answer, at most for `timeout`.
    pub(crate) async fn call(&self, path: &str, timeout: Duration) -> Called {
        let begun = std::time::Instant::now();
        let allowed = self.breaker().try_begin(self.now());
        let call = match allowed {
            Ok(call) => Begun { upstream: self, call: Some(call) },
            Err(wait) => return Called::BreakerOpen(wait),
        };
        let status = match tokio::time::timeout(timeout, self.exchange(path)).await {
            Ok(Some(status)) => status,
            Ok(None) => return call.end(BreakerResult::Failure, Called::Transport),
            Err(_) => return call.end(BreakerResult::Failure, Called::TimedOut),
        };
        let called = if status.as_u16() < 400 { Called::Ok } else { Called::Error };
        if status.is_server_error() {
            call.end(BreakerResult::Failure, called)
        } else {
            call.end(BreakerResult::Success(begun.elapsed()), called)
        }
    }

    /// Whether the breaker refuses calls or probes, and how much of the open time is left.
    pub(crate) fn open(&self) -> (bool, Duration) {
        let now = self.now();
        match self.breaker().state(now) {
            BreakerState::Closed => (false, Duration::ZERO),
            BreakerState::Probing => (true, Duration::ZERO),
            BreakerState::Open { until } => (true, until.saturating_since(now)),
        }
    }

    /// `None` if there was no complete answer.
    async fn exchange(&self, path: &str) -> Option<StatusCode> {
        let uri: Uri = format!("{}{path}", self.base).parse().ok()?;
        let response = self.client.get(uri).await.ok()?;
        let status = response.status();
        // Read to its end, so that the connection can be used again.
        response.into_body().collect().await.ok()?;
        Some(status)
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().expect("the breaker does not panic")
    }
}

impl Begun<'_> {
    fn end(mut self, result: BreakerResult, called: Called) -> Called {
        self.tell(result);
        called
    }

    fn tell(&mut self, result: BreakerResult) {
        if let Some(call) = self.call.take() {
            // There is one upstream, so that the breaker may always open. What changed is read off the state.
            let _ = self.upstream.breaker().on_end(self.upstream.now(), call, result, || true);
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.tell(BreakerResult::Unknown);
    }
}
