//! One scenario, several proxies at the same moment: each has an app of its own, and the same clients.
//!
//! At the same moment, because a machine that is busy with something else is then busy for all of them. Capacity is modelled
//! by sleeping ([`StationApp`]), so that they hardly disturb each other.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use loadline_load::{Arrivals, Mix, Outcome, Plan, Rate, Report, Snapshot, Stage, TICK, Tick};
use loadline_sim::{ClassMix, ClientsSpec, Scenario, Spread};

use super::process::{Child, Scratch};
use super::proxies::{Loadline, Setup};
use super::station_app::StationApp;
use super::{LOAD_CORE, Result, measure};

/// Who protects an app.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Guard {
    /// `loadline APP auto`, told this number of workers.
    Auto(usize),
    /// `loadline APP N`.
    Fixed(usize),
    /// Envoy's adaptive concurrency.
    Envoy,
}

/// The programs to start.
pub(super) struct Programs {
    pub(super) loadline: Loadline,
    /// Not needed where no [`Guard::Envoy`] is played.
    pub(super) envoy: Option<PathBuf>,
}

/// What one of them did.
pub(super) struct Played {
    pub(super) guard: Guard,
    /// The generator's own view.
    pub(super) report: Report,
    /// Tenths of a second.
    ticks: Vec<Tick>,
    /// The most requests in the app, by tenths of a second.
    peaks: Vec<usize>,
}

/// Part of a run, in seconds from its beginning.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Window {
    pub(super) from: f64,
    pub(super) to: f64,
}

/// Plays each scenario behind its guard, all at once.
///
/// # Errors
/// When something does not start, or a scenario has what is only simulated.
pub(super) fn play(parts: &[(&Scenario, Guard)], programs: &Programs, seed: u64) -> Result<Vec<Played>> {
    let scratch = Scratch::new()?;
    let mut ready = Vec::new();
    for (index, (scenario, guard)) in parts.iter().enumerate() {
        let app = StationApp::start(&scenario.backend, seed)?;
        let directory = scratch.path().join(index.to_string());
        std::fs::create_dir_all(&directory)?;
        let setup = match guard {
            Guard::Auto(hint) => Setup::auto_loadline(&programs.loadline, app.address(), *hint)?,
            Guard::Fixed(limit) => Setup::plain_loadline(&programs.loadline, app.address(), *limit)?,
            Guard::Envoy => {
                let program = programs.envoy.as_deref().ok_or("no envoy to start")?;
                Setup::envoy(program, app.address(), &directory)?
            }
        };
        let child = setup.start(&[], "/", &directory)?;
        ready.push((plan(scenario, setup.address, seed)?, *guard, app, child));
    }
    measure::pin_to(LOAD_CORE)?;
    let start = Barrier::new(ready.len());
    thread::scope(|scope| {
        let runs: Vec<_> = ready
            .into_iter()
            .map(|(plan, guard, app, child)| {
                let start = &start;
                scope.spawn(move || drive(&plan, guard, &app, child, start))
            })
            .collect();
        runs.into_iter().map(|run| run.join().map_err(|_| "a load generator panicked")?).collect()
    })
}

fn drive(plan: &Plan, guard: Guard, app: &StationApp, child: Child, start: &Barrier) -> Result<Played> {
    let (mut ticks, mut peaks) = (Vec::new(), Vec::new());
    start.wait();
    app.begin();
    let mut watch = |now: &Snapshot<'_>| {
        now.ticks.clone_into(&mut ticks);
        let index = (now.elapsed.as_secs_f64() / TICK.as_secs_f64()) as usize;
        peaks.resize(index.max(peaks.len()), 0);
        peaks.push(app.take_peak());
        ControlFlow::Continue(())
    };
    let report = loadline_load::run(plan, &mut watch).map_err(|error| error.to_string())?;
    drop(child);
    Ok(Played { guard, report, ticks, peaks })
}

