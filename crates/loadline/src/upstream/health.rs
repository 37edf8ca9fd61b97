//! Active health checks: asking endpoints that nobody has asked for a while.
//!
//! Why: an endpoint that is out is brought back before a client has to try it, and one that nobody uses is known to be down before
//! somebody does. When: only when `balance.health.path` is set.
//!
//! An endpoint that has answered a request within the interval is not asked: it is well, and its workers may all be busy.
//! A check that times out under full load would take out the very endpoint that works hardest, and its load would go
//! to the next one. For the same reason nobody is asked who has as many requests in service as there may be: an app with a
//! worker for each has none for the check. And where a connection is kept, the check takes its place, for that connection may
//! hold the app's only worker.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use loadline_h1::{Limits, RequestKind, ResponseHead, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::endpoint::Endpoint;
use super::{Upstream, connect};
use crate::config::settings::Health;

/// Why a check was not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection, or one that broke off.
    Unreachable,
    /// No answer in time.
    Silent,
    /// An answer that is none.
    Invalid,
    /// An answer that says otherwise.
    Status(u16),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("no connection"),
            Self::Silent => f.write_str("no answer in time"),
            Self::Invalid => f.write_str("no valid answer"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

/// Counts of checks in a row.
#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
}

/// Checks the endpoints of `upstream` for ever; at once over when there is nothing to ask for.
pub(crate) async fn keep_checked(upstream: Arc<Upstream>, health: Health, host: String) {
    let Some(path) = health.path.clone() else {
        upstream.all_up();
        return;
    };
    let request: Arc<str> =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadline\r\nConnection: close\r\n\r\n")
            .into();
    let mut tallies: Vec<(Arc<Endpoint>, Tally)> = Vec::new();
    let mut ticks = tokio::time::interval(health.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let endpoints = upstream.endpoints();
        let most = upstream.most_in_service();
        tallies.retain(|(known, _)| endpoints.iter().any(|endpoint| Arc::ptr_eq(endpoint, known)));
        let mut checks = JoinSet::new();
        for endpoint in endpoints {
            if !tallies.iter().any(|(known, _)| Arc::ptr_eq(known, &endpoint)) {
                tallies.push((Arc::clone(&endpoint), Tally::default()));
            }
            if endpoint.in_flight() >= most && !endpoint.is_down() {
                continue;
            }
            let idle = !endpoint.answered_within(upstream.now(), health.interval);
            let (request, patience) = (Arc::clone(&request), health.timeout);
            checks.spawn(async move {
                let checked = if idle { check(&endpoint, &request, patience).await } else { Some(Ok(())) };
                (endpoint, checked)
            });
        }
        while let Some(checked) = checks.join_next().await {
            let Ok((endpoint, Some(checked))) = checked else { continue };
            let tally = tallies.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &endpoint));
            if let Some((_, tally)) = tally {
                judge(&upstream, &endpoint, tally, checked, &health);
            }
        }
    }
}

fn judge(
    upstream: &Upstream,
    endpoint: &Endpoint,
    tally: &mut Tally,
    checked: Result<(), Trouble>,
    health: &Health,
) {
    *tally = match checked {
        Ok(()) => Tally { passed: tally.passed.saturating_add(1), failed: 0 },
        Err(_) => Tally { passed: 0, failed: tally.failed.saturating_add(1) },
    };
    let down = endpoint.is_down();
    if down && tally.passed >= health.rise.get() || !down && tally.failed >= health.fall.get() {
        endpoint.set_down(upstream.now(), checked.err());
        upstream.changed.notify_one();
    }
}

/// Whether the endpoint answers with 200 to 399 in time; `None` when it could not be asked, which is not its fault.
async fn check(endpoint: &Endpoint, request: &str, patience: Duration) -> Option<Result<(), Trouble>> {
    Some(match timeout(patience, ask(endpoint, request, Instant::now() + patience)).await {
        Ok(Ok(200..=399)) => Ok(()),
        Ok(Ok(status)) => Err(Trouble::Status(status)),
        Ok(Err(trouble)) => Err(trouble?),
        Err(_) => Err(Trouble::Silent),
    })
}

/// The status of the answer; no trouble: there was none to ask with.
async fn ask(endpoint: &Endpoint, request: &str, deadline: Instant) -> Result<u16, Option<Trouble>> {
    let _room = endpoint.pool.displace();
    let unreachable = |_: io::Error| Some(Trouble::Unreachable);
    let connected = connect::once(endpoint, deadline).await;
    let (mut stream, _) = connected.map_err(|error| (!error.is_ours()).then_some(Trouble::Unreachable))?;
    stream.write_all(request.as_bytes()).await.map_err(unreachable)?;
    let (mut received, mut head, limits) = (Vec::new(), ResponseHead::default(), Limits::default());
    loop {
        if stream.read_buf(&mut received).await.map_err(unreachable)? == 0 {
            return Err(Some(Trouble::Unreachable));
        }
        let invalid = |_| Some(Trouble::Invalid);
        while matches!(head.parse(&received, RequestKind::Other, &limits).map_err(invalid)?, Status::Complete)
        {
            if !head.is_interim() {
                return Ok(head.status);
            }
            received.drain(..head.len);
        }
    }
}
