//! Cost: cheap requests go before expensive ones under overload, and no route starves; what is heavy takes several slots.

mod support;

use std::num::NonZeroU32;

use loadline_core::{
    Admission, Class, Decision, Discipline, Duration, Event, Instant, Outcome, Reason, Remedy, Request,
    RouteCost, RouteId, RouteSettings, Rule, Settings, Ticket,
};
use support::{Arrival, Load, Row, run, share};

const SLOTS: u32 = 20;
const CHEAP: Duration = Duration::from_millis(10);
const EXPENSIVE: Duration = Duration::from_millis(100);

/// `times` what can be served, with this share of cheap requests; each kind has a route of its own, unless `blind`.
fn mixed(times: f64, cheap: f64, blind: bool, seed: u64) -> [Row; 2] {
    let mut settings = Settings::new(NonZeroU32::new(SLOTS).unwrap());
    settings.queue.discipline = Discipline::Adaptive;
    let mean = cheap * CHEAP.as_secs_f64() + (1.0 - cheap) * EXPENSIVE.as_secs_f64();
    let load = Load {
        settings,
        rate: times * f64::from(SLOTS) / mean,
        lasts: Duration::from_secs(25),
        patience: Duration::from_secs(1),
        seed,
    };
    let rows = run(&load, 2, |random| {
        let row = usize::from(random.unit() >= cheap);
        let route = if blind { RouteId::OTHER } else { RouteId::new(1 + row as u16) };
        let service = random.around([CHEAP, EXPENSIVE][row]);
        Arrival { row, request: Request::new(Class::Normal).with_route(route), service }
    });
    rows.try_into().unwrap()
}

