//! A fleet: replicas behind a balancer, and an autoscaler that looks at one signal.
//!
//! Every replica is the real core with a fixed limit before a pool of as many workers. The balancer picks the better of two
//! random replicas by what is in flight and waits. The autoscaler is that of Kubernetes (HPA v2) with its defaults:
//!
//! ```text
//! every 15 s, from the signal of the last 15 s, averaged over the replicas:
//!   wanted = ceil(replicas × signal ÷ target), unless the ratio is within 10 % of 1; before it rises, replicas that
//!   are still starting count with a signal of 0
//!   up: at most to the double, or by 4, at once; down: to the highest wanted of the last 5 minutes
//! ```
//!
//! The signals: *demand* = (admitted + shed per second, retries excluded) × mean service time ÷ limit; *CPU* = share of the cores that is busy;
//! *utilisation* = slots in use ÷ limit; *sheds* per second and replica. Demand is the only one that says how many replicas are missing:
//! the next two cannot exceed 1 however much is missing, and the last is 0 as soon as nothing is, so that it takes
//! away what it has just added.
//!
//! Worked number: 10 replicas, each asked for three times what it can do, target 0.75: 10 × 3 ÷ 0.75 = 40 are wanted. By
//! utilisation 10 × 1 ÷ 0.75 = 14 are.

use std::num::NonZeroU32;

use loadline_core::{
    Admission, Class, Decision, Event as CoreEvent, Instant, Outcome, Permit, Request, Settings, Ticket,
};

use crate::agenda::Agenda;
use crate::random::Random;
use crate::units::SECOND;

/// What the autoscaler looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// What is asked for ÷ what the limit allows: `loadline_demand_ratio`.
    Demand,
    /// Busy cores ÷ cores; workers wait for I/O for most of their time.
    Cpu,
    /// Slots in use ÷ limit.
    Utilisation,
    /// Requests shed per second, in tenths of a replica's capacity.
    Sheds,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 4] = [Self::Demand, Self::Cpu, Self::Utilisation, Self::Sheds];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Demand => "demand ratio",
            Self::Cpu => "cpu",
            Self::Utilisation => "utilisation",
            Self::Sheds => "sheds",
        }
    }
}

/// A fleet and what is asked of it.
#[derive(Clone, Debug)]
pub struct FleetPlan {
    /// At the start.
    pub replicas: usize,
    /// At most.
    pub most: usize,
    /// Workers, and the limit, of a replica.
    pub limit: NonZeroU32,
    /// Mean service time in nanoseconds, exponentially distributed.
    pub service: u64,
    /// The share of the service time in which a core is busy; a replica has as many cores as are needed for that.
    pub cpu_share: f64,
    /// How long clients wait, in nanoseconds.
    pub timeout: u64,
    /// Requests per second, from which moment on.
    pub rates: Vec<(u64, f64)>,
    /// How long, in nanoseconds.
    pub duration: u64,
    /// The signal at which the autoscaler leaves everything as it is.
    pub target: f64,
    /// How long a new replica takes to start, in nanoseconds.
    pub start_time: u64,
    /// For the random numbers.
    pub seed: u64,
}

impl FleetPlan {
    /// Twenty replicas of 20 requests per second, asked for 250 per second, and from the second minute on for 1,500. At a target of
    /// 0.75, 100 replicas are right.
    #[must_use]
    pub fn example() -> Self {
        Self {
            replicas: 20,
            most: 1_000,
            limit: const { NonZeroU32::new(4).expect("it is not zero") },
            service: SECOND / 5,
            cpu_share: 0.5,
            timeout: SECOND,
            rates: vec![(0, 250.0), (60 * SECOND, 1_500.0)],
            duration: 1_200 * SECOND,
            target: 0.75,
            start_time: 20 * SECOND,
            seed: 1,
        }
    }

    /// How many replicas are right for what is asked at the end.
    #[must_use]
    pub fn right_size(&self) -> usize {
        let rate = self.rates.last().map_or(0.0, |(_, rate)| *rate);
        let replica = f64::from(self.limit.get()) * SECOND as f64 / self.service as f64;
        (rate / replica / self.target).ceil() as usize
    }
}

