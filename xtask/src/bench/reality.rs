//! `cargo xtask bench reality`: does the simulator tell the truth?
//!
//! The same scenario file is played over sockets (real proxy, real clients, an app that sleeps) and in virtual time, at 0.8,
//! 1.2 and 2 times capacity. Arrivals have the same distribution in both, not the same moments.
//!
//! Goodput is answers in time per second ÷ capacity, from the scenario's `settle` to its `duration`.

use std::path::PathBuf;

use loadline_sim::{Scenario, run as simulate};

use super::proxies::Loadline;
use super::side_by_side::{Guard, Programs, Window, play};
use super::{LOAD_CORE, Result, measure};

/// Offered load, as multiples of the capacity.
const LOADS: [f64; 3] = [0.8, 1.2, 2.0];

/// Largest difference, as a share of the simulated goodput.
const WANTED: f64 = 0.10;

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The loadline to try; built with the profile `dist` when not given.
    #[arg(long, value_name = "PATH")]
    loadline: Option<PathBuf>,
    /// A scenario with one stream of clients, which is called `web`; by default a pool of 16 workers.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Fail when a difference is larger than 10 %.
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = true)]
    expect: bool,
}

/// Runs the comparison.
///
/// # Errors
/// When something does not start, or the two differ too much.
pub(super) fn run(options: &Options) -> Result<()> {
    let text = match &options.scenario {
        Some(path) => std::fs::read_to_string(path)?,
        None => include_str!("../../../scenarios/sockets/reality.toml").to_owned(),
    };
    let loadline = Loadline::find_or_build(options.loadline.as_deref(), &[])?;
    let programs = Programs { loadline, envoy: None };
    measure::pin_to(LOAD_CORE)?;
    let scenarios = LOADS
        .iter()
        .map(|load| Ok(Scenario::parse(&text, &[format!("clients.web.rate={load}x")])?))
        .collect::<Result<Vec<_>>>()?;
    let parts: Vec<(&Scenario, Guard)> = scenarios
        .iter()
        .flat_map(|scenario| {
            let hint = scenario.hint() as usize;
            [(scenario, Guard::Fixed(hint)), (scenario, Guard::Auto(hint))]
        })
        .collect();
    let seed = scenarios[0].seeds.first().copied().unwrap_or(1);
    eprintln!("{}: {} seconds", scenarios[0].name, scenarios[0].duration.secs());
    let played = play(&parts, &programs, seed)?;
    println!(
        "\n### {}: {}\n\n| offered | limit | over sockets, % of capacity | simulated | difference, % |\n|---|---|---|---|---|",
        scenarios[0].name, scenarios[0].about
    );
    let mut broken = Vec::new();
    for (index, ((scenario, guard), played)) in parts.iter().zip(&played).enumerate() {
        let (from, to) = (scenario.settle.0, scenario.duration.0);
        let window = Window { from: scenario.settle.secs(), to: scenario.duration.secs() };
        let real = played.goodput(window) / scenario.mean_capacity(from, to);
        let (name, limit) = match guard {
            Guard::Auto(_) => ("auto", "auto".to_owned()),
            Guard::Fixed(limit) => ("loadline", limit.to_string()),
            Guard::Envoy => continue,
        };
        let simulated = simulate(scenario, &scenario.policy(name)?, seed).goodput(scenario, from, to);
        let difference = real / simulated - 1.0;
        let load = LOADS[index / 2];
        println!(
            "| {load} C | {limit} | {:.1} | {:.1} | {:+.1} |",
            100.0 * real,
            100.0 * simulated,
            100.0 * difference
        );
        if !played.report.valid {
            eprintln!("{load} C: the load was not as planned: {}", played.report.problems.join("; "));
        }
        if difference.abs() > WANTED {
            broken.push(format!("{load} C, limit {limit}: {:+.1} %", 100.0 * difference));
        }
    }
    if broken.is_empty() || !options.expect { Ok(()) } else { Err(broken.join("; ").into()) }
}
