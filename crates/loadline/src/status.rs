//! The state of the proxy in one document, and in one word.

use std::sync::atomic::Ordering;

use loadline_core::{Class, ClassCounters, LimiterSnapshot, Reason, Snapshot};
use serde_json::{Map, Value, json};

use crate::process::Rates;
use crate::shadow::{Comparison, ShadowRun};
use crate::shared::Shared;
use crate::upstream::{Sight, Standing, Upstream};

/// What the proxy is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Every request has a slot at once.
    Ok,
    /// Requests wait for a slot.
    Queueing,
    /// Requests are rejected.
    Shedding,
    /// The proxy finishes what is under way.
    Draining,
}

impl State {
    /// `shedding`: whether something was shed just now.
    pub(crate) fn of(gate: &Snapshot, shedding: bool) -> Self {
        if gate.draining {
            Self::Draining
        } else if shedding {
            Self::Shedding
        } else if gate.queued > 0 {
            Self::Queueing
        } else {
            Self::Ok
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Queueing => "QUEUEING",
            Self::Shedding => "SHEDDING",
            Self::Draining => "DRAINING",
        }
    }
}

/// What the limit is, how it came about, and what is being tried.
pub(crate) fn limiter(shared: &Shared, limiter: &LimiterSnapshot) -> Value {
    let now = shared.gate.now();
    let rounded = |number: f64| (number * 1e3).round() / 1e3;
    let changes = limiter.changes.iter().rev().map(|change| {
        json!({
            "seconds_ago": rounded(now.saturating_since(change.at).as_secs_f64()),
            "from": change.from,
            "to": change.to,
            "why": change.why.as_str(),
        })
    });
    json!({
        "algorithm": limiter.law,
        "limit": limiter.limit,
        "in_force": limiter.in_force,
        "min": limiter.min,
        "max": limiter.max,
        "arms": limiter.arms.map(|(low, high)| [low, high]),
        "elasticity": limiter.elasticity.map(rounded),
        "standard_error": limiter.standard_error.map(rounded),
        "bound": limiter.bound.map(rounded),
        "raised": limiter.raised,
        "lowered": limiter.lowered,
        "changes": changes.collect::<Vec<_>>(),
    })
}

/// What the settings that are not obeyed would have done.
fn shadow(run: &ShadowRun) -> Value {
    let Comparison { shadow, since, real: [offered, admitted, shed] } = run.compare();
    let total = shadow.counters.total();
    json!({
        "since_seconds": since.elapsed().as_secs(),
        "limit": shadow.limit,
        "in_flight": shadow.in_flight,
        "queued": shadow.queued,
        "offered": total.offered,
        "admitted": total.admitted,
        "shed": total.shed_total(),
        "abandoned": total.abandoned,
        "shed_by_reason": by_reason(&total),
        "live": { "offered": offered, "admitted": admitted, "shed": shed },
    })
}

fn by_reason(counters: &ClassCounters) -> Map<String, Value> {
    Reason::ALL.into_iter().map(|reason| (reason.as_str().to_owned(), counters.shed(reason).into())).collect()
}

