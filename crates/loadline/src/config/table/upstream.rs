//! Where requests go, and what is done about places that fail: `[dns]`, `[breaker]`, `[balance]`.

use std::time::Duration;

use super::super::codecs::{Optional, Span, Switch, Words, positive, whole};
use super::super::key::{Key, key};
use super::super::priority::Share;
use super::super::settings::{Policy, Settings};
use super::super::upstream::{Address, RequestPath, Statuses};
use super::{DAY, MILLISECOND, MOST};

/// Between two resolutions: more often would be an attack, less often a restart.
const REFRESH: Span = Span { min: Duration::from_millis(100), max: Duration::from_secs(3_600) };

pub(super) fn dns() -> Vec<Key> {
    vec![
        key(
            "dns.server",
            "Name server that is asked for the upstream's names, instead of the system's way (hosts file, search list, its \
             servers).",
            Optional { word: "system", of: Address },
            at!(dns.server),
        ),
        key(
            "dns.refresh",
            "Longest time until a name is resolved again. An answer that holds for a shorter time is asked for again then, but not \
             within 1 s.",
            REFRESH,
            at!(dns.refresh),
        ),
    ]
}

pub(super) fn breaker() -> Vec<Key> {
    let share = || Optional { word: "off", of: Share };
    let span = || Span { min: MILLISECOND, max: DAY };
    vec![
        key(
            "breaker.enabled",
            "Whether an endpoint that fails is asked nothing for a while, even if it is the only one: its requests get 503 \
             breaker_open at once. When off, the rest of this table decides which of several endpoints are left out for a while \
             (balance.max_ejected).",
            Switch,
            at!(breaker.enabled),
        ),
        key(
            "breaker.consecutive_failures",
            "So many failures in a row trip it: no answer in time, a broken connection, or a status of breaker.statuses. 0: they \
             do not.",
            whole(0, MOST),
            at!(breaker.consecutive_failures),
        ),
        key(
            "breaker.failure_rate",
            "This share of failures within the window trips it.",
            share(),
            at!(breaker.failure_rate),
        ),
        key(
            "breaker.slow_rate",
            "This share of slow answers within the window trips it.",
            share(),
            at!(breaker.slow_rate),
        ),
        key(
            "breaker.slow_call",
            "An answer whose headers take this long is slow.",
            span(),
            at!(breaker.slow_call),
        ),
        key(
            "breaker.min_requests",
            "Least number of answers within the window of which a share is taken.",
            positive(MOST),
            at!(breaker.min_requests),
        ),
        key("breaker.window", "How far back shares look.", span(), at!(breaker.window)),
        key(
            "breaker.open",
            "How long it stays open. Twice as long each time that it trips again soon.",
            span(),
            at!(breaker.open),
        ),
        key("breaker.max_open", "Longest time that it stays open.", span(), at!(breaker.max_open))
            .follows("2m, at least breaker.open"),
        key(
            "breaker.probes",
            "Requests that try at one time whether it can close; as many must succeed.",
            positive(1_000),
            at!(breaker.probes),
        ),
        key(
            "breaker.statuses",
            "Statuses that count as failures. A 503 with which another loadline turned a request away never does.",
            Statuses,
            at!(breaker.statuses),
        ),
    ]
}

pub(super) fn balance() -> Vec<Key> {
    vec![
        key(
            "balance.policy",
            "Which of several endpoints is next: least-latency takes the better of two by latency times requests in service, \
             least-inflight by requests in service.",
            Words(&[
                ("least-latency", Policy::LeastLatency),
                ("least-inflight", Policy::LeastInFlight),
                ("round-robin", Policy::RoundRobin),
                ("random", Policy::Random),
            ]),
            at!(balance.policy),
        ),
        key(
            "balance.max_per_endpoint",
            "Requests in service at one endpoint. The limit is lowered to what the usable endpoints may have together.",
            Optional { word: "off", of: positive(MOST) },
            at!(balance.max_per_endpoint),
        ),
        key(
            "balance.max_ejected",
            "Share of the endpoints that may be left out for their failures, rounded down. Failures are judged by the breaker's \
             settings. With breaker.enabled there is no such bound.",
            Optional { word: "off", of: Share },
            at!(balance.max_ejected),
        ),
        key(
            "balance.slow_start",
            "Until an endpoint that is new or returns gets its full share; 0 is at once.",
            Span { min: Duration::ZERO, max: DAY },
            at!(balance.slow_start),
        ),
        key(
            "balance.retry_budget",
            "Requests that may be repeated on another endpoint, as a share of all within some 10 s. Off repeats none.",
            Optional { word: "off", of: Share },
            at!(balance.retry_budget),
        ),
        key(
            "balance.retry_min",
            "Repetitions per second that are allowed whatever the share.",
            whole(0, MOST),
            at!(balance.retry_min),
        ),
        key(
            "balance.health.path",
            "What endpoints are asked for when they have not answered a request for an interval; 200 to 399 is well.",
            Optional { word: "off", of: RequestPath },
            at!(balance.health.path),
        ),
        key(
            "balance.health.interval",
            "Between two health checks.",
            Span { min: Duration::from_millis(10), max: DAY },
            at!(balance.health.interval),
        ),
        key(
            "balance.health.timeout",
            "Until a health check's answer.",
            Span { min: MILLISECOND, max: DAY },
            at!(balance.health.timeout),
        ),
        key(
            "balance.health.rise",
            "So many passed checks in a row bring an endpoint back.",
            positive(1_000),
            at!(balance.health.rise),
        ),
        key(
            "balance.health.fall",
            "So many failed checks in a row take an endpoint out.",
            positive(1_000),
            at!(balance.health.fall),
        ),
    ]
}
