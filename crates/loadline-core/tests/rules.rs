//! Every rule of admission once, with explicit times in milliseconds.

use std::num::NonZeroU32;

use loadline_core::{
    Admission, Class, Decision, Discipline, Duration, Event, Instant, Outcome, OverloadLevel, Percent,
    Permit, Reason, Rejection, Request, RouteCost, RouteId, RouteSettings, Settings, ShedAt, Ticket, Warmup,
};

const NORMAL: Class = Class::Normal;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn settings(limit: u32) -> Settings {
    Settings::new(NonZeroU32::new(limit).unwrap())
}

/// A limit, a queue depth, a timeout in milliseconds (0: none), a discipline.
fn queueing(limit: u32, depth: u32, timeout: u64, discipline: Discipline) -> Settings {
    let mut settings = settings(limit);
    settings.queue.depth = depth;
    settings.queue.timeout = (timeout > 0).then_some(ms(timeout));
    settings.queue.discipline = discipline;
    settings
}

/// The machine, and shorthands for what a test expects of it.
struct Machine(Admission);

impl Machine {
    fn new(settings: Settings) -> Self {
        Self(Admission::new(settings))
    }

    fn arrive(&mut self, now: u64, request: Request) -> Decision {
        let decision = self.0.on_arrival(at(now), request);
        self.0.check_invariants();
        decision
    }

    fn admit(&mut self, now: u64, class: Class) -> Permit {
        self.admit_request(now, Request::new(class))
    }

    fn admit_request(&mut self, now: u64, request: Request) -> Permit {
        match self.arrive(now, request) {
            Decision::Admit(permit) => permit,
            other => panic!("expected to be admitted at {now}: {other:?}"),
        }
    }

    fn queue(&mut self, now: u64, class: Class) -> Ticket {
        self.queue_request(now, Request::new(class))
    }

    fn queue_request(&mut self, now: u64, request: Request) -> Ticket {
        match self.arrive(now, request) {
            Decision::Queue(ticket) => ticket,
            other => panic!("expected to be queued at {now}: {other:?}"),
        }
    }

    fn shed(&mut self, now: u64, class: Class) -> Rejection {
        self.shed_request(now, Request::new(class))
    }

    fn shed_request(&mut self, now: u64, request: Request) -> Rejection {
        match self.arrive(now, request) {
            Decision::Shed(rejection) => rejection,
            other => panic!("expected to be shed at {now}: {other:?}"),
        }
    }

    fn complete(&mut self, now: u64, permit: Permit) {
        self.0.on_complete(at(now), permit, Outcome::Completed);
        self.0.check_invariants();
    }

    fn poll(&mut self, now: u64) -> Event {
        let event = self.0.poll(at(now));
        self.0.check_invariants();
        event
    }

    fn dispatched(&mut self, now: u64, ticket: Ticket) -> Permit {
        match self.poll(now) {
            Event::Dispatch(served, permit) if served == ticket => permit,
            other => panic!("expected {ticket:?} to be dispatched at {now}: {other:?}"),
        }
    }

    fn expired(&mut self, now: u64, ticket: Ticket) -> Rejection {
        match self.poll(now) {
            Event::Expire(gone, rejection) if gone == ticket => rejection,
            other => panic!("expected {ticket:?} to expire at {now}: {other:?}"),
        }
    }

    fn idle(&mut self, now: u64) {
        let event = self.poll(now);
        assert!(matches!(event, Event::Idle), "expected nothing to do at {now}: {event:?}");
    }

    fn wakes(&mut self, now: u64, then: u64) {
        let event = self.poll(now);
        assert!(matches!(event, Event::WakeAt(t) if t == at(then)), "expected {then} at {now}: {event:?}");
    }

    /// Ends everything and checks that nothing is left.
    fn end(mut self, now: u64, permits: impl IntoIterator<Item = Permit>) {
        for permit in permits {
            self.complete(now, permit);
        }
        self.idle(now);
        let snapshot = self.0.snapshot(at(now));
        assert_eq!((snapshot.in_flight, snapshot.bypass_in_flight, snapshot.queued), (0, 0, 0));
    }
}

#[test]
fn at_most_the_limit_is_in_flight_and_the_rest_waits() {
    let mut m = Machine::new(settings(3));
    let permits = [0, 0, 0].map(|t| m.admit(t, NORMAL));
    let ticket = m.queue(0, NORMAL);
    m.wakes(0, 5_000);
    let [first, rest @ ..] = permits;
    m.complete(300, first);
    let permit = m.dispatched(300, ticket);
    assert_eq!((permit.queued(), permit.depth(), permit.admitted_at()), (ms(300), 1, at(300)));
    assert_eq!(m.0.snapshot(at(300)).peak_in_flight, 3);
    m.end(400, rest.into_iter().chain([permit]));
}

#[test]
fn one_at_a_time_with_700_ms_of_patience_serves_two_of_four_and_expires_two_at_700_ms() {
    for discipline in Discipline::ALL {
        let mut m = Machine::new(queueing(1, 2_000, 700, discipline));
        let first = m.admit(0, NORMAL);
        let tickets = [0, 0, 0].map(|t| m.queue(t, NORMAL));
        m.wakes(0, 700);
        m.complete(400, first);
        let Event::Dispatch(served, second) = m.poll(400) else { panic!("one is served at 400") };
        m.wakes(400, 700);
        m.wakes(699, 700);
        let left = tickets.into_iter().filter(|ticket| *ticket != served).collect::<Vec<_>>();
        for ticket in left {
            let rejection = m.expired(700, ticket);
            assert_eq!((rejection.reason, rejection.waited), (Reason::QueueTimeout, ms(700)));
            assert_eq!(rejection.depth, 2, "one was served while it waited");
        }
        m.end(800, [second]);
    }
}

#[test]
fn depth_is_the_number_dispatched_while_waiting_itself_included() {
    let mut m = Machine::new(queueing(2, 10, 5_000, Discipline::Fifo));
    let permits = [0, 0].map(|t| m.admit(t, NORMAL));
    assert_eq!(permits[0].depth(), 0);
    let tickets = [0, 0, 0, 0].map(|t| m.queue(t, NORMAL));
    let mut permits = permits.to_vec_deque();
    for (position, ticket) in tickets.into_iter().enumerate() {
        m.complete(100, permits.pop_front().unwrap());
        let permit = m.dispatched(100, ticket);
        assert_eq!(permit.depth() as usize, position + 1);
        permits.push_back(permit);
    }
    m.end(200, permits);
}

