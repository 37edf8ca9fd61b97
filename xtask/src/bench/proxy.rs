//! `cargo xtask bench proxy`: what the data path costs, beside HAProxy and nginx.
//!
//! Every proxy runs in every scenario in every round, each time in a fresh process; the order rotates from round to
//! round, so that neither a slow minute of the machine nor a neighbour in the order favours anyone. The gate figures are
//! CPU time per request, instructions and system calls. Latency beyond the median is shown, not judged: on a shared
//! machine even the origin alone has milliseconds there. A run takes minutes: one that is interrupted prints what it has measured.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::counts::{self, Counter};
use super::findings::{Findings, write};
use super::load::{self, Pace, Span, Workload};
use super::measure::{self, CpuOf};
use super::origin::{HOLD, LARGE, Origin, SMALL};
use super::process::{self, Scratch};
use super::proxies::{LIMIT, Loadline, Proxy, Setup, Which};
use super::report::{CountRow, IdleRow, Report, Sample};
use super::{LOAD_CORE, Result, idle};

/// More errors than this share of the answers fail the run.
const TOLERATED_ERRORS: f64 = 0.001;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    loadline: Which,
    /// Rows to measure.
    #[arg(long, value_delimiter = ',', default_values = ["direct", "haproxy", "haproxy-queue", "nginx", "loadline"])]
    only: Vec<Proxy>,
    /// Scenarios to measure; `idle` is the one of memory.
    #[arg(long, value_delimiter = ',', default_values = SCENARIO_NAMES)]
    scenarios: Vec<String>,
    /// Two rounds of two seconds instead of five of four.
    #[arg(long)]
    quick: bool,
    /// Also count user-mode instructions per request (needs valgrind).
    #[arg(long)]
    instructions: bool,
    /// Also count system calls per request (needs strace).
    #[arg(long)]
    syscalls: bool,
    /// Print commands and configurations, and measure nothing.
    #[arg(long)]
    show_configs: bool,
    /// Write all samples to a file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const IDLE: &str = "idle";
const SCENARIO_NAMES: [&str; 7] = ["get128", "get10k", "post4k", "close", "rate", "reject", IDLE];

/// One kind of load.
struct Scenario {
    name: &'static str,
    request: Vec<u8>,
    pace: Pace,
    /// The limit is held by requests that the origin never answers, and every other one must be refused.
    reject: bool,
}

/// Runs the benchmark.
///
/// # Errors
/// When a proxy could not be measured in a scenario or answered wrongly too often. What could be measured is printed first.
pub(super) fn run(options: &Options) -> Result<()> {
    let scenarios = scenarios(&options.scenarios)?;
    let loadline = if !options.only.contains(&Proxy::Loadline) {
        None
    } else if options.show_configs {
        Some(options.loadline.named())
    } else {
        Some(options.loadline.find_or_build()?)
    };
    let scratch = Scratch::new()?;
    measure::pin_to(LOAD_CORE)?;
    let origin = Origin::start()?;
    let bench = Bench { options, origin, loadline, directory: scratch.path() };
    if options.show_configs {
        return bench.show_configs();
    }
    let report = Findings::new(Report { about: bench.about(), ..Report::default() });
    let (found, json) = (report.clone(), options.json.clone());
    process::say_on_signals(move || found.so_far(json.as_deref()));
    bench.rounds(&scenarios, &report);
    if options.scenarios.iter().any(|name| name == IDLE) {
        bench.idle(&report);
    }
    for (counter, wanted) in
        [(Counter::Instructions, options.instructions), (Counter::Syscalls, options.syscalls)]
    {
        if wanted {
            bench.counts(counter, &scenarios, &report);
        }
    }
    process::say_nothing_on_signals();
    let report = report.now();
    print!("{}", report.markdown());
    write(&report, options.json.as_deref())?;
    match report.failures.len() {
        0 => Ok(()),
        count => Err(format!("{count} measurements failed, see above").into()),
    }
}

struct Bench<'a> {
    options: &'a Options,
    origin: Origin,
    loadline: Option<Loadline>,
    directory: &'a Path,
}

