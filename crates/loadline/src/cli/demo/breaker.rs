//! The demo service and its upstream: well, failing, well again; then more at once than the service takes.
//!
//! Each step is asked for by clients in a closed loop and then read off the service's own metrics. What the clients counted and
//! what the service counted must be the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Walked;
use super::children::Part;
use super::figures::{Figure, Unit};

/// Bound on every request; none takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the breaker stays open, as the original has it; in a quick show.
const COOLDOWN: u32 = 10;
const QUICK_COOLDOWN: u32 = 2;

/// Longer than the open time, which has up to a sixteenth more: until the gauge must have come back.
const BACK: Duration = Duration::from_secs(20);

/// Between two looks at the gauge.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Requests at once that the service takes in the last step, and that it is asked.
const MAX_IN_FLIGHT: u32 = 5;
const AT_ONCE: u32 = 60;

/// What can be expected of it.
pub(super) const KNOWN: [(&str, Unit); 9] = [
    ("baseline.ok", Unit::Share),
    ("trip.state", Unit::Count),
    ("trip.refused", Unit::Count),
    ("trip.counted", Unit::Count),
    ("recover.ok", Unit::Share),
    ("recover.state", Unit::Count),
    ("overload.ok", Unit::Count),
    ("overload.shed", Unit::Count),
    ("overload.miscounted", Unit::Count),
];

/// What must hold.
pub(super) const EXPECT: [&str; 9] = [
    "baseline.ok>=99%",
    "trip.state=1",
    "trip.refused>=1",
    "trip.counted>=1",
    "recover.ok>=99%",
    "recover.state=0",
    "overload.ok>=1",
    "overload.shed>=1",
    "overload.miscounted=0",
];

/// Answers by status; 0 for none.
type Statuses = BTreeMap<u16, u32>;

/// Runs all steps; `None` if it was interrupted.
pub(super) fn show(quick: bool, interrupted: &AtomicBool) -> Result<Option<Walked>, String> {
    let part = |count: u32| if quick { count / 4 } else { count };
    let upstream = Part::app(&["upstream"], &[])?;
    let upstream_url = format!("http://{}", upstream.address());
    let cooldown = if quick { QUICK_COOLDOWN } else { COOLDOWN }.to_string();
    let api = Part::app(
        &["api"],
        &[("UPSTREAM_BASE_URL", &upstream_url), ("BREAKER_COOLDOWN_SECONDS", &cooldown)],
    )?;
    let mut figures = Figures(Vec::new());

    say("1 baseline: the upstream is well");
    let statuses = ask(&api, "/client?timeout_ms=2000", part(200), 10, interrupted);
    figures.add("baseline.ok", share(&statuses, 200));
    told(&statuses, &api)?;

    say("2 trip: every call to the upstream fails");
    let statuses = ask(&api, "/client?ms=1&fail_rate=1.0&timeout_ms=2000", part(800), 20, interrupted);
    let page = metrics(&api)?;
    figures.add("trip.state", metric(&page, "circuit_breaker_state"));
    figures.add("trip.refused", count(&statuses, 503));
    figures.add("trip.counted", metric(&page, "upstream_requests_total{result=\"breaker_open\"}"));
    told(&statuses, &api)?;

    say(&format!("  … {cooldown} s and a little, until the breaker would let a call through"));
    let begun = Instant::now();
    while metric(&metrics(&api)?, "circuit_breaker_state") != 0.0 && begun.elapsed() < BACK {
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        thread::sleep(LOOK_AGAIN);
    }

    say("3 recover: the upstream is well again");
    // The first call is the probe. What comes beside it is refused, so it goes alone, as `recover.ok` says.
    let mut statuses = ask(&api, "/client?timeout_ms=2000", 1, 1, interrupted);
    for (status, count) in ask(&api, "/client?timeout_ms=2000", part(400) - 1, 10, interrupted) {
        *statuses.entry(status).or_default() += count;
    }
    figures.add("recover.ok", share(&statuses, 200));
    figures.add("recover.state", metric(&metrics(&api)?, "circuit_breaker_state"));
    told(&statuses, &api)?;

    say(&format!("4 overload: {AT_ONCE} requests at once, MAX_INFLIGHT={MAX_IN_FLIGHT}"));
    let most = MAX_IN_FLIGHT.to_string();
    let api = Part::app(&["api"], &[("UPSTREAM_BASE_URL", &upstream_url), ("MAX_INFLIGHT", &most)])?;
    let statuses = ask(&api, "/client?ms=200&timeout_ms=5000", AT_ONCE, AT_ONCE, interrupted);
    let page = metrics(&api)?;
    let counted = |status: u16| {
        metric(&page, &format!("http_requests_total{{method=\"GET\",path=\"/client\",status=\"{status}\"}}"))
    };
    let miscounted: f64 =
        [200, 429].map(|status| (counted(status) - count(&statuses, status)).abs()).iter().sum();
    figures.add("overload.ok", count(&statuses, 200));
    figures.add("overload.shed", count(&statuses, 429));
    figures.add("overload.miscounted", miscounted);
    told(&statuses, &api)?;
    Ok((!interrupted.load(Ordering::Relaxed)).then_some(Walked { figures: figures.0, busy: None }))
}

struct Figures(Vec<Figure>);

impl Figures {
    fn add(&mut self, name: &str, value: f64) {
        let (_, unit) = KNOWN.into_iter().find(|(known, _)| *known == name).expect("every figure is known");
        self.0.push(Figure { name: name.to_owned(), unit, value });
    }
}

/// Sends so many requests from so many clients, each one after the other.
fn ask(api: &Part, path: &str, requests: u32, clients: u32, interrupted: &AtomicBool) -> Statuses {
    let left = AtomicU32::new(requests);
    let statuses = Mutex::new(Statuses::new());
    let client = || {
        let next = |left: u32| left.checked_sub(1);
        while !interrupted.load(Ordering::Relaxed)
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
        {
            let status = api.ask("GET", path, None, PATIENCE).map_or(0, |answer| answer.status);
            *statuses.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
        }
    };
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(client);
        }
    });
    statuses.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What clients got, and what the service says.
fn told(statuses: &Statuses, api: &Part) -> Result<(), String> {
    let page = metrics(api)?;
    let got: Vec<String> = statuses.iter().map(|(status, count)| format!("{count} x {status}")).collect();
    let result = |name: &str| metric(&page, &format!("upstream_requests_total{{result=\"{name}\"}}"));
    say(&format!("  clients got    {}", got.join(", ")));
    say(&format!(
        "  metrics say    circuit_breaker_state {}; upstream calls: ok {}, error {}, timeout {}, breaker_open {}",
        metric(&page, "circuit_breaker_state"),
        result("ok"),
        result("error"),
        result("timeout"),
        result("breaker_open")
    ));
    Ok(())
}

fn metrics(api: &Part) -> Result<String, String> {
    let answer = api.ask("GET", "/metrics", None, PATIENCE);
    answer.map(|answer| answer.body).map_err(|error| format!("the demo service: {error}"))
}

/// A series' value, 0 if it is not there yet.
fn metric(page: &str, series: &str) -> f64 {
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    page.lines().find_map(value).unwrap_or_default()
}

fn count(statuses: &Statuses, status: u16) -> f64 {
    statuses.get(&status).copied().unwrap_or_default().into()
}

fn share(statuses: &Statuses, status: u16) -> f64 {
    count(statuses, status) / f64::from(statuses.values().sum::<u32>().max(1))
}

fn say(line: &str) {
    eprintln!("{line}");
}