#[test]
fn expiry_wins_over_a_slot_that_frees_at_the_same_moment() {
    let mut m = Machine::new(queueing(1, 10, 700, Discipline::Fifo));
    let permit = m.admit(0, NORMAL);
    let late = m.queue(0, NORMAL);
    let in_time = m.queue(1, NORMAL);
    m.complete(700, permit);
    assert_eq!(m.expired(700, late).reason, Reason::QueueTimeout);
    let permit = m.dispatched(700, in_time);
    m.end(700, [permit]);
}

#[test]
fn a_newcomer_does_not_overtake_who_waits_for_a_slot_that_is_free_already() {
    let mut m = Machine::new(queueing(1, 10, 5_000, Discipline::Fifo));
    let permit = m.admit(0, NORMAL);
    let first = m.queue(0, NORMAL);
    m.complete(1, permit);
    let newcomer = m.queue(1, NORMAL);
    let permit = m.dispatched(1, first);
    m.complete(2, permit);
    let permit = m.dispatched(2, newcomer);
    m.end(3, [permit]);
}

#[test]
fn without_a_timeout_one_waits_for_ever() {
    let mut m = Machine::new(queueing(1, 10, 0, Discipline::Fifo));
    let permit = m.admit(0, NORMAL);
    let ticket = m.queue(0, NORMAL);
    assert_eq!(m.0.expires_at(ticket), None);
    m.idle(1_000_000_000);
    m.complete(1_000_000_000, permit);
    let permit = m.dispatched(1_000_000_000, ticket);
    m.end(1_000_000_000, [permit]);
}

#[test]
fn depth_zero_fails_at_once() {
    let mut m = Machine::new(queueing(1, 0, 700, Discipline::Adaptive));
    let permit = m.admit(0, NORMAL);
    let rejection = m.shed(1, NORMAL);
    assert_eq!(
        (rejection.reason, rejection.waited, rejection.depth),
        (Reason::Concurrency, Duration::ZERO, 0)
    );
    m.end(2, [permit]);
}

#[test]
fn a_full_fifo_queue_refuses_the_newcomer() {
    let mut m = Machine::new(queueing(1, 2, 5_000, Discipline::Fifo));
    let permit = m.admit(0, NORMAL);
    let (first, second) = (m.queue(0, NORMAL), m.queue(1, NORMAL));
    assert_eq!(m.shed(2, NORMAL).reason, Reason::QueueFull);
    m.complete(3, permit);
    let permit = m.dispatched(3, first);
    m.complete(4, permit);
    let permit = m.dispatched(4, second);
    m.end(5, [permit]);
}

#[test]
fn in_a_full_lifo_queue_the_oldest_gives_way_and_the_newest_is_served() {
    let mut m = Machine::new(queueing(1, 2, 5_000, Discipline::Lifo));
    let permit = m.admit(0, NORMAL);
    let (oldest, older, newest) = (m.queue(0, NORMAL), m.queue(1, NORMAL), m.queue(2, NORMAL));
    let rejection = m.expired(2, oldest);
    assert_eq!((rejection.reason, rejection.waited, rejection.depth), (Reason::QueueFull, ms(2), 1));
    m.complete(3, permit);
    let permit = m.dispatched(3, newest);
    m.complete(4, permit);
    let permit = m.dispatched(4, older);
    m.end(5, [permit]);
}

#[test]
fn who_gave_way_may_still_leave_before_it_is_told() {
    let mut m = Machine::new(queueing(1, 1, 5_000, Discipline::Lifo));
    let permit = m.admit(0, NORMAL);
    let (oldest, newest) = (m.queue(0, NORMAL), m.queue(2, NORMAL));
    assert_eq!(m.0.snapshot(at(2)).class(NORMAL).queued, 2, "not answered yet");
    assert!(m.0.on_cancel(at(2), oldest));
    m.wakes(2, 5_002);
    m.complete(3, permit);
    let permit = m.dispatched(3, newest);
    m.end(5, [permit]);
}

#[test]
fn one_whose_time_is_up_does_not_keep_a_newcomer_out_of_a_full_queue() {
    let mut m = Machine::new(queueing(1, 1, 700, Discipline::Fifo));
    let permit = m.admit(0, NORMAL);
    let expired = m.queue(0, NORMAL);
    let newcomer = m.queue(700, NORMAL);
    assert_eq!(m.expired(700, expired).reason, Reason::QueueTimeout);
    m.complete(701, permit);
    let permit = m.dispatched(701, newcomer);
    m.end(702, [permit]);
}

/// A service of `service` ms at limit 1 that has served enough for its mean to be known.
fn warmed_up(settings: Settings, service: u64) -> Machine {
    let mut m = Machine::new(settings);
    for _ in 0..20 {
        let permit = m.admit(0, NORMAL);
        m.0.on_complete(at(0), permit, Outcome::Aborted);
    }
    assert_eq!(m.0.snapshot(at(0)).mean_service, None, "work that was given up is no sample");
    let permit = m.admit(0, NORMAL);
    m.complete(service, permit);
    assert_eq!(m.0.snapshot(at(service)).mean_service, Some(ms(service)));
    m
}

#[test]
fn adaptive_is_fifo_until_the_oldest_was_too_old_for_an_interval_then_newest_first() {
    let mut m = warmed_up(queueing(1, 100, 5_000, Discipline::Adaptive), 20);
    let permit = m.admit(1_000, NORMAL);
    let [a, b, c] = [1_000, 1_000, 1_000].map(|t| m.queue(t, NORMAL));
    m.complete(1_020, permit);
    let permit = m.dispatched(1_020, a);
    let d = m.queue(1_030, NORMAL);
    m.complete(1_040, permit);
    let permit = m.dispatched(1_040, b);
    // Above the target of 20 ms since 1,020 (`a`, then `b`, then `c`, always older than 20 ms): overloaded from 1,120 on.
    assert!(!m.0.snapshot(at(1_119)).class(NORMAL).overloaded);
    assert!(m.0.snapshot(at(1_120)).class(NORMAL).overloaded);
    m.complete(1_130, permit);
    let permit = m.dispatched(1_130, d);
    // The sojourn of the one just served was long, that of the next will be short: the verdict depends on neither.
    let e = m.queue(1_131, NORMAL);
    m.complete(1_132, permit);
    let permit = m.dispatched(1_132, e);
    assert!(m.0.snapshot(at(1_132)).class(NORMAL).overloaded);
    m.complete(1_133, permit);
    let permit = m.dispatched(1_133, c);
    assert!(!m.0.snapshot(at(1_133)).class(NORMAL).overloaded, "the backlog is gone: healthy at once");
    m.end(1_140, [permit]);
}

