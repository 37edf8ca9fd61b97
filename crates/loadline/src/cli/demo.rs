//! `loadline demo`: shows that measure themselves, and the apps that they are made of.
//!
//! A show starts what it needs as processes of this executable on free ports of 127.0.0.1, ends them, prints its figures to stdout
//! and holds them against what must come of it. How it goes is shown on stderr. Exit codes: 0 everything held, 1 failed or
//! interrupted, 2 usage, 99 an expectation did not hold.

mod breaker;
mod children;
mod duel;
mod figures;
mod herd;
mod punctual;
mod roles;
mod screen;
mod shows;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use clap::{Args, Subcommand};
use loadline_demo::{HerdWork, Role};
use loadline_load::{MAX_LATE_STARTS, html_of_two};

use self::duel::{Duel, Outcomes};
use self::figures::{Expectation, Figure, Unit};
use super::output::Output;
use super::{EXPECTATION, USAGE, interrupt, parse_address, say};

/// Where the report goes unless somebody says so.
const REPORT: &str = "demo-report.html";

/// Any number would do; this one is in everybody's documents.
const SEED: u64 = 42;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    show: DuelArgs,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// Ten times too much for a moment, by clients that try again: without and with loadline
    #[command(after_help = "Example: loadline demo flash-crowd")]
    FlashCrowd(DuelArgs),
    /// Twice too much, a tenth of it critical: without and with classes
    #[command(after_help = "Example: loadline demo priorities")]
    Priorities(DuelArgs),
    /// Answers that are of use for half a second: untold and told
    #[command(after_help = "Example: loadline demo deadlines")]
    Deadlines(DuelArgs),
    /// A rush on a server with one worker and what it leaves behind, without and with shedding; or that server
    #[command(
        after_help = "Examples:\n  loadline demo herd\n  loadline demo herd --serve --with-load-shedding --listen 127.0.0.1:5000"
    )]
    Herd(HerdArgs),
    /// A service, its upstream and the breaker between them: well, failing, well again, too much
    #[command(after_help = "Example: loadline demo breaker")]
    Breaker(ShowArgs),
    /// Serve: asks an upstream for everything, sheds with 429; /client /work /healthz /metrics
    #[command(
        after_help = "Settings by environment, with their defaults:\n  UPSTREAM_BASE_URL=http://127.0.0.1:8081\n  \
        MAX_INFLIGHT=50 NORMAL_PRIORITY_MAX_INFLIGHT=45 LOW_PRIORITY_MAX_INFLIGHT=35\n  \
        BREAKER_FAILURE_THRESHOLD=5 BREAKER_COOLDOWN_SECONDS=10\n\
        Example: MAX_INFLIGHT=5 loadline demo api --listen 0.0.0.0:8080"
    )]
    Api(roles::ApiArgs),
    /// Serve: that upstream; /upstream?ms=50&fail_rate=0 /SECONDS /healthz /metrics
    #[command(after_help = "Example: loadline demo upstream --listen 0.0.0.0:8081")]
    Upstream(roles::UpstreamArgs),
    /// Serve: an app with known service times and an unbounded queue
    #[command(after_help = "Example: loadline demo app --workers 3 --listen 127.0.0.1:8080")]
    App(roles::AppArgs),
    /// End with the process that started it
    #[command(hide = true)]
    Tether {
        /// That process
        parent: u32,
        /// What to be
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[derive(Args)]
struct ShowArgs {
    /// What must hold as well, or exit with 99: 'goodput>=90%'; may be repeated
    #[arg(short, long, value_name = "EXPECTATION")]
    expect: Vec<String>,
    /// A shorter show
    #[arg(long)]
    quick: bool,
    /// Seed of everything random
    #[arg(long, default_value_t = SEED)]
    seed: u64,
}

#[derive(Args)]
struct DuelArgs {
    #[command(flatten)]
    show: ShowArgs,
    /// Where the report goes, an HTML page [default: demo-report.html]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Args)]
struct HerdArgs {
    #[command(flatten)]
    show: ShowArgs,
    /// Be the server
    #[arg(long)]
    serve: bool,
    /// Where the server listens
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, default_value = "127.0.0.1:5000", requires = "serve")]
    listen: SocketAddr,
    /// The server drops requests whose deadline it cannot meet
    #[arg(long, requires = "serve")]
    with_load_shedding: bool,
    /// The server sleeps instead of computing, and so takes no longer on a busy machine
    #[arg(long, requires = "serve")]
    sleep: bool,
}

/// What came out of a walk.
struct Walked {
    figures: Vec<Figure>,
    /// Why this machine was too busy for the figures to mean something.
    busy: Option<String>,
}

pub(super) fn demo(args: DemoArgs, environment: Vec<(OsString, OsString)>) -> ExitCode {
    match args.what {
        None => args.show.run(shows::overload),
        Some(What::FlashCrowd(args)) => args.run(shows::flash_crowd),
        Some(What::Priorities(args)) => args.run(shows::priorities),
        Some(What::Deadlines(args)) => args.run(shows::deadlines),
        Some(What::Herd(args)) => args.run(),
        Some(What::Breaker(args)) => {
            let show = |interrupted: &AtomicBool| breaker::show(args.quick, interrupted);
            args.walk(&breaker::KNOWN, &breaker::EXPECT, show)
        }
        Some(What::Api(args)) => args.serve(&environment),
        Some(What::Upstream(args)) => args.serve(),
        Some(What::App(args)) => args.serve(),
        Some(What::Tether { parent, command }) if children::tether(parent) => {
            super::main([vec!["loadline".into()], command].concat(), environment)
        }
        Some(What::Tether { .. }) => ExitCode::FAILURE,
    }
}

