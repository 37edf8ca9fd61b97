//! What is counted during a run, and the numbers that come out of it.
//!
//! Everything is counted in buckets of time: 100 ms, or 1 s in scenarios of more than two minutes. What happens is counted
//! when it happens (answers, refusals, work); what becomes of clients is counted at the time when they came, so that the success of
//! a second is that of its clients.

use std::collections::BTreeMap;

use loadline_core::Class;

use crate::policy::Gauge;
use crate::scenario::{Expectation, Scenario, What};
use crate::units::SECOND;

/// Classes that clients can have.
const CLASSES: usize = Class::QUEUED.len();

/// Scenarios up to so long have buckets of 100 ms.
const SHORT: u64 = 120 * SECOND;

/// Counters of one stretch of time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Bucket {
    /// Answers that their client waited for.
    pub good: u32,
    /// Attempts.
    pub attempts: u32,
    /// Attempts turned away, at the door or after a wait.
    pub refused: u32,
    /// Clients that stopped waiting for an attempt.
    pub gave_up: u32,
    /// Requests sent to the service.
    pub started: u32,
    /// Clients for whom something was started for the first time.
    pub first_started: u32,
    /// Work done, in seconds.
    pub work: f64,
    /// The part of it that was for nobody.
    pub wasted: f64,
    /// The limit at the end; infinity: none.
    pub limit: f64,
    /// Slots in use at the end.
    pub in_flight: u32,
    /// Waiting at the end.
    pub queued: u32,
    /// Requests in the service at the end, ghosts included.
    pub in_app: u32,
    /// By stream and class.
    groups: Vec<Group>,
}

/// Clients of one stream and class that came in a bucket.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Group {
    came: u32,
    answered: u32,
    attempts: u32,
    refused: u32,
}

/// What came out of one run.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// Whose.
    pub policy: String,
    /// With which seed.
    pub seed: u64,
    /// The length of a bucket in nanoseconds.
    pub bucket: u64,
    /// By time.
    pub buckets: Vec<Bucket>,
    /// Attempts turned away, by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Sums over the whole run.
    pub totals: Totals,
    /// Differs when anything differs that happened.
    pub digest: u64,
    /// Latency of each good answer from the first attempt on, in microseconds, by the bucket in which the client came.
    latencies: Vec<(u32, u32)>,
}

/// Sums over the whole run. Clients: came = answered + failed + unresolved; attempts: each is refused, given up while waiting,
/// or started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of the sums above")]
pub struct Totals {
    pub came: u64,
    pub answered: u64,
    pub failed: u64,
    pub unresolved: u64,
    pub attempts: u64,
    pub refused: u64,
    pub started: u64,
    pub completed: u64,
}

/// Counts; see the module.
pub(crate) struct Recorder<'s> {
    scenario: &'s Scenario,
    run: Run,
}

impl<'s> Recorder<'s> {
    pub(crate) fn new(scenario: &'s Scenario) -> Self {
        let bucket = if scenario.duration.0 <= SHORT { SECOND / 10 } else { SECOND };
        let run = Run {
            policy: String::new(),
            seed: 0,
            bucket,
            buckets: Vec::new(),
            reasons: BTreeMap::new(),
            totals: Totals::default(),
            digest: 0xcbf2_9ce4_8422_2325,
            latencies: Vec::new(),
        };
        Self { scenario, run }
    }

    pub(crate) const fn bucket_nanos(&self) -> u64 {
        self.run.bucket
    }

    fn bucket(&mut self, at: u64) -> &mut Bucket {
        let index = (at / self.run.bucket) as usize;
        let groups = self.scenario.clients.len() * CLASSES;
        while self.run.buckets.len() <= index {
            self.run.buckets.push(Bucket { groups: vec![Group::default(); groups], ..Bucket::default() });
        }
        &mut self.run.buckets[index]
    }

    fn group(&mut self, at: u64, stream: usize, class: Class) -> &mut Group {
        &mut self.bucket(at).groups[stream * CLASSES + class.index()]
    }

