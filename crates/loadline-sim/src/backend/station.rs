//! One place where work is done: a processor, a pool of workers, a lock, a delay.
//!
//! All of them are the same machine with other numbers: up to `slots` requests are active, the rest waits in line,
//! unbounded; active requests share `cores`, so each proceeds at
//!
//! ```text
//! rate = speed × efficiency(n) × min(1, cores × parallel ÷ active)        n: active and waiting
//! efficiency(n) = 1 ÷ (1 + slope × max(0, n − knee) ÷ knee)
//! ```
//!
//! A processor has no slot limit and k cores (processor sharing), a pool k slots and a core for each (first in, first out), a
//! lock one slot, a delay neither bound. Beyond the knee a thrashing one does less the more it is asked for.
//!
//! All active requests proceed at the same rate, so one clock of *work done per request* is enough: a request that enters
//! when this clock shows V and needs D is done when it shows V + D. That makes each change cost O(log n), not O(n).
//!
//! Worked number: 2 cores, three requests of 20 ms each: each proceeds at 2/3, all are done after 30 ms.

use std::collections::{BTreeMap, VecDeque};

use crate::slab::Key;

/// A station's numbers; see the module.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Shape {
    /// How many may be active; infinity: all.
    pub(crate) slots: f64,
    /// What active requests share; infinity: nobody slows anybody down.
    pub(crate) cores: f64,
    /// Beyond so many it becomes inefficient; infinity: never.
    pub(crate) knee: f64,
    /// How much so.
    pub(crate) slope: f64,
}

/// One station; see the module.
#[derive(Debug)]
pub(crate) struct Station {
    shape: Shape,
    /// Work done per second by one active request that is alone.
    speed: f64,
    /// The share of its slots and cores that it has.
    parallel: f64,
    /// Work done so far per active request, in nanoseconds of work, since the station was last empty.
    work_clock: f64,
    /// The moment up to which `work_clock` is right.
    seen: u64,
    /// Who is active, by the `work_clock` at which they are done. Non-negative floats are in the order of their bits.
    active: BTreeMap<(u64, u64), Key>,
    waiting: VecDeque<(Key, f64)>,
    entered: u64,
    /// Cores in use, integrated over time, in core-nanoseconds.
    busy: f64,
    /// Counts changes, so that a planned completion that is out of date can be told.
    pub(crate) version: u64,
}

/// Completion times are whole nanoseconds: whoever would be done within this much work is done.
const ROUNDING: f64 = 0.5;

impl Station {
    pub(crate) const fn new(shape: Shape) -> Self {
        Self {
            shape,
            speed: 1.0,
            parallel: 1.0,
            work_clock: 0.0,
            seen: 0,
            active: BTreeMap::new(),
            waiting: VecDeque::new(),
            entered: 0,
            busy: 0.0,
            version: 0,
        }
    }

    /// Somebody comes with so many nanoseconds of work.
    pub(crate) fn enter(&mut self, now: u64, who: Key, work: f64) {
        self.advance(now);
        self.waiting.push_back((who, work));
        self.fill();
    }

    /// Somebody leaves before he is done. `false` if he is not here.
    pub(crate) fn remove(&mut self, now: u64, who: Key) -> bool {
        self.advance(now);
        let here = self.len();
        self.active.retain(|_, key| *key != who);
        self.waiting.retain(|(key, _)| *key != who);
        self.fill();
        self.len() < here
    }

    /// Who is done by now, one per call.
    pub(crate) fn pop_done(&mut self, now: u64) -> Option<Key> {
        self.advance(now);
        let entry = self.active.first_entry()?;
        if f64::from_bits(entry.key().0) > self.work_clock + ROUNDING {
            return None;
        }
        let who = entry.remove();
        self.fill();
        Some(who)
    }

    /// When the next one will be done if nothing else happens.
    pub(crate) fn next_done(&self) -> Option<u64> {
        let ((done_at, _), _) = self.active.first_key_value()?;
        let left = f64::from_bits(*done_at) - self.work_clock;
        Some(self.seen.saturating_add((left / self.rate()).ceil().max(0.0) as u64))
    }

    /// From now on everything takes `1 / speed` times as long, and only this share of the slots and cores is there.
    pub(crate) fn set_factors(&mut self, now: u64, speed: f64, parallel: f64) {
        self.advance(now);
        (self.speed, self.parallel) = (speed, parallel);
        self.fill();
    }

    /// Active and waiting.
    pub(crate) fn len(&self) -> usize {
        self.active.len() + self.waiting.len()
    }

    /// Core-nanoseconds used so far.
    pub(crate) fn busy(&mut self, now: u64) -> f64 {
        self.advance(now);
        self.busy
    }

    fn fill(&mut self) {
        let slots = self.shape.slots(self.parallel);
        while (self.active.len() as f64) < slots {
            let Some((who, work)) = self.waiting.pop_front() else { break };
            self.entered += 1;
            self.active.insert(((self.work_clock + work.max(0.0)).to_bits(), self.entered), who);
        }
        if self.active.is_empty() {
            self.work_clock = 0.0;
        }
        self.version += 1;
    }

