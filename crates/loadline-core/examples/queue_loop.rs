//! One operation on a long queue, very often: for instruction counts.
//!
//! ```text
//! cargo build --release -p loadline-core --example queue_loop
//! valgrind --tool=callgrind target/release/examples/queue_loop push-out 1000 100000
//! ```
//!
//! Divide the difference of two runs' `Ir` by the difference of their rounds. The arguments are a mode, how many rounds, how many
//! wait meanwhile, and `plain` or `all` (the default: tenants, routes of different cost of which one is at its own limit, timeouts
//! and deadlines). Modes: `push-out` (in a full queue somebody gives way to a newcomer), `cancel` (somebody in the midst leaves and
//! another one comes), `expire` (the next is told that its time is up, and another one comes), `serve` (a slot passes to whose turn
//! it is, under overload by cost, and another one comes). Without callgrind it prints nanoseconds per round.

use std::{collections::VecDeque, hint::black_box, num::NonZeroU32};

use loadline_core::{
    Admission, Class, Decision, Duration, Event, Instant, Outcome, Permit, Request, RouteCost, RouteId,
    RouteSettings, Settings, TenantId, Ticket,
};

const TENANTS: u64 = 10_000;
const ROUTES: u64 = 8;
/// Between two calls, in nanoseconds.
const STEP: u64 = 1_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_else(|| "push-out".to_owned());
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (rounds, waiting) = (number(100_000), number(100_000));
    let all = arguments.next().is_none_or(|which| which == "all");

    let mut work = Loop::new(&mode, waiting, all);
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "this measures the core from outside"
    )]
    let begun = std::time::Instant::now();
    for _ in 0..rounds {
        match mode.as_str() {
            "push-out" => work.arrive(),
            "cancel" => work.cancel(),
            "expire" => work.expire(),
            "serve" => work.serve(),
            other => panic!("push-out, cancel, expire or serve, not {other}"),
        }
    }
    println!("{mode}: {:.1} ns per round", begun.elapsed().as_nanos() as f64 / f64::from(rounds));
    black_box(work.admission);
}

struct Loop {
    admission: Admission,
    now: u64,
    all: bool,
    number: u64,
    held: VecDeque<Permit>,
    tickets: Vec<Ticket>,
}

impl Loop {
    fn new(mode: &str, waiting: u32, all: bool) -> Self {
        let mut settings = Settings::new(NonZeroU32::new(16).expect("not zero"));
        settings.queue.depth = waiting + u32::from(mode != "push-out");
        settings.queue.timeout = Some(Duration::from_secs(1_000));
        if all {
            settings.fairness = mode != "serve";
            settings.routes = vec![RouteSettings::default(); ROUTES as usize];
            settings.routes[1] = RouteSettings::new(Some(NonZeroU32::MIN), RouteCost::Learned);
        }
        let admission = Admission::new(settings);
        let mut work = Self { admission, now: 0, all, number: 0, held: VecDeque::new(), tickets: Vec::new() };
        work.learn();
        for _ in 0..waiting + 17 {
            work.arrive();
        }
        // Long enough for the class to be overloaded.
        work.now += if mode == "expire" { 999_000_000_000 } else { 1_000_000_000 };
        work
    }

    /// Each route has been seen to take its time: 1 to 128 ms.
    fn learn(&mut self) {
        for route in 0..ROUTES {
            let Decision::Admit(permit) = self.arrival(on(route)) else { unreachable!() };
            self.now += 1_000_000 << route;
            self.admission.on_complete(Instant::from_nanos(self.now), permit, Outcome::Completed);
        }
    }

    fn now(&mut self) -> Instant {
        self.now += STEP;
        Instant::from_nanos(self.now)
    }

    fn arrival(&mut self, request: Request) -> Decision {
        let now = self.now();
        self.admission.on_arrival(now, request)
    }

    fn arrive(&mut self) {
        self.number += 1;
        let mut request = Request::new(Class::Normal);
        if self.all {
            let tenant = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            request = on(self.number % ROUTES).with_tenant(TenantId::new(tenant % TENANTS));
        }
        match self.arrival(request) {
            Decision::Admit(permit) => self.held.push_back(permit),
            Decision::Queue(ticket) => self.tickets.push(ticket),
            Decision::Shed(rejection) => drop(black_box(rejection)),
        }
        self.drain();
    }

    fn drain(&mut self) {
        let now = self.now();
        loop {
            match self.admission.poll(now) {
                Event::Dispatch(_, permit) => self.held.push_back(permit),
                Event::Expire(..) => {}
                Event::WakeAt(_) | Event::Idle => break,
            }
        }
    }

    fn cancel(&mut self) {
        let middle = self.tickets.len() / 2;
        let ticket = self.tickets.swap_remove(middle);
        let now = self.now();
        black_box(self.admission.on_cancel(now, ticket));
        self.drain();
        self.arrive();
    }

    fn expire(&mut self) {
        self.now += STEP;
        self.drain();
        self.arrive();
    }

    fn serve(&mut self) {
        let permit = self.held.pop_front().expect("the slots are taken");
        let now = self.now();
        // Given up, so that what is known of the service times stays.
        self.admission.on_complete(now, permit, Outcome::Aborted);
        self.drain();
        self.arrive();
    }
}

fn on(route: u64) -> Request {
    Request::new(Class::Normal).with_route(RouteId::new(u16::try_from(route).expect("few routes")))
}