    /// FNV-1a over what happens.
    const fn note(&mut self, what: u64, at: u64) {
        self.run.digest = (self.run.digest ^ what).wrapping_mul(0x0100_0000_01b3);
        self.run.digest = (self.run.digest ^ at).wrapping_mul(0x0100_0000_01b3);
    }

    pub(crate) fn client_came(&mut self, now: u64, stream: usize, class: Class) {
        self.run.totals.came += 1;
        self.group(now, stream, class).came += 1;
        self.note(1 + ((stream as u64) << 8), now);
    }

    pub(crate) fn attempt(&mut self, now: u64, stream: usize, class: Class) {
        self.run.totals.attempts += 1;
        self.bucket(now).attempts += 1;
        self.group(now, stream, class).attempts += 1;
    }

    pub(crate) fn started(&mut self, now: u64, first: bool) {
        self.run.totals.started += 1;
        let bucket = self.bucket(now);
        bucket.started += 1;
        bucket.first_started += u32::from(first);
        self.note(2, now);
    }

    pub(crate) fn refused(
        &mut self,
        now: u64,
        stream: usize,
        class: Class,
        reason: &'static str,
        awaited: bool,
    ) {
        self.run.totals.refused += 1;
        self.bucket(now).refused += 1;
        if awaited {
            self.group(now, stream, class).refused += 1;
        }
        *self.run.reasons.entry(reason).or_default() += 1;
        self.note(3, now);
    }

    pub(crate) fn gave_up(&mut self, now: u64) {
        self.bucket(now).gave_up += 1;
        self.note(4, now);
    }

    /// The service has finished a request.
    pub(crate) fn worked(&mut self, now: u64, nanos: f64, awaited: bool) {
        self.run.totals.completed += 1;
        let bucket = self.bucket(now);
        bucket.work += nanos / 1e9;
        if awaited {
            bucket.good += 1;
        } else {
            bucket.wasted += nanos / 1e9;
        }
        self.note(5 + u64::from(awaited), now);
    }

    pub(crate) fn client_over(&mut self, now: u64, came: u64, stream: usize, class: Class, answered: bool) {
        if answered {
            self.run.totals.answered += 1;
            self.group(came, stream, class).answered += 1;
            let micros = u32::try_from((now - came) / 1_000).unwrap_or(u32::MAX);
            self.run.latencies.push(((came / self.run.bucket) as u32, micros));
        } else {
            self.run.totals.failed += 1;
        }
    }

    pub(crate) fn sample(&mut self, now: u64, gauge: &Gauge, in_app: usize) {
        let bucket = self.bucket(now - 1);
        (bucket.limit, bucket.in_flight, bucket.queued) = (gauge.limit, gauge.in_flight, gauge.queued);
        bucket.in_app = u32::try_from(in_app).unwrap_or(u32::MAX);
        self.note(7, gauge.limit.to_bits());
    }

    pub(crate) fn finish(mut self, policy: &str, seed: u64, unresolved: u64) -> Run {
        policy.clone_into(&mut self.run.policy);
        (self.run.seed, self.run.totals.unresolved) = (seed, unresolved);
        self.run
    }
}

impl Run {
    /// The buckets of a window.
    fn window(&self, from: u64, to: u64) -> &[Bucket] {
        let index = |at: u64| ((at / self.bucket) as usize).min(self.buckets.len());
        &self.buckets[index(from)..index(to)]
    }

    /// Good answers per second ÷ capacity.
    #[must_use]
    pub fn goodput(&self, scenario: &Scenario, from: u64, to: u64) -> f64 {
        let good: u64 = self.window(from, to).iter().map(|bucket| u64::from(bucket.good)).sum();
        let secs = (to - from) as f64 / SECOND as f64;
        good as f64 / secs / scenario.mean_capacity(from, to)
    }

    /// The latency in seconds that this share of the answered clients of the window had at most, from the first attempt on.
    #[must_use]
    pub fn latency(&self, share: f64, from: u64, to: u64) -> Option<f64> {
        let (from, to) = ((from / self.bucket) as u32, (to / self.bucket) as u32);
        let inside = self.latencies.iter().filter(|(came, _)| (from..to).contains(came));
        let mut micros: Vec<u32> = inside.map(|(_, micros)| *micros).collect();
        let rank = ((micros.len() as f64 * share) as usize).min(micros.len().checked_sub(1)?);
        Some(f64::from(*micros.select_nth_unstable(rank).1) / 1e6)
    }