#[test]
fn adaptive_in_a_full_queue_refuses_while_healthy_and_evicts_while_overloaded() {
    let mut m = Machine::new(queueing(1, 2, 5_000, Discipline::Adaptive));
    let permit = m.admit(0, NORMAL);
    let (a, b) = (m.queue(0, NORMAL), m.queue(0, NORMAL));
    assert_eq!(m.shed(149, NORMAL).reason, Reason::QueueFull, "50 ms of target, 100 ms of interval");
    let c = m.queue(150, NORMAL);
    assert_eq!(m.expired(150, a).reason, Reason::QueueFull);
    m.complete(151, permit);
    let permit = m.dispatched(151, c);
    assert!(m.0.on_cancel(at(152), b));
    m.end(153, [permit]);
}

/// One slot, taken, 20 ms per request, and 40 that began to wait at 1,000 for at most 1 s: overloaded from 1,120 on.
fn forty_waiting(discipline: Discipline) -> (Machine, Permit, Vec<Ticket>) {
    let mut m = warmed_up(queueing(1, 100, 1_000, discipline), 20);
    let permit = m.admit(1_000, NORMAL);
    let tickets = (0..40).map(|_| m.queue(1_000, NORMAL)).collect();
    (m, permit, tickets)
}

#[test]
fn under_overload_the_oldest_gives_way_when_the_newer_ones_will_take_longer_than_it_may_wait() {
    let (mut m, permit, tickets) = forty_waiting(Discipline::Adaptive);
    // 39 newer ones take 780 ms, and the first expires at 2,000. From 1,221 on it waits in vain, but becomes a witness.
    m.wakes(1_221, 2_000);
    // The second has 38 newer ones, 760 ms.
    m.wakes(1_240, 2_000);
    let rejection = m.expired(1_241, tickets[1]);
    assert_eq!((rejection.reason, rejection.waited, rejection.depth), (Reason::Codel, ms(241), 1));
    // The third has 37, until 1,260, and after 100 ms there is another witness. 33 newer ones are too many now.
    m.wakes(1_260, 2_000);
    for ticket in &tickets[3..=6] {
        assert_eq!(m.expired(1_341, *ticket).reason, Reason::Codel);
    }
    m.wakes(1_341, 2_000);
    // One more witness; 16 newer ones stay whatever time is left.
    for ticket in &tickets[8..=23] {
        assert_eq!(m.expired(1_999, *ticket).reason, Reason::Codel);
    }
    m.wakes(1_999, 2_000);
    // The newest first, the witnesses last.
    let mut permit = permit;
    for ticket in [0, 2, 7].into_iter().chain(24..40).rev().map(|n| tickets[n]) {
        m.complete(1_999, permit);
        permit = m.dispatched(1_999, ticket);
    }
    m.end(2_000, [permit]);
}

#[test]
fn under_fifo_and_lifo_nobody_gives_way_to_newer_ones() {
    for discipline in [Discipline::Fifo, Discipline::Lifo] {
        let (mut m, permit, tickets) = forty_waiting(discipline);
        m.wakes(1_999, 2_000);
        for ticket in tickets {
            assert_eq!(m.expired(2_000, ticket).reason, Reason::QueueTimeout);
        }
        m.end(2_001, [permit]);
    }
}

#[test]
fn a_burst_that_can_be_served_in_time_is_served_to_the_last() {
    let mut m = Machine::new(queueing(8, 2_000, 5_000, Discipline::Adaptive));
    let mut permits = [0; 8].map(|t| m.admit(t, NORMAL)).to_vec_deque();
    let mut waiting = (0..192).map(|_| m.queue(0, NORMAL)).collect::<Vec<_>>();
    for now in (50..).step_by(50).take(25) {
        for permit in std::mem::take(&mut permits) {
            m.complete(now, permit);
        }
        while let Event::Dispatch(ticket, permit) = m.poll(now) {
            waiting.retain(|other| *other != ticket);
            permits.push_back(permit);
        }
    }
    assert!(waiting.is_empty() && permits.is_empty());
    assert_eq!(m.0.snapshot(at(2_000)).counters.total().completed, 200);
}

#[test]
fn clients_that_leave_teach_how_long_the_others_will_wait() {
    let mut m = warmed_up(queueing(1, 100, 30_000, Discipline::Adaptive), 20);
    let permit = m.admit(1_000, NORMAL);
    let hasty = (0..10).map(|_| m.queue(1_000, NORMAL)).collect::<Vec<_>>();
    assert_eq!(m.0.snapshot(at(1_500)).class(NORMAL).median_patience, None);
    for ticket in hasty {
        assert!(m.0.on_cancel(at(1_500), ticket));
    }
    // All left after 100 ms in the bin from 400 ms on: ln 2 ÷ 10 per second.
    assert_eq!(m.0.snapshot(at(1_600)).class(NORMAL).median_patience.map(|p| p.as_millis()), Some(469));
    assert_eq!(m.0.snapshot(at(1_600)).class(Class::High).median_patience, None, "each class for itself");
    let tickets = (0..20).map(|_| m.queue(2_000, NORMAL)).collect::<Vec<_>>();
    // They will have left at 2,469. Overloaded from 2,120 on: the first is a witness, the second has 18 newer ones, 360 ms.
    m.wakes(2_119, 32_000);
    assert_eq!(m.expired(2_120, tickets[1]).reason, Reason::Codel);
    m.wakes(2_120, 32_000);
    assert_eq!(m.expired(2_130, tickets[2]).reason, Reason::Codel);
    let mut permit = permit;
    for ticket in [0].into_iter().chain(3..20).rev().map(|n| tickets[n]) {
        // Given up, so that what is known of the service time, and with it the target, stays.
        m.0.on_complete(at(2_131), permit, Outcome::Aborted);
        permit = m.dispatched(2_131, ticket);
    }
    m.end(2_132, [permit]);
}

