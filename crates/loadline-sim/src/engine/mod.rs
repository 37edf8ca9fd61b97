//! One run: a scenario, a policy, a seed. Discrete events on an integer clock of nanoseconds.
//!
//! ```text
//! client ──attempt──> policy ──start──> stages of the service ──done──> policy, client
//!    ^ │                └─refuse─┐                                        
//!    │ └─gives up                v
//!    └──────────retries──────────┘
//! ```
//!
//! *Architecture invariant:* a run depends on nothing but the scenario, the policy and the seed. There is no clock, no thread and
//! no map with random order in it; the same three give the same [`Run::digest`].
//!
//! An answer is *good* if its client still waits for it. Work for a client that has left is *wasted*; a service that does not
//! notice that the client has left does it all the same (a *ghost*).

mod arrivals;

use loadline_core::{Class, Outcome};

use self::arrivals::think;
use crate::agenda::Agenda;
use crate::backend::Backend;
use crate::policy::{Action, CPU_EVERY, Offer, OnAbort, Policy, PolicySpec, Refusal, Verdict};
use crate::random::Random;
use crate::recorder::{Recorder, Run};
use crate::scenario::Scenario;
use crate::slab::{Key, Slab};
use crate::units::SECOND;

/// After the last arrival, how long a run goes on for clients that still wait or will try again.
const AFTERMATH: u64 = 60 * SECOND;

/// A backend has at most so many stages: a request carries its work for each.
pub(crate) const MAX_STAGES: usize = 4;

/// Runs a scenario under a policy with a seed.
#[must_use]
pub fn run(scenario: &Scenario, policy: &PolicySpec, seed: u64) -> Run {
    let mut engine = Engine::new(scenario, policy, seed);
    let end = scenario.duration.0;
    engine.invite();
    engine.until(end);
    // New clients do not come any more: `Arrive` looks at the clock.
    let last = end + AFTERMATH;
    while engine.clients.len() > 0
        && let Some((at, what)) = engine.agenda.next(last)
    {
        engine.step(at, what);
    }
    let unresolved = engine.clients.len() as u64;
    engine.recorder.finish(policy.name(), seed, unresolved)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    /// The next clients of this stream come.
    Arrive(usize),
    /// A user of a closed loop asks again.
    Ask(usize),
    /// A client tries (again).
    Attempt(Key),
    /// The client of this attempt has waited for long enough.
    GiveUp(Key),
    /// This attempt has been in service for too long.
    ServerTimeout(Key),
    /// The first in this stage is done, if nothing has changed since.
    Done { stage: usize, version: u64 },
    /// The service changes.
    Change,
    /// The policy asked for it.
    Wake,
    /// A measuring interval is over.
    Sample,
    /// The policy is told how busy the processor was.
    Cpu,
}

#[derive(Debug)]
struct Client {
    stream: usize,
    class: Class,
    tenant: Option<u64>,
    route: u16,
    /// How much work it is in each stage, if that was recorded; else it is drawn.
    work: Option<f64>,
    came: u64,
    patience: u64,
    deadline: Option<u64>,
    attempts: u32,
    /// Whether anything was ever started for it.
    started: bool,
    random: Random,
}

#[derive(Debug)]
struct Attempt {
    client: Key,
    class: Class,
    stream: usize,
    awaited: bool,
    serving: bool,
    /// Whether the policy still counts it.
    holds_slot: bool,
    timed_out: bool,
    stage: usize,
    work: [f64; MAX_STAGES],
}

struct Engine<'s> {
    scenario: &'s Scenario,
    policy: Box<dyn Policy>,
    backend: Backend,
    agenda: Agenda<Event>,
    clients: Slab<Client>,
    attempts: Slab<Attempt>,
    recorder: Recorder<'s>,
    capacity: f64,
    seed: u64,
    /// Draws the arrivals of each stream.
    arrivals: Vec<Random>,
    /// Clients that came so far, per stream.
    came: Vec<u64>,
    /// The planned wake-up.
    wake: Option<u64>,
    cpu_seen: f64,
}

impl<'s> Engine<'s> {
    fn new(scenario: &'s Scenario, policy: &PolicySpec, seed: u64) -> Self {
        let streams = scenario.clients.len();
        Self {
            scenario,
            policy: policy.build(seed),
            backend: Backend::new(&scenario.backend),
            agenda: Agenda::new(),
            clients: Slab::new(),
            attempts: Slab::new(),
            recorder: Recorder::new(scenario),
            capacity: scenario.ability(0).capacity,
            seed,
            arrivals: (0..streams).map(|stream| Random::new(seed, stream as u64)).collect(),
            came: vec![0; streams],
            wake: None,
            cpu_seen: 0.0,
        }
    }

    fn until(&mut self, end: u64) {
        while let Some((at, what)) = self.agenda.next(end) {
            self.step(at, what);
        }
    }

