//! What happened, as it happens: counts by outcome, latencies, ten times a second.
//!
//! A request belongs to the moment at which it was due, not to the one at which it was answered. So the outcomes of a
//! moment add up to what was offered then, and a request that a stall delayed shows up where the stall was.
//!
//! Latency counts from when the request was due to its last answer, retries and waits included: what its user sees.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use loadline_core::Reason;

use crate::client::Failure;
use crate::outcome::{Answer, Outcome};
use crate::plan::Plan;
use crate::schedule::Arrival;

/// Resolution of the counts over time.
pub const TICK: Duration = Duration::from_millis(100);

/// Reasons, and one more place for rejections that give none.
pub(crate) const REASONS: usize = Reason::COUNT + 1;

/// Digits that latencies of the whole run are exact to.
const DIGITS: u8 = 3;

/// Digits in each step of the series: a plot shows no more.
const SERIES_DIGITS: u8 = 2;

/// Steps that a series is wished to have at most: as many as a plot can show.
const SERIES_STEPS: u32 = 150;

/// Lengths of a step that are easy to read on an axis, in ticks.
const STEPS: [u32; 11] = [1, 2, 5, 10, 20, 50, 100, 300, 600, 3_000, 6_000];

/// A tenth of a second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Requests that were due in it.
    pub offered: u32,
    /// What became of them, by [`Outcome::index`]; less than `offered` while some are under way.
    pub outcomes: [u32; Outcome::COUNT],
    /// What was over in it, whenever it was due.
    pub done: [u32; Outcome::COUNT],
}

/// The state of a run that goes on.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// Since its start.
    pub elapsed: Duration,
    /// How long requests are due.
    pub planned: Duration,
    /// Requests under way.
    pub in_flight: usize,
    /// Requests that were due so far.
    pub offered: u64,
    /// What became of them, by [`Outcome::index`].
    pub outcomes: [u64; Outcome::COUNT],
    /// Tenths of a second, from the start; the last is not over yet. Those without any event may be missing at the end.
    pub ticks: &'a [Tick],
    latency: &'a Histogram<u64>,
}

/// A request that is over, or an attempt that will be repeated.
pub(crate) struct Finished {
    arrival: Arrival,
    target: usize,
    class: Option<usize>,
    tenant: Option<usize>,
    /// Since the start.
    at: Duration,
    attempts: u32,
    status: Option<u16>,
    reason: Option<Reason>,
    failure: Option<Failure>,
    pub(crate) outcome: Outcome,
    pub(crate) retry_after: Option<Duration>,
}

/// Counts and latencies of some part of the requests.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) offered: u64,
    pub(crate) outcomes: [u64; Outcome::COUNT],
    pub(crate) reasons: [u64; REASONS],
    /// Of what was served, in time or late.
    pub(crate) served: Histogram<u64>,
    /// Of what was shed.
    pub(crate) shed: Histogram<u64>,
    /// Of everything that was sent.
    pub(crate) all: Histogram<u64>,
}

pub(crate) struct Recorder {
    pub(crate) total: Tally,
    pub(crate) targets: Vec<(Rc<str>, Tally)>,
    pub(crate) classes: Vec<(Rc<str>, Tally)>,
    pub(crate) tenants: Vec<(Rc<str>, Tally)>,
    pub(crate) stages: Vec<Tally>,
    pub(crate) ticks: Vec<Tick>,
    /// Latencies of what was served, per step of the series.
    pub(crate) series: Vec<Histogram<u32>>,
    /// Ticks per step.
    pub(crate) step: u32,
    /// How late requests were started, in microseconds.
    pub(crate) lag: Histogram<u64>,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) attempts: u64,
    pub(crate) no_room: u64,
    /// The first failure of each kind to connect or to be answered, in words.
    pub(crate) causes: BTreeMap<Outcome, String>,
    /// Class and tenant of each target that always has the same.
    own: Vec<(Option<usize>, Option<usize>)>,
    planned: Duration,
}