#[test]
fn classes_are_served_in_order_and_judged_each_for_itself() {
    let mut m = warmed_up(queueing(1, 100, 5_000, Discipline::Adaptive), 5);
    let permit = m.admit(1_000, NORMAL);
    let low = m.queue(1_000, Class::Low);
    let normal = m.queue(1_000, NORMAL);
    let critical = m.queue(1_190, Class::Critical);
    let snapshot = m.0.snapshot(at(1_190));
    assert!(snapshot.class(Class::Low).overloaded && !snapshot.class(Class::Critical).overloaded);
    assert_eq!((snapshot.queued, snapshot.oldest_wait), (3, Some(ms(190))));
    assert_eq!(snapshot.class(Class::Critical).oldest_wait, Some(Duration::ZERO));
    let mut permit = permit;
    for ticket in [critical, normal, low] {
        m.complete(1_200, permit);
        permit = m.dispatched(1_200, ticket);
    }
    m.end(1_200, [permit]);
}

#[test]
fn eviction_stays_within_the_newcomers_class() {
    let mut m = Machine::new(queueing(1, 1, 5_000, Discipline::Lifo));
    let permit = m.admit(0, NORMAL);
    let critical = m.queue(0, Class::Critical);
    assert_eq!(m.shed(1, Class::Low).reason, Reason::QueueFull);
    m.complete(2, permit);
    let permit = m.dispatched(2, critical);
    m.end(3, [permit]);
}

#[test]
fn in_a_full_queue_the_oldest_of_the_lowest_class_gives_way_to_a_higher_one() {
    for discipline in Discipline::ALL {
        let mut m = Machine::new(queueing(1, 4, 5_000, discipline));
        let permit = m.admit(0, NORMAL);
        let [low, lower] = [0, 1].map(|t| m.queue(t, Class::Low));
        let [normal, high] = [NORMAL, Class::High].map(|class| m.queue(2, class));
        let newcomer = m.queue(3, NORMAL);
        let rejection = m.expired(3, low);
        assert_eq!((rejection.reason, rejection.class), (Reason::QueueFull, Class::Low));
        let critical = m.queue(3, Class::Critical);
        assert_eq!(m.expired(3, lower).reason, Reason::QueueFull);
        assert_eq!(m.shed(3, Class::Low).reason, Reason::QueueFull, "below everybody who waits");
        let same = if discipline == Discipline::Lifo { [newcomer, normal] } else { [normal, newcomer] };
        let mut permit = permit;
        for ticket in [critical, high].into_iter().chain(same) {
            m.complete(4, permit);
            permit = m.dispatched(4, ticket);
        }
        m.end(5, [permit]);
    }
}

#[test]
fn critical_gives_way_to_nobody_also_of_its_own() {
    let mut m = Machine::new(queueing(1, 40, 1_000, Discipline::Lifo));
    let permit = m.admit(0, NORMAL);
    let tickets = (0..40).map(|_| m.queue(0, Class::Critical)).collect::<Vec<_>>();
    assert_eq!(m.shed(1, Class::Critical).reason, Reason::QueueFull);
    m.0.reconfigure(at(2), queueing(1, 40, 1_000, Discipline::Adaptive));
    m.complete(100, permit);
    let permit = m.dispatched(100, tickets[0]);
    // One slot, 100 ms each: far too many wait, and none of them is told before its time is up.
    assert!(m.0.snapshot(at(999)).class(Class::Critical).overloaded);
    m.wakes(999, 1_000);
    for ticket in &tickets[1..] {
        assert_eq!(m.expired(1_000, *ticket).reason, Reason::QueueTimeout);
    }
    m.end(1_001, [permit]);
}

#[test]
fn only_critical_uses_the_reserve() {
    let mut settings = settings(2);
    assert_eq!(settings.reserve, 0);
    settings.reserve = Settings::usual_reserve(settings.limit);
    assert_eq!([1, 10, 29, 200].map(|n| Settings::usual_reserve(NonZeroU32::new(n).unwrap())), [1, 1, 2, 20]);
    let mut m = Machine::new(settings);
    let normal = [0, 0].map(|t| m.admit(t, NORMAL));
    let high = m.queue(0, Class::High);
    let critical = m.admit(1, Class::Critical);
    let next = m.queue(1, Class::Critical);
    let snapshot = m.0.snapshot(at(1));
    assert_eq!((snapshot.limit, snapshot.reserve, snapshot.in_flight), (2, 1, 3));
    let [first, second] = normal;
    m.complete(2, first);
    let next = m.dispatched(2, next);
    m.wakes(2, 5_000);
    m.complete(3, critical);
    m.wakes(3, 5_000);
    m.complete(4, second);
    let high = m.dispatched(4, high);
    m.end(5, [next, high]);
}

#[test]
fn a_class_that_has_waited_too_long_gets_every_eighth_dispatch() {
    let mut settings = queueing(1, 100, 0, Discipline::Fifo);
    settings.queue.aging = Some(ms(1_000));
    let mut m = Machine::new(settings);
    let mut permit = m.admit(0, NORMAL);
    let low = [0, 0].map(|t| m.queue(t, Class::Low));
    let high = (0..30).map(|_| m.queue(500, Class::High)).collect::<Vec<_>>();
    let mut order = Vec::new();
    for turn in 0..32 {
        // Strict order until 1,000.
        let now = if turn < 10 { 999 } else { 1_000 };
        m.complete(now, permit);
        let Event::Dispatch(ticket, next) = m.poll(now) else { panic!("somebody waits") };
        order.push(ticket);
        permit = next;
    }
    let served = |ticket| order.iter().position(|other| *other == ticket).unwrap();
    assert_eq!(low.map(served), [17, 25], "seven of the others before each");
    assert!(high.windows(2).all(|pair| served(pair[0]) < served(pair[1])));
    m.end(1_001, [permit]);
}

/// A class of which all wait for their route cannot use its turn. It kept the turn from the class below for ever.
#[test]
fn a_class_that_waits_for_its_route_does_not_keep_the_turn_from_the_class_below() {
    let mut settings = queueing(2, 99, 0, Discipline::Fifo);
    settings.queue.aging = Some(ms(100));
    settings.routes =
        vec![RouteSettings::default(), RouteSettings::new(NonZeroU32::new(1), RouteCost::Learned)];
    let mut m = Machine::new(settings);
    let slow = |class| Request::new(class).with_route(RouteId::new(1));
    let _endless = m.admit_request(0, slow(NORMAL));
    let mut busy = m.admit(0, Class::High);
    let _stuck = m.queue_request(1, slow(NORMAL));
    let low = m.queue(2, Class::Low);
    let mut dispatched = None;
    for turn in 0..20 {
        let now = 200 + 10 * turn;
        let high = m.queue(now, Class::High);
        m.complete(now + 5, busy);
        let Event::Dispatch(ticket, permit) = m.poll(now + 5) else { panic!("a slot is free") };
        busy = permit;
        if ticket == low {
            dispatched = Some(turn);
            break;
        }
        assert_eq!(ticket, high);
    }
    assert_eq!(dispatched, Some(7), "every eighth");
}

