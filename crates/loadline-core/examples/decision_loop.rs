//! One decision, very often: for instruction counts.
//!
//! ```text
//! cargo build --release -p loadline-core --example decision_loop
//! valgrind --tool=callgrind target/release/examples/decision_loop admit 100000
//! ```
//!
//! Divide the difference of two runs' `Ir` by the difference of their rounds. Modes: `admit` (a free slot is taken and handed
//! back), `shed` (rejected at the door, nothing may wait), `handover` (a slot passes to a waiter and somebody else begins to
//! wait), `cancel` (wait, then leave), each with `poll` drained as the contract asks. An optional third argument is how many
//! others wait meanwhile. Without callgrind it prints nanoseconds per round.

use std::{hint::black_box, num::NonZeroU32};

use loadline_core::{
    Admission, Class, Decision, Discipline, Event, Instant, Outcome, Permit, Request, Settings, Ticket,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_else(|| "admit".to_owned());
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (rounds, waiting) = (number(1_000_000), number(0));

    let mut work = Loop::new(if mode == "shed" { 0 } else { u32::MAX }, waiting);
    let round = match mode.as_str() {
        "admit" => Loop::admit,
        "shed" => Loop::shed,
        "handover" => Loop::handover,
        "cancel" => Loop::cancel,
        other => panic!("admit, shed, handover or cancel, not {other}"),
    };
    if mode == "admit" {
        work.free_a_slot();
    }
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "this measures the core from outside"
    )]
    let begun = std::time::Instant::now();
    for _ in 0..rounds {
        round(&mut work);
    }
    println!("{mode}: {:.1} ns per round", begun.elapsed().as_nanos() as f64 / rounds as f64);
}

struct Loop {
    admission: Admission,
    now: u64,
    held: Option<Permit>,
}

impl Loop {
    /// One slot, taken, and so many waiting for it.
    fn new(depth: u32, waiting: u64) -> Self {
        let mut settings = Settings::new(NonZeroU32::MIN);
        settings.queue.depth = depth;
        settings.queue.timeout = Some(loadline_core::Duration::from_secs(1_000_000));
        settings.queue.discipline = Discipline::Fifo;
        let mut work = Self { admission: Admission::new(settings), now: 0, held: None };
        let Decision::Admit(permit) = work.arrive() else { unreachable!("the first is admitted") };
        work.held = Some(permit);
        for _ in 0..waiting {
            work.queue();
        }
        work
    }

    fn now(&mut self) -> Instant {
        self.now += 1_000;
        Instant::from_nanos(self.now)
    }

    fn arrive(&mut self) -> Decision {
        let now = self.now();
        self.admission.on_arrival(now, black_box(Request::new(Class::Normal)))
    }

    fn queue(&mut self) -> Ticket {
        let Decision::Queue(ticket) = self.arrive() else { unreachable!("the slot is taken") };
        ticket
    }

    fn free_a_slot(&mut self) {
        let now = self.now();
        let permit = self.held.take().expect("the slot is taken");
        self.admission.on_complete(now, permit, Outcome::Completed);
    }

    fn drain(&mut self) {
        let now = self.now();
        loop {
            match self.admission.poll(now) {
                Event::Dispatch(_, permit) => self.held = Some(permit),
                Event::Expire(..) => {}
                Event::WakeAt(_) | Event::Idle => break,
            }
        }
    }

    fn admit(&mut self) {
        let Decision::Admit(permit) = self.arrive() else { unreachable!("the slot is free") };
        self.drain();
        self.held = Some(permit);
        self.free_a_slot();
        self.drain();
    }

    fn shed(&mut self) {
        let Decision::Shed(rejection) = self.arrive() else { unreachable!("nothing may wait") };
        black_box(rejection);
        self.drain();
    }

    fn handover(&mut self) {
        self.queue();
        self.drain();
        self.free_a_slot();
        self.drain();
    }

    fn cancel(&mut self) {
        let ticket = self.queue();
        self.drain();
        let now = self.now();
        assert!(self.admission.on_cancel(now, ticket));
        self.drain();
    }
}
