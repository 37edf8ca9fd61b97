//! Overload signals: what says that the process, its machine or the upstream is overloaded, although slots may be free.
//!
//! **Why it exists.** The limit counts requests. A worker that is not given a processor, a machine that swaps, an application
//! whose own pools are full: none of that shows in the count. Each signal that is on is read here, judged against its
//! thresholds ([`judge`]), and the worst of them tightens the door ([`loadline_tower::Gate::set_overload`]): above
//! `moderate` normal and low are rejected, above `severe` all but critical. Who waits already is served.
//!
//! **When it acts.** Every [`EVERY`] on the main thread, off the workers' path; files of the machine are read once a second. A
//! request costs nothing, but for a look at one response header where the upstream reports its load.
//!
//! **How it recovers.** By hysteresis: see [`judge`]. A load that the upstream does not report any more is forgotten after
//! [`REPORT_VALID`], for when everything is rejected, nothing reports.
//!
//! **Out of scope.** The limit. Signals never set it: they say that something is wrong, not how many requests are right.

mod host;
mod judge;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loadline_core::OverloadLevel;
use loadline_http::load_report;
use loadline_tower::lag::{LagMonitor, LagSettings};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use self::host::Host;
use self::judge::Judge;
use crate::banner::{self, Style};
use crate::config::settings::{self, Levels};
use crate::say::say;
use crate::shared::Shared;

/// Between two looks at the signals: a runtime blocked for 300 ms is to be noticed within 500 ms.
const EVERY: Duration = Duration::from_millis(100);

/// The same while no signal is on: as soon as a reload switches one on.
const EVERY_WHILE_OFF: Duration = Duration::from_secs(1);

/// Between two reads of the machine's files: the kernel averages over 10 s.
const HOST_EVERY: Duration = Duration::from_secs(1);

/// Between two samples of a runtime's lag: 20 wake-ups per second, and a stall of 100 ms is never missed.
const LAG_PERIOD: Duration = Duration::from_millis(50);

/// The same while nobody is rejected for it: enough for a gauge, at half the wake-ups of an idle process.
const LAG_PERIOD_WHILE_OFF: Duration = Duration::from_millis(100);

/// How far back the lag is looked at. What was late for more than half of it counts: a stall of 300 ms does, one of 200 ms in
/// an otherwise quiet half second does not.
const LAG_WINDOW: Duration = Duration::from_millis(500);

/// The share of the window's time in which the lag may be longer than what is judged.
const LAG_QUANTILE: f64 = 0.5;

/// How long the upstream's last report counts.
const REPORT_VALID: Duration = Duration::from_secs(5);

/// At most one line about overload in this time, but for the end of one that was announced.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What may say that something is overloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Lag,
    CpuPressure,
    MemoryPressure,
    IoPressure,
    CgroupMemory,
    Upstream,
}

impl Signal {
    pub(crate) const ALL: [Self; 6] = [
        Self::Lag,
        Self::CpuPressure,
        Self::MemoryPressure,
        Self::IoPressure,
        Self::CgroupMemory,
        Self::Upstream,
    ];

    /// The word in settings, metrics and status.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lag => "lag",
            Self::CpuPressure => "cpu_pressure",
            Self::MemoryPressure => "memory_pressure",
            Self::IoPressure => "io_pressure",
            Self::CgroupMemory => "cgroup_memory",
            Self::Upstream => "upstream",
        }
    }

    /// Seconds for the lag, shares of 1 for the rest.
    fn thresholds(self, settings: &settings::Overload) -> Levels<f64> {
        let share = |levels: Levels<u8>| levels.map(|percent| f64::from(percent) / 100.0);
        match self {
            Self::Lag => settings.lag.map(|lag| lag.as_secs_f64()),
            Self::CpuPressure => share(settings.cpu_pressure),
            Self::MemoryPressure => share(settings.memory_pressure),
            Self::IoPressure => share(settings.io_pressure),
            Self::CgroupMemory => share(settings.cgroup_memory),
            Self::Upstream => share(settings.upstream.levels),
        }
    }

    /// A reading in words.
    fn words(self, reading: f64) -> String {
        match self {
            Self::Lag => format!("{} is {:.0} ms", self.as_str(), reading * 1e3),
            _ => format!("{} is {reading:.2}", self.as_str()),
        }
    }
}