#[test]
fn at_its_threshold_a_class_is_refused_although_slots_are_free() {
    let mut settings = settings(10);
    settings.shed_at = ShedAt::USUAL;
    settings.reserve = 1;
    let mut m = Machine::new(settings);
    let mut permits = (0..7).map(|_| m.admit(0, NORMAL)).collect::<Vec<_>>();
    assert_eq!(m.shed(0, Class::Low).reason, Reason::Priority);
    permits.push(m.admit(0, NORMAL));
    assert_eq!(m.shed(0, NORMAL).reason, Reason::Priority);
    permits.extend([0, 0].map(|t| m.admit(t, Class::High)));
    assert_eq!(m.shed(0, Class::High).reason, Reason::Priority);
    permits.push(m.admit(0, Class::Critical));
    let critical = m.queue(0, Class::Critical);
    m.complete(1, permits.pop().unwrap());
    permits.push(m.dispatched(1, critical));
    m.end(2, permits);
}

#[test]
fn a_class_without_a_threshold_waits_as_usual() {
    let mut settings = queueing(2, 10, 5_000, Discipline::Fifo);
    settings.shed_at = ShedAt { low: Percent::new(50), ..ShedAt::OFF };
    let mut m = Machine::new(settings);
    let low = m.admit(0, Class::Low);
    assert_eq!(m.shed(0, Class::Low).reason, Reason::Priority);
    let normal = m.admit(0, NORMAL);
    let waiting = m.queue(0, NORMAL);
    m.complete(1, low);
    let served = m.dispatched(1, waiting);
    m.end(2, [normal, served]);
}

#[test]
fn an_overload_signal_sheds_by_class_at_the_door_only() {
    let mut m = Machine::new(settings(1));
    let permit = m.admit(0, NORMAL);
    let waiting = m.queue(0, NORMAL);
    m.0.set_overload(at(1), OverloadLevel::Moderate);
    for class in [NORMAL, Class::Low] {
        assert_eq!(m.shed(1, class).reason, Reason::Overload);
    }
    let high = m.queue(1, Class::High);
    m.0.set_overload(at(2), OverloadLevel::Severe);
    assert_eq!(m.0.snapshot(at(2)).overload, OverloadLevel::Severe);
    assert_eq!(m.shed(2, Class::High).reason, Reason::Overload);
    let critical = m.queue(2, Class::Critical);
    let health = m.admit(2, Class::Bypass);
    let mut permit = permit;
    for ticket in [critical, high, waiting] {
        m.complete(3, permit);
        permit = m.dispatched(3, ticket);
    }
    m.complete(4, permit);
    m.0.set_overload(at(4), OverloadLevel::None);
    let permit = m.admit(4, Class::Low);
    m.end(5, [permit, health]);
}

fn costing(class: Class, cost: u32) -> Request {
    Request::new(class).with_cost(NonZeroU32::new(cost).unwrap())
}

#[test]
fn a_request_takes_as_many_slots_as_it_costs_at_most_all() {
    let mut m = Machine::new(settings(4));
    let three = m.admit_request(0, costing(NORMAL, 3));
    assert_eq!((three.cost(), m.0.snapshot(at(0)).in_flight), (3, 3));
    let two = m.queue_request(0, costing(NORMAL, 2));
    m.complete(1, three);
    let two = m.dispatched(1, two);
    let everything = m.queue_request(1, costing(NORMAL, 1_000));
    m.complete(2, two);
    let everything = m.dispatched(2, everything);
    let counters = m.0.snapshot(at(2)).counters;
    assert_eq!((everything.cost(), counters.total().in_flight()), (4, 1));
    let last = m.queue_request(2, costing(NORMAL, 4));
    m.0.reconfigure(at(3), settings(2));
    m.complete(3, everything);
    let last = m.dispatched(3, last);
    assert_eq!(last.cost(), 2, "all there are by then");
    let health = m.admit_request(4, costing(Class::Bypass, 9));
    assert_eq!((health.cost(), m.0.snapshot(at(4)).bypass_in_flight), (1, 1));
    m.end(5, [last, health]);
}

#[test]
fn who_is_next_and_does_not_fit_is_not_passed_by_smaller_ones_of_its_class_or_below() {
    let mut m = Machine::new(queueing(3, 10, 5_000, Discipline::Fifo));
    let mut permits = [0, 0, 0].map(|t| m.admit(t, NORMAL)).to_vec_deque();
    let big = m.queue_request(1, costing(NORMAL, 3));
    let small = m.queue(1, NORMAL);
    m.complete(2, permits.pop_front().unwrap());
    m.wakes(2, 5_001);
    let low = m.queue(2, Class::Low);
    let high = m.admit(2, Class::High);
    for permit in permits.into_iter().chain([high]) {
        m.wakes(3, 5_001);
        m.complete(3, permit);
    }
    let big = m.dispatched(3, big);
    m.complete(4, big);
    let rest = [small, low].map(|ticket| m.dispatched(4, ticket));
    m.end(5, rest);
}

#[test]
fn critical_passes_a_big_one_whose_turn_it_is() {
    let mut settings = queueing(2, 100, 0, Discipline::Fifo);
    settings.queue.aging = Some(ms(10));
    let mut m = Machine::new(settings);
    let mut permits = [0, 0].map(|t| m.admit(t, NORMAL)).to_vec_deque();
    let big = m.queue_request(0, costing(Class::Low, 2));
    let normal = (0..8).map(|_| m.queue(5, NORMAL)).collect::<Vec<_>>();
    for ticket in &normal[..7] {
        m.complete(11, permits.pop_front().unwrap());
        permits.push_back(m.dispatched(11, *ticket));
    }
    let critical = m.queue(11, Class::Critical);
    m.complete(12, permits.pop_front().unwrap());
    permits.push_back(m.dispatched(12, critical));
    for permit in permits {
        m.idle(13);
        m.complete(13, permit);
    }
    let big = m.dispatched(13, big);
    m.idle(13);
    m.complete(14, big);
    let last = m.dispatched(14, normal[7]);
    m.end(15, [last]);
}

fn retry(class: Class) -> Request {
    Request::new(class).with_retry(true)
}

