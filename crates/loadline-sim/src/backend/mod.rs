//! The service behind the admission: stages that a request passes one after the other.
//!
//! A service of threads on a processor that calls a database is a `cpu` stage and a `delay` stage; one with a global lock has
//! a `lock` stage; a classic pool of workers is a `workers` stage. What changes during a run is a [`Change`]: three times
//! slower, or a quarter of the parallelism.
//!
//! *Capacity* C is what the tightest stage can do, in average requests per second. The *knee* N\* is how many requests are in
//! the service when it does that and nobody waits: C × the time of one request that is alone (Little's law). Fewer leave it
//! idle, more only wait inside it.
//!
//! Worked number: 4 cores with 10 ms each, then 30 ms of I/O: C = 400/s, N\* = 400 × 0.04 = 16.

mod station;

use serde::Deserialize;

use crate::engine::MAX_STAGES;
use crate::slab::Key;
use crate::units::{Span, Spread};
pub(crate) use station::{Shape, Station};

/// The service, as a scenario describes it.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendSpec {
    /// What a request passes, in this order.
    #[serde(rename = "stage")]
    pub stages: Vec<StageSpec>,
    /// Whether it stops working for a client that has left. Most do not.
    #[serde(default)]
    pub notices_disconnect: bool,
    /// What becomes of it during the run, by time.
    #[serde(default, rename = "change")]
    pub changes: Vec<Change>,
}

/// One stage.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// Its name, for [`Change::stage`].
    #[serde(default)]
    pub name: String,
    /// What it is.
    pub kind: StageKind,
    /// How long one request takes in it when it is alone.
    pub work: Spread,
    /// How many cores active requests share; `cpu` only, or the cores under a pool of `workers`.
    pub cores: Option<f64>,
    /// How many may be active; `workers` only.
    pub workers: Option<f64>,
    /// Beyond how many requests in it, active and waiting, it becomes inefficient.
    pub knee: Option<f64>,
    /// How inefficient: at twice the knee it does 1 ÷ (1 + slope) of its work.
    pub slope: Option<f64>,
}

/// What a stage is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageKind {
    /// Cores that all requests in it share.
    Cpu,
    /// A pool of workers with an unbounded line before it, first in, first out.
    Workers,
    /// One at a time, first in, first out.
    Lock,
    /// Time that passes without contention: I/O, a call to somebody else.
    Delay,
}

/// A moment at which the service changes, until the next change of the same stage.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When, from the start.
    pub at: Span,
    /// Which stage; left out: all.
    #[serde(default)]
    pub stage: Option<String>,
    /// Everything takes so many times as long.
    #[serde(default = "one")]
    pub slower: f64,
    /// This share of its workers or cores is there.
    #[serde(default = "one")]
    pub parallel: f64,
}

const fn one() -> f64 {
    1.0
}

impl StageSpec {
    fn shape(&self) -> Shape {
        let (slots, cores) = match self.kind {
            StageKind::Cpu => (f64::INFINITY, self.cores.unwrap_or(1.0)),
            StageKind::Workers => (self.workers.unwrap_or(1.0), self.cores.unwrap_or(f64::INFINITY)),
            StageKind::Lock => (1.0, f64::INFINITY),
            StageKind::Delay => (f64::INFINITY, f64::INFINITY),
        };
        Shape { slots, cores, knee: self.knee.unwrap_or(f64::INFINITY), slope: self.slope.unwrap_or(1.0) }
    }

