//! `loadline sim`: what would happen, in virtual time. The arguments and the files; everything else is `loadline-sim`'s.
//!
//! Progress goes to stderr while it is a terminal. Exit code 99: something that a scenario expects did not come out.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use loadline_sim::{
    Comparison, EMBEDDED, ExpectationVerdict, FleetPlan, FleetRun, Plan, Recording, Scenario, Set, Signal,
    Sweep, compare, report, run_fleet,
};

use super::{EXPECTATION, USAGE, say};

#[derive(Args)]
pub(super) struct SimArgs {
    /// Scenarios: files, or names from --list
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Run every scenario of the exam
    #[arg(long, conflicts_with = "scenarios")]
    exam: bool,
    /// Run a fleet of replicas under an autoscaler, once per signal that it may look at
    #[arg(long, conflicts_with_all = ["exam", "scenarios", "sweep", "replay", "policy", "set", "json", "html"])]
    fleet: bool,
    /// Print the scenarios and policies that are built in
    #[arg(long)]
    list: bool,
    /// Only these policies, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    policy: Vec<String>,
    /// Only this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Change one value, for example queue.timeout=2s or clients.web.rate=3x; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Look for the best fixed limit as well
    #[arg(long)]
    best_fixed: bool,
    /// Take one value through a range, for example limit=1..64
    #[arg(long, value_name = "KEY=FROM..TO", conflicts_with_all = ["exam", "replay"])]
    sweep: Option<String>,
    /// Replay an access log in JSON, once as it was and once with --set
    #[arg(long, value_name = "FILE", conflicts_with_all = ["exam", "scenarios"])]
    replay: Option<PathBuf>,
    /// Write everything as JSON; - is stdout, instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl SimArgs {
    pub(super) fn answer(&self) -> ExitCode {
        if self.fleet {
            return say(&self.run_fleet());
        }
        if self.list || (self.scenarios.is_empty() && !self.exam && self.replay.is_none()) {
            return say(&list());
        }
        match self.run() {
            Ok(code) => code,
            Err(Failure::Usage(error)) => {
                eprintln!("error: {error}");
                ExitCode::from(USAGE)
            }
            Err(Failure::Io(error)) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn run(&self) -> Result<ExitCode, Failure> {
        if let Some(sweep) = &self.sweep {
            return self.run_sweep(sweep);
        }
        if let Some(log) = &self.replay {
            return self.run_replay(log);
        }
        let plans = self.plans()?;
        let comparisons = with_progress(&plans);
        let text = if comparisons.len() == 1 {
            let [one] = &comparisons[..] else { unreachable!("its length is 1") };
            let verdicts =
                if one.verdicts.is_empty() { String::new() } else { report::verdicts(&comparisons) };
            format!("{}\n{verdicts}", report::table(one)).trim_end().to_owned() + "\n"
        } else {
            report::exam(&comparisons)
        };
        self.write(&comparisons, &text)?;
        let failed = comparisons
            .iter()
            .flat_map(|comparison| &comparison.verdicts)
            .any(ExpectationVerdict::is_failure);
        Ok(if failed { ExitCode::from(EXPECTATION) } else { ExitCode::SUCCESS })
    }

    fn plans(&self) -> Result<Vec<Plan>, Failure> {
        let texts = if self.exam {
            let exam = EMBEDDED.iter().filter(|(path, _)| path.starts_with("exam/"));
            exam.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
        } else {
            self.scenarios.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?
        };
        let plan = |(name, text): &(String, String)| {
            let scenario = Scenario::parse(text, &self.set);
            self.plan(scenario.map_err(|error| Failure::Usage(format!("{name}: {error}")))?)
        };
        texts.iter().map(plan).collect()
    }

    fn plan(&self, scenario: Scenario) -> Result<Plan, Failure> {
        let mut plan = Plan::new(scenario).map_err(usage)?;
        if !self.policy.is_empty() {
            plan = plan.with_policies(&self.policy).map_err(usage)?;
        }
        if let Some(seed) = self.seed {
            plan.seeds = vec![seed];
        }
        plan.best_fixed |= self.best_fixed;
        Ok(plan)
    }

    fn run_sweep(&self, sweep: &str) -> Result<ExitCode, Failure> {
        let wrong = || Failure::Usage(format!("--sweep: `{sweep}` is not of the form limit=1..64"));
        let sweep = Sweep::parse(sweep).ok_or_else(wrong)?;
        let [name] = &self.scenarios[..] else {
            return Err(Failure::Usage("--sweep takes one scenario".to_owned()));
        };
        let (name, text) = find(name)?;
        let scenarios = sweep.scenarios(&text, &self.set);
        let scenarios = scenarios.map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
        let loadline = ["loadline".to_owned()];
        let mut plans = Vec::new();
        for scenario in scenarios {
            let mut plan = self.plan(scenario)?;
            if self.policy.is_empty() {
                plan = plan.with_policies(&loadline).map_err(usage)?;
            }
            // It is what is looked for.
            plan.best_fixed = false;
            plans.push(plan);
        }
        let comparisons = with_progress(&plans);
        self.write(&comparisons, &report::sweep(&sweep.key, &sweep.values, &comparisons))?;
        Ok(ExitCode::SUCCESS)
    }

    fn run_replay(&self, path: &PathBuf) -> Result<ExitCode, Failure> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let log = std::fs::read_to_string(path).map_err(|error| Failure::Io(failed(&error)))?;
        let recording = Recording::parse(&log).map_err(|error| Failure::Usage(failed(&error)))?;
        let plans = recording.plans(&self.set).map_err(usage)?;
        let plans: Result<Vec<Plan>, Failure> =
            plans.into_iter().map(|plan| self.plan(plan.scenario)).collect();
        let comparisons = with_progress(&plans?);
        let tables: Vec<String> = comparisons.iter().map(report::table).collect();
        self.write(&comparisons, &format!("{}\n{}", recording.describe(), tables.join("\n")))?;
        Ok(ExitCode::SUCCESS)
    }

    fn run_fleet(&self) -> String {
        let example = FleetPlan::example();
        let plan = FleetPlan { seed: self.seed.unwrap_or(example.seed), ..example };
        let runs: Vec<(Signal, FleetRun)> =
            Signal::ALL.iter().map(|&signal| (signal, run_fleet(&plan, signal))).collect();
        report::fleet(&plan, &runs)
    }

    fn write(&self, comparisons: &[Comparison], text: &str) -> Result<(), Failure> {
        let write = |path: &PathBuf, text: String| {
            std::fs::write(path, text).map_err(|error| Failure::Io(format!("{}: {error}", path.display())))
        };
        if let Some(path) = &self.html {
            write(path, report::html(comparisons))?;
        }
        match &self.json {
            Some(path) if path.as_os_str() == "-" => _ = say(&report::json(comparisons)),
            Some(path) => {
                write(path, report::json(comparisons))?;
                _ = say(text);
            }
            None => _ = say(text),
        }
        Ok(())
    }
}

enum Failure {
    Usage(String),
    Io(String),
}

fn usage(error: impl std::fmt::Display) -> Failure {
    Failure::Usage(error.to_string())
}

/// A scenario's place and text: of a file, or of one that is built in.
fn find(name: &str) -> Result<(String, String), Failure> {
    let why = match crate::config::read_text(name.as_ref()) {
        Ok(text) => return Ok((name.to_owned(), text)),
        Err(error) => error,
    };
    let wanted = name.trim_start_matches("scenarios/");
    let known = EMBEDDED.iter().find(|(path, text)| *path == wanted || short_name(path, text) == wanted);
    known.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).ok_or_else(|| {
        if why.kind() != std::io::ErrorKind::NotFound {
            return Failure::Usage(format!("cannot read {name}: {why}"));
        }
        let names: Vec<String> = EMBEDDED.iter().map(|(path, text)| short_name(path, text)).collect();
        let hint = crate::config::closest(wanted, names.iter().map(String::as_str));
        let hint = hint.map_or_else(String::new, |hint| format!("; did you mean `{hint}`?"));
        Failure::Usage(format!("there is no file and no scenario `{name}`{hint} (loadline sim --list)"))
    })
}

