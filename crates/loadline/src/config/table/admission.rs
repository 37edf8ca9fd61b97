//! What else decides who is let in: `[[route]]`, `[queue.codel]`, `[fairness]`, `[retry]` and `[warmup]`.

use super::super::codecs::{Optional, Span, Switch};
use super::super::fairness::Key as FairnessKeyCodec;
use super::super::key::{Key, key, with_field};
use super::super::priority::Share;
use super::super::routes::RoutesField;
use super::super::settings::Settings;
use super::{DAY, MILLISECOND, MOST};

pub(super) fn routes() -> Key {
    with_field(
        "route",
        "Kinds of requests, written as [[route]]: name (the label path in metrics), path and method (a string or a list; paths as \
         in priority.rules), and any of concurrency (of the limit, how many slots at once), cost (\"learned\", or how many slots a \
         request takes), class (before the rules are asked), timeout (instead of timeouts.upstream). The first that matches counts; \
         any other request is called other. Outside of a file, the list is written as TOML or JSON on one line.",
        RoutesField { most: MOST, timeout: (MILLISECOND, DAY) },
    )
}

pub(super) fn codel() -> Vec<Key> {
    let span = || Span { min: MILLISECOND, max: DAY };
    vec![
        key(
            "queue.codel.target",
            "For the discipline codel: the wait that is nothing to worry about.",
            span(),
            at!(queue.codel.target),
        ),
        key(
            "queue.codel.interval",
            "For the discipline codel: how long waits must have been above the target before the first is rejected.",
            span(),
            at!(queue.codel.interval),
        ),
    ]
}

pub(super) fn fairness() -> Vec<Key> {
    vec![
        key(
            "fairness.key",
            "Between whom slots are shared within a class: off, client-ip (IPv6 by /64; behind trust.proxies the address they tell), \
             or header:name (the client's address where the header is missing).",
            FairnessKeyCodec,
            at!(fairness.key),
        ),
        key(
            "fairness.cohorts",
            "Whether an overload, instead of giving every tenant the same, turns the same tenants away for an hour, so that the others are \
             served completely. No effect without a key.",
            Switch,
            at!(fairness.cohorts),
        ),
    ]
}

pub(super) fn retry() -> Vec<Key> {
    vec![
        key(
            "retry.detect",
            "Whether x-envoy-attempt-count, grpc-previous-rpc-attempts and x-retry-attempt mark retries, which go behind fresh requests \
             while those are rejected, and where slots are scarce hold a fifth of them at most (or 3).",
            Switch,
            at!(retry.detect),
        ),
        key(
            "retry.token",
            "Whether a rejection has the header x-retry-attempt that its retry should carry.",
            Switch,
            at!(retry.token),
        ),
    ]
}

pub(super) fn warmup() -> Vec<Key> {
    vec![
        key(
            "warmup.from",
            "Share of the limit to begin with, after a start and when the upstream is back after it could not be reached.",
            Share,
            at!(warmup.from),
        ),
        key(
            "warmup.over",
            "How long the limit then takes to rise to all of it; none starts with all of it.",
            Optional { word: "none", of: Span { min: MILLISECOND, max: DAY } },
            at!(warmup.over),
        ),
    ]
}
