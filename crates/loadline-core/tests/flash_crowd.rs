//! A crowd of clients that give up and try again, in virtual time: goodput while it lasts, and recovery after it.
//!
//! Arrivals are an open loop: they come however the service fares. The app does not notice that a client left and works to
//! the end. *Goodput* is answers whose client still waited; *recovered* is the first moment after the crowd from which on, in the
//! next second and over all the rest, 98 % of the new clients were answered within 1 s of their arrival, retries included.
//!
//! `cargo test -p loadline-core --test flash_crowd -- --nocapture` prints a table.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    num::NonZeroU32,
};

use loadline_core::{
    Admission, Class, Decision, Discipline, Duration, Event, Instant, Outcome, Permit, Reason, Request,
    Settings, Ticket,
};

const LIMIT: u32 = 8;
const SERVICE: Duration = Duration::from_millis(50);
/// Requests per second that 8 slots of 50 ms can serve.
const CAPACITY: f64 = 160.0;
const RETRIES: u32 = 3;
/// Answered within this of its arrival, a client counts as served well.
const IN_TIME: Duration = Duration::from_secs(1);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[derive(Clone, Copy)]
struct Scenario {
    /// How long, at how many new clients per second.
    phases: &'static [(Duration, f64)],
    discipline: Discipline,
    timeout: Duration,
    /// Of every client, but for the hasty ones.
    patience: Duration,
    /// One in so many is hasty...
    hasty: Option<u64>,
    retries: u32,
    /// The pause after a rejection before the next attempt; after giving up there is none. Up to 100 ms of jitter come on top.
    back_off: Duration,
}

/// ... and waits for as long as this.
const HASTY_PATIENCE: Duration = ms(200);

const CROWD: Scenario = Scenario {
    phases: &[(secs(5), 0.5 * CAPACITY), (secs(10), 10.0 * CAPACITY), (secs(15), 0.5 * CAPACITY)],
    discipline: Discipline::Adaptive,
    timeout: secs(5),
    patience: secs(1),
    hasty: None,
    retries: RETRIES,
    back_off: Duration::ZERO,
};
const CROWD_BEGINS: Duration = secs(5);
const CROWD_ENDS: Duration = secs(15);
const END: Duration = secs(30);

struct Client {
    arrived: Instant,
    patience: Duration,
    attempts: u32,
    /// The attempt that it still waits for.
    awaited: Option<u32>,
    /// Where that one waits.
    ticket: Option<Ticket>,
    answered: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Attempt(usize),
    /// The client's attempt of that number has taken too long.
    GiveUp(usize, u32),
    /// The client's attempt of that number is worked off.
    Done(usize, u32),
    Wake,
}

struct Simulation {
    scenario: Scenario,
    admission: Admission,
    now: Instant,
    /// What happens when; the number keeps equal moments in order.
    agenda: BinaryHeap<Reverse<(Instant, u64, Happens)>>,
    entered: u64,
    clients: Vec<Client>,
    waiting: HashMap<Ticket, usize>,
    permits: HashMap<(usize, u32), Permit>,
    good: Vec<Instant>,
    /// The next planned wake-up.
    wake: Option<Instant>,
    random: Random,
}

impl Simulation {
    fn run(scenario: Scenario, seed: u64) -> Self {
        let mut settings = Settings::new(NonZeroU32::new(LIMIT).unwrap());
        settings.queue.discipline = scenario.discipline;
        settings.queue.timeout = Some(scenario.timeout);
        let mut simulation = Self {
            scenario,
            admission: Admission::new(settings),
            now: Instant::ORIGIN,
            agenda: BinaryHeap::new(),
            entered: 0,
            clients: Vec::new(),
            waiting: HashMap::new(),
            permits: HashMap::new(),
            good: Vec::new(),
            wake: None,
            random: Random(seed),
        };
        simulation.invite();
        while let Some(Reverse((at, _, happens))) = simulation.agenda.pop() {
            simulation.now = at;
            simulation.step(happens);
        }
        simulation.admission.check_invariants();
        assert!(simulation.waiting.is_empty() && simulation.permits.is_empty());
        simulation
    }