#[test]
fn where_slots_are_scarce_retries_hold_a_fifth_of_them_at_least_three() {
    for (limit, share) in [(4, 3), (10, 3), (20, 4), (100, 20)] {
        let mut m = Machine::new(settings(limit));
        let mut permits = (0..share).map(|_| m.admit_request(0, retry(NORMAL))).collect::<Vec<_>>();
        permits.extend((share..limit).map(|_| m.admit(0, NORMAL)));
        assert_eq!(m.shed_request(0, retry(NORMAL)).reason, Reason::Priority, "no slot is free");
        let snapshot = m.0.snapshot(at(0));
        assert_eq!((snapshot.retries_in_flight, snapshot.retry_share), (share, share));
        m.complete(1, permits.remove(0));
        let fresh = m.admit(1, NORMAL);
        let waits = m.queue_request(1, retry(NORMAL));
        m.complete(2, fresh);
        permits.push(m.dispatched(2, waits));
        m.end(3, permits);
    }
}

#[test]
fn a_retry_is_never_refused_while_a_slot_is_free_and_nobody_waits() {
    let mut m = Machine::new(settings(10));
    let mut permits = (0..10).map(|_| m.admit_request(0, retry(NORMAL))).collect::<Vec<_>>();
    assert_eq!(m.0.snapshot(at(0)).retries_in_flight, 10, "far above the share of 3");
    assert_eq!(m.shed_request(0, retry(NORMAL)).reason, Reason::Priority);
    // From now on they get their share at most.
    let fresh = m.queue(0, NORMAL);
    m.complete(1, permits.pop().unwrap());
    assert_eq!(m.shed_request(1, retry(NORMAL)).reason, Reason::Priority, "somebody waits for that slot");
    permits.push(m.dispatched(1, fresh));
    m.end(2, permits);
}

#[test]
fn retries_that_wait_count_into_their_share() {
    let mut m = Machine::new(settings(1));
    let permit = m.admit(0, NORMAL);
    let waiting = [(); 3].map(|()| m.queue_request(0, retry(NORMAL)));
    assert_eq!(m.shed_request(0, retry(NORMAL)).reason, Reason::Priority);
    assert!(m.0.on_cancel(at(1), waiting[0]));
    let last = m.queue_request(1, retry(NORMAL));
    let mut permit = permit;
    for ticket in [waiting[1], waiting[2], last] {
        m.complete(2, permit);
        permit = m.dispatched(2, ticket);
    }
    m.complete(3, permit);
    let big = m.admit_request(3, costing(NORMAL, 9).with_retry(true));
    m.end(4, [big]);
}

#[test]
fn retries_fall_one_class_while_fresh_work_of_theirs_is_shed() {
    let mut m = Machine::new(queueing(1, 2, 5_000, Discipline::Fifo));
    let permit = m.admit(0, NORMAL);
    let [a, b] = [0, 0].map(|t| m.queue(t, NORMAL));
    assert_eq!(m.0.explain(at(0), &retry(NORMAL)).class, NORMAL);
    assert_eq!(m.shed_request(0, retry(NORMAL)).class, NORMAL, "a retry that is shed says nothing");
    assert_eq!(m.shed(1, NORMAL).reason, Reason::QueueFull);
    let refused = m.shed_request(1_000, retry(NORMAL));
    assert_eq!((refused.reason, refused.class), (Reason::QueueFull, Class::Low));
    assert_eq!(m.0.explain(at(1_000), &retry(Class::High)).class, Class::High, "each class for itself");
    assert_eq!(m.0.explain(at(1_000), &retry(Class::Low)).class, Class::Low);
    assert_eq!(m.0.explain(at(1_001), &retry(NORMAL)).class, NORMAL, "a second later");
    assert!(m.0.on_cancel(at(1_000), b));
    m.complete(1_000, permit);
    let permit = m.dispatched(1_000, a);
    m.end(1_001, [permit]);
}

#[test]
fn the_limit_rises_during_a_warm_up_and_who_waits_is_served_at_the_step() {
    let mut settings = settings(10);
    settings.warmup = Some(Warmup { from: Percent::new(20).unwrap(), over: ms(30_000) });
    let mut m = Machine::new(settings.clone());
    let mut permits = vec![m.admit(0, NORMAL), m.admit(0, NORMAL)];
    let third = m.queue(0, NORMAL);
    let snapshot = m.0.snapshot(at(0));
    assert_eq!((snapshot.limit, snapshot.effective_limit), (10, 2));
    m.wakes(0, 3_750);
    m.wakes(3_749, 3_750);
    permits.push(m.dispatched(3_750, third));
    m.idle(3_750);
    permits.extend((0..3).map(|_| m.admit(15_000, NORMAL)));
    let seventh = m.queue(15_000, NORMAL);
    let mut without = settings.clone();
    without.warmup = None;
    m.0.reconfigure(at(15_001), without);
    permits.push(m.dispatched(15_001, seventh));
    m.0.reconfigure(at(15_001), settings);
    assert_eq!(m.0.snapshot(at(30_000)).effective_limit, 10);
    m.0.restart_warmup(at(40_000));
    m.0.check_invariants();
    assert_eq!(m.0.snapshot(at(40_000)).effective_limit, 2, "nobody in flight is touched");
    let waiting = m.queue(40_000, NORMAL);
    for permit in permits.drain(..5) {
        m.complete(40_001, permit);
        m.wakes(40_001, 43_750);
    }
    m.complete(40_002, permits.pop().unwrap());
    permits.push(m.dispatched(40_002, waiting));
    m.end(40_003, permits);
}

/// A reload that switched the warm-up on, or made it longer, took slots from a service that was warm.
#[test]
fn a_reload_does_not_cool_down_what_is_warm() {
    let mut m = Machine::new(settings(10));
    let mut warming = settings(10);
    warming.warmup = Some(Warmup { from: Percent::new(10).unwrap(), over: ms(10_000) });
    m.0.reconfigure(at(1_000), warming.clone());
    assert_eq!(m.0.snapshot(at(1_000)).effective_limit, 10);
    m.0.restart_warmup(at(2_000));
    assert_eq!(m.0.snapshot(at(2_000)).effective_limit, 1, "the next one is by the new settings");
    warming.warmup = Some(Warmup { from: Percent::new(50).unwrap(), over: ms(10_000) });
    m.0.reconfigure(at(2_000), warming);
    assert_eq!(m.0.snapshot(at(2_000)).effective_limit, 5, "and so is one that is going on");
}

