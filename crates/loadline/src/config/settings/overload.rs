//! `[overload]`: signals other than the slots in use that tighten the door. None sets the limit.

use std::time::Duration;

/// `[overload]`. A signal is on when it has a threshold.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Overload {
    /// How late the workers' runtimes are. Default off.
    pub lag: Levels<Duration>,
    /// Share of time in which something waits for a processor, 0.01 to 1, in percent. Default off.
    pub cpu_pressure: Levels<u8>,
    /// The same for memory.
    pub memory_pressure: Levels<u8>,
    /// The same for input and output.
    pub io_pressure: Levels<u8>,
    /// Share of the control group's memory that is in use, in percent. Default off.
    pub cgroup_memory: Levels<u8>,
    /// What the upstream reports.
    pub upstream: UpstreamLoad,
}

/// From above which reading on a level holds; `None` is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels<T> {
    /// `normal` and `low` are rejected.
    pub moderate: Option<T>,
    /// All but `critical` are rejected.
    pub severe: Option<T>,
}

impl<T> Default for Levels<T> {
    fn default() -> Self {
        Self { moderate: None, severe: None }
    }
}

impl<T: Copy> Levels<T> {
    /// Whether there is a threshold.
    pub fn is_on(&self) -> bool {
        self.moderate.is_some() || self.severe.is_some()
    }

    /// The thresholds in another unit.
    pub fn map<U>(self, change: impl Fn(T) -> U) -> Levels<U> {
        Levels { moderate: self.moderate.map(&change), severe: self.severe.map(change) }
    }
}

/// `[overload.upstream]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamLoad {
    /// The response header that says the load, in lower case. Default `endpoint-load-metrics`.
    pub header: String,
    /// The name of the number in it; `None` is the utilization. Default none.
    pub metric: Option<String>,
    /// In percent, 1 to 100. Default off.
    pub levels: Levels<u8>,
}

impl Default for UpstreamLoad {
    fn default() -> Self {
        Self { header: "endpoint-load-metrics".to_owned(), metric: None, levels: Levels::default() }
    }
}