    /// What is wrong with it.
    fn fault(&self) -> Option<String> {
        let positive = |name: &str, value: Option<f64>| {
            value
                .filter(|value| !(value.is_finite() && *value > 0.0))
                .map(|value| format!("{name} = {value} is not above 0"))
        };
        let stray = |name: &str, given: bool| {
            given.then(|| format!("a {:?} stage has no {name}", self.kind).to_lowercase())
        };
        positive("cores", self.cores)
            .or_else(|| positive("workers", self.workers))
            .or_else(|| positive("knee", self.knee))
            .or_else(|| {
                stray(
                    "cores",
                    self.cores.is_some() && matches!(self.kind, StageKind::Lock | StageKind::Delay),
                )
            })
            .or_else(|| stray("workers", self.workers.is_some() && self.kind != StageKind::Workers))
            .or_else(|| (self.work.mean() <= 0.0).then(|| "work is 0".to_owned()))
    }
}

impl BackendSpec {
    /// What is wrong with it.
    ///
    /// # Errors
    /// The first fault, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.stages.is_empty() {
            return Err("backend: there is no stage".to_owned());
        }
        if self.stages.len() > MAX_STAGES {
            return Err(format!("backend: at most {MAX_STAGES} stages"));
        }
        for (index, stage) in self.stages.iter().enumerate() {
            if let Some(fault) = stage.fault() {
                return Err(format!("backend.stage.{index}: {fault}"));
            }
        }
        for change in &self.changes {
            if let Some(name) = &change.stage
                && !self.stages.iter().any(|stage| stage.name == *name)
            {
                return Err(format!("backend.change: there is no stage named `{name}`"));
            }
            if !(change.slower > 0.0 && change.parallel > 0.0) {
                return Err("backend.change: `slower` and `parallel` are above 0".to_owned());
            }
        }
        Ok(())
    }

    /// What it can do at this moment, for requests that need this many times the work that is written. See the module.
    #[must_use]
    pub fn ability(&self, at: u64, mean_work: f64) -> Ability {
        let mut capacity = f64::INFINITY;
        let mut alone = 0.0;
        for (index, stage) in self.stages.iter().enumerate() {
            let (speed, parallel) = self.factors(index, at);
            let seconds = stage.work.mean() * mean_work / speed / 1e9;
            capacity = capacity.min(stage.shape().parallelism(parallel) / seconds);
            alone += seconds;
        }
        Ability { capacity, alone, knee: capacity * alone }
    }

    /// Speed and share of parallelism of a stage at this moment.
    pub(crate) fn factors(&self, stage: usize, at: u64) -> (f64, f64) {
        let concerns = |change: &&Change| {
            change.at.0 <= at && change.stage.as_ref().is_none_or(|name| *name == self.stages[stage].name)
        };
        let last = self.changes.iter().filter(concerns).max_by_key(|change| change.at);
        last.map_or((1.0, 1.0), |change| (1.0 / change.slower, change.parallel))
    }

    /// Mean capacity from one moment to another, in requests per second.
    #[must_use]
    pub fn mean_capacity(&self, from: u64, to: u64, mean_work: f64) -> f64 {
        let mut moments: Vec<u64> =
            self.changes.iter().map(|change| change.at.0).filter(|at| *at > from && *at < to).collect();
        moments.extend([from, to]);
        moments.sort_unstable();
        let done: f64 = moments
            .windows(2)
            .map(|pair| self.ability(pair[0], mean_work).capacity * (pair[1] - pair[0]) as f64)
            .sum();
        done / (to.saturating_sub(from).max(1)) as f64
    }
}

/// What a backend can do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ability {
    /// Requests per second.
    pub capacity: f64,
    /// Seconds that one takes which is alone.
    pub alone: f64,
    /// Requests in it when it does all it can and nobody waits.
    pub knee: f64,
}

/// The service in a run.
#[derive(Debug)]
pub(crate) struct Backend {
    spec: BackendSpec,
    stations: Vec<Station>,
}

impl Backend {
    pub(crate) fn new(spec: &BackendSpec) -> Self {
        let stations = spec.stages.iter().map(|stage| Station::new(stage.shape())).collect();
        Self { spec: spec.clone(), stations }
    }

    pub(crate) const fn spec(&self) -> &BackendSpec {
        &self.spec
    }

