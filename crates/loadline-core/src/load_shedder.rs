//! The smallest load shedder: a number of slots, and a threshold for each class. No queue, no clock, no thread.
//!
//! For who wants to decide on the spot in one place: a command-line tool, an event loop, a test. It uses the arithmetic of
//! [`ShedAt`]. Whatever must wait, share its slots between threads or adapt is the business of [`Admission`](crate::Admission) and
//! of the gate in `loadline-tower`.

use std::num::NonZeroU32;

use crate::{Class, Reason, Settings, ShedAt};

/// Counts slots and refuses by class; see the module.
///
/// ```
/// use loadline_core::{Class, LoadShedder, Reason};
/// use std::num::NonZeroU32;
///
/// let mut shedder = LoadShedder::new(NonZeroU32::new(10).unwrap());
/// let slots: Vec<_> = (0..7).map(|_| shedder.try_acquire(Class::Normal).unwrap()).collect();
/// assert_eq!(shedder.try_acquire(Class::Low).unwrap_err(), Reason::Priority);
/// # for slot in slots { shedder.release(slot) }
/// ```
#[derive(Debug)]
pub struct LoadShedder {
    max: u32,
    reserve: u32,
    shed_at: ShedAt,
    stats: LoadShedderStats,
}

/// One slot of a [`LoadShedder`]. It is moved back, so a second time does not compile:
///
/// ```compile_fail,E0382
/// # fn twice(shedder: &mut loadline_core::LoadShedder, slot: loadline_core::Slot) {
/// shedder.release(slot);
/// shedder.release(slot); // error: use of moved value
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a dropped slot is never free again; hand it to `LoadShedder::release`"]
pub struct Slot(());

/// What a [`LoadShedder`] has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct LoadShedderStats {
    /// Slots in use.
    pub active: u32,
    /// Slots, the reserve for critical work not counted.
    pub max: u32,
    /// Refused since the start.
    pub total_shed: u64,
    /// Released since the start: begun work counts when it has ended.
    pub total_served: u64,
}

impl LoadShedder {
    /// So many slots, the [usual thresholds](ShedAt::USUAL), and the [usual reserve](Settings::usual_reserve) above them for
    /// critical work.
    #[must_use]
    pub fn new(max: NonZeroU32) -> Self {
        Self::with_thresholds(max, ShedAt::USUAL)
    }

    /// With other thresholds.
    #[must_use]
    pub fn with_thresholds(max: NonZeroU32, shed_at: ShedAt) -> Self {
        let stats = LoadShedderStats { max: max.get(), ..LoadShedderStats::default() };
        Self { max: max.get(), reserve: Settings::usual_reserve(max), shed_at, stats }
    }

    /// Takes a slot if one is free for this class. [`Class::Bypass`] counts as critical here.
    ///
    /// # Errors
    /// [`Reason::Priority`] at the threshold of the class, [`Reason::Concurrency`] when all slots are taken.
    pub fn try_acquire(&mut self, class: Class) -> Result<Slot, Reason> {
        let (bound, reason) = match self.shed_at.threshold(class, self.max) {
            Some(threshold) => (threshold, Reason::Priority),
            None if matches!(class, Class::Critical | Class::Bypass) => {
                (self.max.saturating_add(self.reserve), Reason::Concurrency)
            }
            None => (self.max, Reason::Concurrency),
        };
        if self.stats.active >= bound {
            self.stats.total_shed += 1;
            return Err(reason);
        }
        self.stats.active += 1;
        Ok(Slot(()))
    }

    /// Gives a slot back.
    ///
    /// # Panics
    /// If the slot is another's, as far as that can be noticed.
    pub fn release(&mut self, slot: Slot) {
        let Slot(()) = slot;
        self.stats.active = self.stats.active.checked_sub(1).expect("a slot goes back to who gave it");
        self.stats.total_served += 1;
    }

    /// What it has seen so far.
    #[must_use]
    pub const fn stats(&self) -> LoadShedderStats {
        self.stats
    }
}

impl LoadShedderStats {
    /// Slots in use ÷ slots; above 1 while the reserve is used.
    #[must_use]
    pub fn utilization(&self) -> f64 {
        f64::from(self.active) / f64::from(self.max.max(1))
    }

    /// The share of the decided requests that was refused, 0 to 1; 0 before the first. Over everything since the start: for an
    /// alert, which must end when the trouble ends, take the rate [since](Self::since) a minute ago.
    #[must_use]
    pub fn shed_rate(&self) -> f64 {
        let seen = self.total_shed + self.total_served + u64::from(self.active);
        if seen == 0 { 0.0 } else { self.total_shed as f64 / seen as f64 }
    }

    /// What was seen after `earlier`; what is active now is as it is.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            active: self.active,
            max: self.max,
            total_shed: self.total_shed.saturating_sub(earlier.total_shed),
            total_served: self.total_served.saturating_sub(earlier.total_served),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shedder(max: u32) -> LoadShedder {
        LoadShedder::new(NonZeroU32::new(max).unwrap())
    }

    /// How many of this class are in flight before it is refused.
    fn bound(max: u32, class: Class) -> usize {
        let mut shedder = shedder(max);
        std::iter::from_fn(|| shedder.try_acquire(class).ok()).count()
    }

    #[test]
    fn effective_limits() {
        let of =
            |max| [Class::Critical, Class::High, Class::Normal, Class::Low].map(|class| bound(max, class));
        assert_eq!(of(1), [2, 1, 1, 1]);
        assert_eq!(of(3), [4, 3, 3, 2]);
        assert_eq!(of(10), [11, 10, 8, 6]);
        assert_eq!(of(200), [220, 190, 160, 120]);
        assert_eq!(bound(10, Class::Bypass), 11);
    }

    #[test]
    fn seven_of_ten_refuse_low_and_admit_normal_and_critical() {
        let mut shedder = shedder(10);
        let mut slots: Vec<_> = (0..7).map(|_| shedder.try_acquire(Class::Normal).unwrap()).collect();
        assert_eq!(shedder.try_acquire(Class::Low).unwrap_err(), Reason::Priority);
        slots.push(shedder.try_acquire(Class::Normal).unwrap());
        slots.push(shedder.try_acquire(Class::Critical).unwrap());
        assert_eq!(shedder.stats().active, 9);
    }

    #[test]
    fn stats_count_what_ended_and_what_was_refused() {
        let mut shedder = shedder(2);
        assert_eq!((shedder.stats().shed_rate(), shedder.stats().utilization()), (0.0, 0.0));
        let slot = shedder.try_acquire(Class::High).unwrap();
        let held = shedder.try_acquire(Class::High).unwrap();
        assert!(shedder.try_acquire(Class::High).is_err());
        shedder.release(slot);
        let stats = shedder.stats();
        assert_eq!((stats.active, stats.max, stats.total_shed, stats.total_served), (1, 2, 1, 1));
        assert_eq!((stats.utilization(), stats.shed_rate()), (0.5, 1.0 / 3.0));
        shedder.release(held);
        let window = shedder.stats().since(&stats);
        assert_eq!((window.total_served, window.total_shed, window.shed_rate()), (1, 0, 0.0));
    }
}