impl Played {
    /// Answers per second that came in time.
    pub(super) fn goodput(&self, window: Window) -> f64 {
        let good: u32 = window.of(&self.ticks).iter().map(|tick| tick.done[Outcome::Served.index()]).sum();
        f64::from(good) / (window.to - window.from)
    }

    /// Share of the requests of the window that were turned away. Envoy's refusals look like any 503.
    pub(super) fn shed(&self, window: Window) -> f64 {
        let of = |outcome: Outcome| -> u32 {
            window.of(&self.ticks).iter().map(|tick| tick.outcomes[outcome.index()]).sum()
        };
        let offered: u32 = window.of(&self.ticks).iter().map(|tick| tick.offered).sum();
        f64::from(of(Outcome::Shed) + of(Outcome::ServerError)) / f64::from(offered.max(1))
    }

    /// The most requests that the app held.
    pub(super) fn peak(&self, window: Window) -> usize {
        window.of(&self.peaks).iter().copied().max().unwrap_or(0)
    }
}

impl Window {
    /// The part of a list of tenths of a second.
    fn of<T>(self, list: &[T]) -> &[T] {
        let index = |at: f64| ((at / TICK.as_secs_f64()).round() as usize).min(list.len());
        &list[index(self.from)..index(self.to)]
    }
}

/// A scenario's clients as a plan.
///
/// # Errors
/// For what only the simulator plays: several streams, closed loops, bursts, deadlines, tenants, retries, waits that vary.
fn plan(scenario: &Scenario, address: std::net::SocketAddr, seed: u64) -> Result<Plan> {
    let [clients] = scenario.clients.as_slice() else { return Err("several streams of clients".into()) };
    let simulated = clients.users.is_some()
        || clients.deadline.is_some()
        || clients.retry.is_some()
        || clients.tenants > 0
        || !scenario.routes.is_empty();
    if simulated {
        return Err(format!("{}: its clients can only be simulated", scenario.name).into());
    }
    let capacity = scenario.ability(0).capacity;
    let rate = |rate: loadline_sim::Rate| {
        Rate::per_second(rate.per_second(capacity)).ok_or("a rate that cannot be sent")
    };
    let stages = stages(clients, scenario)
        .map(|(lasts, per)| Ok(Stage::hold(Duration::from_nanos(lasts), rate(per)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut plan = Plan::new(format!("http://{address}/").parse()?, stages);
    plan.arrivals = match clients.arrivals {
        loadline_sim::Arrivals::Poisson => Arrivals::Poisson,
        loadline_sim::Arrivals::Constant => Arrivals::Constant,
        loadline_sim::Arrivals::Bursts => return Err("bursts can only be simulated".into()),
    };
    plan.timeout = match clients.timeout {
        Some(Spread::Constant(span)) => Duration::from_nanos(span.0),
        None => loadline_load::DEFAULT_TIMEOUT,
        Some(_) => return Err("a patience that varies can only be simulated".into()),
    };
    plan.classes = match &clients.class {
        ClassMix::One(class) => Mix::new([(class.0.as_str().to_owned(), 1)])?,
        ClassMix::Shares(shares) => {
            /// Weights are whole numbers.
            const PARTS: f64 = 1000.0;
            Mix::new(
                shares.iter().map(|(class, share)| (class.0.as_str().to_owned(), (share * PARTS) as u32)),
            )?
        }
    };
    plan.seed = seed;
    Ok(plan)
}

/// How long and at which rate, one after the other.
pub(super) fn stages<'a>(
    clients: &'a ClientsSpec,
    scenario: &Scenario,
) -> impl Iterator<Item = (u64, loadline_sim::Rate)> + 'a {
    let whole = clients.rate.map(|rate| (scenario.duration.0, rate));
    whole.into_iter().chain(clients.stages.iter().map(|stage| (stage.lasts.0, stage.rate)))
}