#[test]
fn at_twice_the_capacity_there_are_more_answers_and_no_route_starves() {
    println!(
        "| cheap requests | answers | blind | ratio | cheap served | expensive served |\n|---|---|---|---|---|---|"
    );
    for cheap in [0.5, 0.8, 10.0 / 11.0] {
        let (blind, seen) = (mixed(2.0, cheap, true, 1), mixed(2.0, cheap, false, 1));
        let answers = |rows: &[Row; 2]| f64::from(rows[0].answered + rows[1].answered);
        let ratio = answers(&seen) / answers(&blind);
        let [cheap_served, expensive_served] = seen.map(|row| share(&[row]));
        println!(
            "| {:.0} % | {} | {} | {ratio:.2} | {cheap_served:.3} | {expensive_served:.3} |",
            cheap * 100.0,
            answers(&seen),
            answers(&blind),
        );
        assert!(ratio >= 1.4, "{ratio} times the answers, {cheap} cheap");
        assert!(expensive_served >= 0.2, "{expensive_served} of the expensive, {cheap} cheap");
    }
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn on(route: u16) -> Request {
    Request::new(Class::Normal).with_route(RouteId::new(route))
}

/// Route 1 may have two in flight, a request of route 2 takes three slots.
fn two_routes(limit: u32, depth: u32) -> Admission {
    let mut settings = Settings::new(NonZeroU32::new(limit).unwrap());
    settings.routes = vec![
        RouteSettings::default(),
        RouteSettings::new(NonZeroU32::new(2), RouteCost::Learned),
        RouteSettings::new(None, RouteCost::Fixed(NonZeroU32::new(3).unwrap())),
    ];
    settings.queue.depth = depth;
    settings.queue.discipline = Discipline::Fifo;
    Admission::new(settings)
}

fn queue(a: &mut Admission, now: u64, request: Request) -> Ticket {
    match a.on_arrival(at(now), request) {
        Decision::Queue(ticket) => ticket,
        other => panic!("expected to be queued: {other:?}"),
    }
}

#[test]
fn who_waits_for_a_route_is_passed_by_everybody_of_another() {
    let mut a = two_routes(4, 100);
    let mut admit = |request| match a.on_arrival(at(0), request) {
        Decision::Admit(permit) => permit,
        other => panic!("expected to be admitted: {other:?}"),
    };
    let limited = [on(1), on(1)].map(&mut admit);
    let waiting = queue(&mut a, 0, on(1).with_retry(true));
    assert_eq!(a.snapshot(at(0)).in_flight_by_route, [0, 2]);
    let high = a.on_arrival(at(0), Request::new(Class::High).with_route(RouteId::new(1)));
    assert!(matches!(high, Decision::Queue(_)), "of whatever class");
    let others = [0; 2].map(|now| match a.on_arrival(at(now), on(0)) {
        Decision::Admit(permit) => permit,
        other => panic!("expected to be admitted past who waits for a route: {other:?}"),
    });
    let low = queue(&mut a, 1, Request::new(Class::Low));
    let [first, last] = others;
    a.on_complete(at(2), first, Outcome::Completed);
    assert!(matches!(a.poll(at(2)), Event::Dispatch(ticket, _) if ticket == low), "also of a lower class");
    let [first, _second] = limited;
    a.on_complete(at(3), first, Outcome::Completed);
    assert!(matches!(a.poll(at(3)), Event::Dispatch(_, permit) if permit.class() == Class::High));
    a.on_complete(at(4), last, Outcome::Completed);
    assert!(matches!(a.poll(at(4)), Event::WakeAt(_)), "a slot is free, the route is full");
    let mut settings = a.settings().clone();
    settings.routes.clear();
    a.reconfigure(at(5), settings);
    assert!(matches!(a.poll(at(5)), Event::Dispatch(ticket, _) if ticket == waiting), "the limit was lifted");
    a.check_invariants();
}

#[test]
fn without_a_queue_a_full_route_is_the_rule_that_decides() {
    let mut a = two_routes(4, 0);
    let _held = [0; 2].map(|now| a.on_arrival(at(now), on(1)));
    let Decision::Shed(rejection) = a.on_arrival(at(1), on(1)) else { panic!("the route is full") };
    assert_eq!((rejection.reason, rejection.remedy), (Reason::Concurrency, None));
    assert_eq!(a.explain(at(1), &on(1)).rule, Rule::RouteLimit);
    assert_eq!(a.explain(at(1), &on(0)).rule, Rule::FreeSlot);
    assert_eq!(a.explain(at(1), &on(2)).rule, Rule::SlotsTaken, "it needs three");
}

#[test]
fn a_fixed_cost_takes_slots() {
    let mut a = two_routes(4, 100);
    let Decision::Admit(heavy) = a.on_arrival(at(0), on(2)) else { panic!("four are free") };
    assert_eq!((heavy.cost(), a.snapshot(at(0)).in_flight), (3, 3));
    let next = queue(&mut a, 1, on(2));
    a.on_complete(at(2), heavy, Outcome::Completed);
    let Event::Dispatch(ticket, permit) = a.poll(at(2)) else { panic!("it fits now") };
    assert_eq!((ticket, permit.cost()), (next, 3));
}

#[test]
fn bytes_that_waiters_hold_are_bounded_and_lower_classes_give_way_for_them() {
    let mut a = two_routes(1, 100);
    let mut settings = a.settings().clone();
    settings.queue.held_bytes = Some(1_000);
    a.reconfigure(at(0), settings);
    let _held = a.on_arrival(at(0), on(0));
    let of = |class, bytes| Request::new(class).with_held_bytes(bytes);
    let low = [300, 300].map(|bytes| queue(&mut a, 1, of(Class::Low, bytes)));
    let normal = queue(&mut a, 2, of(Class::Normal, 400));
    let Decision::Shed(rejection) = a.on_arrival(at(3), of(Class::Low, 1)) else { panic!("nobody is below") };
    let needs = Some(Remedy::HigherClass(Class::Normal));
    assert_eq!((rejection.reason, rejection.remedy), (Reason::QueueFull, needs));
    assert_eq!(a.explain(at(3), &of(Class::Low, 1)).rule, Rule::HeldBytes);
    assert!(
        matches!(a.explain(at(3), &of(Class::Normal, 601)).rule, Rule::HeldBytes),
        "all of low is not enough"
    );
    let bodiless = queue(&mut a, 3, of(Class::Low, 0));
    let large = queue(&mut a, 3, of(Class::High, 500));
    for gone in low {
        assert!(matches!(a.poll(at(3)), Event::Expire(ticket, _) if ticket == gone));
    }
    assert_eq!(a.snapshot(at(3)).held_bytes, 900);
    for ticket in [normal, bodiless, large] {
        assert!(a.on_cancel(at(4), ticket));
    }
    assert_eq!(a.snapshot(at(4)).held_bytes, 0);
    a.check_invariants();
}