    fn step(&mut self, now: u64, what: Event) {
        match what {
            Event::Arrive(stream) => {
                for _ in 0..self.scenario.clients[stream].at_once() {
                    self.new_client(now, stream);
                }
                self.plan_arrival(now, stream);
            }
            Event::Ask(stream) => {
                if now < self.scenario.duration.0 {
                    self.new_client(now, stream);
                }
            }
            Event::Attempt(client) => self.attempt(now, client),
            Event::GiveUp(attempt) => self.give_up(now, attempt),
            Event::ServerTimeout(attempt) => self.server_timeout(now, attempt),
            Event::Done { stage, version } => self.done(now, stage, version),
            Event::Change => {
                self.backend.change(now);
                (0..self.backend.stages()).for_each(|stage| self.plan_done(stage));
            }
            Event::Wake => {
                if self.wake == Some(now) {
                    self.wake = None;
                    self.drain(now);
                }
            }
            Event::Sample => {
                self.recorder.sample(now, &self.policy.gauge(now), self.backend.len());
                self.agenda.enter(now + self.recorder.bucket_nanos(), Event::Sample);
            }
            Event::Cpu => {
                if let Some((busy, cores)) = self.backend.cpu(now) {
                    let share = (busy - self.cpu_seen) / (cores * CPU_EVERY as f64);
                    self.cpu_seen = busy;
                    self.policy.observe_cpu(now, share);
                }
                self.agenda.enter(now + CPU_EVERY, Event::Cpu);
            }
        }
    }

    fn attempt(&mut self, now: u64, key: Key) {
        let client = self.clients.get_mut(key).expect("a client is there until it is over");
        let spec = &self.scenario.clients[client.stream];
        client.attempts += 1;
        let marked = spec.retry.as_ref().is_none_or(|retry| retry.marked);
        let attempt = Attempt {
            client: key,
            class: client.class,
            stream: client.stream,
            awaited: true,
            serving: false,
            holds_slot: true,
            timed_out: false,
            stage: 0,
            work: [0.0; MAX_STAGES],
        };
        let until = now.saturating_add(client.patience).min(client.deadline.unwrap_or(u64::MAX));
        let (deadline, route, tenant) =
            (client.deadline.filter(|_| spec.send_deadline), client.route, client.tenant);
        let retry = client.attempts > 1 && marked;
        self.recorder.attempt(now, attempt.stream, attempt.class);
        let offer = Offer { id: 0, class: attempt.class, deadline, route, tenant, retry };
        let attempt = self.attempts.insert(attempt);
        if until < u64::MAX {
            self.agenda.enter(until, Event::GiveUp(attempt));
        }
        match self.policy.arrive(now, &Offer { id: attempt.index(), ..offer }) {
            Verdict::Start => self.start(now, attempt),
            Verdict::Wait => {}
            Verdict::Refuse(refusal) => self.refuse(now, attempt, &refusal),
        }
        self.drain(now);
    }

    /// Does what the policy wants done.
    fn drain(&mut self, now: u64) {
        loop {
            match self.policy.poll(now) {
                Action::Start(id) => {
                    let attempt = self.attempts.key_at(id).expect("who waits is there");
                    self.start(now, attempt);
                }
                Action::Refuse(id, refusal) => {
                    let attempt = self.attempts.key_at(id).expect("who waits is there");
                    self.refuse(now, attempt, &refusal);
                }
                Action::WakeAt(at) => {
                    let at = at.max(now + 1);
                    if at < u64::MAX && self.wake.is_none_or(|planned| at < planned || planned <= now) {
                        self.wake = Some(at);
                        self.agenda.enter(at, Event::Wake);
                    }
                    return;
                }
                Action::Idle => return,
            }
        }
    }

    fn start(&mut self, now: u64, key: Key) {
        let attempt = self.attempts.get_mut(key).expect("it is there");
        attempt.serving = true;
        let mut first = false;
        if let Some(client) = self.clients.get_mut(attempt.client) {
            first = !std::mem::replace(&mut client.started, true);
            let route =
                client.route.checked_sub(1).and_then(|index| self.scenario.routes.get(usize::from(index)));
            let factor = route.map_or(1.0, |route| route.work);
            for (work, stage) in attempt.work.iter_mut().zip(&self.backend.spec().stages) {
                let drawn = stage.work.draw(&mut client.random) * factor;
                *work = client.work.unwrap_or(drawn);
            }
        } else {
            // Nobody noticed that its client has left. It is an average request.
            for (work, stage) in attempt.work.iter_mut().zip(&self.backend.spec().stages) {
                *work = stage.work.mean();
            }
        }
        self.recorder.started(now, first);
        if let Some(timeout) = self.policy.server_timeout() {
            self.agenda.enter(now.saturating_add(timeout), Event::ServerTimeout(key));
        }
        self.enter(now, key, 0);
    }

    fn enter(&mut self, now: u64, key: Key, stage: usize) {
        let attempt = self.attempts.get_mut(key).expect("it is there");
        attempt.stage = stage;
        let work = attempt.work[stage];
        self.backend.station(stage).expect("the stage exists").enter(now, key, work);
        self.plan_done(stage);
    }