/// What became of a fleet.
#[derive(Clone, Debug, Default)]
pub struct FleetRun {
    /// After each decision: when, how many were wanted, and the signal.
    pub steps: Vec<(u64, usize, f64)>,
    /// Clients that came, and those that were answered in time, by minute.
    pub minutes: Vec<(u64, u64)>,
}

/// How often the autoscaler decides.
const SYNC: u64 = 15 * SECOND;
/// A ratio this close to 1 changes nothing.
const TOLERANCE: f64 = 0.1;
/// The highest number wanted in this time holds.
const STABILISATION: u64 = 300 * SECOND;

impl FleetRun {
    /// How often the number of replicas changed after this moment.
    #[must_use]
    pub fn changes_after(&self, at: u64) -> usize {
        let after: Vec<usize> =
            self.steps.iter().filter(|(when, ..)| *when >= at).map(|(_, wanted, _)| *wanted).collect();
        after.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    /// Replicas at the end.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.replicas_at(u64::MAX)
    }

    /// Replicas that were wanted at this moment; 0 before the first decision.
    #[must_use]
    pub fn replicas_at(&self, at: u64) -> usize {
        self.steps.iter().rev().find(|(when, ..)| *when <= at).map_or(0, |(_, wanted, _)| *wanted)
    }

    /// Clients answered in time ÷ clients, from one minute to before another.
    #[must_use]
    pub fn success(&self, from: usize, to: usize) -> f64 {
        let minutes = &self.minutes[from.min(self.minutes.len())..to.min(self.minutes.len())];
        let (came, answered) =
            minutes.iter().fold((0, 0), |sum, minute| (sum.0 + minute.0, sum.1 + minute.1));
        answered as f64 / (came as f64).max(1.0)
    }
}

/// Runs a fleet under an autoscaler that looks at this signal.
#[must_use]
pub fn run_fleet(plan: &FleetPlan, signal: Signal) -> FleetRun {
    let mut fleet = Fleet::new(plan, signal);
    while let Some((now, what)) = fleet.agenda.next(plan.duration) {
        match what {
            Event::Arrive => fleet.arrive(now),
            Event::Done { replica, request } => fleet.done(now, replica, request),
            Event::GiveUp { replica, ticket, number } => fleet.give_up(now, replica, ticket, number),
            Event::Sync => fleet.sync(now),
        }
    }
    fleet.run
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    Done {
        replica: usize,
        request: usize,
    },
    /// The client with this number, if it still has this place in line.
    GiveUp {
        replica: usize,
        ticket: usize,
        number: u64,
    },
    Sync,
}

struct Replica {
    admission: Admission,
    ready_at: u64,
    permits: Vec<Option<(Permit, u64)>>,
    free: Vec<usize>,
    /// By ticket index: the ticket, when its client came, and its number.
    waiting: Vec<Option<(Ticket, u64, u64)>>,
    queued: usize,
    /// Of the current interval.
    shed: u64,
    admitted: u64,
    /// Taken away by the autoscaler: it gets no new requests.
    stopped: bool,
    /// Busy worker time of the current interval, up to `seen`.
    busy: f64,
    seen: u64,
}

struct Fleet<'p> {
    plan: &'p FleetPlan,
    signal: Signal,
    agenda: Agenda<Event>,
    replicas: Vec<Replica>,
    /// The first so many of them are in use.
    wanted: usize,
    recent: Vec<(u64, usize)>,
    random: Random,
    came: u64,
    run: FleetRun,
}

impl<'p> Fleet<'p> {
    fn new(plan: &'p FleetPlan, signal: Signal) -> Self {
        let mut agenda = Agenda::new();
        agenda.enter(0, Event::Arrive);
        agenda.enter(SYNC, Event::Sync);
        let mut fleet = Self {
            plan,
            signal,
            agenda,
            replicas: Vec::new(),
            wanted: plan.replicas,
            recent: vec![(0, plan.replicas)],
            random: Random::new(plan.seed, 0xf1ee7),
            came: 0,
            run: FleetRun::default(),
        };
        fleet.grow(0, plan.replicas);
        fleet
    }

