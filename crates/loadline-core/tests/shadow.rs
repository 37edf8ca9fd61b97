//! The shadow: like settings decide alike, unlike ones as they would have; nothing is followed for ever.

use std::{collections::HashMap, num::NonZeroU32};

use loadline_core::{
    Admission, Class, Decision, Discipline, Duration, Event, Instant, Outcome, Percent, Permit, Reason,
    Request, RouteId, Settings, Shadow, ShadowKey, Ticket, Warmup,
};
use proptest::prelude::*;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn settings(limit: u32, depth: u32) -> Settings {
    let mut settings = Settings::new(NonZeroU32::new(limit).unwrap());
    settings.queue.depth = depth;
    settings.queue.timeout = Some(Duration::from_millis(100));
    settings.queue.discipline = Discipline::Fifo;
    settings
}

const NORMAL: Request = Request::new(Class::Normal);

/// Arrived, and really in service at once.
fn runs(shadow: &mut Shadow, ms: u64) -> ShadowKey {
    let key = shadow.on_arrival(at(ms), NORMAL);
    shadow.on_start(at(ms), &key);
    key
}

#[test]
fn a_warm_up_begins_anew_as_it_does_in_force() {
    let mut settings = settings(10, 0);
    settings.warmup = Some(Warmup { from: Percent::new(10).unwrap(), over: Duration::from_secs(1) });
    let mut shadow = Shadow::new(settings);
    assert_eq!(shadow.snapshot(at(5_000)).effective_limit, 10);
    shadow.restart_warmup(at(5_000));
    assert_eq!(shadow.snapshot(at(5_000)).effective_limit, 1);
    assert_eq!(shadow.snapshot(at(6_000)).effective_limit, 10);
}

#[test]
fn who_would_have_been_rejected_is_counted_and_holds_nothing() {
    let mut shadow = Shadow::new(settings(1, 0));
    let first = runs(&mut shadow, 0);
    let second = runs(&mut shadow, 1);
    assert_eq!((shadow.shed(&first), shadow.shed(&second)), (None, Some(Reason::Concurrency)));
    assert_eq!(shadow.on_complete(at(50), second, Outcome::Completed), Some(Reason::Concurrency));
    assert_eq!(shadow.snapshot(at(50)).in_flight, 1);
    assert_eq!(shadow.on_complete(at(60), first, Outcome::Completed), None);
    let snapshot = shadow.snapshot(at(60));
    let total = snapshot.counters.total();
    assert_eq!((snapshot.in_flight, total.offered, total.admitted, total.shed_total()), (0, 2, 1, 1));
}

#[test]
fn who_would_have_waited_holds_its_slot_later_and_as_long() {
    let mut shadow = Shadow::new(settings(1, 10));
    let first = runs(&mut shadow, 0);
    // Really beside the first, from 10 to 50 ms; here behind it, from 30 to 70 ms.
    let second = runs(&mut shadow, 10);
    assert_eq!(shadow.snapshot(at(20)).queued, 1);
    let _ = shadow.on_complete(at(30), first, Outcome::Completed);
    let _ = shadow.on_complete(at(50), second, Outcome::Completed);
    assert_eq!(shadow.snapshot(at(69)).in_flight, 1);
    assert_eq!(shadow.snapshot(at(70)).in_flight, 0);
    assert_eq!(shadow.snapshot(at(70)).counters.total().completed, 2);
}

#[test]
fn a_waiter_whose_real_request_is_over_is_served_all_the_same() {
    let mut shadow = Shadow::new(settings(1, 10));
    let first = runs(&mut shadow, 0);
    let second = runs(&mut shadow, 0);
    let _ = shadow.on_complete(at(20), second, Outcome::Completed);
    let _ = shadow.on_complete(at(30), first, Outcome::Completed);
    assert_eq!(shadow.snapshot(at(49)).in_flight, 1, "its 20 ms begin at 30");
    assert_eq!(shadow.snapshot(at(50)).in_flight, 0);
}

