//! One signal's level, with hysteresis: it rises at once, and falls when the reading has been clearly lower for a while.
//!
//! The comparison is strict: a reading at the threshold is not above it. A level that holds is kept while the reading is above
//! [`CALM`] of its threshold, and for [`HOLD`] after that: a reading that wavers around a threshold changes nothing.
//!
//! Worked numbers: with thresholds of 100 and 200 ms, 101 ms is moderate; 90 ms then keeps it; below 80 ms for a second ends it.
//! From severe, 150 ms for a second leads to moderate.

use std::time::Duration;

use loadline_core::OverloadLevel;
use tokio::time::Instant;

use crate::config::settings::Levels;

/// The share of its threshold at which a level is no longer kept: the width of the band in which nothing changes.
const CALM: f64 = 0.8;

/// How long a reading must have been calm: longer than two windows of the quickest signal.
const HOLD: Duration = Duration::from_secs(1);

/// One signal's level.
#[derive(Debug, Default)]
pub(super) struct Judge {
    level: OverloadLevel,
    /// Since when the reading has been lower than the level needs.
    calm_since: Option<Instant>,
}

impl Judge {
    pub(super) fn level(&self) -> OverloadLevel {
        self.level
    }

    /// The level after this reading at `now`. No reading is a calm one; no threshold is no level, at once.
    pub(super) fn update(
        &mut self,
        now: Instant,
        reading: Option<f64>,
        thresholds: &Levels<f64>,
    ) -> OverloadLevel {
        if !thresholds.is_on() {
            *self = Self::default();
            return self.level;
        }
        let reading = reading.unwrap_or_default();
        let kept = level_above(reading, &thresholds.map(|threshold| threshold * CALM)).min(self.level);
        let next = level_above(reading, thresholds).max(kept);
        let has_calmed = next < self.level && now - *self.calm_since.get_or_insert(now) >= HOLD;
        if next >= self.level || has_calmed {
            (self.level, self.calm_since) = (next, None);
        }
        self.level
    }
}

fn level_above(reading: f64, thresholds: &Levels<f64>) -> OverloadLevel {
    let above = |threshold: Option<f64>| threshold.is_some_and(|threshold| reading > threshold);
    if above(thresholds.severe) {
        OverloadLevel::Severe
    } else if above(thresholds.moderate) {
        OverloadLevel::Moderate
    } else {
        OverloadLevel::None
    }
}

#[cfg(test)]
mod tests {
    use OverloadLevel::{Moderate, None as Calm, Severe};

    use super::*;

    const THRESHOLDS: Levels<f64> = Levels { moderate: Some(0.1), severe: Some(0.2) };

    /// The levels after these readings, one each 100 ms.
    fn levels(readings: &[f64]) -> Vec<OverloadLevel> {
        let (mut judge, mut now) = (Judge::default(), Instant::now());
        let mut update = |reading: &f64| {
            now += Duration::from_millis(100);
            judge.update(now, Some(*reading), &THRESHOLDS)
        };
        readings.iter().map(&mut update).collect()
    }

    #[test]
    fn a_level_begins_above_its_threshold_not_at_it() {
        assert_eq!(levels(&[0.1, 0.101, 0.2, 0.201]), [Calm, Moderate, Moderate, Severe]);
        assert_eq!(levels(&[5.0]), [Severe]);
    }

    #[test]
    fn it_ends_after_a_second_of_calm() {
        let mut readings = vec![0.15];
        readings.extend([0.05; 10]);
        let mut expected = vec![Moderate; 11];
        assert_eq!(levels(&readings), expected);
        readings.push(0.05);
        expected.push(Calm);
        assert_eq!(levels(&readings), expected);
    }

    #[test]
    fn severe_falls_to_the_level_that_still_holds() {
        let mut readings = vec![0.3];
        readings.extend([0.09; 30]);
        let levels = levels(&readings);
        assert_eq!((levels[10], levels[11], levels[30]), (Severe, Moderate, Moderate));
    }

    #[test]
    fn a_reading_that_wavers_at_the_border_changes_the_level_once() {
        let readings: Vec<_> = (0..200).map(|at| if at % 2 == 0 { 0.099 } else { 0.101 }).collect();
        let levels = levels(&readings);
        let changes = levels.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!((changes, levels[199]), (1, Moderate));
        // Also when it dips below the band, as long as no dip lasts.
        let readings: Vec<_> = (0..200).map(|at| if at % 8 == 0 { 0.101 } else { 0.01 }).collect();
        assert!(self::levels(&readings).iter().all(|level| *level == Moderate));
    }

    #[test]
    fn a_signal_that_is_switched_off_says_nothing() {
        let (mut judge, now) = (Judge::default(), Instant::now());
        assert_eq!(judge.update(now, Some(1.0), &THRESHOLDS), Severe);
        assert_eq!(judge.update(now, Some(1.0), &Levels::default()), Calm);
        let only_severe = Levels { moderate: None, severe: Some(0.2) };
        assert_eq!(judge.update(now, Some(0.15), &only_severe), Calm);
    }
}
