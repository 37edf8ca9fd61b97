//! The exam, or the scenarios that constants are chosen by, without the rest of loadline: built in seconds.
//!
//! ```console
//! $ cargo run --release -p loadline-sim --example exam -- tuning auto thrash,quarter
//! ```
//!
//! Arguments: `exam` or `tuning`; policies, separated by commas (`all`: every one that a scenario has); parts of names of
//! scenarios. The exit code is 1 if something that was expected does not hold.

use std::process::ExitCode;

use loadline_sim::{EMBEDDED, ExpectationVerdict, Plan, Scenario, compare, report};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, otherwise: &'static str| {
        arguments.get(index).map_or(otherwise, String::as_str).to_owned()
    };
    let (set, policies, parts) = (argument(0, "exam"), argument(1, "all"), argument(2, ""));
    let wanted = |path: &str| {
        let name = path.strip_prefix(&format!("{set}/")).and_then(|name| name.strip_suffix(".toml"));
        name.is_some_and(|name| parts.is_empty() || parts.split(',').any(|part| name == part))
    };
    let plans: Vec<Plan> = EMBEDDED
        .iter()
        .filter(|(path, _)| wanted(path))
        .map(|(path, text)| {
            let scenario = Scenario::parse(text, &[]).unwrap_or_else(|error| panic!("{path}: {error}"));
            let plan = Plan::new(scenario).unwrap_or_else(|error| panic!("{path}: {error}"));
            if policies == "all" {
                return plan;
            }
            let names: Vec<String> = policies.split(',').map(str::to_owned).collect();
            plan.with_policies(&names).unwrap_or_else(|error| panic!("{path}: {error}"))
        })
        .collect();
    let runs: usize = plans.iter().map(Plan::runs).sum();
    let began = std::time::Instant::now();
    let comparisons = compare(&plans, &|done| {
        if done % 10 == 0 {
            eprintln!("{done} of {runs} runs, {:.0} s", began.elapsed().as_secs_f64());
        }
    });
    print!("{}", report::exam(&comparisons));
    ExitCode::from(u8::from(
        comparisons.iter().flat_map(|one| &one.verdicts).any(ExpectationVerdict::is_failure),
    ))
}