/// The signals of the process.
#[derive(Default)]
pub(crate) struct Overload {
    /// By worker; empty until it runs.
    lag: Box<[Mutex<Option<Measured>>]>,
    reports: Reports,
    state: Mutex<State>,
}

/// One worker's runtime.
struct Measured {
    period: Duration,
    since: Instant,
    monitor: LagMonitor,
}

/// Loads that the upstream reported since they were last looked at.
#[derive(Default)]
struct Reports {
    /// In millionths.
    sum: AtomicU64,
    count: AtomicU64,
}

#[derive(Default)]
struct State {
    readings: [Option<f64>; Signal::ALL.len()],
    judges: [Judge; Signal::ALL.len()],
    report_at: Option<Instant>,
    host_at: Option<Instant>,
}

impl Overload {
    pub(crate) fn new(workers: usize) -> Self {
        Self { lag: (0..workers).map(|_| Mutex::default()).collect(), ..Self::default() }
    }

    /// Begins to measure the runtime that this is called in, which is worker `id`'s, unless that is measured as these settings
    /// want it already.
    pub(crate) fn measure_worker(&self, id: usize, settings: &settings::Overload) {
        let period = if settings.lag.is_on() { LAG_PERIOD } else { LAG_PERIOD_WHILE_OFF };
        let mut measured = lock(&self.lag[id]);
        if measured.as_ref().is_none_or(|measured| measured.period != period) {
            let mut settings = LagSettings::default();
            settings.period = period;
            settings.window = LAG_WINDOW;
            let monitor = LagMonitor::start_with(settings);
            *measured = Some(Measured { period, since: Instant::now(), monitor });
        }
    }

