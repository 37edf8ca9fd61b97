//! A service behind the admission, in virtual time: small, and enough to see what a limiter does.
//!
//! A request passes a delay (I/O, nobody slows anybody down) and then a station: up to `slots` are active and share `cores`, the
//! rest waits in line inside the service. Beyond `knee` it does 1 ÷ (1 + slope × excess ÷ knee) of its work. Clients arrive at random
//! and leave when their patience is over; the service does not notice, and the slot is held until it is done.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::num::NonZeroU32;

use loadline_core::{
    Admission, Class, Decision, Event, Instant, LimiterSettings, Outcome, Permit, Request, RouteId, Settings,
    Ticket,
};

/// The service at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    /// Mean seconds of I/O.
    pub(crate) delay: f64,
    /// Mean seconds of work, alone.
    pub(crate) work: f64,
    pub(crate) slots: f64,
    pub(crate) cores: f64,
    pub(crate) knee: f64,
    pub(crate) slope: f64,
    /// Everything in the station takes so many times as long.
    pub(crate) slower: f64,
    /// 0: all alike; 1: exponential.
    pub(crate) spread: f64,
}

impl Service {
    /// First in, first out.
    pub(crate) fn workers(slots: f64, work: f64) -> Self {
        let far = f64::INFINITY;
        Self { delay: 0.0, work, slots, cores: far, knee: far, slope: 1.0, slower: 1.0, spread: 1.0 }
    }

    /// Cores that all share, after some I/O.
    pub(crate) fn cpu(cores: f64, work: f64, delay: f64) -> Self {
        Self { delay, slots: f64::INFINITY, cores, ..Self::workers(1.0, work) }
    }

    pub(crate) fn capacity(&self) -> f64 {
        self.slots.min(self.cores) / (self.work * self.slower)
    }
}

/// A run.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) limiter: LimiterSettings,
    pub(crate) max: u32,
    /// From these seconds on the service is like this.
    pub(crate) service: Vec<(f64, Service)>,
    /// From these seconds on so many arrive per second.
    pub(crate) rate: Vec<(f64, f64)>,
    pub(crate) seconds: f64,
    /// Seconds after which a client leaves.
    pub(crate) patience: f64,
    /// The share of requests of a second route, and how many times the work it is.
    pub(crate) dear: (f64, f64),
    pub(crate) depth: u32,
}

impl Run {
    pub(crate) fn new(service: Service, rate: f64, seconds: f64) -> Self {
        Self {
            seed: 1,
            limiter: LimiterSettings::Fixed,
            max: 1_000,
            service: vec![(0.0, service)],
            rate: vec![(0.0, rate)],
            seconds,
            patience: 1.0,
            dear: (0.0, 1.0),
            depth: 2_000,
        }
    }
}

/// What came out, per tenth of a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tick {
    pub(crate) offered: u32,
    /// Answered in time.
    pub(crate) good: u32,
    /// Refused, by the door or in the queue.
    pub(crate) shed: u32,
    /// Gave up while waiting or in service.
    pub(crate) left: u32,
    /// The limit that the law stands by, and the one in force, at the end of it.
    pub(crate) limit: u32,
    pub(crate) in_force: u32,
}

pub(crate) struct Outcomes {
    pub(crate) ticks: Vec<Tick>,
    pub(crate) admission: Admission,
    pub(crate) end: Instant,
}

impl Outcomes {
    fn sum(&self, from: f64, to: f64, what: fn(&Tick) -> u32) -> f64 {
        let index = |seconds: f64| ((seconds * 10.0) as usize).min(self.ticks.len());
        self.ticks[index(from)..index(to)].iter().map(|tick| f64::from(what(tick))).sum()
    }

    /// Good answers per second.
    pub(crate) fn goodput(&self, from: f64, to: f64) -> f64 {
        self.sum(from, to, |tick| tick.good) / (to - from)
    }

    /// The share of the offered that was refused or gave up.
    pub(crate) fn lost(&self, from: f64, to: f64) -> f64 {
        self.sum(from, to, |tick| tick.shed + tick.left) / self.sum(from, to, |tick| tick.offered).max(1.0)
    }

