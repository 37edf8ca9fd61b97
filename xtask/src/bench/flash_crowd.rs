//! `cargo xtask bench flash-crowd`: ten times more requests than the app can serve.
//!
//! The clients are the ordinary kind that turns a peak into an outage: each gives up after a second, closes its
//! connection and tries again at once, up to three times. The app does not notice that they left. A proxy whose queue
//! waits longer than its clients then feeds the app nothing but requests that nobody waits for any more. Arrivals are an open loop:
//! they come however the service fares.
//!
//! HAProxy runs with exactly the configuration that Spillway generates, loadline as `loadline APP N` and as `loadline APP auto`,
//! which is told the number of workers to start with. Each gets a fresh app; they run one after the other.
//!
//! Definitions: *goodput* is answers 200 within the client's timeout, counted when they arrive; *recovered* is the
//! first moment after the crowd from which on, in the next second and over all the rest, 98 % of the arriving requests are answered 200
//! within the timeout of their arrival (retries after a refusal included).

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loadline_sim::Random;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::client::{self, Outcome};
use super::process::Scratch;
use super::proxies::{Loadline, Setup, Which};
use super::slot_origin::SlotOrigin;
use super::{LOAD_CORE, Result, measure};

/// When a client gives up.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often it tries again.
const RETRIES: u32 = 3;
/// The longest pause before it does, in milliseconds.
const JITTER_MS: u64 = 100;
/// Work of the app per request.
const SERVICE: Duration = Duration::from_millis(50);
/// Seconds before, during and after the crowd.
const PHASES: [u64; 3] = [5, 10, 10];
/// Offered load in these, as multiples of the capacity.
const LOAD: [f64; 3] = [0.5, 10.0, 0.5];
/// Served share that counts as recovered.
const RECOVERED: f64 = 0.98;

/// What loadline must reach: goodput during the crowd as a share of the capacity.
const WANTED_GOODPUT: f64 = 0.90;
/// And recovery, in seconds.
const WANTED_RECOVERY: f64 = 2.0;

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    loadline: Which,
    /// Proxies to try.
    #[arg(long, value_delimiter = ',', default_values = ["haproxy", "loadline", "auto"])]
    only: Vec<Contender>,
    /// Worker slots of the app, and the limit of the proxies.
    #[arg(long, default_value_t = 8)]
    slots: usize,
    /// Fail when loadline's goodput, recovery or peak is not what it promises.
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = true)]
    expect: bool,
}

/// The proxies that queue.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Contender {
    /// HAProxy as Spillway configures it.
    Haproxy,
    /// loadline with its defaults.
    Loadline,
    /// loadline that looks for the limit itself.
    Auto,
}

impl Contender {
    /// Its name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "HAProxy (Spillway)",
            Self::Loadline => "loadline",
            Self::Auto => "loadline auto",
        }
    }

    /// How it is started in front of an app.
    pub(super) fn setup(
        self,
        app: &SlotOrigin,
        limit: usize,
        scratch: &Scratch,
        loadline: Option<&Loadline>,
    ) -> Result<Setup> {
        let loadline = || loadline.ok_or("no loadline to start");
        match self {
            Self::Haproxy => Setup::spillway(app.address(), limit, scratch.path()),
            Self::Loadline => Setup::plain_loadline(loadline()?, app.address(), limit),
            Self::Auto => Setup::auto_loadline(loadline()?, app.address(), limit),
        }
    }

    /// Whether it is ours, and promises something.
    pub(super) fn is_loadline(self) -> bool {
        self != Self::Haproxy
    }
}

