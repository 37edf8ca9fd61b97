//! Limiters before a service in virtual time. Bounds are loose: what is proved is the kind of behaviour, and each run is the
//! same every time.

mod model;

use std::num::NonZeroU32;

use loadline_core::{AimdSettings, AutoSettings, LimitRange, LimiterSettings};
use model::{Run, Service, run};

fn auto(start: u32) -> LimiterSettings {
    let range = LimitRange::starting_at(NonZeroU32::new(start).unwrap());
    LimiterSettings::Auto(AutoSettings { range })
}

/// 480 per second from 24 workers.
fn workers() -> Service {
    Service::workers(24.0, 0.05)
}

#[test]
fn auto_finds_the_knee_of_a_pool_from_below() {
    let outcomes = run(&Run { limiter: auto(5), ..Run::new(workers(), 960.0, 20.0) });
    let limit = outcomes.limit(15.0, 20.0);
    assert!((19.0..=48.0).contains(&limit), "{limit}");
    assert!(outcomes.goodput(10.0, 20.0) > 0.93 * 480.0, "{}", outcomes.goodput(10.0, 20.0));
}

#[test]
fn auto_finds_the_knee_of_a_pool_from_far_above() {
    let outcomes = run(&Run { limiter: auto(200), ..Run::new(workers(), 960.0, 30.0) });
    let limit = outcomes.limit(25.0, 30.0);
    assert!((19.0..=60.0).contains(&limit), "{limit}");
}

#[test]
fn auto_never_makes_a_healthy_service_shed() {
    for (service, start) in
        [(workers(), 10), (Service::workers(3.0, 0.05), 3), (Service::cpu(4.0, 0.01, 0.03), 10)]
    {
        let rate = 0.8 * service.capacity();
        let steady = Run::new(service, rate, 40.0);
        let outcomes = run(&Run { limiter: auto(start), ..steady.clone() });
        // Chance alone makes some leave, whatever the limit.
        let max = outcomes.limit(39.0, 40.0) as u32;
        let (lost, fixed) = (outcomes.lost(5.0, 40.0), run(&Run { max, ..steady }).lost(5.0, 40.0));
        assert!(lost < fixed + 0.005, "{service:?}: {lost}, {fixed} with the limit {max}");
    }
}

#[test]
fn three_workers_at_ten_per_second_give_auto_nothing_to_decide() {
    let run = run(&Run { limiter: auto(3), ..Run::new(Service::workers(3.0, 0.05), 10.0, 60.0) });
    assert_eq!(run.admission.snapshot(run.end).limiter.changes, []);
}

#[test]
fn auto_keeps_the_limit_of_what_only_became_slower() {
    let slow = Service { slower: 3.0, ..workers() };
    let outcomes = run(&Run {
        limiter: auto(10),
        service: vec![(0.0, workers()), (20.0, slow)],
        ..Run::new(workers(), 960.0, 50.0)
    });
    assert!(outcomes.limit(30.0, 50.0) > 16.0, "{}", outcomes.limit(30.0, 50.0));
    assert!(outcomes.goodput(30.0, 50.0) > 0.9 * 160.0, "{}", outcomes.goodput(30.0, 50.0));
}

#[test]
fn auto_lowers_the_limit_of_what_lost_parallelism_and_is_back_soon_after_it() {
    let few = Service { slots: 6.0, ..workers() };
    let service = vec![(0.0, workers()), (20.0, few), (80.0, workers())];
    let mut limits = Vec::new();
    for seed in 0..15 {
        let outcomes = run(&Run {
            seed,
            limiter: auto(10),
            service: service.clone(),
            ..Run::new(workers(), 960.0, 100.0)
        });
        limits.push(outcomes.limit(70.0, 80.0));
        let (few, all) = (outcomes.goodput(30.0, 80.0), outcomes.goodput(87.0, 100.0));
        assert!(few > 0.9 * 120.0 && all > 0.93 * 480.0, "seed {seed}: {few}, {all}");
    }
    // Throughput is the same wherever the limit stands above the six workers, so chance decides when it comes down. Twice the six is what
    // is aimed at until the others are back.
    limits.sort_by(f64::total_cmp);
    assert!(limits[7] < 20.0, "{limits:?}");
}

