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

/// What each second level says.
const SEVERE: &str = "The same for all but critical.";

pub(super) fn overload() -> Vec<Key> {
    let lag = || Optional { word: "off", of: Span { min: MILLISECOND, max: MOST_LAG } };
    let lags = [
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
    ];
    let cpu = shares(
        ["overload.cpu_pressure.moderate", "overload.cpu_pressure.severe"],
        "Share of the last 10 s in which something on this machine waited for a processor (/proc/pressure/cpu, some) above \
         which normal and low are rejected.",
        [at!(overload.cpu_pressure.moderate), at!(overload.cpu_pressure.severe)],
    );
    let memory = shares(
        ["overload.memory_pressure.moderate", "overload.memory_pressure.severe"],
        "The same with /proc/pressure/memory, for normal and low.",
        [at!(overload.memory_pressure.moderate), at!(overload.memory_pressure.severe)],
    );
    let io = shares(
        ["overload.io_pressure.moderate", "overload.io_pressure.severe"],
        "The same with /proc/pressure/io, for normal and low.",
        [at!(overload.io_pressure.moderate), at!(overload.io_pressure.severe)],
    );
    let cgroup = shares(
        ["overload.cgroup_memory.moderate", "overload.cgroup_memory.severe"],
        "Share of the control group's memory limit (version 2) in use, inactive file pages left out, above which normal and \
         low are rejected.",
        [at!(overload.cgroup_memory.moderate), at!(overload.cgroup_memory.severe)],
    );
    let report = [
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
    ];
    let upstream = shares(
        ["overload.upstream.moderate", "overload.upstream.severe"],
        "What the upstream reports above which normal and low are rejected.",
        [at!(overload.upstream.levels.moderate), at!(overload.upstream.levels.severe)],
    );
    [lags, cpu, memory, io, cgroup, report, upstream].into_iter().flatten().collect()
}

/// The two levels of a signal that is a share; `doc` is the first one's.
fn shares(names: [&'static str; 2], doc: &'static str, places: [Place<Option<u8>>; 2]) -> [Key; 2] {
    let ([moderate, severe], [first, second]) = (names, places);
    let share = |name, doc, place| key(name, doc, Optional { word: "off", of: Share }, place);
    [share(moderate, doc, first), share(severe, SEVERE, second)]
}