    /// Every first attempt: Poisson arrivals.
    fn invite(&mut self) {
        let (mut at, mut end) = (Duration::ZERO, Duration::ZERO);
        for (lasts, rate) in self.scenario.phases {
            at = at.max(end);
            end += *lasts;
            while at < end {
                let hasty = self.scenario.hasty.is_some_and(|one_in| self.random.next() % one_in == 0);
                let patience = if hasty { HASTY_PATIENCE } else { self.scenario.patience };
                let arrived = Instant::ORIGIN + at;
                self.clients.push(Client { arrived, patience, attempts: 0, awaited: None, ticket: None, answered: None });
                self.enter(arrived, Happens::Attempt(self.clients.len() - 1));
                at += Duration::from_secs_f64(self.random.exponential() / rate);
            }
        }
    }

    fn enter(&mut self, at: Instant, happens: Happens) {
        self.entered += 1;
        self.agenda.push(Reverse((at, self.entered, happens)));
    }

    fn step(&mut self, happens: Happens) {
        match happens {
            Happens::Attempt(client) => self.attempt(client),
            Happens::GiveUp(client, attempt) => self.give_up(client, attempt),
            Happens::Done(client, attempt) => {
                let permit = self.permits.remove(&(client, attempt)).unwrap();
                self.admission.on_complete(self.now, permit, Outcome::Completed);
                let client = &mut self.clients[client];
                if client.awaited == Some(attempt) {
                    client.awaited = None;
                    client.answered = Some(self.now);
                    self.good.push(self.now);
                }
            }
            Happens::Wake => self.wake = None,
        }
        self.drain();
    }

    fn attempt(&mut self, client: usize) {
        self.clients[client].attempts += 1;
        let attempt = self.clients[client].attempts;
        self.clients[client].awaited = Some(attempt);
        match self.admission.on_arrival(self.now, Request::new(Class::Normal)) {
            Decision::Admit(permit) => self.work(client, permit),
            Decision::Queue(ticket) => {
                self.clients[client].ticket = Some(ticket);
                self.waiting.insert(ticket, client);
            }
            Decision::Shed(_) => return self.try_again(client, self.scenario.back_off),
        }
        self.enter(self.now + self.clients[client].patience, Happens::GiveUp(client, attempt));
    }

    fn work(&mut self, client: usize, permit: Permit) {
        let attempt = self.clients[client].attempts;
        self.permits.insert((client, attempt), permit);
        self.enter(self.now + SERVICE, Happens::Done(client, attempt));
    }

    fn give_up(&mut self, client: usize, attempt: u32) {
        if self.clients[client].awaited != Some(attempt) {
            return;
        }
        if let Some(ticket) = self.clients[client].ticket.take() {
            self.waiting.remove(&ticket);
            assert!(self.admission.on_cancel(self.now, ticket));
        }
        self.try_again(client, Duration::ZERO);
    }

    fn try_again(&mut self, client: usize, pause: Duration) {
        self.clients[client].awaited = None;
        if self.clients[client].attempts > self.scenario.retries {
            return;
        }
        let jitter = ms(self.random.next() % 100);
        self.enter(self.now + pause + jitter, Happens::Attempt(client));
    }

    fn drain(&mut self) {
        loop {
            match self.admission.poll(self.now) {
                Event::Dispatch(ticket, permit) => {
                    let client = self.waiting.remove(&ticket).unwrap();
                    self.clients[client].ticket = None;
                    self.work(client, permit);
                }
                Event::Expire(ticket, _) => {
                    let client = self.waiting.remove(&ticket).unwrap();
                    self.clients[client].ticket = None;
                    self.try_again(client, self.scenario.back_off);
                }
                Event::WakeAt(at) => {
                    if self.wake.is_none_or(|planned| at < planned) {
                        self.wake = Some(at);
                        self.enter(at, Happens::Wake);
                    }
                    return;
                }
                Event::Idle => return,
            }
        }
    }