#[test]
fn codel_drops_who_comes_to_its_turn_after_waits_were_too_long_for_an_interval_but_no_critical_one() {
    let mut m = Machine::new(queueing(1, 100, 0, Discipline::Codel));
    let mut permit = m.admit(0, NORMAL);
    let tickets = (0..5).map(|_| m.queue(0, NORMAL)).collect::<Vec<_>>();
    m.complete(50, permit);
    permit = m.dispatched(50, tickets[0]);
    m.complete(1_049, permit);
    permit = m.dispatched(1_049, tickets[1]);
    let critical = m.queue(1_049, Class::Critical);
    m.complete(1_200, permit);
    permit = m.dispatched(1_200, critical);
    m.complete(1_201, permit);
    let rejection = m.expired(1_201, tickets[2]);
    assert_eq!((rejection.reason, rejection.waited, rejection.depth), (Reason::Codel, ms(1_201), 4));
    permit = m.dispatched(1_201, tickets[3]);
    m.complete(9_000, permit);
    permit = m.dispatched(9_000, tickets[4]);
    m.end(9_001, [permit]);
}

#[test]
fn bypass_has_its_own_cap_and_never_waits() {
    let mut settings = settings(1);
    settings.bypass_limit = NonZeroU32::new(2).unwrap();
    let mut m = Machine::new(settings);
    let permit = m.admit(0, NORMAL);
    let waiting = m.queue(0, NORMAL);
    let health = [1, 1].map(|t| m.admit(t, Class::Bypass));
    assert_eq!(m.shed(1, Class::Bypass).reason, Reason::Concurrency);
    let snapshot = m.0.snapshot(at(1));
    assert_eq!((snapshot.in_flight, snapshot.bypass_in_flight, snapshot.bypass_limit), (1, 2, 2));
    let [first, second] = health;
    m.complete(2, first);
    m.wakes(2, 5_000);
    let third = m.admit(2, Class::Bypass);
    m.complete(3, permit);
    let permit = m.dispatched(3, waiting);
    assert_eq!(m.0.snapshot(at(3)).mean_service, Some(ms(3)), "bypass is no sample");
    m.end(4, [permit, second, third]);
}

#[test]
fn a_cancelled_waiter_is_never_dispatched_and_stale_tickets_are_harmless() {
    let mut m = Machine::new(queueing(1, 10, 700, Discipline::Fifo));
    let permit = m.admit(0, NORMAL);
    let [gone, stays] = [0, 0].map(|t| m.queue(t, NORMAL));
    assert!(m.0.on_cancel(at(1), gone));
    assert!(!m.0.on_cancel(at(1), gone));
    let reuses_the_slot = m.queue(2, NORMAL);
    assert_eq!(reuses_the_slot.index(), gone.index());
    assert!(!m.0.on_cancel(at(2), gone), "a stale ticket names nobody");
    m.complete(3, permit);
    let permit = m.dispatched(3, stays);
    assert!(!m.0.on_cancel(at(3), stays), "answered already");
    m.wakes(3, 702);
    m.complete(4, permit);
    let permit = m.dispatched(4, reuses_the_slot);
    assert_eq!(permit.depth(), 2);
    let counters = m.0.snapshot(at(4)).counters;
    assert_eq!((counters.of(NORMAL).abandoned, counters.total().offered), (1, 4));
    m.end(5, [permit]);
}

#[test]
fn a_lowered_limit_kills_nobody_and_a_raised_one_serves_the_waiting() {
    let mut m = Machine::new(settings(4));
    let mut permits = [0, 0, 0, 0].map(|t| m.admit(t, NORMAL)).to_vec_deque();
    m.0.reconfigure(at(1), settings(2));
    m.0.check_invariants();
    let [a, b] = [2, 2].map(|t| m.queue(t, NORMAL));
    for expected in [3, 2] {
        m.complete(3, permits.pop_front().unwrap());
        m.wakes(3, 5_002);
        assert_eq!(m.0.snapshot(at(3)).in_flight, expected);
    }
    m.complete(4, permits.pop_front().unwrap());
    permits.push_back(m.dispatched(4, a));
    m.wakes(4, 5_002);
    m.0.reconfigure(at(5), settings(3));
    permits.push_back(m.dispatched(5, b));
    m.end(6, permits);
}

#[test]
fn a_lowered_bypass_limit_kills_nobody() {
    let mut m = Machine::new(settings(1));
    let [a, b] = [0, 0].map(|t| m.admit(t, Class::Bypass));
    let mut lower = settings(1);
    lower.bypass_limit = NonZeroU32::MIN;
    m.0.reconfigure(at(1), lower);
    m.0.check_invariants();
    m.complete(2, a);
    assert_eq!(m.shed(2, Class::Bypass).reason, Reason::Concurrency);
    m.end(3, [b]);
}

#[test]
fn a_smaller_queue_keeps_who_waits_and_a_new_timeout_is_for_newcomers() {
    let mut m = Machine::new(queueing(1, 10, 5_000, Discipline::Fifo));
    let permit = m.admit(0, NORMAL);
    let long = [0, 0, 0].map(|t| m.queue(t, NORMAL));
    m.0.reconfigure(at(1), queueing(1, 2, 100, Discipline::Fifo));
    assert_eq!(m.shed(2, NORMAL).reason, Reason::QueueFull);
    assert!(m.0.on_cancel(at(3), long[0]) && m.0.on_cancel(at(3), long[1]));
    let short = m.queue(4, NORMAL);
    m.wakes(4, 104);
    assert_eq!(m.expired(104, short).waited, ms(100));
    m.wakes(104, 5_000);
    m.0.reconfigure(at(105), queueing(1, 0, 100, Discipline::Fifo));
    assert_eq!(m.shed(106, NORMAL).reason, Reason::Concurrency);
    m.complete(107, permit);
    let permit = m.dispatched(107, long[2]);
    m.end(108, [permit]);
}

#[test]
fn while_draining_waiters_are_served_and_arrivals_get_a_free_slot_or_nothing() {
    let mut m = Machine::new(settings(1));
    let permit = m.admit(0, NORMAL);
    let ticket = m.queue(0, NORMAL);
    m.0.set_draining(at(1), true);
    assert_eq!(m.shed(1, NORMAL).reason, Reason::Draining);
    m.complete(2, permit);
    let permit = m.dispatched(2, ticket);
    assert_eq!(m.shed(2, NORMAL).reason, Reason::Draining);
    m.complete(3, permit);
    let permit = m.admit(3, NORMAL);
    assert!(m.0.snapshot(at(3)).draining);
    m.0.set_draining(at(4), false);
    let ticket = m.queue(4, NORMAL);
    m.complete(5, permit);
    let permit = m.dispatched(5, ticket);
    m.end(6, [permit]);
}