#[test]
fn what_falls_due_between_two_calls_is_done_at_its_own_time() {
    let mut shadow = Shadow::new(settings(1, 10));
    let keys: Vec<_> = (0..4).map(|_| runs(&mut shadow, 0)).collect();
    for key in keys {
        let _ = shadow.on_complete(at(40), key, Outcome::Completed);
    }
    // One after another: 40, 80, and the others wait no longer than until 100 ms, for which one more is begun at 80.
    let snapshot = shadow.snapshot(at(1_000));
    let total = snapshot.counters.total();
    assert_eq!((snapshot.queued, snapshot.in_flight, total.completed), (0, 0, 3));
    assert_eq!(total.shed(Reason::QueueTimeout), 1);
}

#[test]
fn what_never_ran_takes_what_is_predicted() {
    let mut shadow = Shadow::new(settings(2, 0));
    for _ in 0..50 {
        let begin = shadow.snapshot(at(0)).counters.total().completed * 40;
        let key = runs(&mut shadow, begin);
        let _ = shadow.on_complete(at(begin + 40), key, Outcome::Completed);
    }
    let before = shadow.snapshot(at(2_000)).predicted_service;
    let key = shadow.on_arrival(at(2_000), NORMAL);
    shadow.on_shed(at(2_000), key);
    assert_eq!(shadow.snapshot(at(2_030)).in_flight, 1);
    assert_eq!(shadow.snapshot(at(2_060)).in_flight, 0);
    let after = shadow.snapshot(at(2_060));
    assert_eq!((after.predicted_service, after.counters.total().aborted), (before, 1));
    // Nothing is known at first.
    let mut shadow = Shadow::new(settings(1, 0));
    let key = shadow.on_arrival(at(0), NORMAL);
    shadow.on_shed(at(0), key);
    assert_eq!(shadow.snapshot(at(0)).in_flight, 0);
}

