//! A run: requests leave when they are due, whatever became of those before.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::timeout_at;

use crate::client::{Client, Failure, Outgoing};
use crate::pacer::Pacer;
use crate::plan::{Plan, PlanError};
use crate::record::{Finished, Recorder, Snapshot, TICK};
use crate::report::Report;
use crate::schedule::{Arrival, Schedule};

/// Descriptors that a process needs beside its connections: standard streams, the runtime's, files.
const OTHER_DESCRIPTORS: u64 = 64;

/// Requests that are started before answers are looked at. After a pause of this process many are due at once; without
/// this bound each of them would open a connection, although those of answered requests are free.
const BATCH: usize = 32;

/// Watches a run while it goes on.
pub trait Progress {
    /// Called ten times a second, between requests: it must return within a millisecond or so, or requests leave late.
    /// `Break` ends the run at once; its report says that it is not complete. A run that ends by itself calls it once more, when
    /// everything is over.
    fn tick(&mut self, now: &Snapshot<'_>) -> ControlFlow<()>;
}

impl<F: FnMut(&Snapshot<'_>) -> ControlFlow<()>> Progress for F {
    fn tick(&mut self, now: &Snapshot<'_>) -> ControlFlow<()> {
        self(now)
    }
}

/// For those who only want the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn tick(&mut self, _: &Snapshot<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Why there is no report.
#[derive(Debug)]
pub enum RunError {
    /// The plan cannot be run.
    Plan(PlanError),
    /// The host has no address.
    Unresolved {
        /// Its name.
        host: String,
        /// What the resolver says.
        cause: io::Error,
    },
    /// The process may not have as many connections as the plan allows.
    Descriptors {
        /// What would be needed.
        needed: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The system refused something that a run needs.
    System(io::Error),
}

/// Runs `plan` on the calling thread, which is busy with it until the last request is answered or given up.
///
/// # Errors
/// When not a single request could be sent. A target that is not there is no error: its refusals are in the report.
pub fn run(plan: &Plan, progress: &mut dyn Progress) -> Result<Report, RunError> {
    plan.check()?;
    allow_descriptors(plan.max_in_flight as u64 + OTHER_DESCRIPTORS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let driven = local.block_on(&runtime, drive(plan.clone(), progress));
    // Requests that are still under way go with their tasks; only then are the numbers final.
    drop(local);
    let (shared, complete) = driven?;
    let elapsed = shared.start.elapsed();
    Ok(Report::new(&shared.plan, &shared.recorder.borrow(), &shared.client, elapsed, complete))
}

/// What all requests of a run share.
struct Shared {
    plan: Plan,
    client: Client,
    recorder: RefCell<Recorder>,
    random: RefCell<fastrand::Rng>,
    start: Instant,
    in_flight: Cell<usize>,
    idle: Notify,
}

/// What a request is, drawn when it is due.
#[derive(Clone, Copy)]
struct Draw {
    arrival: Arrival,
    target: usize,
    class: Option<usize>,
    tenant: Option<usize>,
}

/// Sends everything; says whether the run was left to end by itself.
async fn drive(plan: Plan, progress: &mut dyn Progress) -> Result<(Rc<Shared>, bool), RunError> {
    let unresolved = |cause| RunError::Unresolved { host: plan.url.host.clone(), cause };
    let addresses: Vec<_> =
        tokio::net::lookup_host((plan.url.host.as_str(), plan.url.port)).await.map_err(unresolved)?.collect();
    let pacer = Pacer::new()?;
    let mut draws = Draws::new(&plan);
    let shared = Rc::new(Shared {
        client: Client::new(&plan, addresses),
        recorder: RefCell::new(Recorder::new(&plan)),
        random: RefCell::new(fastrand::Rng::with_seed(plan.seed)),
        start: Instant::now(),
        in_flight: Cell::new(0),
        idle: Notify::new(),
        plan,
    });
    let mut next = draws.next(&shared);
    let mut tick = shared.start + TICK;
    loop {
        let now = Instant::now();
        let mut batch = 0;
        while batch < BATCH
            && let Some(draw) = next.take_if(|draw| shared.start + draw.arrival.at <= now)
        {
            shared.send(draw);
            next = draws.next(&shared);
            batch += 1;
        }
        if now >= tick {
            let flow =
                progress.tick(&shared.recorder.borrow().snapshot(now - shared.start, shared.in_flight.get()));
            if flow.is_break() {
                return Ok((shared, false));
            }
            tick = now + TICK;
        }
        match &next {
            Some(_) if batch == BATCH => tokio::task::yield_now().await,
            Some(draw) => pacer.sleep_until(tick.min(shared.start + draw.arrival.at)).await?,
            None if shared.in_flight.get() == 0 => {
                // There is nothing left to end.
                let _ = progress.tick(&shared.recorder.borrow().snapshot(shared.start.elapsed(), 0));
                return Ok((shared, true));
            }
            None => tokio::select! {
                slept = pacer.sleep_until(tick) => slept?,
                () = shared.idle.notified() => {}
            },
        }
    }
}

/// What follows what.
struct Draws {
    schedule: Schedule,
    targets: crate::mix::Mix,
    random: fastrand::Rng,
}

impl Draws {
    fn new(plan: &Plan) -> Self {
        let weights = plan.targets.iter().map(|target| (target.name.clone(), target.weight));
        Self {
            schedule: Schedule::new(plan.stages.clone(), plan.arrivals, plan.seed),
            targets: crate::mix::Mix::new(weights).unwrap_or_default(),
            random: fastrand::Rng::with_seed(plan.seed.wrapping_add(1)),
        }
    }

    fn next(&mut self, shared: &Shared) -> Option<Draw> {
        let arrival = self.schedule.next()?;
        let target = self.targets.draw(&mut self.random).unwrap_or_default();
        let recorder = shared.recorder.borrow();
        let (own_class, own_tenant) = recorder.own_groups(target);
        Some(Draw {
            arrival,
            target,
            class: own_class.or_else(|| shared.plan.classes.draw(&mut self.random)),
            tenant: own_tenant.or_else(|| shared.plan.tenants.draw(&mut self.random)),
        })
    }
}

impl Shared {
    /// Starts one request, or says that there is no room for it.
    fn send(self: &Rc<Self>, draw: Draw) {
        let mut recorder = self.recorder.borrow_mut();
        recorder.offer(draw.arrival, draw.target, draw.class, draw.tenant);
        if self.in_flight.get() >= self.plan.max_in_flight {
            recorder.no_room();
            recorder.finish(&self.finished(draw, Err(Failure::Ours(io::ErrorKind::QuotaExceeded.into())), 0));
            return;
        }
        self.in_flight.set(self.in_flight.get() + 1);
        let shared = Rc::clone(self);
        tokio::task::spawn_local(async move {
            shared.request(draw).await;
            shared.in_flight.set(shared.in_flight.get() - 1);
            if shared.in_flight.get() == 0 {
                shared.idle.notify_one();
            }
        });
    }

    /// One request with its retries, from when it was due until it is answered or given up.
    async fn request(&self, draw: Draw) {
        let due = self.start + draw.arrival.at;
        let deadline = self.plan.deadline.as_ref().map(|deadline| due + deadline.after);
        let mut begun = Instant::now();
        self.recorder.borrow_mut().started(begun - due);
        // The client's patience began when the request was due: that we are late is not the target's gain.
        let mut patience = due + self.plan.timeout;
        let mut attempt = 1;
        loop {
            let outcome = self.attempt(draw, attempt, deadline.map(|at| at - begun.min(at)), patience).await;
            let finished = self.finished(draw, outcome, attempt);
            let wait = finished
                .outcome
                .is_retried()
                .then(|| self.plan.retry.wait(attempt, finished.retry_after, &mut self.random.borrow_mut()));
            // A server may ask for more time than a clock can tell: who is told so gives up.
            let again = wait.flatten().and_then(|wait| Instant::now().checked_add(wait));
            let Some(again) = again.filter(|again| deadline.is_none_or(|deadline| *again < deadline)) else {
                return self.recorder.borrow_mut().finish(&finished);
            };
            self.recorder.borrow_mut().failed_attempt(&finished);
            tokio::time::sleep_until(again.into()).await;
            attempt += 1;
            begun = Instant::now();
            patience = begun + self.plan.timeout;
        }
    }

    async fn attempt(
        &self,
        draw: Draw,
        attempt: u32,
        remaining: Option<Duration>,
        patience: Instant,
    ) -> Result<Option<crate::outcome::Answer>, Failure> {
        // The names are cloned, so that the recorder is free while we wait.
        let (class, tenant) = self.recorder.borrow().names(draw.class, draw.tenant);
        let outgoing = Outgoing {
            plan: &self.plan,
            target: draw.target,
            class: class.as_deref(),
            tenant: tenant.as_deref(),
            remaining,
            attempt,
        };
        timeout_at(patience.into(), self.client.exchange(&outgoing)).await.ok().transpose()
    }

    fn finished(
        &self,
        draw: Draw,
        result: Result<Option<crate::outcome::Answer>, Failure>,
        attempts: u32,
    ) -> Finished {
        let at = self.start.elapsed();
        let after = at.saturating_sub(draw.arrival.at);
        let late = self.plan.deadline.as_ref().is_some_and(|deadline| after > deadline.after);
        Finished::new(draw.arrival, draw.target, draw.class, draw.tenant, at, attempts, result, late)
    }
}

/// Raises the soft limit of descriptors as far as is needed and allowed.
fn allow_descriptors(needed: u64) -> Result<(), RunError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|_| RunError::Descriptors {
        needed,
        limit: limit.maximum.or(limit.current).unwrap_or_default(),
    })
}

impl From<PlanError> for RunError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => write!(f, "{error}"),
            Self::Unresolved { host, cause } => write!(f, "cannot find `{host}`: {cause}"),
            Self::Descriptors { needed, limit } => write!(
                f,
                "{needed} file descriptors are needed and {limit} allowed: lower max-in-flight, or raise `ulimit -n`"
            ),
            Self::System(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Plan(error) => Some(error),
            Self::Unresolved { cause, .. } => Some(cause),
            Self::System(error) => Some(error),
            Self::Descriptors { .. } => None,
        }
    }
}
