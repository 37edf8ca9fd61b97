//! Several policies on the same scenario and the same clients, and what was expected of them.
//!
//! The *best fixed limit* is found, not assumed: the queue of the policy called `loadline`, with a range of limits around the
//! knees that the scenario has. What an adaptive limit reaches is compared with the one that was best for the same window, in
//! hindsight.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::run;
use crate::policy::PolicySpec;
use crate::recorder::Run;
use crate::scenario::{Expectation, Scenario, ScenarioError, What};

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In this situation.
    pub scenario: Scenario,
    /// Under these policies.
    pub policies: Vec<PolicySpec>,
    /// With these seeds.
    pub seeds: Vec<u64>,
    /// Whether the best fixed limit is looked for.
    pub best_fixed: bool,
}

impl Plan {
    /// All that the scenario says. The best fixed limit is looked for if something is expected relative to it.
    ///
    /// # Errors
    /// A policy that does not exist.
    pub fn new(scenario: Scenario) -> Result<Self, ScenarioError> {
        let policies =
            scenario.policies.iter().map(|name| scenario.policy(name)).collect::<Result<_, _>>()?;
        let best_fixed =
            scenario.expectations.iter().any(|expectation| expectation.what == What::VsBestFixed);
        Ok(Self { seeds: scenario.seeds.clone(), scenario, policies, best_fixed })
    }

    /// Only these policies.
    ///
    /// # Errors
    /// A policy that does not exist.
    pub fn with_policies(mut self, names: &[String]) -> Result<Self, ScenarioError> {
        self.policies = names.iter().map(|name| self.scenario.policy(name)).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// How many runs it is.
    #[must_use]
    pub fn runs(&self) -> usize {
        (self.policies.len() + self.limits().len()) * self.seeds.len()
    }

    /// Fixed limits that are tried: around the knee before and after each change.
    fn limits(&self) -> Vec<u32> {
        if !self.best_fixed {
            return Vec::new();
        }
        let changes = self.scenario.backend.changes.iter().map(|change| change.at.0);
        let knees = std::iter::once(0).chain(changes).map(|at| self.scenario.ability(at).knee);
        let mut limits: Vec<u32> = knees
            .filter(|knee| knee.is_finite())
            .flat_map(|knee| AROUND.map(|factor| (knee * factor).round().max(1.0) as u32))
            .chain([self.scenario.hint()])
            .collect();
        limits.sort_unstable();
        limits.dedup();
        limits
    }
}

/// Limits to try, relative to the knee: close where it matters, and far enough up for services whose requests vary.
const AROUND: [f64; 6] = [0.75, 1.0, 1.25, 1.6, 2.2, 3.5];

/// What came out of a plan.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Of what.
    pub scenario: Scenario,
    /// By policy, in the order of the plan; each with a run per seed.
    pub results: Vec<PolicyResult>,
    /// With fixed limits, ascending.
    pub fixed: Vec<(u32, Vec<Run>)>,
    /// What was expected, and what came out.
    pub verdicts: Vec<Verdict>,
}

/// The runs of one policy.
#[derive(Clone, Debug)]
pub struct PolicyResult {
    /// Its name.
    pub policy: String,
    /// Whether its limit adapts.
    pub adapts: bool,
    /// One per seed.
    pub runs: Vec<Run>,
}

/// What became of one expectation of one policy.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Of whom.
    pub policy: String,
    /// What was expected.
    pub expectation: Expectation,
    /// The worst value of all seeds.
    pub value: f64,
    /// The seed with that value.
    pub seed: u64,
    /// Whether it was as expected with every seed.
    pub holds: bool,
}

impl Verdict {
    /// Whether it came out worse than expected, and nobody knew.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        !self.holds && self.expectation.known_gap.is_none()
    }
}

/// Runs plans, as many at once as there are processors. `progress` is called with the number of runs that are done, from any
/// thread.
#[must_use]
pub fn compare(plans: &[Plan], progress: &(dyn Fn(usize) + Sync)) -> Vec<Comparison> {
    let specs: Vec<Vec<PolicySpec>> = plans.iter().map(all_policies).collect();
    let jobs: Vec<(usize, usize, u64)> = plans
        .iter()
        .enumerate()
        .flat_map(|(index, plan)| {
            let policies = 0..specs[index].len();
            policies.flat_map(move |policy| plan.seeds.iter().map(move |seed| (index, policy, *seed)))
        })
        .collect();
    let done = AtomicUsize::new(0);
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Run>>> = Mutex::new(vec![None; jobs.len()]);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((plan, policy, seed)) = jobs.get(index) else { break };
            let result = run(&plans[*plan].scenario, &specs[*plan][*policy], *seed);
            results.lock().expect("no thread panics while it holds the lock")[index] = Some(result);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().expect("no thread panics while it holds the lock");
    let mut results = results.into_iter().map(|run| run.expect("every job was done"));
    plans.iter().map(|plan| collect(plan, &mut results)).collect()
}

