//! `loadline load`: flags and scenario file to a plan, the run on the terminal, the report to wherever it is wanted.
//!
//! The report goes to stdout, everything else to stderr. Files are opened before the first request is sent: a report that
//! cannot be written after an hour helps nobody. Exit codes: 0 done, 1 failed or not valid, 2 usage, 99 an
//! expectation did not hold.

mod live;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use loadline_load::{
    Arrivals, DeadlineFormat, Expectation, Field, Mix, Protocol, Rate, Report, RetryPolicy, RunError,
    Scenario, Span, Spike, Stage, Target, html, run,
};

use self::live::Live;
use super::output::Output;
use super::{EXPECTATION, USAGE, say};

#[derive(Args)]
pub(super) struct LoadArgs {
    /// Where to, for example http://127.0.0.1:8000/
    url: Option<String>,
    /// Read a scenario (TOML); flags win over it
    #[arg(short = 'f', long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    arrivals: ArrivalArgs,
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args)]
#[command(next_help_heading = "When")]
struct ArrivalArgs {
    /// Requests per second: 500/s, 30/m
    #[arg(short, long)]
    rate: Option<Rate>,
    /// How long requests are sent
    #[arg(short, long)]
    duration: Option<Span>,
    /// A stage, instead of rate and duration: 10s@100, or 10s@100..1000 for a ramp; may be repeated
    #[arg(long = "stage", value_name = "STAGE", conflicts_with_all = ["rate", "duration"])]
    stages: Vec<Stage>,
    /// Another rate for a while: 10s+1s@2000 is 2000/s for 1s, from 10s on; may be repeated
    #[arg(long = "spike", value_name = "SPIKE")]
    spikes: Vec<Spike>,
    /// How requests follow each other
    #[arg(long, value_name = "constant|poisson", value_parser = arrivals)]
    arrivals: Option<Arrivals>,
    /// Seed of everything random
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Args)]
#[command(next_help_heading = "What")]
struct RequestArgs {
    /// A kind of request, by weight: 'GET /cheap weight=9 name=cheap'; may be repeated
    #[arg(short, long = "target", value_name = "TARGET")]
    targets: Vec<Target>,
    /// Method, without targets
    #[arg(short = 'X', long)]
    method: Option<String>,
    /// Body, or @file, without targets
    #[arg(short, long)]
    body: Option<String>,
    /// A field of every request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Field>,
    /// Until when an answer is of use, from when its request was due
    #[arg(long, value_name = "DURATION")]
    deadline: Option<Span>,
    /// Header that says so; `none` sends none [default: x-respond-by]
    #[arg(long, value_name = "NAME")]
    deadline_header: Option<String>,
    /// How it is written: rfc3339, naive, epoch, epoch-ms, http-date, ms, grpc [default: as the header wants it]
    #[arg(long, value_name = "FORMAT")]
    deadline_format: Option<DeadlineFormat>,
    /// Classes by weight: critical=1,low=9
    #[arg(long, value_name = "MIX")]
    classes: Option<Mix>,
    /// Header that says the class [default: x-criticality]
    #[arg(long, value_name = "NAME")]
    class_header: Option<String>,
    /// Tenants by weight: a=1,b=10
    #[arg(long, value_name = "MIX")]
    tenants: Option<Mix>,
    /// Header that says the tenant [default: x-tenant]
    #[arg(long, value_name = "NAME")]
    tenant_header: Option<String>,
}