    fn plan_done(&mut self, stage: usize) {
        let station = self.backend.station(stage).expect("the stage exists");
        let version = station.version;
        if let Some(at) = station.next_done() {
            self.agenda.enter(at, Event::Done { stage, version });
        }
    }

    fn done(&mut self, now: u64, stage: usize, version: u64) {
        if self.backend.station(stage).is_some_and(|station| station.version != version) {
            return;
        }
        let stages = self.backend.stages();
        while let Some(key) = self.backend.station(stage).and_then(|station| station.pop_done(now)) {
            if stage + 1 < stages {
                self.enter(now, key, stage + 1);
            } else {
                self.finish(now, key);
            }
        }
        self.plan_done(stage);
        self.drain(now);
    }

    fn finish(&mut self, now: u64, key: Key) {
        let attempt = self.attempts.remove(key).expect("it is there");
        let work: f64 = attempt.work.iter().sum();
        self.recorder.worked(now, work, attempt.awaited);
        if attempt.holds_slot {
            let outcome = match (attempt.awaited, attempt.timed_out) {
                (true, _) => Outcome::Completed,
                (false, true) => Outcome::TimedOut,
                (false, false) => Outcome::Aborted,
            };
            self.policy.end(now, key.index(), outcome);
        }
        if attempt.awaited {
            self.client_is_over(now, attempt.client, true);
        }
    }

    fn refuse(&mut self, now: u64, key: Key, refusal: &Refusal) {
        let attempt = self.attempts.remove(key).expect("it is there");
        self.recorder.refused(now, attempt.stream, attempt.class, refusal.reason, attempt.awaited);
        if attempt.awaited {
            self.try_again(now, attempt.client, refusal.retry_after, false);
        }
    }

    fn give_up(&mut self, now: u64, key: Key) {
        let Some(attempt) = self.attempts.get_mut(key).filter(|attempt| attempt.awaited) else { return };
        attempt.awaited = false;
        let client = attempt.client;
        let deadline = self.clients.get(client).and_then(|client| client.deadline);
        self.recorder.gave_up(now);
        if attempt.serving {
            // loadline cuts the time at the upstream down to what is left of the deadline that it knows.
            let at_deadline = deadline.is_some_and(|deadline| deadline <= now);
            attempt.timed_out = at_deadline && self.scenario.clients[attempt.stream].send_deadline;
            self.abandon(now, key);
        } else if self.policy.leave(now, key.index()) {
            self.attempts.remove(key);
        }
        self.try_again(now, client, None, true);
        self.drain(now);
    }

    fn server_timeout(&mut self, now: u64, key: Key) {
        let Some(attempt) = self.attempts.get_mut(key).filter(|attempt| attempt.holds_slot) else { return };
        attempt.timed_out = true;
        let awaited = std::mem::replace(&mut attempt.awaited, false);
        let client = attempt.client;
        self.abandon(now, key);
        if awaited {
            self.try_again(now, client, None, true);
        }
        self.drain(now);
    }

    /// Nobody waits any more for what is in service.
    fn abandon(&mut self, now: u64, key: Key) {
        let attempt = self.attempts.get_mut(key).expect("it is there");
        if self.policy.on_abort() == OnAbort::Finish || !attempt.holds_slot {
            return;
        }
        attempt.holds_slot = false;
        let outcome = if attempt.timed_out { Outcome::TimedOut } else { Outcome::Aborted };
        self.policy.end(now, key.index(), outcome);
        if self.backend.spec().notices_disconnect {
            let stage = attempt.stage;
            self.attempts.remove(key);
            self.backend.remove(now, stage, key);
            self.plan_done(stage);
        }
    }

    /// A client was turned away or waited in vain: it tries again or goes home.
    fn try_again(&mut self, now: u64, key: Key, retry_after: Option<u64>, waited: bool) {
        let client = self.clients.get_mut(key).expect("a client is there until it is over");
        let retry = self.scenario.clients[client.stream].retry.as_ref();
        let retry = retry.filter(|retry| client.attempts <= retry.max && (retry.after_timeout || !waited));
        let at = retry
            .map(|retry| now.saturating_add(retry.pause(client.attempts, retry_after, &mut client.random)));
        match at.filter(|at| client.deadline.is_none_or(|deadline| *at < deadline)) {
            Some(at) => self.agenda.enter(at, Event::Attempt(key)),
            None => self.client_is_over(now, key, false),
        }
    }

    fn client_is_over(&mut self, now: u64, key: Key, answered: bool) {
        let client = self.clients.remove(key).expect("a client is over once");
        self.recorder.client_over(now, client.came, client.stream, client.class, answered);
        let spec = &self.scenario.clients[client.stream];
        if spec.users.is_some() {
            let pause = think(spec, &mut self.arrivals[client.stream]);
            self.agenda.enter(now + pause, Event::Ask(client.stream));
        }
    }
}