fn all_policies(plan: &Plan) -> Vec<PolicySpec> {
    let best = plan.scenario.policy("loadline").ok();
    let fixed = plan.limits().into_iter().filter_map(|limit| best.as_ref()?.with_limit(limit));
    plan.policies.iter().cloned().chain(fixed).collect()
}

fn collect(plan: &Plan, results: &mut impl Iterator<Item = Run>) -> Comparison {
    let mut next = || -> Vec<Run> { results.by_ref().take(plan.seeds.len()).collect() };
    let policies = plan.policies.iter();
    let result = |policy: &PolicySpec| PolicyResult {
        policy: policy.name().to_owned(),
        adapts: policy.adapts(),
        runs: next(),
    };
    let results: Vec<PolicyResult> = policies.map(result).collect();
    let fixed: Vec<(u32, Vec<Run>)> = plan.limits().into_iter().map(|limit| (limit, next())).collect();
    let mut comparison = Comparison { scenario: plan.scenario.clone(), results, fixed, verdicts: Vec::new() };
    comparison.verdicts = comparison.judge();
    comparison
}

impl Comparison {
    /// The fixed limit with the most goodput in a window, and how much that is, on average over the seeds.
    #[must_use]
    pub fn best_fixed(&self, from: u64, to: u64) -> Option<(u32, f64)> {
        let goodput = |runs: &[Run]| self.mean(runs, |run| run.goodput(&self.scenario, from, to));
        let all = self.fixed.iter().map(|(limit, runs)| (*limit, goodput(runs)));
        all.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The mean of a number over runs.
    pub fn mean(&self, runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
        runs.iter().map(of).sum::<f64>() / runs.len().max(1) as f64
    }

    fn judge(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for expectation in &self.scenario.expectations {
            let concerned = |result: &&PolicyResult| expectation.policy.contains(&result.policy);
            for result in self.results.iter().filter(concerned) {
                let value = |run: &Run| Some((self.value(result, run, expectation)?, run.seed));
                let values = result.runs.iter().filter_map(value);
                let worse = |value: f64| worse_by(expectation, value);
                let Some((value, seed)) = values.max_by(|a, b| worse(a.0).total_cmp(&worse(b.0))) else {
                    continue;
                };
                let (policy, expectation) = (result.policy.clone(), expectation.clone());
                let holds = expectation.holds(value);
                verdicts.push(Verdict { policy, expectation, value, seed, holds });
            }
        }
        verdicts
    }

    /// The number that is expected; `None` where nothing is asked.
    fn value(&self, of: &PolicyResult, run: &Run, expectation: &Expectation) -> Option<f64> {
        match expectation.what {
            What::VsBestFixed => Some(self.vs_best_fixed(run, expectation)),
            What::VsBestAdaptive => self.vs_best_adaptive(of, expectation),
            _ => Some(run.measure(&self.scenario, expectation)),
        }
    }

    /// All seeds at once; `None` if no other law that adapts its limit was run.
    fn vs_best_adaptive(&self, of: &PolicyResult, expectation: &Expectation) -> Option<f64> {
        let (from, to) = expectation.window(&self.scenario);
        let goodput = |of: &PolicyResult| self.mean(&of.runs, |run| run.goodput(&self.scenario, from, to));
        let others = self.results.iter().filter(|other| other.adapts && other.policy != of.policy);
        Some(goodput(of) / others.map(goodput).max_by(f64::total_cmp)?)
    }

    fn vs_best_fixed(&self, run: &Run, expectation: &Expectation) -> f64 {
        let (from, to) = expectation.window(&self.scenario);
        let goodput = |run: &Run| run.goodput(&self.scenario, from, to);
        let best = self.best_fixed(from, to);
        let runs = best.and_then(|(best, _)| self.fixed.iter().find(|(limit, _)| *limit == best));
        let same_seed = runs.and_then(|(_, runs)| runs.iter().find(|best| best.seed == run.seed));
        same_seed.map_or(f64::NAN, |best| goodput(run) / goodput(best))
    }
}

/// How far a value is outside of the range, or, negative, how little it is inside. What is no number is the worst.
fn worse_by(expectation: &Expectation, value: f64) -> f64 {
    if value.is_nan() {
        return f64::INFINITY;
    }
    let below = expectation.min.map_or(f64::NEG_INFINITY, |min| min - value);
    let above = expectation.max.map_or(f64::NEG_INFINITY, |max| value - max);
    below.max(above)
}