/// Runs the experiment.
///
/// # Errors
/// When a proxy does not start, or an expectation does not hold.
pub(super) fn run(options: &Options) -> Result<()> {
    let loadline = if options.only.iter().any(|contender| contender.is_loadline()) {
        Some(options.loadline.find_or_build()?)
    } else {
        None
    };
    let scratch = Scratch::new()?;
    measure::pin_to(LOAD_CORE)?;
    let capacity = options.slots as f64 / SERVICE.as_secs_f64();
    let mut summary = String::from(
        "\n| proxy | goodput in the crowd, % of capacity | recovered after, s | peak at the app | slots |\n|---|---|---|---|---|\n",
    );
    let mut broken = Vec::new();
    for contender in &options.only {
        let app = SlotOrigin::start(options.slots, SERVICE)?;
        let setup = contender.setup(&app, options.slots, &scratch, loadline.as_ref())?;
        let child = setup.start(&[], "/", scratch.path())?;
        eprintln!("{}: {} seconds", contender.name(), PHASES.iter().sum::<u64>());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let record = runtime.block_on(crowd(setup.address, &app, capacity));
        drop(child);
        println!("\n### {}\n\n{}", contender.name(), record.table());
        let verdict = Verdict::of(&record, capacity);
        let _ = writeln!(summary, "| {} | {} | {} |", contender.name(), verdict.shown(), options.slots);
        if contender.is_loadline() && options.expect {
            // Who looks for the limit may look above it.
            let most = if *contender == Contender::Auto { usize::MAX } else { options.slots };
            broken.extend(
                verdict.broken(most).into_iter().map(|broken| format!("{}: {broken}", contender.name())),
            );
        }
    }
    println!("{summary}");
    if broken.is_empty() { Ok(()) } else { Err(broken.join("; ").into()) }
}

/// What happened in one second.
#[derive(Clone, Copy, Default)]
struct Second {
    offered: u32,
    attempts: u32,
    good: u32,
    shed: u32,
    timed_out: u32,
    failed: u32,
    app_peak: usize,
}

/// One request with all its attempts.
#[derive(Clone, Copy)]
struct Request {
    /// Since the start of the run.
    arrived: Duration,
    /// Whether a 200 came within [`TIMEOUT`] of the arrival.
    in_time: bool,
}

#[derive(Default)]
struct Record {
    seconds: Vec<Second>,
    requests: Vec<Request>,
}

/// Plays the three phases against a proxy.
async fn crowd(target: std::net::SocketAddr, app: &SlotOrigin, capacity: f64) -> Record {
    let record = Arc::new(Mutex::new(Record::default()));
    let start = Instant::now();
    let mut clients = JoinSet::new();
    let mut begin = Duration::ZERO;
    let mut number = 0;
    app.take_peak();
    let arrivals = async {
        for (seconds, load) in PHASES.into_iter().zip(LOAD) {
            let interval = Duration::from_secs_f64(1.0 / (capacity * load));
            let end = begin + Duration::from_secs(seconds);
            while begin < end {
                sleep_until(start + begin).await;
                number += 1;
                clients.spawn(try_until_served(target, start, number, Arc::clone(&record)));
                begin += interval;
            }
            begin = end;
        }
    };
    let watch = async {
        for second in 0..PHASES.iter().sum() {
            sleep_until(start + Duration::from_secs(second + 1)).await;
            lock(&record).second(Duration::from_secs(second)).app_peak = app.take_peak();
        }
    };
    tokio::join!(arrivals, watch);
    clients.join_all().await;
    let mut record = std::mem::take(&mut *lock(&record));
    record.requests.sort_by_key(|request| request.arrived);
    record
}