#[derive(Args)]
#[command(next_help_heading = "How clients behave")]
struct ClientArgs {
    /// Time until an attempt is given up and its connection closed [default: 10s]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Span>,
    /// What follows a failed attempt: none, immediate, exponential
    #[arg(long, value_name = "POLICY")]
    retry: Option<RetryPolicy>,
    /// Attempts beyond the first [default: 3]
    #[arg(long, value_name = "COUNT")]
    retries: Option<u32>,
    /// Bound of the first random wait, which doubles [default: 100ms]
    #[arg(long, value_name = "DURATION")]
    retry_base: Option<Span>,
    /// Longest random wait [default: 2s]
    #[arg(long, value_name = "DURATION")]
    retry_cap: Option<Span>,
    /// Do not wait for Retry-After
    #[arg(long)]
    ignore_retry_after: bool,
    /// HTTP/2 by prior knowledge
    #[arg(long)]
    http2: bool,
    /// A connection for each request
    #[arg(long)]
    new_connections: bool,
    /// Most requests, and connections, at once; the run is not valid if it is reached [default: 10000]
    #[arg(long, value_name = "COUNT")]
    max_in_flight: Option<usize>,
}

#[derive(Args)]
#[command(next_help_heading = "What for")]
struct OutputArgs {
    /// What must hold, or exit with 99: 'p99<1s', 'goodput>95%', 'critical.success>=99.9%'; may be repeated
    #[arg(short, long, value_name = "EXPECTATION")]
    expect: Vec<Expectation>,
    /// Write the report as JSON; `-` writes it to stdout instead of the summary
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as an HTML page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// An earlier run's JSON, to stand beside this run in the HTML
    #[arg(long, value_name = "FILE", requires = "html")]
    compare: Option<PathBuf>,
    /// Title of the HTML
    #[arg(long, default_value = "loadline load", requires = "html", hide_default_value = true)]
    title: String,
    /// No progress
    #[arg(short, long)]
    quiet: bool,
}

/// Where the report goes, open before the run. Stdout is none of them.
struct Outputs {
    json: Option<Output>,
    html: Option<Output>,
    compare: Option<Report>,
}

pub(super) fn load(args: LoadArgs) -> ExitCode {
    let usage = |error: String| {
        eprintln!("error: {}", error.trim_end());
        ExitCode::from(USAGE)
    };
    let scenario = match args.scenario() {
        Ok(scenario) => scenario,
        Err(error) => return usage(error),
    };
    let plan = match scenario.plan() {
        Ok(plan) => plan,
        Err(error) => return usage(error.to_string()),
    };
    let outputs = match Outputs::open(&args.output) {
        Ok(outputs) => outputs,
        Err(error) => return usage(error),
    };
    let mut live = Live::new(args.output.quiet);
    let result = run(&plan, &mut live);
    live.clear();
    match result {
        Ok(report) => conclude(&report, &args.output, outputs, &scenario.expect),
        Err(RunError::Plan(error)) => usage(error.to_string()),
        Err(error) => failed(&error.to_string()),
    }
}

/// Writes the report and judges it.
fn conclude(report: &Report, args: &OutputArgs, outputs: Outputs, expect: &[Expectation]) -> ExitCode {
    let verdicts: Vec<_> = expect.iter().map(|expectation| expectation.verdict(report)).collect();
    let json_only = args.json.as_deref() == Some(Path::new("-"));
    let said = say(&if json_only { report.json() } else { report.text() });
    for verdict in &verdicts {
        eprintln!("{}  {}", if verdict.held { "held    " } else { "NOT HELD" }, verdict.text);
    }
    let page = || html(&args.title, report, outputs.compare.as_ref());
    let json = outputs.json.map_or(Ok(()), |output| output.write(&report.json()));
    let written = json.and_then(|()| outputs.html.map_or(Ok(()), |output| output.write(&page())));
    if let Err(error) = written {
        return failed(&error);
    }
    if json_only {
        report.problems.iter().for_each(|problem| eprintln!("NOT VALID {problem}"));
    }
    if said != ExitCode::SUCCESS {
        said
    } else if !report.valid {
        failed("the run is not valid, see above")
    } else if verdicts.iter().any(|verdict| !verdict.held) {
        ExitCode::from(EXPECTATION)
    } else {
        ExitCode::SUCCESS
    }
}