impl DuelArgs {
    fn run(&self, duel: fn(bool, u64) -> Duel) -> ExitCode {
        let duel = duel(self.show.quick, self.show.seed);
        let expectations = match self.show.expectations(duel.expect, &duel.known()) {
            Ok(expectations) => expectations,
            Err(error) => return usage(&error),
        };
        let report = match self.open_report() {
            Ok(report) => report,
            Err(error) => return usage(&error),
        };
        let outcomes = match duel.run(&interrupt::watch()) {
            Ok(Some(outcomes)) => outcomes,
            Ok(None) => return failed("interrupted"),
            Err(error) => return failed(&error),
        };
        let mut text = columns(&duel.table(&outcomes.figures));
        let late = outcomes.reports.iter().map(|report| report.late_starts.share).fold(0.0, f64::max);
        let busy =
            (late > MAX_LATE_STARTS).then(|| format!("{} of the requests left late", Unit::Share.show(late)));
        if let Some(busy) = &busy {
            text += &format!("note: this machine is busy; {busy}\n");
        }
        text += &format!("seed {}", self.show.seed);
        let report = report.map(|output| {
            let name = output.path().display().to_string();
            output.write(&page(&duel, &outcomes)).map(|()| name)
        });
        match report {
            Some(Ok(name)) => text += &format!("   report {name}\n"),
            Some(Err(error)) => text += &format!("   no report: {error}\n"),
            None => text += "   no report: this directory cannot be written to (or give --report FILE)\n",
        }
        conclude(&text, &expectations, &outcomes.figures, busy.as_deref())
    }

    /// The file, open before the show. Without a wish and without a place to write to there is no report.
    fn open_report(&self) -> Result<Option<Output>, String> {
        match &self.report {
            Some(path) => Output::open(path).map(Some),
            None => Ok(Output::open(Path::new(REPORT)).ok()),
        }
    }
}

impl HerdArgs {
    fn run(&self) -> ExitCode {
        if self.serve {
            let work = if self.sleep { HerdWork::Sleep } else { HerdWork::Compute };
            let with_load_shedding = self.with_load_shedding;
            let role = Role::Herd { with_load_shedding, work, seed: self.show.seed };
            return roles::serve("herd", self.listen, role);
        }
        let expect = if self.show.quick { &herd::QUICK_EXPECT } else { &herd::EXPECT };
        self.show.walk(&herd::KNOWN, expect, |interrupted| {
            herd::show(self.show.quick, self.show.seed, interrupted)
        })
    }
}

impl ShowArgs {
    /// What the show itself expects, and what the caller does.
    fn expectations(&self, own: &[&str], known: &[(String, Unit)]) -> Result<Vec<Expectation>, String> {
        let all = own.iter().copied().chain(self.expect.iter().map(String::as_str));
        all.map(|text| Expectation::parse(text, known)).collect()
    }

    /// A show that is a walk through steps.
    fn walk(
        &self,
        known: &[(&str, Unit)],
        expect: &[&str],
        show: impl FnOnce(&AtomicBool) -> Result<Option<Walked>, String>,
    ) -> ExitCode {
        let known: Vec<_> = known.iter().map(|(name, unit)| ((*name).to_owned(), *unit)).collect();
        let expectations = match self.expectations(expect, &known) {
            Ok(expectations) => expectations,
            Err(error) => return usage(&error),
        };
        match show(&interrupt::watch()) {
            Ok(Some(Walked { figures, busy })) => conclude("", &expectations, &figures, busy.as_deref()),
            Ok(None) => failed("interrupted"),
            Err(error) => failed(&error),
        }
    }
}

/// Prints the result and what was expected of it. On a machine that is too `busy` a broken expectation is no verdict: the show
/// failed, the promise did not.
fn conclude(text: &str, expectations: &[Expectation], figures: &[Figure], busy: Option<&str>) -> ExitCode {
    let mut text = text.to_owned();
    let verdicts: Vec<_> = expectations.iter().map(|expectation| expectation.verdict(figures)).collect();
    let broken = verdicts.iter().filter(|verdict| !verdict.held).count();
    // On a screen of 24 lines a list of what is well would push the picture out.
    for verdict in verdicts.iter().filter(|verdict| !verdict.held) {
        text += &format!("NOT HELD  {}\n", verdict.text);
    }
    let total = verdicts.len();
    text += &if broken == 0 {
        format!("everything expected of it held ({total} of {total})\n")
    } else {
        format!("{broken} of {total} expectations did not hold\n")
    };
    let said = say(&text);
    match busy {
        _ if said != ExitCode::SUCCESS || broken == 0 => said,
        Some(busy) => failed(&format!("no verdict, for this machine is too busy: {busy}")),
        None => ExitCode::from(EXPECTATION),
    }
}

fn page(duel: &Duel, Outcomes { reports: [without, with], figures }: &Outcomes) -> String {
    html_of_two(
        duel.title,
        &duel.intro,
        &duel.table(figures),
        [duel.ways[0].name, duel.ways[1].name],
        [without, with],
    )
}

/// Rows as text that fits the screen, each column as wide as it has to be.
fn columns(rows: &[Vec<String>]) -> String {
    const BETWEEN: usize = 3;
    let width = |column: usize| {
        let widths = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        widths.max().unwrap_or_default() + BETWEEN
    };
    let line = |row: &Vec<String>| {
        let cells =
            row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

fn usage(error: &str) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(USAGE)
}

fn failed(error: &str) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