    pub(crate) fn station(&mut self, stage: usize) -> Option<&mut Station> {
        self.stations.get_mut(stage)
    }

    /// Puts in force what the changes say about this moment.
    pub(crate) fn change(&mut self, now: u64) {
        for (index, station) in self.stations.iter_mut().enumerate() {
            let (speed, parallel) = self.spec.factors(index, now);
            station.set_factors(now, speed, parallel);
        }
    }

    /// Somebody leaves, wherever in the service he is.
    pub(crate) fn remove(&mut self, now: u64, stage: usize, who: Key) {
        self.stations[stage].remove(now, who);
    }

    /// Requests in the service.
    pub(crate) fn len(&self) -> usize {
        self.stations.iter().map(Station::len).sum()
    }

    pub(crate) const fn stages(&self) -> usize {
        self.stations.len()
    }

    /// Core-nanoseconds used by the first stage that has cores, and how many cores it has.
    pub(crate) fn cpu(&mut self, now: u64) -> Option<(f64, f64)> {
        let index = self
            .spec
            .stages
            .iter()
            .position(|stage| stage.cores.is_some() || stage.kind == StageKind::Cpu)?;
        let cores = self.spec.stages[index].cores.unwrap_or(1.0);
        Some((self.stations[index].busy(now), cores))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> BackendSpec {
        let spec: BackendSpec = toml::from_str(text).unwrap();
        spec.check().unwrap();
        spec
    }

    #[test]
    fn capacity_and_knee_of_the_worked_number() {
        let spec = spec(
            "[[stage]]\nkind = 'cpu'\ncores = 4\nwork = '10ms'\n[[stage]]\nname = 'db'\nkind = 'delay'\nwork = '30ms'\n\
             [[change]]\nat = '10s'\nstage = 'db'\nslower = 4\n[[change]]\nat = '20s'\nparallel = 0.25",
        );
        let at = |secs: u64| spec.ability(secs * 1_000_000_000, 1.0);
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
        assert!(close(at(0).capacity, 400.0) && close(at(0).knee, 16.0));
        assert!(
            close(at(15).capacity, 400.0) && close(at(15).knee, 52.0),
            "slow I/O: same capacity, larger knee"
        );
        assert!(close(at(25).capacity, 100.0), "a quarter of the cores");
        assert!(close(spec.mean_capacity(19_000_000_000, 22_000_000_000, 1.0), 200.0));
        assert!(close(spec.ability(0, 2.0).capacity, 200.0), "twice the work");
    }

    #[test]
    fn nobody_works_in_a_part_of_a_slot() {
        let spec = spec(
            "[[stage]]\nkind = 'workers'\nworkers = 22\nwork = '100ms'\n[[change]]\nat = '10s'\nparallel = 0.25\n\
             [[change]]\nat = '20s'\nparallel = 0.01",
        );
        let at = |secs: u64| spec.ability(secs * 1_000_000_000, 1.0).capacity;
        assert!(
            [(0, 220.0), (10, 50.0), (20, 10.0)].iter().all(|(secs, all)| (at(*secs) - all).abs() < 1e-9)
        );
    }

    #[test]
    fn faults_are_named() {
        for (text, named) in [
            ("stage = []", "no stage"),
            ("[[stage]]\nkind = 'cpu'\ncores = 0\nwork = '1ms'", "cores = 0"),
            ("[[stage]]\nkind = 'delay'\nworkers = 2\nwork = '1ms'", "a delay stage has no workers"),
            ("[[stage]]\nkind = 'lock'\nwork = '0s'", "work is 0"),
            (
                "[[stage]]\nkind = 'lock'\nwork = '1s'\n[[change]]\nat = '1s'\nstage = 'x'",
                "no stage named `x`",
            ),
        ] {
            let fault = toml::from_str::<BackendSpec>(text).unwrap().check().unwrap_err();
            assert!(fault.contains(named), "{fault}");
        }
    }
}