#[test]
fn at_the_end_everybody_who_waits_is_told_and_nobody_is_served_in_their_stead() {
    let mut m = Machine::new(queueing(1, 4, 5_000, Discipline::Lifo));
    let permit = m.admit(0, NORMAL);
    let gave_way = m.queue(0, NORMAL);
    let normal = [m.queue(1, NORMAL), m.queue(2, NORMAL)];
    let (critical, high) = (m.queue(3, Class::Critical), m.queue(3, Class::High));
    m.0.set_draining(at(4), true);
    m.complete(5, permit);
    assert_eq!(m.0.shed_waiting(at(5)), 4);
    assert_eq!(m.expired(5, gave_way).reason, Reason::QueueFull, "it had given way before");
    for (ticket, waited) in [(critical, 2), (high, 2), (normal[0], 4), (normal[1], 3)] {
        let rejection = m.expired(5, ticket);
        assert_eq!((rejection.reason, rejection.waited, rejection.depth), (Reason::Draining, ms(waited), 1));
    }
    m.idle(5);
    assert_eq!(m.0.shed_waiting(at(6)), 0);
    let permit = m.admit(6, NORMAL);
    assert_eq!(m.shed(6, NORMAL).reason, Reason::Draining);
    m.end(7, [permit]);
}

#[test]
fn who_is_sent_away_may_leave_before_it_is_told() {
    let mut m = Machine::new(settings(1));
    let permit = m.admit(0, NORMAL);
    let (first, second) = (m.queue(0, NORMAL), m.queue(0, NORMAL));
    assert_eq!(m.0.shed_waiting(at(1)), 2);
    assert!(m.0.on_cancel(at(1), second));
    assert_eq!(m.expired(1, first).reason, Reason::Draining);
    let counters = m.0.snapshot(at(1)).counters.total();
    assert_eq!((counters.shed_total(), counters.abandoned), (1, 1));
    m.end(2, [permit]);
}

#[test]
fn one_ledger_counts_every_outcome_and_what_others_shed() {
    let mut m = Machine::new(settings(4));
    for outcome in [Outcome::Completed, Outcome::Failed, Outcome::TimedOut, Outcome::Aborted] {
        let permit = m.admit(0, Class::High);
        m.0.on_complete(at(1), permit, outcome);
    }
    let rejection = m.0.record_shed(at(1), Class::High, Reason::ConnectionLimit);
    assert_eq!((rejection.reason, rejection.class), (Reason::ConnectionLimit, Class::High));
    m.0.check_invariants();
    let snapshot = m.0.snapshot(at(1));
    let high = snapshot.counters.of(Class::High);
    assert_eq!((high.offered, high.admitted, high.shed_total()), (5, 4, 1));
    assert_eq!((high.completed, high.failed, high.timed_out, high.aborted), (1, 1, 1, 1));
    assert_eq!((high.shed(Reason::ConnectionLimit), high.ended(), high.in_flight()), (1, 4, 0));
}

#[test]
fn retry_after_grows_with_the_backlog_and_stays_between_1_and_30_s() {
    let mut m = Machine::new(queueing(2, 0, 0, Discipline::Fifo));
    let mut longest = Duration::ZERO;
    // 10 per second at most, half used: 4 per second are given away, so the twentieth comes after 5 s.
    for t in 0..20 {
        let permit = m.admit(t * 200, NORMAL);
        m.complete(t * 200 + 200, permit);
    }
    let _held = [4_000, 4_000].map(|t| m.admit(t, NORMAL));
    let waits = [(); 200].map(|()| m.shed(4_000, NORMAL).retry_after);
    for wait in waits {
        assert!((ms(1_000)..=ms(30_000)).contains(&wait), "{wait:?}");
        longest = longest.max(wait);
    }
    assert!(waits[0] < ms(1_300), "{:?}", waits[0]);
    assert!((ms(5_000)..ms(6_300)).contains(&waits[19]), "{:?}", waits[19]);
    assert!(longest > ms(15_000));
}

#[test]
fn load_is_measured_over_the_last_ten_seconds() {
    let mut m = Machine::new(settings(2));
    for t in 0..100 {
        let permit = m.admit(t * 200, NORMAL);
        m.complete(t * 200 + 100, permit);
    }
    let snapshot = m.0.snapshot(at(20_000));
    assert_eq!(snapshot.mean_service, Some(ms(100)));
    assert!((snapshot.drain_rate - 5.0).abs() < 0.1, "{}", snapshot.drain_rate);
    assert!((snapshot.utilization - 0.25).abs() < 0.01, "{}", snapshot.utilization);
}

#[test]
fn time_that_runs_backwards_is_read_as_standing_still() {
    let mut m = Machine::new(queueing(1, 10, 700, Discipline::Fifo));
    let permit = m.admit(1_000, NORMAL);
    let ticket = m.queue(900, NORMAL);
    assert_eq!(m.0.expires_at(ticket), Some(at(1_700)));
    m.complete(10, permit);
    let permit = m.dispatched(20, ticket);
    assert_eq!((permit.queued(), permit.admitted_at()), (Duration::ZERO, at(1_000)));
    m.end(30, [permit]);
}

#[test]
fn a_hundred_thousand_waiters_cost_little_each() {
    let mut m = Admission::new(queueing(1, 200_000, 5_000, Discipline::Fifo));
    let Decision::Admit(permit) = m.on_arrival(at(0), Request::new(NORMAL)) else { panic!() };
    let tickets: Vec<_> = (0..100_000)
        .map(|n| match m.on_arrival(Instant::from_nanos(n), Request::new(NORMAL)) {
            Decision::Queue(ticket) => ticket,
            other => panic!("{other:?}"),
        })
        .collect();
    m.check_invariants();
    for ticket in tickets.iter().step_by(2) {
        assert!(m.on_cancel(at(1), *ticket));
    }
    let mut expired = 0;
    while let Event::Expire(..) = m.poll(at(5_001)) {
        expired += 1;
    }
    assert_eq!(expired, 50_000);
    m.on_complete(at(5_001), permit, Outcome::Completed);
    m.check_invariants();
}

trait ToVecDeque<T> {
    fn to_vec_deque(self) -> std::collections::VecDeque<T>;
}

impl<T, const N: usize> ToVecDeque<T> for [T; N] {
    fn to_vec_deque(self) -> std::collections::VecDeque<T> {
        self.into()
    }
}
