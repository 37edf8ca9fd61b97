//! Threshold mode: a class is refused as soon as a share of the slots is in use, long before all of them are.
//!
//! ```text
//! refused when in flight ≥ ceil(limit × percent ÷ 100)
//! ```
//!
//! in integers, so that no rounding of a float decides about the last slot. Worked numbers for 95, 80 and 60 %: 10, 8 and 6 of 10;
//! 19, 16 and 12 of 20; 5, 4 and 3 of 5; 3, 3 and 2 of 3; of 2 or of 1, all of them.
//!
//! Simple, without a memory, and wasteful: slots are kept free for who may not come, and a burst is refused that the queue would
//! have smoothed. Without thresholds the queue's strict order of classes decides, which refuses nobody while a slot is free.

use crate::Class;

/// A share in whole percent, 1 to 100.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Percent(u8);

impl Percent {
    /// `None` unless it is between 1 and 100.
    #[must_use]
    pub const fn new(percent: u8) -> Option<Self> {
        if percent >= 1 && percent <= 100 { Some(Self(percent)) } else { None }
    }

    /// The number, 1 to 100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// This share of so many, rounded up: at least 1 of at least 1.
    #[must_use]
    pub const fn of(self, whole: u32) -> u32 {
        // At most `whole`, so it fits.
        (whole as u64 * self.0 as u64).div_ceil(100) as u32
    }
}

/// The share of the limit from which on a class is refused with [`Reason::Priority`](crate::Reason::Priority), by class; see
/// the module. `None`: only the limit bounds the class, and it may wait. Critical has no threshold: the limit and the reserve
/// bound it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ShedAt {
    /// Of the class `high`.
    pub high: Option<Percent>,
    /// Of the class `normal`.
    pub normal: Option<Percent>,
    /// Of the class `low`.
    pub low: Option<Percent>,
}

impl ShedAt {
    /// No thresholds.
    pub const OFF: Self = Self { high: None, normal: None, low: None };

    /// 95, 80 and 60 %: the last twentieth is for critical work, the last fifth for what is more important than usual.
    pub const USUAL: Self =
        Self { high: Some(Percent(95)), normal: Some(Percent(80)), low: Some(Percent(60)) };

    /// The number in flight from which on this class is refused at this limit; `None`: it has no threshold.
    #[must_use]
    pub fn threshold(&self, class: Class, limit: u32) -> Option<u32> {
        let share = match class {
            Class::High => self.high,
            Class::Normal => self.normal,
            Class::Low => self.low,
            Class::Critical | Class::Bypass => None,
        };
        share.map(|share| share.of(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_thresholds() {
        let of = |limit| {
            [Class::High, Class::Normal, Class::Low]
                .map(|class| ShedAt::USUAL.threshold(class, limit).unwrap())
        };
        for (limit, thresholds) in [
            (1, [1, 1, 1]),
            (2, [2, 2, 2]),
            (3, [3, 3, 2]),
            (5, [5, 4, 3]),
            (10, [10, 8, 6]),
            (20, [19, 16, 12]),
            (100, [95, 80, 60]),
            (200, [190, 160, 120]),
            (u32::MAX, [4_080_218_931, 3_435_973_836, 2_576_980_377]),
        ] {
            assert_eq!(of(limit), thresholds, "of {limit}");
        }
        assert_eq!(ShedAt::USUAL.threshold(Class::Critical, 10), None);
        assert_eq!(ShedAt::OFF.threshold(Class::Low, 10), None);
    }

    #[test]
    fn a_share_is_one_to_a_hundred_percent() {
        assert_eq!([0, 101, 255].map(Percent::new), [None; 3]);
        assert_eq!([1, 100].map(|n| Percent::new(n).unwrap().of(7)), [1, 7]);
    }
}
