//! What the gate's lock protects: the core, and a seat for each waiting future where its answer and its waker are kept.
//!
//! A seat is taken until its future has fetched the answer or was dropped, which is longer than the core's ticket lives: a
//! ticket's index is free for the next waiter as soon as it was answered. Hence two tables, seats by their own numbers and
//! the seat of each ticket. Both are reused, so that waiting allocates nothing here once warm.

use std::{
    ops::ControlFlow,
    task::{Context, Waker},
};

use loadline_core::{Admission, Event, Instant, Permit, Rejection, Ticket};

/// The core's answer to one who waited.
pub(super) type Answer = Result<Permit, Rejection>;

/// The core and the seats; see the module.
#[derive(Debug)]
pub(super) struct State {
    pub(super) admission: Admission,
    seats: Vec<Seat>,
    vacant: Vec<u32>,
    /// By [`Ticket::index`].
    seat_of_ticket: Vec<u32>,
}

#[derive(Debug)]
enum Seat {
    Vacant,
    Waiting(Option<Waker>),
    Answered(Answer),
}

/// What one who waits finds in its seat when it leaves.
#[derive(Debug)]
pub(super) enum Vacated {
    /// No answer yet. The waker is to be dropped after the lock is released: that may run foreign code.
    Waiting { _waker: Option<Waker> },
    /// An answer nobody fetched.
    Answered(Answer),
}

/// Room that empty tables keep: 4,096 waiters, as the core's queue keeps.
const KEPT_SEATS: usize = 4_096;

impl State {
    pub(super) const fn new(admission: Admission) -> Self {
        Self { admission, seats: Vec::new(), vacant: Vec::new(), seat_of_ticket: Vec::new() }
    }

    /// A seat for the holder of a new ticket.
    pub(super) fn seat(&mut self, ticket: Ticket) -> u32 {
        let seat = self.vacant.pop().unwrap_or_else(|| {
            self.seats.push(Seat::Vacant);
            u32::try_from(self.seats.len() - 1).expect("fewer than 2^32 waiters")
        });
        self.seats[seat as usize] = Seat::Waiting(None);
        if ticket.index() >= self.seat_of_ticket.len() {
            self.seat_of_ticket.resize(ticket.index() + 1, 0);
        }
        self.seat_of_ticket[ticket.index()] = seat;
        seat
    }

    /// Fetches the answer and vacates the seat, or leaves a waker there. The second value is a waker that was replaced: to
    /// be dropped after the lock is released.
    pub(super) fn fetch(&mut self, seat: u32, context: &Context<'_>) -> (Option<Answer>, Option<Waker>) {
        match &mut self.seats[seat as usize] {
            Seat::Waiting(Some(waker)) if waker.will_wake(context.waker()) => (None, None),
            Seat::Waiting(waker) => (None, waker.replace(context.waker().clone())),
            Seat::Answered(_) => match self.vacate(seat) {
                Vacated::Answered(answer) => (Some(answer), None),
                Vacated::Waiting { .. } => unreachable!("just seen answered"),
            },
            Seat::Vacant => unreachable!("a future that was answered keeps no seat"),
        }
    }

    /// Gives the seat up.
    pub(super) fn vacate(&mut self, seat: u32) -> Vacated {
        let left = std::mem::replace(&mut self.seats[seat as usize], Seat::Vacant);
        self.vacant.push(seat);
        if self.vacant.len() == self.seats.len() && self.seats.len() > KEPT_SEATS {
            self.seats = Vec::new();
            self.vacant = Vec::new();
            self.seat_of_ticket = Vec::new();
        }
        match left {
            Seat::Waiting(waker) => Vacated::Waiting { _waker: waker },
            Seat::Answered(answer) => Vacated::Answered(answer),
            Seat::Vacant => unreachable!("a seat is vacated once"),
        }
    }

    /// Drains the core's events into the seats, and the wakers of those who got an answer into `wakers`. Breaks when that is
    /// full: wake them with the lock released, then go on.
    pub(super) fn settle(&mut self, now: Instant, wakers: &mut WakeList) -> ControlFlow<()> {
        loop {
            let (ticket, answer) = match self.admission.poll(now) {
                Event::Dispatch(ticket, permit) => (ticket, Ok(permit)),
                Event::Expire(ticket, rejection) => (ticket, Err(rejection)),
                Event::WakeAt(_) | Event::Idle => return ControlFlow::Continue(()),
            };
            let seat = self.seat_of_ticket[ticket.index()] as usize;
            match std::mem::replace(&mut self.seats[seat], Seat::Answered(answer)) {
                Seat::Waiting(waker) => wakers.push(waker),
                Seat::Vacant | Seat::Answered(_) => {
                    unreachable!("a ticket is answered once, while its future waits")
                }
            }
            if wakers.is_full() {
                return ControlFlow::Break(());
            }
        }
    }
}

/// Wakers to be called once the lock is released, in the core's order. On the stack: a freed slot usually wakes one.
#[derive(Debug)]
pub(super) struct WakeList {
    wakers: [Option<Waker>; Self::LEN],
    len: usize,
}

impl WakeList {
    /// Few, because every decision pays for setting them up; a limit raised by many, or a crowd that expires together, takes
    /// several rounds.
    const LEN: usize = 4;

    pub(super) const fn new() -> Self {
        Self { wakers: [const { None }; Self::LEN], len: 0 }
    }

    pub(super) fn wake_all(&mut self) {
        for waker in &mut self.wakers[..std::mem::take(&mut self.len)] {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
    }

    /// Not when full. A future that has not been polled yet has no waker; it will find its answer.
    fn push(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.wakers[self.len] = waker;
            self.len += 1;
        }
    }

    const fn is_full(&self) -> bool {
        self.len == Self::LEN
    }
}