impl Snapshot<'_> {
    /// The latency that a share of what was served so far stayed within: `0.99` for p99.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        Duration::from_micros(self.latency.value_at_quantile(share))
    }

    /// How many had this outcome so far.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()]
    }
}

impl Finished {
    #[expect(clippy::too_many_arguments, reason = "the parts of one record, all from one place")]
    pub(crate) fn new(
        arrival: Arrival,
        target: usize,
        class: Option<usize>,
        tenant: Option<usize>,
        at: Duration,
        attempts: u32,
        result: Result<Option<Answer>, Failure>,
        late: bool,
    ) -> Self {
        let answer = result.as_ref().ok().copied().flatten();
        let outcome = match &result {
            Ok(Some(answer)) => answer.outcome(late),
            Ok(None) => Outcome::Timeout,
            Err(failure) => failure.outcome(),
        };
        Self {
            arrival,
            target,
            class,
            tenant,
            at,
            attempts,
            status: answer.map(|answer| answer.status),
            reason: answer.and_then(|answer| answer.reason),
            failure: result.err(),
            outcome,
            retry_after: answer.and_then(|answer| answer.retry_after),
        }
    }
}

impl Tally {
    fn new() -> Self {
        Self {
            offered: 0,
            outcomes: [0; Outcome::COUNT],
            reasons: [0; REASONS],
            served: histogram(DIGITS),
            shed: histogram(DIGITS),
            all: histogram(DIGITS),
        }
    }

    fn add(&mut self, finished: &Finished, micros: u64) {
        self.outcomes[finished.outcome.index()] += 1;
        match finished.outcome {
            Outcome::Served | Outcome::Late => record(&mut self.served, micros),
            Outcome::Shed => {
                record(&mut self.shed, micros);
                self.reasons[finished.reason.map_or(Reason::COUNT, Reason::index)] += 1;
            }
            _ => {}
        }
        if finished.outcome != Outcome::NotSent {
            record(&mut self.all, micros);
        }
    }
}

