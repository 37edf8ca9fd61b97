//! Signals that tighten the door: `[overload]`.

use std::time::Duration;

use super::super::codecs::{Optional, Span};
use super::super::key::{Key, Place, key};
use super::super::overload::{FieldName, MetricName};
use super::super::priority::Share;
use super::super::settings::Settings;
use super::MILLISECOND;

/// Longest lag that makes sense as a threshold: a runtime that is later than this is not overloaded but stuck.
const MOST_LAG: Duration = Duration::from_secs(10);

pub(super) fn overload() -> Vec<Key> {
    let lag = || Optional { word: "off", of: Span { min: MILLISECOND, max: MOST_LAG } };
    let share =
        |name, doc, place: Place<Option<u8>>| key(name, doc, Optional { word: "off", of: Share }, place);
    vec![
        key(
            "overload.lag.moderate",
            "When the workers' threads are later than this for most of half a second, normal and low are rejected. Usual: 100ms.",
            lag(),
            at!(overload.lag.moderate),
        ),
        key(
            "overload.lag.severe",
            "The same for all but critical. Usual: 200ms.",
            lag(),
            at!(overload.lag.severe),
        ),
        share(
            "overload.cpu_pressure.moderate",
            "Share of the last 10 s in which something on this machine waited for a processor (/proc/pressure/cpu, some) above \
             which normal and low are rejected.",
            at!(overload.cpu_pressure.moderate),
        ),
        share(
            "overload.cpu_pressure.severe",
            "The same for all but critical.",
            at!(overload.cpu_pressure.severe),
        ),
        share(
            "overload.memory_pressure.moderate",
            "The same with /proc/pressure/memory, for normal and low.",
            at!(overload.memory_pressure.moderate),
        ),
        share(
            "overload.memory_pressure.severe",
            "The same for all but critical.",
            at!(overload.memory_pressure.severe),
        ),
        share(
            "overload.io_pressure.moderate",
            "The same with /proc/pressure/io, for normal and low.",
            at!(overload.io_pressure.moderate),
        ),
        share(
            "overload.io_pressure.severe",
            "The same for all but critical.",
            at!(overload.io_pressure.severe),
        ),
        share(
            "overload.cgroup_memory.moderate",
            "Share of the control group's memory limit (version 2) in use, inactive file pages left out, above which normal and \
             low are rejected.",
            at!(overload.cgroup_memory.moderate),
        ),
        share(
            "overload.cgroup_memory.severe",
            "The same for all but critical.",
            at!(overload.cgroup_memory.severe),
        ),
        key(
            "overload.upstream.header",
            "Response header in which the upstream says how loaded it is: ORCA's TEXT or JSON form, or a bare number where 1 is \
             all. Not passed on while the signal is on.",
            FieldName,
            at!(overload.upstream.header),
        ),
        key(
            "overload.upstream.metric",
            "Name of the number in it; utilization is application_utilization, or else cpu_utilization. One of a group is \
             written named_metrics.queue.",
            Optional { word: "utilization", of: MetricName },
            at!(overload.upstream.metric),
        ),
        share(
            "overload.upstream.moderate",
            "What the upstream reports above which normal and low are rejected.",
            at!(overload.upstream.levels.moderate),
        ),
        share(
            "overload.upstream.severe",
            "The same for all but critical.",
            at!(overload.upstream.levels.severe),
        ),
    ]
}
