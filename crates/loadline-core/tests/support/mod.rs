//! An open loop in virtual time: requests arrive however the service fares, and clients leave when their patience is over.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use loadline_core::{
    Admission, Decision, Duration, Event, Instant, Outcome, Permit, Request, Settings, Ticket,
};

/// One request that comes to the service.
pub(crate) struct Arrival {
    /// In which row of the result it counts.
    pub(crate) row: usize,
    pub(crate) request: Request,
    pub(crate) service: Duration,
}

/// The load.
pub(crate) struct Load {
    pub(crate) settings: Settings,
    /// Requests per second, on average.
    pub(crate) rate: f64,
    /// How long it lasts. The first fifth does not count.
    pub(crate) lasts: Duration,
    /// How long clients wait, until they have their answer.
    pub(crate) patience: Duration,
    pub(crate) seed: u64,
}

/// What became of one kind of requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    pub(crate) offered: u32,
    /// Answered while the client was still there.
    pub(crate) answered: u32,
}

/// Of these rows together, answered ÷ offered.
pub(crate) fn share(rows: &[Row]) -> f64 {
    let sum = |of: fn(&Row) -> u32| f64::from(rows.iter().map(of).sum::<u32>());
    sum(|row| row.answered) / sum(|row| row.offered)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Arrival,
    Done(usize),
    GivesUp(usize),
    Wake,
}

struct Client {
    row: Option<usize>,
    service: Duration,
    ticket: Option<Ticket>,
    permit: Option<Permit>,
    gave_up: bool,
}

/// Runs the load; `arrive` makes each request.
pub(crate) fn run(load: &Load, rows: usize, mut arrive: impl FnMut(&mut Random) -> Arrival) -> Vec<Row> {
    let mut admission = Admission::new(load.settings.clone());
    let mut random = Random(load.seed);
    let mut result = vec![Row::default(); rows];
    let mut agenda = BinaryHeap::from([Reverse((Instant::ORIGIN, 0, Happens::Arrival))]);
    let mut clients: Vec<Client> = Vec::new();
    let mut waiting = HashMap::new();
    let mut entered = 0;
    let end = Instant::ORIGIN + load.lasts;
    let counts_from = Instant::ORIGIN + load.lasts / 5;
    while let Some(Reverse((now, _, happens))) = agenda.pop() {
        let mut enter = |at: Instant, happens| {
            entered += 1;
            agenda.push(Reverse((at, entered, happens)));
        };
        let mut started = Vec::new();
        match happens {
            Happens::Arrival if now >= end => {}
            Happens::Arrival => {
                let Arrival { row, request, service } = arrive(&mut random);
                let row = (now >= counts_from).then_some(row);
                if let Some(row) = row {
                    result[row].offered += 1;
                }
                let id = clients.len();
                clients.push(Client { row, service, ticket: None, permit: None, gave_up: false });
                match admission.on_arrival(now, request) {
                    Decision::Admit(permit) => started.push((id, permit)),
                    Decision::Queue(ticket) => {
                        clients[id].ticket = Some(ticket);
                        waiting.insert(ticket, id);
                    }
                    Decision::Shed(_) => {}
                }
                enter(now + load.patience, Happens::GivesUp(id));
                enter(now + Duration::from_secs_f64(random.exponential() / load.rate), Happens::Arrival);
            }
            Happens::Done(id) => {
                let permit = clients[id].permit.take().expect("it is in service");
                admission.on_complete(now, permit, Outcome::Completed);
                if let Some(row) = clients[id].row.filter(|_| !clients[id].gave_up) {
                    result[row].answered += 1;
                }
            }
            Happens::GivesUp(id) => {
                clients[id].gave_up = true;
                if let Some(ticket) = clients[id].ticket.take() {
                    waiting.remove(&ticket);
                    assert!(admission.on_cancel(now, ticket));
                }
            }
            Happens::Wake => {}
        }
        loop {
            match admission.poll(now) {
                Event::Dispatch(ticket, permit) => {
                    let id = waiting.remove(&ticket).expect("it waits");
                    clients[id].ticket = None;
                    started.push((id, permit));
                }
                Event::Expire(ticket, _) => {
                    let id = waiting.remove(&ticket).expect("it waits");
                    clients[id].ticket = None;
                }
                Event::WakeAt(at) => {
                    // With more there is something going on all the time.
                    if waiting.len() == 1 {
                        enter(at, Happens::Wake);
                    }
                    break;
                }
                Event::Idle => break,
            }
        }
        for (id, permit) in started {
            clients[id].permit = Some(permit);
            enter(now + clients[id].service, Happens::Done(id));
        }
    }
    admission.check_invariants();
    result
}

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// With a mean of 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Half to one and a half times this long.
    pub(crate) fn around(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(0.5 + self.unit())
    }
}