    fn grow(&mut self, ready_at: u64, to: usize) {
        while self.replicas.len() < to {
            let mut settings = Settings::new(self.plan.limit);
            settings.seed = self.replicas.len() as u64;
            self.replicas.push(Replica::new(settings, ready_at));
        }
    }

    fn rate(&self, now: u64) -> f64 {
        self.plan.rates.iter().rev().find(|(from, _)| *from <= now).map_or(0.0, |(_, rate)| *rate)
    }

    fn minute(&mut self, at: u64) -> &mut (u64, u64) {
        let minute = (at / (60 * SECOND)) as usize;
        if self.run.minutes.len() <= minute {
            self.run.minutes.resize(minute + 1, (0, 0));
        }
        &mut self.run.minutes[minute]
    }

    /// The better of two.
    fn pick(&mut self, now: u64) -> usize {
        let ready =
            self.replicas[..self.wanted].partition_point(|replica| replica.ready_at <= now).max(1) as u64;
        let (a, b) = (self.random.below(ready) as usize, self.random.below(ready) as usize);
        let load = |index: usize| self.replicas[index].load();
        if load(b) < load(a) { b } else { a }
    }

    fn arrive(&mut self, now: u64) {
        let gap = self.random.exponential() / self.rate(now).max(1e-9) * SECOND as f64;
        self.agenda.enter(now + (gap as u64).max(1), Event::Arrive);
        self.minute(now).0 += 1;
        self.came += 1;
        let index = self.pick(now);
        let number = self.came;
        let replica = &mut self.replicas[index];
        replica.account(now);
        match replica.admission.on_arrival(Instant::from_nanos(now), Request::new(Class::Normal)) {
            Decision::Admit(permit) => self.serve(now, index, permit, now),
            Decision::Queue(ticket) => {
                let place = ticket.index();
                if replica.waiting.len() <= place {
                    replica.waiting.resize(place + 1, None);
                }
                replica.waiting[place] = Some((ticket, now, number));
                replica.queued += 1;
                let at = now + self.plan.timeout;
                self.agenda.enter(at, Event::GiveUp { replica: index, ticket: place, number });
            }
            Decision::Shed(_) => replica.shed += 1,
        }
        self.drain(now, index);
    }

    fn serve(&mut self, now: u64, index: usize, permit: Permit, came: u64) {
        let work = self.random.exponential() * self.plan.service as f64;
        let replica = &mut self.replicas[index];
        replica.admitted += 1;
        let request = replica.free.pop().unwrap_or_else(|| {
            replica.permits.push(None);
            replica.permits.len() - 1
        });
        replica.permits[request] = Some((permit, came));
        self.agenda.enter(now + work as u64, Event::Done { replica: index, request });
    }

    fn done(&mut self, now: u64, index: usize, request: usize) {
        let replica = &mut self.replicas[index];
        replica.account(now);
        let (permit, came) = replica.permits[request].take().expect("a request is done once");
        replica.free.push(request);
        replica.admission.on_complete(Instant::from_nanos(now), permit, Outcome::Completed);
        if now - came <= self.plan.timeout {
            self.minute(came).1 += 1;
        }
        self.drain(now, index);
    }

    fn give_up(&mut self, now: u64, index: usize, place: usize, number: u64) {
        let replica = &mut self.replicas[index];
        let Some((ticket, _, _)) = replica.waiting[place].filter(|(_, _, waiter)| *waiter == number) else {
            return;
        };
        replica.waiting[place] = None;
        replica.queued -= 1;
        // Neither admitted nor shed by anybody, but asked for: who leaves the line counts as demand.
        replica.shed += u64::from(replica.admission.on_cancel(Instant::from_nanos(now), ticket));
        self.drain(now, index);
    }

