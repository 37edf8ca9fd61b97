//! From lag to shedding: a runtime that is late has no time to serve everybody, however many slots are free.
//!
//! More than 100 ms sheds `normal` and `low`, more than 200 ms all but `critical`; exactly as much does not. What is compared is
//! the lag that was exceeded for half of the window's time, and a level once reached ends only below half of its threshold:
//! shedding makes the lag fall, and without that distance the door would flap.
//!
//! A signal from a runtime that is stuck comes when the stall is over. While it lasts, that runtime asks for no slots either.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use loadline_core::OverloadLevel;

use super::{LagMonitor, LagSettings};
use crate::Gate;

/// From which lag on a gate sheds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LagThresholds {
    moderate: Duration,
    severe: Duration,
}

/// A level ends below its threshold divided by this.
const RELEASE: u32 = 2;

impl LagThresholds {
    /// 100 and 200 ms: a runtime that is late by more than people notice, and by twice as much.
    pub const USUAL: Self = Self { moderate: Duration::from_millis(100), severe: Duration::from_millis(200) };

    /// Sheds `normal` and `low` above `moderate`, all but `critical` above `severe`.
    ///
    /// # Errors
    /// If `moderate` is zero or not below `severe`.
    pub fn new(moderate: Duration, severe: Duration) -> Result<Self, ThresholdError> {
        if moderate.is_zero() {
            Err(ThresholdError::Zero)
        } else if moderate >= severe {
            Err(ThresholdError::Order)
        } else {
            Ok(Self { moderate, severe })
        }
    }

    /// The level at this lag, after `before`.
    fn level(&self, lag: Duration, before: OverloadLevel) -> OverloadLevel {
        let holds =
            |level, threshold: Duration| lag > threshold || (before >= level && lag >= threshold / RELEASE);
        if holds(OverloadLevel::Severe, self.severe) {
            OverloadLevel::Severe
        } else if holds(OverloadLevel::Moderate, self.moderate) {
            OverloadLevel::Moderate
        } else {
            OverloadLevel::None
        }
    }
}

impl Default for LagThresholds {
    fn default() -> Self {
        Self::USUAL
    }
}

/// Why there are no such thresholds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ThresholdError {
    /// Every runtime is late by a little.
    Zero,
    /// The severe level lies above the moderate one.
    Order,
}

impl fmt::Display for ThresholdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "a threshold of 0 ms would always shed",
            Self::Order => "the moderate threshold must be below the severe one",
        })
    }
}

impl std::error::Error for ThresholdError {}

/// Tells a gate how late its runtimes are. One for each gate; it is the only one to call
/// [`Gate::set_overload`](crate::Gate::set_overload) on it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use loadline_tower::{Gate, lag::{LagSignal, LagThresholds}};
///
/// # let gate = Gate::builder(std::num::NonZeroU32::MIN).build();
/// let signal = LagSignal::new(gate, LagThresholds::USUAL);
/// let monitor = signal.watch(); // in each runtime that serves; the signal goes by the latest of them
/// // ...
/// monitor.stop(); // with the last monitor the gate forgets about lag
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LagSignal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    gate: Gate,
    thresholds: LagThresholds,
    /// One for each monitor; `None`: its place is free.
    levels: Mutex<Vec<Option<OverloadLevel>>>,
}

impl LagSignal {
    /// For this gate. Nothing is measured yet.
    #[must_use]
    pub fn new(gate: Gate, thresholds: LagThresholds) -> Self {
        Self { shared: Arc::new(Shared { gate, thresholds, levels: Mutex::default() }) }
    }

    /// Starts to measure the runtime that this is called in, until the monitor is stopped or dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    #[must_use = "a monitor that is dropped stops"]
    pub fn watch(&self) -> LagMonitor {
        self.watch_with(LagSettings::default())
    }

    /// The same with other settings.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    #[must_use = "a monitor that is dropped stops"]
    pub fn watch_with(&self, settings: LagSettings) -> LagMonitor {
        let mut levels = self.shared.levels();
        let place = levels.iter().position(Option::is_none).unwrap_or_else(|| {
            levels.push(None);
            levels.len() - 1
        });
        levels[place] = Some(OverloadLevel::None);
        drop(levels);
        LagMonitor::start_reporting(settings, Some(Report { signal: Arc::clone(&self.shared), place }))
    }
}

impl Shared {
    /// Puts a monitor's level in the place of its last one, and tells the gate if the highest of all has changed.
    fn set(&self, place: usize, level: impl FnOnce(OverloadLevel) -> Option<OverloadLevel>) {
        let mut levels = self.levels();
        let before = highest(&levels);
        levels[place] = level(levels[place].unwrap_or_default());
        let after = highest(&levels);
        if before != after {
            // Under the lock, so that the gate's last word is the last of ours.
            self.gate.set_overload(after);
        }
    }

    fn levels(&self) -> MutexGuard<'_, Vec<Option<OverloadLevel>>> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn highest(levels: &[Option<OverloadLevel>]) -> OverloadLevel {
    levels.iter().flatten().copied().max().unwrap_or_default()
}

/// Where a monitor tells its lag. Dropping it takes back what it said.
#[derive(Debug)]
pub(super) struct Report {
    signal: Arc<Shared>,
    place: usize,
}

impl Report {
    pub(super) fn lag(&self, lag: Duration) {
        self.signal.set(self.place, |before| Some(self.signal.thresholds.level(lag, before)));
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.signal.set(self.place, |_| None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_begin_above_their_threshold_and_end_below_half_of_it() {
        use OverloadLevel::{Moderate, None, Severe};
        for (lag, before, expected) in [
            (100, None, None),
            (101, None, Moderate),
            (200, None, Moderate),
            (201, None, Severe),
            (100, Severe, Severe),
            (99, Severe, Moderate),
            (50, Severe, Moderate),
            (49, Severe, None),
            (50, Moderate, Moderate),
            (49, Moderate, None),
            (150, Moderate, Moderate),
        ] {
            let level = LagThresholds::USUAL.level(Duration::from_millis(lag), before);
            assert_eq!(level, expected, "{lag} ms after {before:?}");
        }
    }

    #[test]
    fn thresholds_must_make_sense() {
        let ms = Duration::from_millis;
        assert_eq!(LagThresholds::new(ms(0), ms(1)), Err(ThresholdError::Zero));
        assert_eq!(LagThresholds::new(ms(5), ms(5)), Err(ThresholdError::Order));
        assert_eq!(LagThresholds::new(ms(100), ms(200)), Ok(LagThresholds::USUAL));
    }
}