    /// The number that an expectation speaks of. [`What::VsBestFixed`] and [`What::VsBestAdaptive`] are found by
    /// comparing runs, not here: they are no numbers.
    #[must_use]
    pub fn measure(&self, scenario: &Scenario, expectation: &Expectation) -> f64 {
        let (from, to) = expectation.window(scenario);
        let window = self.window(from, to);
        let sum = |of: &dyn Fn(&Bucket) -> f64| window.iter().map(of).sum::<f64>();
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { f64::NAN };
        let picked = |group: usize| {
            let stream = expectation
                .clients
                .as_ref()
                .is_none_or(|name| scenario.clients[group / CLASSES].name == *name);
            stream && expectation.class.is_none_or(|class| class.0.index() == group % CLASSES)
        };
        let groups = |of: fn(&Group) -> u32| {
            sum(&|bucket| {
                let picked = bucket.groups.iter().enumerate().filter(|(index, _)| picked(*index));
                picked.map(|(_, group)| f64::from(of(group))).sum()
            })
        };
        let limits = || ratio(sum(&|bucket| bucket.limit), window.len() as f64);
        match expectation.what {
            What::Goodput => self.goodput(scenario, from, to),
            What::WorstSecond => self.worst_second(scenario, from, to),
            What::VsBestFixed | What::VsBestAdaptive => f64::NAN,
            What::Shed => ratio(groups(|group| group.refused), groups(|group| group.attempts)),
            What::Success => ratio(groups(|group| group.answered), groups(|group| group.came)),
            What::Limit => limits(),
            What::LimitOfKnee => limits() / scenario.ability(to - 1).knee,
            What::Recovery => self.recovery(scenario, from, &picked),
            What::Wasted => ratio(sum(&|bucket| bucket.wasted), sum(&|bucket| bucket.work)),
            What::Amplification => ratio(
                sum(&|bucket| f64::from(bucket.started)),
                sum(&|bucket| f64::from(bucket.first_started)),
            ),
            What::Drift => {
                let tenth = (to - from) / 10 / self.bucket * self.bucket;
                ratio(self.goodput(scenario, to - tenth, to), self.goodput(scenario, from, from + tenth))
            }
            What::InApp => f64::from(window.iter().map(|bucket| bucket.in_app).max().unwrap_or(0)),
        }
    }

    fn worst_second(&self, scenario: &Scenario, from: u64, to: u64) -> f64 {
        let seconds = (from / SECOND..to / SECOND).map(|second| (second * SECOND, (second + 1) * SECOND));
        seconds.map(|(from, to)| self.goodput(scenario, from, to)).fold(f64::INFINITY, f64::min)
    }

    /// See [`What::Recovery`]; infinity: never.
    fn recovery(&self, scenario: &Scenario, from: u64, picked: &dyn Fn(usize) -> bool) -> f64 {
        let counts: Vec<(u64, u64)> = self
            .window(0, scenario.duration.0)
            .iter()
            .map(|bucket| {
                let groups = bucket.groups.iter().enumerate().filter(|(index, _)| picked(*index));
                groups.fold((0, 0), |(came, answered), (_, group)| {
                    (came + u64::from(group.came), answered + u64::from(group.answered))
                })
            })
            .collect();
        let well = |slice: &[(u64, u64)]| {
            let (came, answered) = slice.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            answered as f64 >= RECOVERED * came as f64
        };
        let per_second = (SECOND / self.bucket) as usize;
        let first = (from / self.bucket) as usize;
        let found = (first..counts.len()).find(|&start| {
            well(&counts[start..(start + per_second).min(counts.len())]) && well(&counts[start..])
        });
        found.map_or(f64::INFINITY, |start| (start - first) as f64 * self.bucket as f64 / SECOND as f64)
    }
}

/// Recovered is who answers this share of its clients in time.
const RECOVERED: f64 = 0.98;
