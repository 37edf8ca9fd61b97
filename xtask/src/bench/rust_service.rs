//! `cargo xtask bench rust-service`: an axum service with tower's own limits and with loadline's layer, overloaded.
//!
//! The service is the example `limited_service` of loadline-tower: eight workers, 50 ms of work, one request in ten for
//! `/checkout`. Arrivals are an open loop with random gaps (a Poisson process with a fixed seed, the same for each regime);
//! clients give up after a second and do not try again. The regimes take turns, round by round, each round with a fresh
//! process.
//!
//! Definitions: *goodput* is answers 200 within the client's second, as a share of what eight workers can do; *served* is that
//! share of the requests of a kind; the p99 is that of served requests, from the first byte sent.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::client::{self, Outcome};
use super::histogram::Histogram;
use super::process::{Child, Launch, Scratch};
use super::proxies::free_address;
use super::{LOAD_CORE, Result, measure};

/// Requests per second that the service can work on: 8 ÷ 50 ms.
const CAPACITY: f64 = 160.0;
/// When a client gives up.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Every so-manieth request is for `/checkout`.
const CHECKOUT_EVERY: u64 = 10;
/// How long the service may take to start.
const START: Duration = Duration::from_secs(10);
/// Two kinds of requests, in the order of [`Tally`].
const PATHS: [&str; 2] = ["/", "/checkout"];

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds; each regime once in each.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of load in each.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Offered loads, as multiples of the capacity.
    #[arg(long, value_delimiter = ',', default_values_t = [0.8, 5.0])]
    loads: Vec<f64>,
}

/// Under which limit the service runs; the word is the example's argument.
const REGIMES: [(&str, &str); 3] =
    [("none", "no limit"), ("tower", "tower's ConcurrencyLimit + LoadShed"), ("loadline", "LoadlineLayer")];

/// What became of the requests of one kind.
#[derive(Clone)]
struct Tally {
    offered: [u64; 2],
    served: [u64; 2],
    latency: Histogram,
    refusal: Histogram,
}

/// Runs the experiment and prints a table for each load.
///
/// # Errors
/// When the service does not build or start.
pub(super) fn run(options: &Options) -> Result<()> {
    let program = build()?;
    let scratch = Scratch::new()?;
    measure::pin_to(LOAD_CORE)?;
    for load in &options.loads {
        let mut tallies = REGIMES.map(|_| Tally::new());
        for round in 0..options.rounds {
            for ((regime, _), tally) in REGIMES.iter().zip(&mut tallies) {
                eprintln!("{load} times the capacity, round {}, {regime}: {} s", round + 1, options.seconds);
                let address = free_address()?;
                let line = vec![program.clone().into(), (*regime).into(), address.to_string().into()];
                let launch = Launch { name: (*regime).to_owned(), line, env: Vec::new() };
                let mut child = Child::start(&launch, scratch.path())?;
                child.wait_until(START, || std::net::TcpStream::connect(address).is_ok())?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(play(address, *load, options.seconds, u64::from(round), tally));
            }
        }
        let seconds = f64::from(options.rounds) * options.seconds as f64;
        println!("\n### {load} times the capacity\n\n{}", table(&tallies, seconds));
    }
    Ok(())
}

/// The example, optimised.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "-p", "loadline-tower", "--example", "limited_service"])
        .status()?;
    if !status.success() {
        return Err("the example limited_service does not build".into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(target.join("release/examples/limited_service"))
}

/// One run of arrivals at `load` times the capacity.
async fn play(target: std::net::SocketAddr, load: f64, seconds: u64, seed: u64, tally: &mut Tally) {
    let requests = PATHS.map(|path| format!("GET {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"));
    let start = Instant::now();
    let end = Duration::from_secs(seconds);
    let mut clients = JoinSet::new();
    let mut random = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (mut at, mut number) = (Duration::ZERO, 0);
    while at < end {
        sleep_until(start + at).await;
        let kind = usize::from(number % CHECKOUT_EVERY == 0);
        let request = requests[kind].clone();
        clients.spawn(async move {
            let begun = Instant::now();
            let outcome = client::request(target, request.as_bytes(), TIMEOUT).await;
            (kind, outcome, begun.elapsed())
        });
        number += 1;
        at += Duration::from_secs_f64(exponential(&mut random) / (CAPACITY * load));
    }
    for (kind, outcome, took) in clients.join_all().await {
        tally.offered[kind] += 1;
        match outcome {
            Outcome::Served(took) => {
                tally.served[kind] += 1;
                tally.latency.record(took);
            }
            Outcome::Shed => tally.refusal.record(took),
            Outcome::TimedOut | Outcome::Failed => {}
        }
    }
}

/// Of mean 1. xorshift64, whose upper bits are even enough for gaps.
fn exponential(random: &mut u64) -> f64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let uniform = ((*random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    -uniform.ln()
}

impl Tally {
    fn new() -> Self {
        Self { offered: [0; 2], served: [0; 2], latency: Histogram::new(), refusal: Histogram::new() }
    }

    fn share(&self, kind: usize) -> f64 {
        100.0 * self.served[kind] as f64 / self.offered[kind].max(1) as f64
    }
}

fn table(tallies: &[Tally], seconds: f64) -> String {
    let mut text = String::from(
        "| | goodput, % of capacity | `/checkout` served, % | others served, % | p99 of the served, ms | p99 of rejections, ms |\n\
         |---|---|---|---|---|---|\n",
    );
    for ((_, name), tally) in REGIMES.iter().zip(tallies) {
        let goodput = 100.0 * tally.served.iter().sum::<u64>() as f64 / (CAPACITY * seconds);
        let _ = writeln!(
            text,
            "| {name} | {goodput:.1} | {:.1} | {:.1} | {:.0} | {:.1} |",
            tally.share(1),
            tally.share(0),
            tally.latency.quantile_us(0.99) / 1e3,
            tally.refusal.quantile_us(0.99) / 1e3,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_the_mean_that_is_asked_for() {
        let mut random = 1;
        let mean = (0..100_000).map(|_| exponential(&mut random)).sum::<f64>() / 100_000.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
    }
}