impl Outputs {
    fn open(args: &OutputArgs) -> Result<Self, String> {
        let compare = args.compare.as_deref().map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
            text.and_then(|text| Report::parse(&text)).map_err(|why| format!("{}: {why}", path.display()))
        });
        let compare = compare.transpose()?;
        let stdout = Path::new("-");
        let (json, html) = (args.json.as_deref().filter(|path| *path != stdout), args.html.as_deref());
        if html == Some(stdout) {
            return Err("--html writes a file; `-` is for --json".to_owned());
        }
        Ok(Self {
            json: json.map(Output::open).transpose()?,
            html: html.map(Output::open).transpose()?,
            compare,
        })
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}

fn arrivals(text: &str) -> Result<Arrivals, String> {
    match text {
        "constant" => Ok(Arrivals::Constant),
        "poisson" => Ok(Arrivals::Poisson),
        _ => Err("it is neither constant nor poisson".to_owned()),
    }
}

impl LoadArgs {
    /// The scenario file, if there is one, with the flags on top.
    fn scenario(&self) -> Result<Scenario, String> {
        let mut scenario = match &self.scenario {
            None => Scenario::default(),
            Some(path) => {
                let text = crate::config::read_text(path).map_err(|error| error.to_string());
                let read = text.and_then(|text| Scenario::parse(&text));
                read.map_err(|why| format!("{}: {why}", path.display()))?
            }
        };
        self.arrivals.lay_over(&mut scenario);
        self.request.lay_over(&mut scenario);
        self.client.lay_over(&mut scenario);
        replace(&mut scenario.url, self.url.as_ref());
        scenario.expect.extend(self.output.expect.iter().cloned());
        Ok(scenario)
    }
}

impl ArrivalArgs {
    fn lay_over(&self, scenario: &mut Scenario) {
        if !self.stages.is_empty() {
            scenario.stages = Some(self.stages.clone());
            (scenario.rate, scenario.duration) = (None, None);
        }
        if self.rate.is_some() {
            scenario.stages = None;
        }
        replace(&mut scenario.rate, self.rate.as_ref());
        replace(&mut scenario.duration, self.duration.as_ref());
        scenario.spikes.extend(&self.spikes);
        replace(&mut scenario.arrivals, self.arrivals.as_ref());
        replace(&mut scenario.seed, self.seed.as_ref());
    }
}

impl RequestArgs {
    fn lay_over(&self, scenario: &mut Scenario) {
        if !self.targets.is_empty() {
            scenario.targets.clone_from(&self.targets);
        }
        scenario.headers.extend(self.headers.iter().cloned());
        replace(&mut scenario.method, self.method.as_ref());
        replace(&mut scenario.body, self.body.as_ref());
        replace(&mut scenario.deadline, self.deadline.as_ref());
        replace(&mut scenario.deadline_header, self.deadline_header.as_ref());
        replace(&mut scenario.deadline_format, self.deadline_format.as_ref());
        replace(&mut scenario.classes, self.classes.as_ref());
        replace(&mut scenario.class_header, self.class_header.as_ref());
        replace(&mut scenario.tenants, self.tenants.as_ref());
        replace(&mut scenario.tenant_header, self.tenant_header.as_ref());
    }
}

impl ClientArgs {
    fn lay_over(&self, scenario: &mut Scenario) {
        replace(&mut scenario.timeout, self.timeout.as_ref());
        let retry = &mut scenario.retry;
        replace(&mut retry.policy, self.retry.as_ref());
        replace(&mut retry.limit, self.retries.as_ref());
        replace(&mut retry.base, self.retry_base.as_ref());
        replace(&mut retry.cap, self.retry_cap.as_ref());
        replace(&mut retry.honour_retry_after, self.ignore_retry_after.then_some(&false));
        replace(&mut scenario.protocol, self.http2.then_some(&Protocol::H2));
        replace(&mut scenario.new_connections, self.new_connections.then_some(&true));
        replace(&mut scenario.max_in_flight, self.max_in_flight.as_ref());
    }
}

/// What a flag says wins over what the file says.
fn replace<T: Clone>(value: &mut Option<T>, flag: Option<&T>) {
    if let Some(flag) = flag {
        *value = Some(flag.clone());
    }
}