/// One user: a request and its retries.
async fn try_until_served(
    target: std::net::SocketAddr,
    start: Instant,
    number: u64,
    record: Arc<Mutex<Record>>,
) {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: app\r\nUser-Agent: crowd\r\nAccept: */*\r\n\r\n";
    let arrived = start.elapsed();
    lock(&record).second(arrived).offered += 1;
    let mut in_time = false;
    for attempt in 0..=RETRIES {
        lock(&record).second(start.elapsed()).attempts += 1;
        let outcome = client::request(target, GET, TIMEOUT).await;
        let now = start.elapsed();
        {
            let mut record = lock(&record);
            let second = record.second(now);
            match outcome {
                Outcome::Served(_) => second.good += 1,
                Outcome::Shed => second.shed += 1,
                Outcome::TimedOut => second.timed_out += 1,
                Outcome::Failed => second.failed += 1,
            }
        }
        if matches!(outcome, Outcome::Served(_)) {
            in_time = now - arrived <= TIMEOUT;
            break;
        }
        if attempt < RETRIES {
            sleep(Duration::from_millis(Random::new(number, attempt.into()).below(JITTER_MS))).await;
        }
    }
    lock(&record).requests.push(Request { arrived, in_time });
}

impl Record {
    fn second(&mut self, at: Duration) -> &mut Second {
        let index = at.as_secs() as usize;
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, Second::default());
        }
        &mut self.seconds[index]
    }

    fn table(&self) -> String {
        let mut text = String::from(
            "| second | offered | attempts | goodput | shed | timed out | failed | peak at the app |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        // Afterwards only the last retries end.
        for (index, second) in self.seconds.iter().enumerate().take(PHASES.iter().sum::<u64>() as usize) {
            let Second { offered, attempts, good, shed, timed_out, failed, app_peak } = second;
            let _ = writeln!(
                text,
                "| {index} | {offered} | {attempts} | {good} | {shed} | {timed_out} | {failed} | {app_peak} |"
            );
        }
        text
    }
}

/// The three figures of a run.
struct Verdict {
    /// Goodput in the crowd over the capacity, 0..=1.
    goodput: f64,
    /// Seconds; `None` when it did not recover.
    recovery: Option<f64>,
    /// The most that the app held at once.
    peak: usize,
}

impl Verdict {
    fn of(record: &Record, capacity: f64) -> Self {
        let [before, during, after] = PHASES;
        let crowd = record.seconds.iter().skip(before as usize).take(during as usize);
        let good: u32 = crowd.map(|second| second.good).sum();
        let crowd_end = Duration::from_secs(before + during);
        let end = crowd_end + Duration::from_secs(after);
        Self {
            goodput: f64::from(good) / (capacity * during as f64),
            recovery: recovery(&record.requests, crowd_end, end),
            peak: record.seconds.iter().map(|second| second.app_peak).max().unwrap_or(0),
        }
    }

    fn shown(&self) -> String {
        let recovery = self.recovery.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.1}"));
        format!("{:.1} | {recovery} | {}", self.goodput * 100.0, self.peak)
    }

    /// The promises that do not hold.
    fn broken(&self, slots: usize) -> Vec<String> {
        let mut broken = Vec::new();
        if self.goodput < WANTED_GOODPUT {
            broken.push(format!("goodput is below {:.0} % of the capacity", WANTED_GOODPUT * 100.0));
        }
        if self.recovery.is_none_or(|seconds| seconds > WANTED_RECOVERY) {
            broken.push(format!("it did not recover within {WANTED_RECOVERY} s"));
        }
        if self.peak > slots {
            broken.push(format!("the app held {} requests, {slots} are allowed", self.peak));
        }
        broken
    }
}

/// Seconds from the end of the crowd until service is good, and stays so. See the module's head.
fn recovery(requests: &[Request], crowd_end: Duration, end: Duration) -> Option<f64> {
    const STEP: Duration = Duration::from_millis(100);
    const WINDOW: Duration = Duration::from_secs(1);
    let good = |from: Duration, to: Duration| {
        let within = requests.iter().filter(|request| (from..to).contains(&request.arrived));
        let (all, good) =
            within.fold((0_u32, 0_u32), |(all, good), request| (all + 1, good + u32::from(request.in_time)));
        all > 0 && f64::from(good) >= RECOVERED * f64::from(all)
    };
    let steps = std::iter::successors(Some(crowd_end), |at| Some(*at + STEP));
    let recovered =
        steps.take_while(|at| *at + WINDOW <= end).find(|at| good(*at, *at + WINDOW) && good(*at, end))?;
    Some((recovered - crowd_end).as_secs_f64())
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten requests per second from 0 to 10 s, those that arrive in `bad` are not served.
    fn requests(bad: std::ops::Range<u64>) -> Vec<Request> {
        let request =
            |tenth| Request { arrived: Duration::from_millis(tenth * 100), in_time: !bad.contains(&tenth) };
        (0..100).map(request).collect()
    }

    #[test]
    fn recovery_is_the_end_of_the_last_failures() {
        let (crowd_end, end) = (Duration::from_secs(2), Duration::from_secs(10));
        assert_eq!(recovery(&requests(0..20), crowd_end, end), Some(0.0));
        assert_eq!(recovery(&requests(0..35), crowd_end, end), Some(1.5));
        assert_eq!(recovery(&requests(0..100), crowd_end, end), None);
        assert_eq!(recovery(&[], crowd_end, end), None);
    }

    #[test]
    fn a_relapse_is_no_recovery() {
        let (crowd_end, end) = (Duration::from_secs(2), Duration::from_secs(10));
        assert_eq!(recovery(&requests(50..55), crowd_end, end), Some(3.5));
    }

    #[test]
    fn promises() {
        let held = Verdict { goodput: 0.95, recovery: Some(0.4), peak: 8 };
        assert!(held.broken(8).is_empty());
        assert_eq!(held.shown(), "95.0 | 0.4 | 8");
        let broken = Verdict { goodput: 0.1, recovery: None, peak: 9 };
        assert_eq!(broken.broken(8).len(), 3);
    }
}