    fn advance(&mut self, now: u64) {
        if !self.active.is_empty() {
            let elapsed = now.saturating_sub(self.seen) as f64;
            self.work_clock += elapsed * self.rate();
            self.busy += elapsed * (self.active.len() as f64).min(self.shape.cores * self.parallel);
        }
        self.seen = now;
    }

    /// Nanoseconds of work per nanosecond, of each active request.
    fn rate(&self) -> f64 {
        let active = self.active.len().max(1) as f64;
        let share = (self.shape.cores * self.parallel / active).min(1.0);
        self.speed * share * self.shape.efficiency(self.len() as f64)
    }
}

impl Shape {
    /// How much of its work is worth something with so many in it.
    pub(crate) fn efficiency(&self, n: f64) -> f64 {
        if n <= self.knee { 1.0 } else { 1.0 / (1.0 + self.slope * (n - self.knee) / self.knee) }
    }

    /// How many it can work on at once when this share of its slots and cores is there.
    pub(crate) fn parallelism(&self, share: f64) -> f64 {
        self.slots(share).min(self.cores * share)
    }

    /// Nobody works in a part of a slot, and one is always there.
    fn slots(&self, share: f64) -> f64 {
        (self.slots * share).floor().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Slab;

    const MS: u64 = 1_000_000;
    const POOL: Shape = Shape { slots: 2.0, cores: f64::INFINITY, knee: f64::INFINITY, slope: 0.0 };
    const CPU: Shape = Shape { slots: f64::INFINITY, cores: 2.0, knee: f64::INFINITY, slope: 0.0 };

    /// When each of these (arrival, work), in milliseconds, is done.
    fn run(mut station: Station, jobs: &[(u64, u64)]) -> Vec<f64> {
        let mut slab = Slab::new();
        let keys: Vec<Key> = jobs.iter().map(|_| slab.insert(())).collect();
        let mut done = vec![0.0; jobs.len()];
        let mut arrivals = jobs.iter().enumerate().peekable();
        loop {
            let arrival = arrivals.peek().map(|(_, (at, _))| at * MS);
            match (arrival, station.next_done()) {
                (None, None) => return done,
                (Some(at), next) if next.is_none_or(|next| at < next) => {
                    let (index, (_, work)) = arrivals.next().unwrap();
                    station.enter(at, keys[index], (work * MS) as f64);
                }
                (_, Some(next)) => {
                    while let Some(who) = station.pop_done(next) {
                        done[keys.iter().position(|key| *key == who).unwrap()] = next as f64 / MS as f64;
                    }
                }
                (Some(_), None) => unreachable!("an arrival comes first when nobody is there"),
            }
        }
    }

    #[test]
    fn a_processor_is_shared() {
        assert_eq!(run(Station::new(CPU), &[(0, 20), (0, 20), (0, 20)]), [30.0, 30.0, 30.0]);
        // Alone until 10, then three share two cores: 10 left at 2/3 = 15 ms; then two, alone again on a core each.
        assert_eq!(run(Station::new(CPU), &[(0, 20), (10, 20), (10, 20)]), [25.0, 35.0, 35.0]);
    }

    #[test]
    fn a_pool_serves_in_order() {
        assert_eq!(run(Station::new(POOL), &[(0, 20), (0, 30), (1, 20), (2, 5)]), [20.0, 30.0, 40.0, 35.0]);
    }

    #[test]
    fn beyond_the_knee_everything_slows_down() {
        let thrashing = Shape { knee: 2.0, slope: 1.0, ..CPU };
        // Four: half the efficiency, two cores for four: a quarter of the speed each.
        assert_eq!(run(Station::new(thrashing), &[(0, 10); 4]), [40.0; 4]);
    }

    #[test]
    fn factors_change_what_is_under_way() {
        let mut slab = Slab::new();
        let mut station = Station::new(POOL);
        station.enter(0, slab.insert(()), 30.0 * MS as f64);
        station.set_factors(10 * MS, 0.5, 1.0);
        assert_eq!(station.next_done(), Some(50 * MS));
        // Half the slots: the second waits for the first.
        station.set_factors(10 * MS, 1.0, 0.5);
        station.enter(10 * MS, slab.insert(()), MS as f64);
        assert_eq!(station.pop_done(30 * MS).map(Key::index), Some(0));
        assert_eq!(station.next_done(), Some(31 * MS));
    }

    #[test]
    fn who_leaves_makes_room() {
        let mut slab = Slab::new();
        let mut station = Station::new(Shape { slots: 1.0, ..POOL });
        let (first, second) = (slab.insert(()), slab.insert(()));
        station.enter(0, first, 10.0);
        station.enter(0, second, 10.0);
        assert!(station.remove(4, first) && !station.remove(4, first));
        assert_eq!(station.next_done(), Some(14));
    }
}