    /// Takes note of a response's load report; one that cannot be read is none.
    pub(crate) fn upstream_reported(&self, report: &[u8], metric: Option<&str>) {
        let load = match metric {
            Some(name) => load_report::metric(report, name),
            None => load_report::utilization(report),
        };
        if let Some(load) = load {
            // Beyond a thousand times full it is a mistake, and a sum must not overflow.
            let millionths = (load.min(1e3) * 1e6) as u64;
            self.reports.sum.fetch_add(millionths, Ordering::Relaxed);
            self.reports.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Median and maximum of each worker's lag, in seconds.
    pub(crate) fn lag(&self) -> impl Iterator<Item = (usize, f64, f64)> + '_ {
        let seconds = |lag: Duration| lag.as_secs_f64();
        self.lag.iter().enumerate().filter_map(move |(worker, measured)| {
            let measured = lock(measured);
            let Measured { monitor, .. } = measured.as_ref()?;
            Some((worker, seconds(monitor.quantile(LAG_QUANTILE)), seconds(monitor.max())))
        })
    }

    /// The level of each signal.
    pub(crate) fn levels(&self) -> [(Signal, OverloadLevel); Signal::ALL.len()] {
        let state = self.state();
        Signal::ALL.map(|signal| (signal, state.judges[signal as usize].level()))
    }

    /// The highest level.
    pub(crate) fn level(&self) -> OverloadLevel {
        self.state().judges.iter().map(Judge::level).max().unwrap_or_default()
    }

    /// The signal with the highest level, in words; none when there is no overload.
    pub(crate) fn leading(&self) -> Option<String> {
        let state = self.state();
        let level = |signal: Signal| state.judges[signal as usize].level();
        // The first of equals: `max_by_key` would give the last.
        let leading = Signal::ALL.into_iter().rev().max_by_key(|signal| level(*signal))?;
        let reading = state.readings[leading as usize].unwrap_or_default();
        (level(leading) > OverloadLevel::None).then(|| leading.words(reading))
    }

    /// The part of the status document.
    pub(crate) fn json(&self, settings: &settings::Overload) -> Value {
        let state = self.state();
        let level = state.judges.iter().map(Judge::level).max().unwrap_or_default();
        let signals: serde_json::Map<_, _> = Signal::ALL
            .into_iter()
            .filter(|signal| signal.thresholds(settings).is_on())
            .map(|signal| {
                let Levels { moderate, severe } = signal.thresholds(settings);
                let row = json!({
                    "level": state.judges[signal as usize].level().as_str(),
                    "reading": state.readings[signal as usize],
                    "moderate": moderate,
                    "severe": severe,
                });
                (signal.as_str().to_owned(), row)
            })
            .collect();
        json!({ "level": level.as_str(), "signals": signals })
    }

    /// Reads and judges every signal that is on; the worst level.
    fn evaluate(&self, now: Instant, settings: &settings::Overload, host: &mut Host) -> OverloadLevel {
        // Until its first window is full, one late start would be most of it.
        let lag = self.lag.iter().filter_map(|measured| {
            let measured = lock(measured);
            let warm = measured.as_ref().filter(|one| now - one.since >= LAG_WINDOW);
            warm.map(|one| one.monitor.quantile(LAG_QUANTILE))
        });
        let worst_lag = lag.max();
        let mut state = self.state();
        state.readings[Signal::Lag as usize] = worst_lag.map(|lag| lag.as_secs_f64());
        self.take_reports(now, &mut state);
        if state.host_at.is_none_or(|at| now - at >= HOST_EVERY) {
            state.host_at = Some(now);
            for signal in Signal::ALL.into_iter().filter(|signal| signal.thresholds(settings).is_on()) {
                if let Some(reading) = host.read(signal) {
                    state.readings[signal as usize] = reading;
                }
            }
        }
        let State { readings, judges, .. } = &mut *state;
        let judged = Signal::ALL.map(|signal| {
            let thresholds = signal.thresholds(settings);
            judges[signal as usize].update(now, readings[signal as usize], &thresholds)
        });
        judged.into_iter().max().unwrap_or_default()
    }

    /// The mean of what was reported since the last time, or what was known before.
    fn take_reports(&self, now: Instant, state: &mut State) {
        let count = self.reports.count.swap(0, Ordering::Relaxed);
        let sum = self.reports.sum.swap(0, Ordering::Relaxed);
        let reading = &mut state.readings[Signal::Upstream as usize];
        if count > 0 {
            *reading = Some(sum as f64 / count as f64 / 1e6);
            state.report_at = Some(now);
        } else if state.report_at.is_none_or(|at| now - at >= REPORT_VALID) {
            *reading = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches the signals for ever, and tells the gate.
pub(crate) async fn watch(shared: Arc<Shared>, style: Style) {
    let mut host = Host::default();
    let mut told = Told::default();
    let mut was = OverloadLevel::None;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let live = shared.live();
        let settings = &live.settings.overload;
        let on = Signal::ALL.into_iter().any(|signal| signal.thresholds(settings).is_on());
        let now = Instant::now();
        let level = shared.overload.evaluate(now, settings, &mut host);
        if level != was {
            was = level;
            shared.set_overload(level);
        }
        for complaint in host.complaints() {
            say(&banner::note(&complaint, style));
        }
        if let Some((state, mut text)) = told.next(now, level, || shared.overload.leading()) {
            if live.settings.dry_run && level > OverloadLevel::None {
                text.push_str(", but for the dry run");
            }
            say(&banner::state(state, &text, style));
        }
        if !on && level == OverloadLevel::None {
            ticks.reset_after(EVERY_WHILE_OFF);
        }
    }
}

/// What was said on stderr.
#[derive(Default)]
struct Told {
    /// The level that was announced, and since when there is one.
    announced: Option<(OverloadLevel, Instant)>,
    last_line: Option<Instant>,
}

impl Told {
    fn next(
        &mut self,
        now: Instant,
        level: OverloadLevel,
        why: impl FnOnce() -> Option<String>,
    ) -> Option<(&'static str, String)> {
        let (text, state) = match self.announced {
            Some((_, since)) if level == OverloadLevel::None => {
                self.announced = None;
                (format!("after {}s: overload is over", (now - since).as_secs()), "OK")
            }
            _ if level == OverloadLevel::None => return None,
            Some((before, _)) if level <= before => return None,
            _ if self.last_line.is_some_and(|at| now - at < LINE_EVERY) => return None,
            earlier => {
                self.announced = Some((level, earlier.map_or(now, |(_, since)| since)));
                let shed = if level == OverloadLevel::Severe { "all but critical" } else { "normal and low" };
                (
                    format!("{}: {}; {shed} are rejected", level.as_str(), why().unwrap_or_default()),
                    "OVERLOAD",
                )
            }
        };
        self.last_line = Some(now);
        Some((state, text))
    }
}

#[cfg(test)]
mod tests;