impl Bench<'_> {
    fn setup(&self, proxy: Proxy) -> Result<Option<Setup>> {
        Setup::new(proxy, self.origin.address, self.directory, self.loadline.as_ref())
    }

    fn show_configs(&self) -> Result<()> {
        for proxy in &self.options.only {
            if let Some(setup) = self.setup(*proxy)? {
                println!("# {}\n{}", proxy.name(), setup.shown());
            }
        }
        Ok(())
    }

    /// Rounds and the seconds measured in each.
    fn length(&self) -> (usize, Duration, Duration) {
        if self.options.quick {
            (2, Duration::from_millis(300), Duration::from_secs(2))
        } else {
            (5, Duration::from_millis(500), Duration::from_secs(4))
        }
    }

    fn about(&self) -> Vec<String> {
        let (rounds, _, measured) = self.length();
        let mut lines = vec![format!(
            "{rounds} rounds of {measured:?} per scenario, interleaved; proxy on core 0, load and origin on core 1; \
             limit {LIMIT}; ratios are medians of per-round ratios"
        )];
        lines.push(
            "busy: share of its core. Load busy near 1: requests/s is the generator's limit. Both far below 1 at \
             saturation: other processes had the cores, and CPU per request alone is to be trusted"
                .to_owned(),
        );
        let loadline = self.loadline.as_ref().map(|loadline| loadline.program.display().to_string());
        let commands = [("uname", "-sr"), ("haproxy", "-v"), ("nginx", "-v")];
        let loadline = loadline.iter().map(|program| (program.as_str(), "version"));
        for (program, argument) in commands.into_iter().chain(loadline) {
            let output = Command::new(program).arg(argument).output().ok();
            // nginx prints its version on stderr.
            let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
            if let Some(line) = String::from_utf8_lossy(&text).lines().next() {
                lines.push(line.to_owned());
            }
        }
        lines
    }

    fn rounds(&self, scenarios: &[Scenario], report: &Findings) {
        let (rounds, warmup, measured) = self.length();
        for round in 0..rounds {
            for scenario in scenarios {
                let mut row: Vec<Proxy> = self.options.only.clone();
                let first = round % row.len().max(1);
                row.rotate_left(first);
                for proxy in row.into_iter().filter(|proxy| scenario.runs(*proxy)) {
                    let span = Span::Timed { warmup, measured };
                    eprintln!("round {} of {rounds}: {} {}", round + 1, scenario.name, proxy.name());
                    match self.sample(scenario, proxy, round, span) {
                        Ok(sample) => report.now().samples.push(sample),
                        Err(error) => report.fail(scenario.name, proxy, &error.to_string()),
                    }
                }
            }
        }
    }

    fn sample(&self, scenario: &Scenario, proxy: Proxy, round: usize, span: Span) -> Result<Sample> {
        /// Connections of all timed scenarios.
        const CONNECTIONS: usize = 64;
        let setup = self.setup(proxy)?;
        let child = setup.as_ref().map(|setup| setup.start(&[], SMALL, self.directory)).transpose()?;
        let target = setup.as_ref().map_or(self.origin.address, |setup| setup.address);
        let cpu = child.as_ref().map_or_else(|| self.origin.cpu(), |child| CpuOf::Group(child.group()));
        let outcome = self.load(scenario, target, CONNECTIONS, span, cpu)?;
        let answers = outcome.answers.max(1) as f64;
        if outcome.errors as f64 > answers * TOLERATED_ERRORS {
            let first = outcome.first_error.unwrap_or_default();
            return Err(format!(
                "{} errors beside {} answers, first: {first}",
                outcome.errors, outcome.answers
            )
            .into());
        }
        let (cpu, elapsed) = (outcome.proxy_cpu.as_secs_f64(), outcome.elapsed.as_secs_f64());
        Ok(Sample {
            scenario: scenario.name,
            proxy,
            round,
            cpu_us: cpu * 1e6 / answers,
            per_second: outcome.answers as f64 / elapsed,
            p50_us: outcome.latency.quantile_us(0.5),
            p99_us: outcome.latency.quantile_us(0.99),
            proxy_busy: cpu / elapsed,
            load_busy: outcome.load_cpu.as_secs_f64() / elapsed,
            answers: outcome.answers,
            errors: outcome.errors,
        })
    }

    /// Holds the limit where the scenario wants it, and runs the load.
    fn load(
        &self,
        scenario: &Scenario,
        target: std::net::SocketAddr,
        connections: usize,
        span: Span,
        cpu: CpuOf,
    ) -> Result<load::Outcome> {
        /// Time for requests to reach the origin through a proxy that valgrind slows.
        const PATIENCE: Duration = Duration::from_secs(20);
        let held = if scenario.reject { LIMIT } else { 0 };
        // Proxies of the run before may still be closing.
        self.origin.wait_for_held(0, PATIENCE)?;
        let _held = load::unanswered(target, &get(HOLD, ""), held)?;
        self.origin.wait_for_held(held, PATIENCE)?;
        let expected = if scenario.reject { 503 } else { 200 };
        let request = scenario.request.clone();
        let workload = Workload { target, request, expected, connections, pace: scenario.pace };
        let outcome = load::run(&workload, span, cpu)?;
        if self.origin.held() != held {
            return Err("the requests that hold the limit did not stay".into());
        }
        Ok(outcome)
    }

    fn idle(&self, report: &Findings) {
        let watch = if self.options.quick { Duration::from_secs(1) } else { Duration::from_secs(3) };
        let proxies = [Proxy::Haproxy, Proxy::Nginx, Proxy::Loadline];
        for proxy in proxies.into_iter().filter(|proxy| self.options.only.contains(proxy)) {
            eprintln!("idle connections: {}", proxy.name());
            let measured = self
                .setup(proxy)
                .and_then(|setup| setup.ok_or_else(|| "nothing to start".into()))
                .and_then(|setup| idle::measure(&setup, &get(SMALL, ""), SMALL, watch, self.directory));
            match measured {
                Ok(idle) => report.now().idle.push(IdleRow {
                    proxy,
                    connections: idle.connections,
                    rss_before: idle.before.rss,
                    rss_with: idle.with.rss,
                    bytes_per_connection: idle.bytes_per_connection(),
                    cpu_alone_ms: idle.cpu_alone_ms,
                    cpu_with_ms: idle.cpu_with_ms,
                }),
                Err(error) => report.fail(IDLE, proxy, &error.to_string()),
            }
        }
    }

    fn counts(&self, counter: Counter, scenarios: &[Scenario], report: &Findings) {
        let name = match counter {
            Counter::Instructions => "instructions",
            Counter::Syscalls => "syscalls",
        };
        if !counter.installed() {
            report.now().failures.push(format!("{name}: the tool that counts them is not installed"));
            return;
        }
        // Closed loops alone: under a tool that slows the proxy, an open loop measures its backlog.
        for scenario in scenarios.iter().filter(|scenario| scenario.pace == Pace::Closed) {
            let proxies =
                self.options.only.iter().filter(|proxy| **proxy != Proxy::Direct && scenario.runs(**proxy));
            for proxy in proxies {
                eprintln!("{name}: {} {}", scenario.name, proxy.name());
                let runs = [Counter::SHORT, Counter::LONG]
                    .map(|answers| self.count(counter, scenario, *proxy, answers));
                match runs {
                    [Ok(short), Ok(long)] => report.now().counts.push(CountRow {
                        counter: name,
                        scenario: scenario.name,
                        proxy: *proxy,
                        per_answer: counts::per_answer(short, long),
                    }),
                    [Err(error), _] | [_, Err(error)] => report.fail(name, *proxy, &error.to_string()),
                }
            }
        }
    }

    /// One run under the tool: events and answers.
    fn count(&self, counter: Counter, scenario: &Scenario, proxy: Proxy, answers: u64) -> Result<(u64, u64)> {
        let setup = self.setup(proxy)?.ok_or("nothing to start")?;
        let child = setup.start(&counter.wrapper(self.directory), SMALL, self.directory)?;
        let span = Span::Answers(answers);
        let outcome =
            self.load(scenario, setup.address, counter.connections(), span, CpuOf::Group(child.group()))?;
        child.stop(Counter::STOP_LIMIT)?;
        if outcome.errors > 0 {
            return Err(
                format!("{} errors: {}", outcome.errors, outcome.first_error.unwrap_or_default()).into()
            );
        }
        Ok((counter.collect(self.directory)?, outcome.answers))
    }
}