/// A first version noticed a fall only where the limit had been in the way before it. It followed the lost workers down, forgot what had
/// been right, and turned a healthy load away for ten seconds after they were back.
#[test]
fn auto_is_back_soon_after_a_fall_that_a_healthy_service_had() {
    let few = Service { slots: 6.0, ..workers() };
    let service = vec![(0.0, workers()), (30.0, few), (70.0, workers())];
    for seed in 0..4 {
        let outcomes = run(&Run {
            seed,
            limiter: auto(10),
            service: service.clone(),
            ..Run::new(workers(), 384.0, 90.0)
        });
        let lost = outcomes.lost(74.0, 90.0);
        assert!(lost < 0.02, "seed {seed}: {lost}");
    }
}

#[test]
fn auto_stays_on_the_good_side_of_a_service_that_thrashes() {
    let service = Service { knee: 24.0, slope: 0.54, ..workers() };
    let outcomes = run(&Run { limiter: auto(10), ..Run::new(service, 960.0, 60.0) });
    assert!(outcomes.goodput(20.0, 60.0) > 0.8 * 480.0, "{}", outcomes.goodput(20.0, 60.0));
}

/// A first version doubled the limit because throughput had just fallen while the line inside the service had not formed yet.
#[test]
fn auto_does_not_take_the_transition_after_a_change_for_the_effect_of_a_trial() {
    let few = Service { slots: 6.0, ..workers() };
    let service = vec![(0.0, workers()), (40.0, few)];
    for seed in 0..4 {
        let outcomes = run(&Run {
            seed,
            limiter: auto(10),
            service: service.clone(),
            ..Run::new(workers(), 384.0, 80.0)
        });
        assert!(outcomes.goodput(50.0, 80.0) > 0.85 * 120.0, "seed {seed}: {}", outcomes.goodput(50.0, 80.0));
    }
}

#[test]
fn a_limit_that_nobody_needs_does_not_move() {
    let outcomes = run(&Run { limiter: auto(100), ..Run::new(workers(), 240.0, 30.0) });
    let limiter = outcomes.admission.snapshot(outcomes.end).limiter;
    assert_eq!((limiter.limit, limiter.raised + limiter.lowered), (100, 0));
}

#[test]
fn a_limit_that_was_not_used_for_minutes_follows_its_use() {
    let outcomes = run(&Run { limiter: auto(400), ..Run::new(workers(), 240.0, 200.0) });
    let limit = outcomes.limit(199.0, 200.0);
    assert!((20.0..=80.0).contains(&limit), "{limit}");
    assert!(outcomes.lost(0.0, 200.0) < 0.001, "{}", outcomes.lost(0.0, 200.0));
}

#[test]
fn autos_trials_stay_below_the_ceiling() {
    // Sixteen of the twenty-four workers: a higher limit would give more, and is not there to be tried.
    let outcomes = run(&Run { limiter: auto(5), max: 16, ..Run::new(workers(), 960.0, 30.0) });
    let highest = outcomes.ticks.iter().map(|tick| tick.in_force.max(tick.limit)).max();
    assert_eq!(highest, Some(16));
    assert!(outcomes.goodput(10.0, 30.0) > 0.9 * 320.0, "{}", outcomes.goodput(10.0, 30.0));
}

#[test]
fn aimd_knows_no_better_than_the_latency_it_was_given() {
    let limiter = LimiterSettings::Aimd(AimdSettings::default());
    let outcomes = run(&Run { limiter, patience: 3.0, ..Run::new(workers(), 960.0, 40.0) });
    assert!(outcomes.limit(30.0, 40.0) > 100.0, "nothing took 5 s yet: {}", outcomes.limit(30.0, 40.0));
}
