//! A service at three times its capacity, in virtual time: who gets through, and at what price for the others.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    num::NonZeroU32,
};

use loadline_core::{Admission, Class, Decision, Event, Instant, Outcome, Permit, Request, Settings};

const WORKERS: u32 = 20;
const SERVICE_MS: u64 = 50;
/// 1,200 per second where 400 can be served.
const PER_SECOND: u64 = 1_200;
const SECONDS: u64 = 60;

/// What became of one class.
#[derive(Default)]
struct Served {
    offered: u32,
    answered: u32,
    /// From arrival to answer, in microseconds, sorted.
    took: Vec<u64>,
}

/// Runs the load; `class` says which class each percent of the requests is of.
fn run(reserve: u32, class: impl Fn(u64) -> Class) -> HashMap<Class, Served> {
    let mut settings = Settings::new(NonZeroU32::new(WORKERS).unwrap());
    settings.reserve = reserve;
    let mut a = Admission::new(settings);
    let at = |us: u64| Instant::from_nanos(us * 1_000);
    let mut working = BinaryHeap::new();
    let mut permits: HashMap<u64, (Permit, u64)> = HashMap::new();
    let mut waiting = HashMap::new();
    let mut served: HashMap<Class, Served> = HashMap::new();
    let (mut seed, mut work) = (1_u64, 0);
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut next_arrival = 0;
    while next_arrival < SECONDS * 1_000_000 {
        let ends = working.peek().map_or(u64::MAX, |Reverse((ends, _))| *ends);
        let now = next_arrival.min(ends);
        let mut started = Vec::new();
        if ends <= next_arrival {
            let Reverse((_, id)) = working.pop().unwrap();
            let (permit, arrived) = permits.remove(&id).unwrap();
            let of = served.get_mut(&permit.class()).unwrap();
            of.answered += 1;
            of.took.push(now - arrived);
            a.on_complete(at(now), permit, Outcome::Completed);
        } else {
            let class = class(random(100));
            served.entry(class).or_default().offered += 1;
            match a.on_arrival(at(now), Request::new(class)) {
                Decision::Admit(permit) => started.push((permit, now)),
                Decision::Queue(ticket) => drop(waiting.insert(ticket, now)),
                Decision::Shed(_) => {}
            }
            next_arrival += 1 + random(2_000_000 / PER_SECOND);
        }
        loop {
            match a.poll(at(now)) {
                Event::Dispatch(ticket, permit) => started.push((permit, waiting.remove(&ticket).unwrap())),
                Event::Expire(ticket, _) => drop(waiting.remove(&ticket)),
                Event::WakeAt(_) | Event::Idle => break,
            }
        }
        for (permit, arrived) in started {
            work += 1;
            working.push(Reverse((now + SERVICE_MS * 500 + random(SERVICE_MS * 1_000), work)));
            permits.insert(work, (permit, arrived));
        }
    }
    a.check_invariants();
    let counters = a.snapshot(Instant::ORIGIN).counters;
    assert_eq!(counters.of(Class::Critical).shed_total(), 0, "critical is never shed");
    served.values_mut().for_each(|served| served.took.sort_unstable());
    served
}

#[test]
fn at_three_times_the_capacity_critical_and_high_get_through_and_nothing_is_lost_in_total() {
    let mixed = run(Settings::usual_reserve(NonZeroU32::new(WORKERS).unwrap()), |percent| match percent {
        0..5 => Class::Critical,
        5..20 => Class::High,
        20..60 => Class::Normal,
        _ => Class::Low,
    });
    let plain = run(0, |_| Class::Normal);
    let share = |class: Class| f64::from(mixed[&class].answered) / f64::from(mixed[&class].offered);
    // What is still in service when the minute is over is not answered yet.
    assert!(share(Class::Critical) > 0.998, "critical {}", share(Class::Critical));
    assert!(share(Class::High) > 0.99, "high {}", share(Class::High));
    assert!(share(Class::Low) > 0.0, "low is served now and then");
    assert!(share(Class::Normal) > share(Class::Low));
    let critical = &mixed[&Class::Critical].took;
    let p99 = critical[critical.len() * 99 / 100];
    assert!(p99 <= 2 * SERVICE_MS * 1_000, "critical p99 {p99} µs");
    let total = |run: &HashMap<Class, Served>| run.values().map(|served| served.answered).sum::<u32>();
    assert!(total(&mixed) * 100 >= total(&plain) * 97, "{} of {}", total(&mixed), total(&plain));
}
