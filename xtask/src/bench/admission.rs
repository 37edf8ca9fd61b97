//! `cargo xtask bench admission`: who is served when not everybody can be.
//!
//! Four trials ([`trials`]), each the same overload twice: before a loadline with the settings in question, and before one
//! without them. The app is a pool of workers that does not notice when clients leave; clients arrive at random times
//! (Poisson, the same in both runs), each on a connection of its own, and give up after a while. Runs alternate, each with a
//! fresh app and a fresh proxy.
//!
//! *Served* means answered with 200 before the client gave up; *goodput* is the work of served requests over what the
//! app can do; *wasted* is the share of the app's work that was not in a served answer. What arrives in the first seconds of
//! a run is not counted, for predictions begin with nothing, nor is what arrives in the last, for its rivals are missing.

mod trials;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loadline_sim::Random;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::client::{self, Outcome};
use super::histogram::Histogram;
use super::process::Scratch;
use super::proxies::{Loadline, Setup, Which};
use super::slot_origin::SlotOrigin;
use super::{LOAD_CORE, Result, measure};
use trials::{Crowd, Trial};

/// Not counted at the beginning.
const WARM_UP: Duration = Duration::from_secs(3);
/// And at the end: the longest patience.
const COOL_DOWN: Duration = Duration::from_secs(2);

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    loadline: Which,
    /// Trials to run.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Seconds that count, per run.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Pairs of runs per trial; their counts are added up.
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// Look for the limit, from the number of workers on, instead of being told it.
    #[arg(long)]
    auto: bool,
    /// Fail when a promise is not kept.
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = true)]
    expect: bool,
}

/// Runs the trials.
///
/// # Errors
/// When a proxy does not start, or a promise is not kept.
pub(super) fn run(options: &Options) -> Result<()> {
    let loadline = options.loadline.find_or_build()?;
    let scratch = Scratch::new()?;
    measure::pin_to(LOAD_CORE)?;
    let known = trials::all();
    for name in &options.only {
        if !known.iter().any(|trial| trial.name == name) {
            let names: Vec<_> = known.iter().map(|trial| trial.name).collect();
            return Err(format!("--only {name}: no such trial; there are {}", names.join(", ")).into());
        }
    }
    let mut broken = Vec::new();
    for trial in &known {
        if options.only.is_empty() || options.only.iter().any(|name| name == trial.name) {
            let [with, without] = both(trial, options, &loadline, &scratch)?;
            println!("\n### {}\n\n{}\n", trial.name, trial.about);
            print!("{}", with.table(trial, "with"));
            println!();
            print!("{}", without.table(trial, "without"));
            for (promise, kept) in (trial.promises)(&with, &without) {
                println!("{} {promise}", if kept { "ok    " } else { "BROKEN" });
                if !kept {
                    broken.push(format!("{}: {promise}", trial.name));
                }
            }
        }
    }
    if broken.is_empty() || !options.expect { Ok(()) } else { Err(broken.join("\n").into()) }
}

/// What became of the load of one kind of run.
struct Tally {
    /// One for each crowd of the trial.
    crowds: Vec<Fate>,
    /// What the app could have worked.
    capacity: Duration,
    /// What it did work, warm-up included.
    worked: Duration,
    /// How much of that was in answers that somebody still waited for.
    useful: Duration,
    /// Whether the limit was looked for, not given.
    auto: bool,
    /// Requests begun against their deadline, by the proxy's own count.
    doomed_started: u64,
}

/// What became of the requests of a crowd.
#[derive(Clone)]
struct Fate {
    offered: u64,
    served: u64,
    shed: u64,
    timed_out: u64,
    failed: u64,
    latency: Histogram,
    /// Work of the served.
    work: Duration,
}

/// Both kinds of runs, taking turns.
fn both(trial: &Trial, options: &Options, loadline: &Loadline, scratch: &Scratch) -> Result<[Tally; 2]> {
    let mut tallies = [Tally::new(trial, options.auto), Tally::new(trial, options.auto)];
    for round in 0..options.rounds {
        for (tally, settings) in tallies.iter_mut().zip([&trial.with, &trial.without]) {
            eprintln!(
                "{}: {} s with {settings:?}",
                trial.name,
                (WARM_UP + COOL_DOWN).as_secs() + options.seconds
            );
            let app = SlotOrigin::start(trial.slots, Duration::from_millis(1))?;
            let mut loadline = loadline.clone();
            loadline.settings.extend(settings.iter().map(ToString::to_string));
            let start = if options.auto { Setup::auto_loadline } else { Setup::plain_loadline };
            let setup = start(&loadline, app.address(), trial.slots)?;
            let child = setup.start(&[], "/", scratch.path())?;
            let before = app.worked();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let measured = Duration::from_secs(options.seconds);
            let arrivals = arrivals(trial, WARM_UP + measured + COOL_DOWN, round);
            let fates = runtime.block_on(play(&setup, arrivals));
            tally.add(trial, &fates, measured);
            tally.worked += app.worked() - before;
            tally.doomed_started += sample(setup.admin, "loadline_doomed_started_total")?;
            drop(child);
        }
    }
    Ok(tallies)
}

/// One request to come.
struct Arrival {
    at: Duration,
    crowd: usize,
    work: Duration,
    patience: Duration,
    head: Vec<u8>,
}