    /// The mean of the limit that the law stands by.
    pub(crate) fn limit(&self, from: f64, to: f64) -> f64 {
        self.sum(from, to, |tick| tick.limit) / ((to - from) * 10.0)
    }
}

/// Deterministic, and good enough: splitmix64.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn spread(&mut self, mean: f64, spread: f64) -> f64 {
        mean * (1.0 - spread) + mean * spread * -(1.0 - self.unit()).ln()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Arrival,
    Delayed(u64),
    Done(u64),
    Patience(u64),
    Change(usize),
    Wake(u64),
}

struct World {
    admission: Admission,
    now: u64,
    agenda: BinaryHeap<Reverse<(u64, u64, What)>>,
    sequence: u64,
    service: Service,
    // The station: work done per active request so far, who is active by when he is done, who waits.
    clock: f64,
    seen: u64,
    active: BTreeMap<(u64, u64), ()>,
    line: VecDeque<u64>,
    version: u64,
    requests: HashMap<u64, Asked>,
    tickets: HashMap<Ticket, u64>,
    random: Random,
    next_id: u64,
    ticks: Vec<Tick>,
    wake: u64,
}

struct Asked {
    work: f64,
    delay: f64,
    ticket: Option<Ticket>,
    permit: Option<Permit>,
    left: bool,
}

impl World {
    fn at(&mut self, when: u64, what: What) {
        self.sequence += 1;
        self.agenda.push(Reverse((when, self.sequence, what)));
    }