    /// Good answers in the crowd as a share of what could be served meanwhile.
    fn goodput(&self) -> f64 {
        let crowd = Instant::ORIGIN + CROWD_BEGINS..Instant::ORIGIN + CROWD_ENDS;
        let good = self.good.iter().filter(|at| crowd.contains(at)).count();
        good as f64 / (CAPACITY * (CROWD_ENDS - CROWD_BEGINS).as_secs_f64())
    }

    /// Seconds from the end of the crowd; see the head of this file.
    fn recovery(&self) -> f64 {
        let served = |from: Duration, to: Duration| {
            let range = Instant::ORIGIN + from..Instant::ORIGIN + to;
            let new = || self.clients.iter().filter(|client| range.contains(&client.arrived));
            let well = new().filter(|client| client.answered.is_some_and(|at| at <= client.arrived + IN_TIME));
            well.count() as f64 >= 0.98 * new().count() as f64
        };
        let steps = std::iter::successors(Some(CROWD_ENDS), |at| Some(*at + ms(100)));
        let mut steps = steps.take_while(|at| *at + secs(1) <= END);
        let recovered = steps.find(|at| served(*at, *at + secs(1)) && served(*at, END));
        recovered.map_or(f64::INFINITY, |at| (at - CROWD_ENDS).as_secs_f64())
    }

    fn shed(&self) -> u64 {
        self.admission.snapshot(self.now).counters.total().shed_total()
    }

    fn gave_way(&self) -> u64 {
        self.admission.snapshot(self.now).counters.total().shed(Reason::Codel)
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// With a mean of 1.
    fn exponential(&mut self) -> f64 {
        -(1.0 - (self.next() >> 11) as f64 / (1_u64 << 53) as f64).ln()
    }
}

/// The worst goodput and the slowest recovery over several seeds.
fn worst(name: &str, scenario: Scenario) -> (f64, f64) {
    let (mut goodput, mut recovery) = (f64::INFINITY, 0.0_f64);
    for seed in 1..=5 {
        let run = Simulation::run(scenario, seed);
        println!(
            "| {name} | {seed} | {:.1} | {:.1} | {} |",
            100.0 * run.goodput(),
            run.recovery(),
            run.gave_way()
        );
        goodput = goodput.min(run.goodput());
        recovery = recovery.max(run.recovery());
    }
    (goodput, recovery)
}

#[test]
fn clients_with_a_second_of_patience_that_try_again_at_once() {
    let (goodput, recovery) = worst("patience 1 s", CROWD);
    assert!(goodput >= 0.95, "{goodput}");
    assert!(recovery <= 1.2, "{recovery}");
}

#[test]
fn hastier_clients() {
    let (goodput, recovery) = worst("patience 300 ms", Scenario { patience: ms(300), ..CROWD });
    assert!(goodput >= 0.95, "{goodput}");
    assert!(recovery <= 1.2, "{recovery}");
}

#[test]
fn more_patient_clients() {
    let (goodput, recovery) = worst("patience 3 s", Scenario { patience: secs(3), ..CROWD });
    assert!(goodput >= 0.95, "{goodput}");
    assert!(recovery <= 1.2, "{recovery}");
}

#[test]
fn clients_that_pause_after_a_rejection() {
    let (goodput, recovery) = worst("back-off 1 s", Scenario { back_off: secs(1), ..CROWD });
    assert!(goodput >= 0.95, "{goodput}");
    assert!(recovery <= 4.5, "{recovery}");
}

#[test]
fn long_timeout() {
    let (goodput, recovery) = worst("timeout 30 s", Scenario { timeout: secs(30), ..CROWD });
    assert!(goodput >= 0.95, "{goodput}");
    assert!(recovery <= 1.2, "{recovery}");
}