/// The document of `/api/v1/status`.
pub(crate) fn json(shared: &Shared) -> Value {
    let gate = shared.snapshot();
    let live = shared.live();
    let Rates { offered, admitted, shed, demand } = shared.process.rates();
    let millis = |wait: std::time::Duration| (wait.as_secs_f64() * 1e6).round() / 1e3;
    let total = gate.counters.total();
    let lately = shared.history.lately();
    let mut by_class = Map::new();
    for class in Class::ALL {
        let counters = gate.counters.of(class);
        let row = json!({
            "offered": counters.offered,
            "admitted": counters.admitted,
            "shed": counters.shed_total(),
            "shed_by_reason": by_reason(counters),
            "abandoned": counters.abandoned,
            "queued": gate.class(class).queued,
            "overloaded": gate.class(class).overloaded,
            "tenants": gate.class(class).tenants,
            "predicted_wait_ms": millis(gate.class(class).predicted_wait),
        });
        by_class.insert(class.as_str().to_owned(), row);
    }
    let mut by_route = Map::new();
    for (id, name) in live.routes.iter() {
        let predicted = gate.predicted_service.get(id.index()).copied().flatten();
        by_route.insert(
            name.to_owned(),
            json!({
                "in_flight": gate.in_flight_by_route.get(id.index()).copied().unwrap_or_default(),
                "predicted_service_ms": predicted.map(millis),
            }),
        );
    }
    json!({
        "state": State::of(&gate, shared.process.shed_just_now()).as_str(),
        "version": env!("CARGO_PKG_VERSION"),
        "started_ms": (shared.process.started_unix_seconds() * 1e3).round() as u64,
        "uptime_seconds": shared.process.started.elapsed().as_secs(),
        "upstream": live.settings.upstream.to_string(),
        "endpoints": endpoints(&live.upstream),
        "limit": gate.limit,
        "effective_limit": gate.effective_limit,
        "reserve": gate.reserve,
        "limiter": limiter(shared, &gate.limiter),
        "in_flight": gate.in_flight,
        "peak_in_flight": gate.peak_in_flight,
        "bypass_limit": gate.bypass_limit,
        "bypass_in_flight": gate.bypass_in_flight,
        "queued": gate.queued,
        "queue_depth": gate.queue_depth,
        "oldest_wait_ms": gate.oldest_wait.map(millis),
        "mean_service_ms": gate.mean_service.map(millis),
        "wait_ms": lately.wait(),
        "service_ms": lately.service(),
        "utilization": gate.utilization,
        "demand_ratio": demand,
        "rates_per_second": { "offered": offered, "admitted": admitted, "shed": shed, "good": lately.good },
        "counters": {
            "offered": total.offered,
            "admitted": total.admitted,
            "shed": total.shed_total(),
            "abandoned": total.abandoned,
            "completed": total.completed,
            "failed": total.failed,
            "timed_out": total.timed_out,
            "aborted": total.aborted,
        },
        "shed_by_reason": by_reason(&total),
        "classes": by_class,
        "routes": by_route,
        "retries": { "in_flight": gate.retries_in_flight, "share": gate.retry_share },
        "connections": {
            "client": shared.connections.load(Ordering::Relaxed),
            "upstream": live.upstream.connections(),
            "tunnels": shared.tunnels.load(Ordering::Relaxed),
        },
        "dry_run": live.settings.dry_run,
        "shadow": live.shadow.as_ref().map(shadow),
        "overload": shared.overload.json(&live.settings.overload),
        "abandoned_exchanges": shared.abandoned.load(Ordering::Relaxed),
        "buffer": { "used_bytes": shared.budget.used(), "limit_bytes": shared.budget.total() },
        "log": { "written": live.log.written(), "dropped": live.log.dropped() },
    })
}

/// What is known of the endpoints.
fn endpoints(upstream: &Upstream) -> Vec<Value> {
    let one = |sight: Sight| {
        let standing = match sight.standing {
            Standing::Up => "up",
            Standing::Open(_) => "open",
            Standing::Probing => "probing",
            Standing::Down(_) => "down",
        };
        let rest = match sight.standing {
            Standing::Open(until) => Some(upstream.until(until).as_millis() as u64),
            Standing::Up | Standing::Probing | Standing::Down(_) => None,
        };
        json!({
            "address": sight.name,
            "state": standing,
            "open_for_ms": rest,
            "in_flight": sight.in_flight,
            "connections": sight.connections,
            "latency_ms": (sight.latency > 0.0).then_some((sight.latency * 1e6).round() / 1e3),
            "ok": sight.answered,
            "failed": sight.failed,
            "ejections": sight.trips,
        })
    };
    upstream.sights().into_iter().map(one).collect()
}
