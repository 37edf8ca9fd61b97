//! Spans for a collector of traces: `[trace]`.

use super::super::codecs::Optional;
use super::super::key::{Key, key};
use super::super::settings::Settings;
use super::super::trace::{Collector, Ratio};

pub(super) fn trace() -> Vec<Key> {
    vec![
        key(
            "trace.endpoint",
            "Where a span of each recorded request is sent, as OTLP over HTTP (JSON); without a path to /v1/traces. Needs a build with \
             the feature otlp.",
            Optional { word: "none", of: Collector },
            at!(trace.endpoint),
        ),
        key(
            "trace.sample",
            "Share of the requests that are recorded, of those whose client names no trace; where one does, its own flag counts.",
            Ratio,
            at!(trace.sample),
        ),
    ]
}
