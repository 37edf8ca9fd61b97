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
    /// One in so many is hasty ...
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
                let hasty =
                    self.scenario.hasty.is_some_and(|one_in| self.random.next().is_multiple_of(one_in));
                let patience = if hasty { HASTY_PATIENCE } else { self.scenario.patience };
                let arrived = Instant::ORIGIN + at;
                self.clients.push(Client {
                    arrived,
                    patience,
                    attempts: 0,
                    awaited: None,
                    ticket: None,
                    answered: None,
                });
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

    /// When the crowd begins, when it ends, and when everything ends: for scenarios of three phases.
    fn phases(&self) -> [Duration; 3] {
        let mut end = Duration::ZERO;
        std::array::from_fn(|phase| {
            end += self.scenario.phases[phase].0;
            end
        })
    }

    /// Good answers in the crowd as a share of what could be served meanwhile.
    fn goodput(&self) -> f64 {
        let [begins, ends, _] = self.phases();
        let crowd = Instant::ORIGIN + begins..Instant::ORIGIN + ends;
        let good = self.good.iter().filter(|at| crowd.contains(at)).count();
        good as f64 / (CAPACITY * (ends - begins).as_secs_f64())
    }

    /// Seconds from the end of the crowd; see the head of this file.
    fn recovery(&self) -> f64 {
        let [_, crowd_ends, end] = self.phases();
        let served = |from: Duration, to: Duration| {
            let range = Instant::ORIGIN + from..Instant::ORIGIN + to;
            let new = || self.clients.iter().filter(|client| range.contains(&client.arrived));
            let well =
                new().filter(|client| client.answered.is_some_and(|at| at <= client.arrived + IN_TIME));
            well.count() as f64 >= 0.98 * new().count() as f64
        };
        let steps = std::iter::successors(Some(crowd_ends), |at| Some(*at + ms(100)));
        let mut steps = steps.take_while(|at| *at + secs(1) <= end);
        let recovered = steps.find(|at| served(*at, *at + secs(1)) && served(*at, end));
        recovered.map_or(f64::INFINITY, |at| (at - crowd_ends).as_secs_f64())
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

/// The worst goodput and the slowest recovery over several seeds, in a row of the table.
fn worst(name: &str, scenario: Scenario) -> (f64, f64) {
    let runs = (1..=3).map(|seed| Simulation::run(scenario, seed)).collect::<Vec<_>>();
    let goodput = runs.iter().map(Simulation::goodput).fold(f64::INFINITY, f64::min);
    let recovery = runs.iter().map(Simulation::recovery).fold(0.0, f64::max);
    let gave_way = runs.iter().map(Simulation::gave_way).max().unwrap();
    println!("| {name} | {:.1} | {recovery:.1} | {gave_way} |", 100.0 * goodput);
    (goodput, recovery)
}

#[test]
fn a_crowd_is_served_at_full_capacity_and_over_when_it_ends() {
    println!(
        "| worst of 3 seeds | goodput, % of capacity | recovered after, s | gave way |\n|---|---|---|---|"
    );
    for (name, scenario) in [
        ("patience 1 s", CROWD),
        ("patience 0.3 s", Scenario { patience: ms(300), ..CROWD }),
        ("patience 3 s", Scenario { patience: secs(3), ..CROWD }),
        ("timeout 30 s", Scenario { timeout: secs(30), ..CROWD }),
    ] {
        let (goodput, recovery) = worst(name, scenario);
        assert!(goodput >= 0.95, "{name}: {goodput}");
        assert!(recovery <= 1.2, "{name}: {recovery}");
    }
}

/// What was learned must not be forgotten because nobody is left to learn from: two minutes are twelve half-lives.
#[test]
fn a_long_crowd_is_over_as_quickly() {
    const PHASES: &[(Duration, f64)] =
        &[(secs(5), 0.5 * CAPACITY), (secs(120), 3.0 * CAPACITY), (secs(15), 0.5 * CAPACITY)];
    let run = Simulation::run(Scenario { phases: PHASES, ..CROWD }, 1);
    println!("| two minutes | {:.1} | {:.1} | {} |", 100.0 * run.goodput(), run.recovery(), run.gave_way());
    assert!(run.goodput() >= 0.95, "{}", run.goodput());
    assert!(run.recovery() <= 1.2, "{}", run.recovery());
}

/// Whoever comes back a second after each rejection comes back three times: the crowd lasts 3 s longer for the service than for its
/// clients, and only the clients could change that.
#[test]
fn clients_that_pause_after_a_rejection_prolong_the_crowd_by_their_pauses_only() {
    let (goodput, recovery) = worst("back-off 1 s", Scenario { back_off: secs(1), ..CROWD });
    assert!(goodput >= 0.95, "{goodput}");
    assert!(recovery <= 5.0, "{recovery}");
}

const BURSTS: Scenario = Scenario {
    phases: &[
        (secs(2), 2.0 * CAPACITY),
        (secs(4), 0.2 * CAPACITY),
        (secs(2), 2.0 * CAPACITY),
        (secs(4), 0.2 * CAPACITY),
        (secs(2), 2.0 * CAPACITY),
        (secs(4), 0.2 * CAPACITY),
    ],
    patience: secs(6),
    ..CROWD
};

#[test]
fn patient_clients_are_not_rejected_because_some_are_hasty() {
    for hasty in [None, Some(20), Some(10)] {
        for seed in 1..=5 {
            let run = Simulation::run(Scenario { hasty, ..BURSTS }, seed);
            assert_eq!(run.gave_way(), 0, "one in {hasty:?} hasty, seed {seed}");
            let patient = run.clients.iter().filter(|client| client.patience == BURSTS.patience);
            let lost = patient.filter(|client| client.answered.is_none()).count();
            assert_eq!(lost, 0, "one in {hasty:?} hasty, seed {seed}");
        }
    }
}

#[test]
fn only_adaptive_has_waiters_give_way() {
    for discipline in [Discipline::Fifo, Discipline::Lifo] {
        assert_eq!(Simulation::run(Scenario { discipline, ..CROWD }, 1).gave_way(), 0);
    }
}
