//! Fairness between tenants of one class: what one asks for too much costs the others nothing.

mod support;

use std::num::NonZeroU32;

use loadline_core::{
    Admission, Class, Decision, Discipline, Duration, Event, Instant, Outcome, Permit, Reason, Request, Rule,
    Settings, TenantId, Ticket,
};
use support::{Arrival, Load, Row, run, share};

const SLOTS: u32 = 20;
const SERVICE: Duration = Duration::from_millis(50);
/// Per second.
const CAPACITY: f64 = 400.0;
const TENANTS: usize = 10;

/// Ten tenants that ask for `share` each of what can be served, the first for `times` as much.
fn tenants(fairness: bool, share: f64, times: f64, depth: u32, seed: u64) -> Vec<Row> {
    let mut settings = Settings::new(NonZeroU32::new(SLOTS).unwrap());
    settings.fairness = fairness;
    settings.queue.depth = depth;
    let all = TENANTS as f64 - 1.0 + times;
    let load = Load {
        settings,
        rate: CAPACITY * share * all,
        lasts: Duration::from_secs(20),
        patience: Duration::from_secs(1),
        seed,
    };
    run(&load, TENANTS, |random| {
        let row = (random.unit() * all - times + 1.0).max(0.0) as usize;
        let request = Request::new(Class::Normal).with_tenant(TenantId::new(1 + row as u64));
        Arrival { row, request, service: random.around(SERVICE) }
    })
}

#[test]
fn one_tenant_at_ten_times_its_share_costs_the_others_nothing() {
    println!(
        "| depth | each asks for | others, by themselves | beside one at ten times | without fairness |\n|---|---|---|---|---|"
    );
    for (depth, asks) in [(40, 0.08), (40, 0.09), (2_000, 0.09)] {
        let others = |fair, times| share(&tenants(fair, asks, times, depth, 3)[1..]);
        let (alone, beside, unfair) = (others(true, 1.0), others(true, 10.0), others(false, 10.0));
        println!("| {depth} | {asks} | {alone:.4} | {beside:.4} | {unfair:.4} |");
        assert!(beside >= alone - 0.01, "{beside} instead of {alone}, each asks for {asks}, depth {depth}");
        assert!(unfair < 0.8, "this is an overload: {unfair}");
    }
}

/// Each with one request at a time: nobody has had more than others, and yet newest first must serve who is still there.
#[test]
fn a_crowd_of_tenants_is_served_at_full_capacity() {
    let mut settings = Settings::new(NonZeroU32::new(SLOTS).unwrap());
    settings.fairness = true;
    let load = Load {
        settings,
        rate: 3.0 * CAPACITY,
        lasts: Duration::from_secs(20),
        patience: Duration::from_secs(1),
        seed: 5,
    };
    let rows = run(&load, 1, |random| {
        let request = Request::new(Class::Normal).with_tenant(TenantId::new(random.next()));
        Arrival { row: 0, request, service: random.around(SERVICE) }
    });
    let goodput = f64::from(rows[0].answered) / (CAPACITY * 16.0);
    assert!(goodput >= 0.95, "{goodput}");
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn of(tenant: u64) -> Request {
    Request::new(Class::Normal).with_tenant(TenantId::new(tenant))
}

/// One slot, taken.
fn one_slot(depth: u32, discipline: Discipline) -> (Admission, Permit) {
    let mut settings = Settings::new(NonZeroU32::MIN);
    settings.fairness = true;
    settings.queue.depth = depth;
    settings.queue.discipline = discipline;
    let mut a = Admission::new(settings);
    let Decision::Admit(permit) = a.on_arrival(at(0), of(1)) else { panic!("the slot is free") };
    (a, permit)
}

fn queue(a: &mut Admission, now: u64, request: Request) -> Ticket {
    match a.on_arrival(at(now), request) {
        Decision::Queue(ticket) => ticket,
        other => panic!("expected to be queued: {other:?}"),
    }
}

/// In which order they are served from now on.
fn order(a: &mut Admission, permit: Permit, now: u64, waiting: usize) -> Vec<Ticket> {
    let mut held = Some(permit);
    let mut serve = || {
        a.on_complete(at(now), held.take()?, Outcome::Aborted);
        let Event::Dispatch(ticket, next) = a.poll(at(now)) else { panic!("somebody waits") };
        held = Some(next);
        a.check_invariants();
        Some(ticket)
    };
    (0..waiting).filter_map(|_| serve()).collect()
}

#[test]
fn tenants_take_turns() {
    let (mut a, permit) = one_slot(100, Discipline::Fifo);
    let [a1, a2, a3, a4] = [1, 2, 3, 4].map(|now| queue(&mut a, now, of(1)));
    let [b1, b2] = [5, 6].map(|now| queue(&mut a, now, of(2)));
    let c1 = queue(&mut a, 7, Request::new(Class::Normal));
    assert_eq!(order(&mut a, permit, 8, 7), [a1, b1, c1, a2, b2, a3, a4]);
}

#[test]
fn in_a_full_queue_the_tenant_with_the_most_gives_way_its_newest_first() {
    let (mut a, permit) = one_slot(3, Discipline::Fifo);
    let [a1, a2] = [1, 2].map(|now| queue(&mut a, now, of(1)));
    let b1 = queue(&mut a, 3, of(2));
    let Decision::Shed(rejection) = a.on_arrival(at(4), of(1)) else { panic!("its tenant has the most") };
    assert_eq!(rejection.reason, Reason::Fairness);
    assert_eq!(a.explain(at(4), &of(1)).rule, Rule::TenantShare);
    let Decision::Shed(rejection) = a.on_arrival(at(4), of(2)) else { panic!("it would have the most") };
    assert_eq!(rejection.reason, Reason::Fairness);
    assert_eq!(a.explain(at(4), &of(3)).displaces, Some(Class::Normal));
    let c1 = queue(&mut a, 4, of(3));
    let Event::Expire(gone, rejection) = a.poll(at(4)) else { panic!("one gives way") };
    assert_eq!((gone, rejection.reason), (a2, Reason::Fairness));
    assert_eq!(order(&mut a, permit, 5, 3), [a1, b1, c1]);
}

#[test]
fn a_tenant_above_its_share_gets_a_slot_that_nobody_waits_for() {
    let mut settings = Settings::new(NonZeroU32::new(4).unwrap());
    settings.fairness = true;
    let mut a = Admission::new(settings);
    let all = [0; 4].map(|now| a.on_arrival(at(now), of(1)));
    assert!(all.iter().all(|decision| matches!(decision, Decision::Admit(_))));
}