    fn drain(&mut self, now: u64, index: usize) {
        loop {
            let replica = &mut self.replicas[index];
            match replica.admission.poll(Instant::from_nanos(now)) {
                CoreEvent::Dispatch(ticket, permit) => {
                    let waiter = replica.waiting[ticket.index()].take();
                    replica.queued -= 1;
                    self.serve(now, index, permit, waiter.map_or(now, |(_, came, _)| came));
                }
                CoreEvent::Expire(ticket, _) => {
                    replica.waiting[ticket.index()] = None;
                    replica.queued -= 1;
                    replica.shed += 1;
                }
                // Clients leave before the queue timeout, so that nothing happens by itself.
                CoreEvent::WakeAt(_) | CoreEvent::Idle => return,
            }
        }
    }

    fn sync(&mut self, now: u64) {
        self.agenda.enter(now + SYNC, Event::Sync);
        let secs = SYNC as f64 / SECOND as f64;
        let limit = f64::from(self.plan.limit.get());
        let service = self.plan.service as f64 / SECOND as f64;
        let mut sum = 0.0;
        let mut ready = 0;
        for replica in
            self.replicas[..self.wanted].iter_mut().filter(|replica| replica.ready_at + SYNC <= now)
        {
            replica.account(now);
            let (admitted, shed) = (replica.admitted as f64 / secs, replica.shed as f64 / secs);
            let mean = replica.admission.snapshot(Instant::from_nanos(now)).mean_service;
            let mean = mean.map_or(service, |mean| mean.as_secs_f64());
            let busy = replica.busy / SYNC as f64 / limit;
            sum += match self.signal {
                Signal::Demand => (admitted + shed) * mean / limit,
                Signal::Cpu => busy * self.plan.cpu_share,
                Signal::Utilisation => busy,
                Signal::Sheds => shed * 10.0 * service / limit,
            };
            ready += 1;
        }
        self.replicas.iter_mut().for_each(|replica| replica.forget(now));
        let value = sum / f64::from(ready).max(1.0);
        self.scale(now, value, sum / self.wanted as f64);
        self.run.steps.push((now, self.wanted, value));
    }

    fn scale(&mut self, now: u64, value: f64, with_starting: f64) {
        let mut ratio = value / self.plan.target;
        if ratio > 1.0 {
            ratio = (with_starting / self.plan.target).max(1.0);
        }
        let current = self.wanted as f64;
        let wanted = if (ratio - 1.0).abs() <= TOLERANCE { current } else { (current * ratio).ceil() };
        let wanted = (wanted as usize).clamp(1, self.plan.most).min((2 * self.wanted).max(self.wanted + 4));
        self.recent.push((now, wanted));
        self.recent.retain(|(at, _)| now - at <= STABILISATION);
        let highest = self.recent.iter().map(|(_, wanted)| *wanted).max().unwrap_or(wanted);
        self.wanted = if wanted >= self.wanted { wanted } else { highest.min(self.wanted) };
        let ready_at = now + self.plan.start_time;
        let have = self.replicas.len();
        // Replicas that were taken away and are wanted again start anew.
        for replica in &mut self.replicas[..have.min(self.wanted)] {
            if replica.stopped {
                (replica.stopped, replica.ready_at) = (false, ready_at);
            }
        }
        self.grow(ready_at, self.wanted);
        for replica in &mut self.replicas[self.wanted..] {
            replica.stopped = true;
        }
    }
}

impl Replica {
    fn new(settings: Settings, ready_at: u64) -> Self {
        Self {
            admission: Admission::new(settings),
            ready_at,
            permits: Vec::new(),
            free: Vec::new(),
            waiting: Vec::new(),
            queued: 0,
            shed: 0,
            admitted: 0,
            busy: 0.0,
            seen: 0,
            stopped: false,
        }
    }

    fn in_flight(&self) -> usize {
        self.permits.len() - self.free.len()
    }

    fn load(&self) -> usize {
        self.in_flight() + self.queued
    }

    fn account(&mut self, now: u64) {
        self.busy += (now - self.seen) as f64 * self.in_flight() as f64;
        self.seen = now;
    }

    fn forget(&mut self, now: u64) {
        self.account(now);
        (self.shed, self.admitted, self.busy) = (0, 0, 0.0);
    }
}