impl Scenario {
    /// Whether the row exists in this scenario.
    fn runs(&self, proxy: Proxy) -> bool {
        match proxy {
            Proxy::Direct => !self.reject,
            Proxy::HaproxyQueue => self.reject,
            Proxy::Haproxy | Proxy::Nginx | Proxy::Loadline => true,
        }
    }
}

/// The chosen timed scenarios, in the order of [`SCENARIO_NAMES`].
fn scenarios(wanted: &[String]) -> Result<Vec<Scenario>> {
    /// Requests per second of `rate`: each is alone, none waits.
    const RATE: u32 = 3_000;
    if let Some(unknown) = wanted.iter().find(|name| !SCENARIO_NAMES.contains(&name.as_str())) {
        return Err(format!("no scenario {unknown}; there are {}", SCENARIO_NAMES.join(", ")).into());
    }
    let scenario = |name, request, pace, reject| Scenario { name, request, pace, reject };
    let all = [
        scenario("get128", get(SMALL, ""), Pace::Closed, false),
        scenario("get10k", get(LARGE, ""), Pace::Closed, false),
        scenario("post4k", post(SMALL, 4_096), Pace::Closed, false),
        scenario("close", get(SMALL, "Connection: close\r\n"), Pace::Reconnect, false),
        scenario("rate", get(SMALL, ""), Pace::Open(RATE), false),
        scenario("reject", get(SMALL, ""), Pace::Closed, true),
    ];
    Ok(all.into_iter().filter(|scenario| wanted.iter().any(|name| name == scenario.name)).collect())
}

/// A GET with the few header fields that every client sends.
fn get(path: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nUser-Agent: loadline-bench\r\nAccept: */*\r\n{more}\r\n")
        .into_bytes()
}

fn post(path: &str, body: usize) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nUser-Agent: loadline-bench\r\nAccept: */*\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {body}\r\n\r\n"
    )
    .into_bytes();
    request.resize(request.len() + body, b'x');
    request
}