#[test]
fn who_leaves_a_real_queue_leaves_this_one() {
    let mut shadow = Shadow::new(settings(1, 10));
    let first = runs(&mut shadow, 0);
    let second = shadow.on_arrival(at(0), NORMAL);
    shadow.on_cancel(at(10), second);
    assert_eq!(shadow.snapshot(at(10)).counters.total().abandoned, 1);
    let _ = shadow.on_complete(at(20), first, Outcome::Completed);
    assert_eq!(shadow.snapshot(at(20)).in_flight, 0);
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(Class, u64),
    Complete(usize),
    Cancel(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop::sample::select(&Class::ALL[..]);
    prop_oneof![
        4 => (class, 0_u64..300).prop_map(|(class, budget)| Step::Arrive(class, budget)),
        3 => any::<usize>().prop_map(Step::Complete),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => (0_u64..60_000_000).prop_map(Step::Wait),
    ]
}

/// Real admission, and what it has decided, with a shadow told of all of it.
struct Both {
    real: Admission,
    shadow: Shadow,
    now: Instant,
    serving: Vec<(Permit, ShadowKey)>,
    waiting: HashMap<Ticket, ShadowKey>,
}

impl Both {
    fn new(real: Settings, shadow: Settings) -> Self {
        let (real, shadow) = (Admission::new(real), Shadow::new(shadow));
        Self { real, shadow, now: Instant::ORIGIN, serving: Vec::new(), waiting: HashMap::new() }
    }

    fn start(&mut self, permit: Permit, key: ShadowKey) {
        self.shadow.on_start(permit.admitted_at(), &key);
        self.serving.push((permit, key));
    }

    /// Takes the real decisions that are due now; when there is one next.
    fn settle(&mut self) -> Option<Instant> {
        loop {
            match self.real.poll(self.now) {
                Event::Dispatch(ticket, permit) => {
                    let key = self.waiting.remove(&ticket).unwrap();
                    self.start(permit, key);
                }
                Event::Expire(ticket, _) => {
                    let key = self.waiting.remove(&ticket).unwrap();
                    self.shadow.on_shed(self.now, key);
                }
                Event::WakeAt(at) => return Some(at),
                Event::Idle => return None,
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Arrive(class, budget) => {
                let mut request = Request::new(class).with_route(RouteId::new((budget % 3) as u16));
                if budget > 100 {
                    request = request.with_deadline(self.now + Duration::from_millis(budget - 100));
                }
                let key = self.shadow.on_arrival(self.now, request);
                match self.real.on_arrival(self.now, request) {
                    Decision::Admit(permit) => self.start(permit, key),
                    Decision::Queue(ticket) => drop(self.waiting.insert(ticket, key)),
                    Decision::Shed(_) => self.shadow.on_shed(self.now, key),
                }
            }
            Step::Complete(which) if !self.serving.is_empty() => {
                let (permit, key) = self.serving.swap_remove(which % self.serving.len());
                self.real.on_complete(self.now, permit, Outcome::Completed);
                let _ = self.shadow.on_complete(self.now, key, Outcome::Completed);
            }
            Step::Cancel(which) if !self.waiting.is_empty() => {
                let mut tickets: Vec<_> = self.waiting.keys().copied().collect();
                tickets.sort_unstable_by_key(|ticket| ticket.index());
                let ticket = tickets[which % tickets.len()];
                self.real.on_cancel(self.now, ticket);
                let key = self.waiting.remove(&ticket).unwrap();
                self.shadow.on_cancel(self.now, key);
            }
            Step::Complete(_) | Step::Cancel(_) => {}
            Step::Wait(nanos) => {
                let end = self.now + Duration::from_nanos(nanos);
                while let Some(at) = self.settle().filter(|at| *at <= end) {
                    self.now = at;
                }
                self.now = end;
            }
        }
        self.settle();
    }
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let discipline = prop::sample::select(&Discipline::ALL[..]);
    let share = prop::option::of((30_u8..=100).prop_map(|percent| Percent::new(percent).unwrap()));
    (1_u32..5, 0_u32..6, 0_u32..2, discipline, share).prop_map(|(limit, depth, reserve, discipline, low)| {
        let mut settings = settings(limit, depth);
        settings.reserve = reserve;
        settings.queue.discipline = discipline;
        settings.shed_at.low = low;
        settings
    })
}

proptest! {
    #[test]
    fn the_same_settings_decide_alike(settings in any_settings(), steps in prop::collection::vec(step(), 0..150)) {
        let mut both = Both::new(settings.clone(), settings);
        for step in &steps {
            both.take(step);
            let (real, shadow) = (both.real.snapshot(both.now), both.shadow.snapshot(both.now));
            prop_assert_eq!(&real.counters, &shadow.counters, "after {:?}", step);
            prop_assert_eq!((real.in_flight, real.queued), (shadow.in_flight, shadow.queued));
        }
    }

    #[test]
    fn other_settings_keep_the_ledger_and_follow_nobody_for_ever(
        real in any_settings(),
        shadow in any_settings(),
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let mut both = Both::new(real, shadow);
        for step in &steps {
            both.take(step);
        }
        while !both.serving.is_empty() {
            both.take(&Step::Complete(0));
        }
        both.take(&Step::Wait(1_000_000_000));
        prop_assert!(both.waiting.is_empty());
        let offered = both.real.snapshot(both.now).counters.total().offered;
        let snapshot = both.shadow.snapshot(both.now + Duration::from_secs(100));
        let total = snapshot.counters.total();
        prop_assert_eq!(total.offered, offered);
        prop_assert_eq!((snapshot.in_flight, snapshot.bypass_in_flight, snapshot.queued), (0, 0, 0));
        prop_assert_eq!(total.offered, total.admitted + total.shed_total() + total.abandoned);
    }
}