impl Recorder {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut classes: Vec<Rc<str>> =
            plan.classes.names().iter().map(|name| name.as_str().into()).collect();
        let mut tenants: Vec<Rc<str>> =
            plan.tenants.names().iter().map(|name| name.as_str().into()).collect();
        let own = plan.targets.iter().map(|target| {
            (
                target.class.as_deref().map(|name| place(&mut classes, name)),
                target.tenant.as_deref().map(|name| place(&mut tenants, name)),
            )
        });
        let own = own.collect();
        let tallies = |names: Vec<Rc<str>>| names.into_iter().map(|name| (name, Tally::new())).collect();
        Self {
            total: Tally::new(),
            targets: tallies(plan.targets.iter().map(|target| target.name.as_str().into()).collect()),
            classes: tallies(classes),
            tenants: tallies(tenants),
            stages: plan.stages.iter().map(|_| Tally::new()).collect(),
            ticks: Vec::new(),
            series: Vec::new(),
            step: step(plan.duration()),
            lag: histogram(DIGITS),
            statuses: BTreeMap::new(),
            attempts: 0,
            no_room: 0,
            causes: BTreeMap::new(),
            own,
            planned: plan.duration(),
        }
    }

    pub(crate) fn own_groups(&self, target: usize) -> (Option<usize>, Option<usize>) {
        self.own[target]
    }

    pub(crate) fn names(
        &self,
        class: Option<usize>,
        tenant: Option<usize>,
    ) -> (Option<Rc<str>>, Option<Rc<str>>) {
        (
            class.map(|class| Rc::clone(&self.classes[class].0)),
            tenant.map(|tenant| Rc::clone(&self.tenants[tenant].0)),
        )
    }

    /// A request is due.
    pub(crate) fn offer(
        &mut self,
        arrival: Arrival,
        target: usize,
        class: Option<usize>,
        tenant: Option<usize>,
    ) {
        self.tick(arrival.at).offered += 1;
        self.each(arrival.stage, target, class, tenant, |tally| tally.offered += 1);
    }

    /// It is started, so much too late.
    pub(crate) fn started(&mut self, lag: Duration) {
        record(&mut self.lag, micros(lag));
    }

    /// It is not started, because as many are under way as the plan allows.
    pub(crate) fn no_room(&mut self) {
        self.no_room += 1;
    }

    /// It failed, and will be tried again.
    pub(crate) fn failed_attempt(&mut self, finished: &Finished) {
        self.attempts += 1;
        if let Some(status) = finished.status {
            *self.statuses.entry(status).or_default() += 1;
        }
        if let Some(failure) = &finished.failure {
            self.causes.entry(finished.outcome).or_insert_with(|| failure.to_string());
        }
    }

    /// It is over.
    pub(crate) fn finish(&mut self, finished: &Finished) {
        if finished.attempts > 0 {
            self.failed_attempt(finished);
        }
        let outcome = finished.outcome.index();
        self.tick(finished.arrival.at).outcomes[outcome] += 1;
        self.tick(finished.at).done[outcome] += 1;
        let latency = micros(finished.at.saturating_sub(finished.arrival.at));
        self.each(finished.arrival.stage, finished.target, finished.class, finished.tenant, |tally| {
            tally.add(finished, latency);
        });
        if matches!(finished.outcome, Outcome::Served | Outcome::Late) {
            let step = index(finished.arrival.at) / self.step as usize;
            if self.series.len() <= step {
                self.series.resize_with(step + 1, || histogram(SERIES_DIGITS));
            }
            record(&mut self.series[step], latency);
        }
    }

    pub(crate) fn snapshot(&self, elapsed: Duration, in_flight: usize) -> Snapshot<'_> {
        Snapshot {
            elapsed,
            planned: self.planned,
            in_flight,
            offered: self.total.offered,
            outcomes: self.total.outcomes,
            ticks: &self.ticks,
            latency: &self.total.served,
        }
    }

    fn tick(&mut self, at: Duration) -> &mut Tick {
        let index = index(at);
        if self.ticks.len() <= index {
            self.ticks.resize(index + 1, Tick::default());
        }
        &mut self.ticks[index]
    }

    /// Every tally that a request counts in.
    fn each(
        &mut self,
        stage: usize,
        target: usize,
        class: Option<usize>,
        tenant: Option<usize>,
        mut count: impl FnMut(&mut Tally),
    ) {
        count(&mut self.total);
        count(&mut self.stages[stage]);
        count(&mut self.targets[target].1);
        class.into_iter().for_each(|class| count(&mut self.classes[class].1));
        tenant.into_iter().for_each(|tenant| count(&mut self.tenants[tenant].1));
    }
}

/// Ticks per step of a series over `duration`.
fn step(duration: Duration) -> u32 {
    let fits = |step: &u32| TICK * (step * SERIES_STEPS) >= duration;
    STEPS.into_iter().find(fits).unwrap_or(STEPS[STEPS.len() - 1])
}

fn index(at: Duration) -> usize {
    usize::try_from(at.as_nanos() / TICK.as_nanos()).unwrap_or(usize::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The index of `name`, which is added if it is not there.
fn place(names: &mut Vec<Rc<str>>, name: &str) -> usize {
    names.iter().position(|known| &**known == name).unwrap_or_else(|| {
        names.push(name.into());
        names.len() - 1
    })
}

/// A day: longer waits are told as that.
const LONGEST_MICROS: u64 = 86_400_000_000;

fn record<C: hdrhistogram::Counter>(histogram: &mut Histogram<C>, micros: u64) {
    histogram.record(micros.min(LONGEST_MICROS)).expect("it grows, and a day fits 64 bits");
}

/// Grows as needed.
fn histogram<C: hdrhistogram::Counter>(digits: u8) -> Histogram<C> {
    Histogram::new(digits).expect("0 to 5 digits are allowed")
}