/// The name in the file.
fn short_name(path: &str, text: &str) -> String {
    Scenario::parse(text, &[]).map_or_else(|_| path.to_owned(), |scenario| scenario.name)
}

fn list() -> String {
    let mut text = String::from("scenarios:\n");
    for (path, scenario) in EMBEDDED {
        if let Ok(scenario) = Scenario::parse(scenario, &[])
            && scenario.set != Set::Tuning
        {
            text += &format!("  {:16} {}\n", scenario.name, scenario.about);
        } else if path.starts_with("exam/") {
            text += &format!("  {path}\n");
        }
    }
    text += "\npolicies:\n  ";
    text += &loadline_sim::PolicySpec::NAMES.join(", ");
    text + "\n\nrun one:      loadline sim double\nrun the exam: loadline sim --exam\na fleet:      loadline sim --fleet\n"
}

/// Runs the plans, with a line on the terminal that says how far it is.
fn with_progress(plans: &[Plan]) -> Vec<Comparison> {
    let runs: usize = plans.iter().map(Plan::runs).sum();
    let terminal = std::io::stderr().is_terminal();
    let shown = Mutex::new(Instant::now());
    let progress = |done: usize| {
        if let Ok(mut shown) = shown.try_lock()
            && terminal
            && (shown.elapsed() >= BETWEEN_LINES || done == runs)
        {
            *shown = Instant::now();
            let end = if done == runs { "\r\x1b[K" } else { "" };
            // What cannot be shown is not worth failing for.
            let _ = write!(std::io::stderr(), "\r{done} of {runs} runs{end}");
        }
    };
    compare(plans, &progress)
}

/// Often enough to see that it goes on.
const BETWEEN_LINES: Duration = Duration::from_millis(100);