/// One request that came.
struct Ended {
    at: Duration,
    crowd: usize,
    work: Duration,
    outcome: Outcome,
}

/// The arrivals of a run, in order. Equal for equal `round`.
fn arrivals(trial: &Trial, length: Duration, round: u64) -> Vec<Arrival> {
    let mut all = Vec::new();
    for (crowd, Crowd { rate, request, .. }) in trial.crowds.iter().enumerate() {
        let mut random = Random::new(round, crowd as u64);
        let mut at = Duration::ZERO;
        loop {
            at += Duration::from_secs_f64(-(1.0 - random.unit()).ln() / rate);
            if at >= length {
                break;
            }
            let asked = request(&mut random);
            let head = format!(
                "GET {}?us={} HTTP/1.1\r\nHost: app\r\n{}\r\n",
                asked.path,
                asked.work.as_micros(),
                asked.fields
            );
            all.push(Arrival {
                at,
                crowd,
                work: asked.work,
                patience: asked.patience,
                head: head.into_bytes(),
            });
        }
    }
    all.sort_by_key(|arrival| arrival.at);
    all
}

/// Sends the requests when they are due, and waits for what becomes of them.
async fn play(setup: &Setup, arrivals: Vec<Arrival>) -> Vec<Ended> {
    let ended = Arc::new(Mutex::new(Vec::with_capacity(arrivals.len())));
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for Arrival { at, crowd, work, patience, head } in arrivals {
        sleep_until(start + at).await;
        let (address, ended) = (setup.address, Arc::clone(&ended));
        clients.spawn(async move {
            let outcome = client::request(address, &head, patience).await;
            let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.push(Ended { at, crowd, work, outcome });
        });
    }
    clients.join_all().await;
    std::mem::take(&mut *ended.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Tally {
    fn new(trial: &Trial, auto: bool) -> Self {
        let nothing = Fate {
            offered: 0,
            served: 0,
            shed: 0,
            timed_out: 0,
            failed: 0,
            latency: Histogram::new(),
            work: Duration::ZERO,
        };
        Self {
            crowds: vec![nothing; trial.crowds.len()],
            capacity: Duration::ZERO,
            worked: Duration::ZERO,
            useful: Duration::ZERO,
            auto,
            doomed_started: 0,
        }
    }

    fn add(&mut self, trial: &Trial, fates: &[Ended], measured: Duration) {
        self.capacity += measured * u32::try_from(trial.slots).unwrap_or(u32::MAX);
        for ended in fates {
            if matches!(ended.outcome, Outcome::Served(_)) {
                self.useful += ended.work;
            }
            if ended.at < WARM_UP || ended.at >= WARM_UP + measured {
                continue;
            }
            let fate = &mut self.crowds[ended.crowd];
            fate.offered += 1;
            match ended.outcome {
                Outcome::Served(latency) => {
                    fate.served += 1;
                    fate.work += ended.work;
                    fate.latency.record(latency);
                }
                Outcome::Shed => fate.shed += 1,
                Outcome::TimedOut => fate.timed_out += 1,
                Outcome::Failed => fate.failed += 1,
            }
        }
    }

    /// Work of the served over what the app can do.
    fn goodput(&self) -> f64 {
        self.crowds.iter().map(|fate| fate.work).sum::<Duration>().div_duration_f64(self.capacity)
    }

    /// Requests served.
    fn served(&self) -> u64 {
        self.crowds.iter().map(|fate| fate.served).sum()
    }

    /// Share of the app's work that was in no answer that came in time.
    fn wasted(&self) -> f64 {
        (1.0 - self.useful.div_duration_f64(self.worked)).max(0.0)
    }

    fn table(&self, trial: &Trial, label: &str) -> String {
        let mut text = format!(
            "| {label} | offered | served | shed | timed out | failed | p50 ms | p99 ms |\n|---|---|---|---|---|---|---|---|\n"
        );
        for (crowd, fate) in trial.crowds.iter().zip(&self.crowds) {
            let [p50, p99] = [0.5, 0.99].map(|share| fate.latency.quantile_us(share) / 1e3);
            let _ = writeln!(
                text,
                "| {} | {} | {:.2} % | {} | {} | {} | {p50:.1} | {p99:.1} |",
                crowd.name,
                fate.offered,
                fate.share() * 100.0,
                fate.shed,
                fate.timed_out,
                fate.failed
            );
        }
        let _ = writeln!(
            text,
            "\ngoodput {:.1} % of capacity, {} served, {:.2} % of the app's work wasted, {} doomed started",
            self.goodput() * 100.0,
            self.served(),
            self.wasted() * 100.0,
            self.doomed_started
        );
        text
    }
}

impl Fate {
    /// Served share.
    fn share(&self) -> f64 {
        self.served as f64 / self.offered.max(1) as f64
    }

    fn p99(&self) -> Duration {
        Duration::from_secs_f64(self.latency.quantile_us(0.99) / 1e6)
    }
}

/// A counter of the proxy's.
fn sample(admin: std::net::SocketAddr, name: &str) -> Result<u64> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(admin)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.ok_or_else(|| format!("no {name} in the metrics"))?;
    Ok(value.parse::<f64>()? as u64)
}