    fn instant(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    fn tick(&mut self) -> &mut Tick {
        let index = (self.now / 100_000_000) as usize;
        let last = self.ticks.len() - 1;
        &mut self.ticks[index.min(last)]
    }

    fn pace(&self) -> f64 {
        let (active, all) = (self.active.len() as f64, (self.active.len() + self.line.len()) as f64);
        let efficiency =
            1.0 / (1.0 + self.service.slope * ((all - self.service.knee) / self.service.knee).max(0.0));
        efficiency * (self.service.cores / active).min(1.0) / self.service.slower
    }

    fn advance_station(&mut self) {
        if !self.active.is_empty() {
            self.clock += (self.now - self.seen) as f64 * self.pace();
        }
        self.seen = self.now;
    }

    fn fill_station(&mut self) {
        while (self.active.len() as f64) < self.service.slots
            && let Some(id) = self.line.pop_front()
        {
            let done = self.clock + self.requests[&id].work * 1e9;
            self.active.insert((done.to_bits(), id), ());
        }
        self.version += 1;
        if let Some(((done, _), ())) = self.active.first_key_value() {
            let left = (f64::from_bits(*done) - self.clock).max(0.0) / self.pace();
            self.at(self.now + left.ceil() as u64, What::Done(self.version));
        }
    }

    fn start(&mut self, id: u64, permit: Permit) {
        let asked = self.requests.get_mut(&id).unwrap();
        asked.permit = Some(permit);
        asked.ticket = None;
        let delay = (asked.delay * 1e9) as u64;
        if delay > 0 {
            self.at(self.now + delay, What::Delayed(id));
        } else {
            self.enter(id);
        }
    }

    fn enter(&mut self, id: u64) {
        self.advance_station();
        self.line.push_back(id);
        self.fill_station();
    }

    fn drain(&mut self) {
        loop {
            match self.admission.poll(self.instant()) {
                Event::Dispatch(ticket, permit) => {
                    let id = self.tickets.remove(&ticket).unwrap();
                    self.start(id, permit);
                }
                Event::Expire(ticket, _) => {
                    let id = self.tickets.remove(&ticket).unwrap();
                    self.requests.remove(&id);
                    self.tick().shed += 1;
                }
                Event::WakeAt(at) => {
                    if at.as_nanos() != self.wake {
                        self.wake = at.as_nanos();
                        self.at(self.wake.max(self.now), What::Wake(self.wake));
                    }
                    return;
                }
                Event::Idle => return,
            }
        }
    }
}

/// Runs it.
pub(crate) fn run(run: &Run) -> Outcomes {
    let mut settings = Settings::new(NonZeroU32::new(run.max).unwrap());
    settings.limiter = run.limiter;
    settings.queue.depth = run.depth;
    let mut world = World {
        admission: Admission::new(settings),
        now: 0,
        agenda: BinaryHeap::new(),
        sequence: 0,
        service: run.service[0].1,
        clock: 0.0,
        seen: 0,
        active: BTreeMap::new(),
        line: VecDeque::new(),
        version: 0,
        requests: HashMap::new(),
        tickets: HashMap::new(),
        random: Random(run.seed.wrapping_mul(0x5851_f42d_4c95_7f2d)),
        next_id: 0,
        ticks: vec![Tick::default(); (run.seconds * 10.0) as usize],
        wake: 0,
    };
    let end = (run.seconds * 1e9) as u64;
    for (index, (from, _)) in run.service.iter().enumerate() {
        world.at((from * 1e9) as u64, What::Change(index));
    }
    world.at(0, What::Arrival);
    let mut shown = 0;
    while let Some(Reverse((when, _, what))) = world.agenda.pop() {
        if when >= end {
            break;
        }
        while shown < (when / 100_000_000) as usize {
            let snapshot = world.admission.snapshot(world.instant());
            world.ticks[shown].limit = snapshot.limiter.limit;
            world.ticks[shown].in_force = snapshot.limiter.in_force;
            shown += 1;
        }
        world.now = when;
        let now = world.instant();
        match what {
            What::Arrival => {
                let seconds = when as f64 / 1e9;
                let rate = run.rate.iter().rev().find(|(from, _)| *from <= seconds).unwrap().1;
                let gap = world.random.spread(1.0 / rate.max(1e-3), 1.0).min(0.5);
                world.at(when + (gap * 1e9) as u64 + 1, What::Arrival);
                if gap >= 0.5 && rate < 1e-3 {
                    continue;
                }
                let dear = world.random.unit() < run.dear.0;
                let spread = world.service.spread;
                let work =
                    world.random.spread(world.service.work, spread) * if dear { run.dear.1 } else { 1.0 };
                let delay = world.random.spread(world.service.delay, spread);
                let id = world.next_id;
                world.next_id += 1;
                world.tick().offered += 1;
                let request = Request::new(Class::Normal).with_route(RouteId::new(u16::from(dear)));
                let mut asked = Asked { work, delay, ticket: None, permit: None, left: false };
                match world.admission.on_arrival(now, request) {
                    Decision::Admit(permit) => {
                        world.requests.insert(id, asked);
                        world.start(id, permit);
                    }
                    Decision::Queue(ticket) => {
                        asked.ticket = Some(ticket);
                        world.requests.insert(id, asked);
                        world.tickets.insert(ticket, id);
                    }
                    Decision::Shed(_) => {
                        world.tick().shed += 1;
                        world.drain();
                        continue;
                    }
                }
                world.at(when + (run.patience * 1e9) as u64, What::Patience(id));
            }
            What::Patience(id) => {
                let Some(asked) = world.requests.get_mut(&id) else { continue };
                asked.left = true;
                if let Some(ticket) = asked.ticket {
                    world.tickets.remove(&ticket);
                    world.requests.remove(&id);
                    world.admission.on_cancel(now, ticket);
                }
                world.tick().left += 1;
            }
            What::Delayed(id) => world.enter(id),
            What::Done(version) => {
                if version != world.version {
                    continue;
                }
                world.advance_station();
                while let Some(((done, id), ())) = world.active.first_key_value() {
                    if f64::from_bits(*done) > world.clock + 0.5 {
                        break;
                    }
                    let id = *id;
                    world.active.pop_first();
                    let asked = world.requests.remove(&id).unwrap();
                    let outcome = if asked.left { Outcome::Aborted } else { Outcome::Completed };
                    if !asked.left {
                        world.tick().good += 1;
                    }
                    world.admission.on_complete(now, asked.permit.unwrap(), outcome);
                }
                world.fill_station();
            }
            What::Change(index) => {
                world.advance_station();
                world.service = run.service[index].1;
                world.fill_station();
            }
            What::Wake(_) => {}
        }
        world.drain();
    }
    Outcomes { ticks: world.ticks, end: Instant::from_nanos(end), admission: world.admission }
}
