//! Results for programs.

use serde_json::{Value, json as value};

use crate::compare::Comparison;
use crate::recorder::{Bucket, Run};

/// Every run with its numbers by time, and every expectation with what came out. Infinity (no limit) is `null`.
#[must_use]
pub fn json(comparisons: &[Comparison]) -> String {
    let all: Vec<Value> = comparisons.iter().map(comparison).collect();
    let mut text = Value::Array(all).to_string();
    text.push('\n');
    text
}

fn comparison(comparison: &Comparison) -> Value {
    let scenario = &comparison.scenario;
    let ability = scenario.ability(0);
    let (from, to) = (scenario.settle.0, scenario.duration.0);
    let results = comparison.results.iter().flat_map(|result| &result.runs);
    let verdicts = comparison.verdicts.iter().map(|verdict| {
        value!({
            "policy": verdict.policy, "expected": verdict.expectation.describe(), "value": verdict.value,
            "seed": verdict.seed, "holds": verdict.holds,
            "known_gap": verdict.expectation.known_gap,
        })
    });
    let best = comparison.best_fixed(from, to);
    value!({
        "scenario": scenario.name,
        "about": scenario.about,
        "capacity": ability.capacity,
        "knee": ability.knee,
        "best_fixed": best.map(|(limit, goodput)| value!({ "limit": limit, "goodput": goodput })),
        "runs": results.map(|result| run(comparison, result)).collect::<Vec<_>>(),
        "expectations": verdicts.collect::<Vec<_>>(),
    })
}

fn run(comparison: &Comparison, run: &Run) -> Value {
    let scenario = &comparison.scenario;
    let (from, to) = (scenario.settle.0, scenario.duration.0);
    let totals = run.totals;
    let series = |of: fn(&Bucket) -> Value| Value::Array(run.buckets.iter().map(of).collect());
    value!({
        "policy": run.policy,
        "seed": run.seed,
        "digest": format!("{:016x}", run.digest),
        "goodput": run.goodput(scenario, from, to),
        "p50_s": run.latency(0.5, from, to),
        "p99_s": run.latency(0.99, from, to),
        "clients": { "came": totals.came, "answered": totals.answered, "failed": totals.failed,
                     "unresolved": totals.unresolved },
        "attempts": totals.attempts,
        "started": totals.started,
        "refused": run.reasons,
        "bucket_s": run.bucket as f64 / 1e9,
        "series": {
            "good": series(|bucket| bucket.good.into()),
            "attempts": series(|bucket| bucket.attempts.into()),
            "refused": series(|bucket| bucket.refused.into()),
            "gave_up": series(|bucket| bucket.gave_up.into()),
            "limit": series(|bucket| bucket.limit.into()),
            "in_flight": series(|bucket| bucket.in_flight.into()),
            "queued": series(|bucket| bucket.queued.into()),
            "in_app": series(|bucket| bucket.in_app.into()),
        },
    })
}
