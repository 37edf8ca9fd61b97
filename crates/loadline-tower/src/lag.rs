//! How late a runtime is: an overload that no count of requests shows.
//!
//! A task that wants to run at a certain moment runs later when the runtime is busy: all its threads compute, block, or are
//! not given a processor. By how much is measured here, by a task that does nothing but sleep for a short period:
//! lag = time slept − period, never below zero. Tokio's timers have a resolution of 1 ms, so up to about 2 ms say nothing.
//!
//! One late wake-up is no overload, and a mean hides what most requests meet. So the figures are taken over a window, in which
//! each sample counts for as long as it lasted (period + lag): a stall of half a second is half of a window of one second, not
//! one sample among fifty. A stall that is still going on counts with what has passed of it.
//!
//! A [`LagMonitor`] measures. A [`LagSignal`] tells a gate, which then sheds by class.

mod signal;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

pub use signal::{LagSignal, LagThresholds, ThresholdError};

use signal::Report;

/// How a [`LagMonitor`] measures. Made with `LagSettings::default()` and changed field by field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LagSettings {
    /// How long the task sleeps between two samples; at least 1 ms. A stall shorter than this may be missed.
    pub period: Duration,
    /// How far back the figures reach; at least one sample.
    pub window: Duration,
}

impl Default for LagSettings {
    /// Every 10 ms, over the last second: 100 wake-ups per second, and thresholds of 100 ms are met within 10 ms.
    fn default() -> Self {
        Self { period: Duration::from_millis(10), window: Duration::from_secs(1) }
    }
}

/// More than half of the time: neither one stall nor one quiet moment decides.
const MEDIAN: f64 = 0.5;

/// Tokio's timers know nothing shorter.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// Measures the lag of one tokio runtime until it is stopped or dropped.
///
/// Each read goes through the window, 100 samples by default, under a short lock: meant for every few milliseconds, not for
/// every request.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
/// use loadline_tower::lag::LagMonitor;
///
/// let monitor = LagMonitor::start();
/// // ...
/// if monitor.is_over(Duration::from_millis(100)) {
///     println!("late by {:?} at worst", monitor.max());
/// }
/// monitor.stop();
/// # }
/// ```
#[derive(Debug)]
pub struct LagMonitor {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl LagMonitor {
    /// Starts to measure the runtime that this is called in.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    #[must_use = "a monitor that is dropped stops"]
    pub fn start() -> Self {
        Self::start_with(LagSettings::default())
    }

    /// The same with other settings.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    #[must_use = "a monitor that is dropped stops"]
    pub fn start_with(settings: LagSettings) -> Self {
        Self::start_reporting(settings, None)
    }

    fn start_reporting(settings: LagSettings, report: Option<Report>) -> Self {
        let period = settings.period.max(SHORTEST_PERIOD);
        let due = Instant::now() + period;
        let window = Window { samples: VecDeque::new(), due: Some(due) };
        let shared = Arc::new(Shared { period, length: settings.window, window: Mutex::new(window) });
        let task = tokio::spawn(measure(Measuring { shared: Arc::clone(&shared), report }, due));
        Self { shared, task }
    }

    /// Ends the task; dropping the monitor does the same.
    pub fn stop(self) {
        drop(self);
    }

    /// The latest sample, or the stall that is going on if that is longer.
    #[must_use]
    pub fn current(&self) -> Duration {
        let latest = self.shared.lock().samples.back().copied();
        latest.into_iter().chain(self.shared.under_way()).map(|sample| sample.lag).max().unwrap_or_default()
    }

    /// The longest lag in the window.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.shared.samples().into_iter().map(|sample| sample.lag).max().unwrap_or_default()
    }

    /// The lag that was not exceeded for this share of the window's time: 0.5 is the median, 1 the maximum. Zero as long as
    /// there is no sample. What is no number counts as 1.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        self.shared.quantile(share)
    }

    /// Whether the lag was longer than `threshold` for more than half of the window's time.
    ///
    /// A stall of 201 ms in an otherwise quiet second is not over 200 ms, and stalls of 201 ms one after another are.
    #[must_use]
    pub fn is_over(&self, threshold: Duration) -> bool {
        self.quantile(MEDIAN) > threshold
    }
}

impl Drop for LagMonitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Shared {
    period: Duration,
    length: Duration,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    /// Oldest first.
    samples: VecDeque<Sample>,
    /// When the task will take its next sample; `None` once it has ended.
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    lag: Duration,
    /// How long it lasted.
    covers: Duration,
}

async fn measure(measuring: Measuring, mut due: Instant) {
    loop {
        sleep_until(due).await;
        due = measuring.shared.record(due, Instant::now());
        if let Some(report) = &measuring.report {
            report.lag(measuring.shared.quantile(MEDIAN));
        }
    }
}

/// Says that no more samples come, when the task is aborted or its runtime shuts down: what is no longer measured must not
/// look like an endless stall.
struct Measuring {
    shared: Arc<Shared>,
    /// Takes itself back when it is dropped.
    report: Option<Report>,
}

impl Drop for Measuring {
    fn drop(&mut self) {
        self.shared.lock().due = None;
    }
}

impl Shared {
    /// Takes a sample, and says when the next is due.
    fn record(&self, due: Instant, now: Instant) -> Instant {
        let sample = self.sample(due, now);
        let next = now + self.period;
        let mut window = self.lock();
        // Before the push: the latest sample stays, however short the window.
        while window.samples.front().is_some_and(|oldest| now - oldest.at >= self.length) {
            window.samples.pop_front();
        }
        window.samples.push_back(sample);
        window.due = Some(next);
        next
    }

    fn quantile(&self, share: f64) -> Duration {
        let mut samples = self.samples();
        samples.sort_unstable_by_key(|sample| sample.lag);
        let total: Duration = samples.iter().map(|sample| sample.covers).sum();
        let share = if share.is_nan() { 1.0 } else { share.clamp(0.0, 1.0) };
        let wanted = total.mul_f64(share);
        let mut covered = Duration::ZERO;
        let reached = samples.iter().find(|sample| {
            covered += sample.covers;
            covered >= wanted
        });
        reached.or_else(|| samples.last()).map_or(Duration::ZERO, |sample| sample.lag)
    }

    /// Those in the window, and the one under way.
    fn samples(&self) -> Vec<Sample> {
        let under_way = self.under_way();
        self.lock().samples.iter().copied().chain(under_way).collect()
    }

    /// The next sample as far as it goes, if it is late already.
    fn under_way(&self) -> Option<Sample> {
        let now = Instant::now();
        let due = self.lock().due.filter(|due| *due < now)?;
        Some(self.sample(due, now))
    }

    fn sample(&self, due: Instant, now: Instant) -> Sample {
        let lag = now.saturating_duration_since(due);
        Sample { at: now, lag, covers: self.period + lag }
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
