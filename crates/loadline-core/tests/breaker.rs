//! The breaker's rules, one by one, and what holds whatever happens.

use std::num::NonZeroU32;

use loadline_core::{
    Breaker, BreakerCall, BreakerChange, BreakerResult, BreakerSettings, BreakerState, Duration, Instant,
    Percent,
};
use proptest::prelude::*;

const OK: BreakerResult = BreakerResult::Success(Duration::from_millis(20));
const FAILED: BreakerResult = BreakerResult::Failure;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn with(change: impl FnOnce(&mut BreakerSettings)) -> BreakerSettings {
    let mut settings = BreakerSettings::default();
    change(&mut settings);
    settings
}

/// One exchange that takes no time.
fn once(breaker: &mut Breaker, ms: u64, result: BreakerResult) -> Option<BreakerChange> {
    let call = breaker.try_begin(at(ms)).expect("it lets it through");
    breaker.on_end(at(ms), call, result, || true)
}

/// One that has just tripped by five failures, at 0 ms.
fn tripped(settings: BreakerSettings) -> Breaker {
    let mut breaker = Breaker::new(settings, 1);
    for failure in 1..=5 {
        let change = once(&mut breaker, 0, FAILED);
        assert_eq!(change, (failure == 5).then_some(BreakerChange::Tripped), "failure {failure}");
    }
    breaker
}

/// The end of the open time, in milliseconds.
fn reopens_at(breaker: &Breaker, now: u64) -> u64 {
    let BreakerState::Open { until } = breaker.state(at(now)) else { panic!("{:?}", breaker.state(at(now))) };
    until.as_nanos().div_ceil(1_000_000)
}

#[test]
fn five_failures_in_a_row_open_it_for_ten_seconds_and_a_success_closes_it() {
    let mut breaker = tripped(BreakerSettings::default());
    let until = reopens_at(&breaker, 0);
    assert!((10_000..=10_625).contains(&until), "{until}");
    let rest = breaker.try_begin(at(4_000)).unwrap_err();
    assert!(
        rest > Duration::from_secs(6) - Duration::from_millis(1) && rest < Duration::from_millis(6_700),
        "{rest:?}"
    );
    assert_eq!(once(&mut breaker, 11_000, OK), Some(BreakerChange::Closed));
    assert_eq!(breaker.state(at(11_000)), BreakerState::Closed);
    assert!(!breaker.is_tripped());
}

#[test]
fn a_success_in_between_begins_the_count_anew() {
    let mut breaker = Breaker::new(with(|settings| settings.failure_rate = None), 1);
    for _ in 0..100 {
        for _ in 0..4 {
            assert_eq!(once(&mut breaker, 0, FAILED), None);
        }
        assert_eq!(once(&mut breaker, 0, OK), None);
    }
}

#[test]
fn four_failures_of_five_trip_it_though_never_five_in_a_row() {
    let mut breaker = Breaker::new(BreakerSettings::default(), 1);
    let tripped_by =
        (1..).find(|nth| once(&mut breaker, nth * 10, if nth % 5 == 0 { OK } else { FAILED }).is_some());
    assert_eq!(tripped_by, Some(21), "the twentieth was a success; the next failure is one of at least 20");
}

#[test]
fn a_share_of_too_few_means_nothing() {
    let mut breaker = Breaker::new(with(|settings| settings.consecutive_failures = None), 1);
    for nth in 0..1_000 {
        assert_eq!(once(&mut breaker, nth * 1_000, FAILED), None, "one per second, ten within the window");
    }
}

#[test]
fn slow_exchanges_trip_it_only_when_they_are_asked_to() {
    let slow = BreakerResult::Success(Duration::from_secs(6));
    let mut indifferent = Breaker::new(BreakerSettings::default(), 1);
    assert!((0..100).all(|_| once(&mut indifferent, 0, slow).is_none()));

    let settings = with(|settings| settings.slow_rate = Percent::new(80));
    let mut breaker = Breaker::new(settings, 1);
    let tripped_by = (1..).find(|nth| once(&mut breaker, 0, if nth % 10 == 0 { OK } else { slow }).is_some());
    assert_eq!(tripped_by, Some(21));
    // And a slow probe is no proof.
    let until = reopens_at(&breaker, 0);
    assert_eq!(once(&mut breaker, until, slow), Some(BreakerChange::Tripped));
}

#[test]
fn without_traffic_it_reads_as_closed_when_its_time_is_over() {
    let breaker = tripped(BreakerSettings::default());
    let until = reopens_at(&breaker, 0);
    assert!(matches!(breaker.state(at(until - 1)), BreakerState::Open { .. }));
    assert_eq!(breaker.state(at(until)), BreakerState::Closed);
    assert!(breaker.is_tripped(), "what comes next is a probe all the same");
}

#[test]
fn what_began_before_the_trip_changes_nothing() {
    let mut breaker = Breaker::new(BreakerSettings::default(), 1);
    let slow = breaker.try_begin(at(0)).unwrap();
    let failing: Vec<BreakerCall> = (0..10).map(|_| breaker.try_begin(at(0)).unwrap()).collect();
    for call in failing {
        breaker.on_end(at(100), call, FAILED, || true);
    }
    assert_eq!(breaker.trips(), 1, "the tail of failures trips nothing again");
    let until = reopens_at(&breaker, 100);
    assert_eq!(breaker.on_end(at(5_000), slow, OK, || true), None);
    assert_eq!(reopens_at(&breaker, 5_000), until, "a late success closes nothing");
    // Neither does one that arrives while probes decide.
    let probe = breaker.try_begin(at(until)).unwrap();
    assert!(probe.is_probe());
    assert_eq!(breaker.state(at(until)), BreakerState::Probing);
    breaker.on_end(at(until + 1), probe, FAILED, || true);
    assert_eq!(breaker.trips(), 2);
}

#[test]
fn probes_are_bounded_and_all_of_them_must_succeed() {
    let settings = with(|settings| settings.probes = NonZeroU32::new(2).unwrap());
    let mut breaker = tripped(settings);
    let now = reopens_at(&breaker, 0);
    let (first, second) = (breaker.try_begin(at(now)).unwrap(), breaker.try_begin(at(now)).unwrap());
    assert_eq!(breaker.try_begin(at(now)), Err(Duration::ZERO), "both places are taken");
    assert_eq!(breaker.on_end(at(now), first, OK, || true), None);
    assert_eq!(breaker.try_begin(at(now)), Err(Duration::ZERO), "one has succeeded, the other decides");
    assert_eq!(breaker.on_end(at(now), second, OK, || true), Some(BreakerChange::Closed));
}

#[test]
fn a_probe_whose_client_left_gives_its_place_to_the_next() {
    let mut breaker = tripped(BreakerSettings::default());
    let now = reopens_at(&breaker, 0);
    assert_eq!(once(&mut breaker, now, BreakerResult::Unknown), None);
    assert_eq!(breaker.state(at(now)), BreakerState::Probing);
    assert_eq!(breaker.state(at(now + 10_000)), BreakerState::Closed, "nobody asks any more");
    assert_eq!(once(&mut breaker, now, OK), Some(BreakerChange::Closed));
}

#[test]
fn how_long_a_probe_has_been_due() {
    let mut breaker = tripped(with(|settings| settings.probes = NonZeroU32::new(2).unwrap()));
    let until = reopens_at(&breaker, 0);
    assert_eq!(Breaker::new(BreakerSettings::default(), 1).probe_due_for(at(0)), None, "closed");
    assert_eq!(breaker.probe_due_for(at(until - 1)), None, "open");
    assert_eq!(breaker.probe_due_for(at(until + 300)).map(|due| due.as_millis()), Some(300));
    let first = breaker.try_begin(at(until + 400)).unwrap();
    assert_eq!(breaker.probe_due_for(at(until + 500)), Some(Duration::from_millis(100)), "the second one");
    let second = breaker.try_begin(at(until + 500)).unwrap();
    assert_eq!(breaker.probe_due_for(at(until + 900)), None, "both are under way");
    assert_eq!(breaker.on_end(at(until + 900), first, OK, || true), None);
    assert_eq!(breaker.probe_due_for(at(until + 950)), None, "one succeeded, the other will tell");
    assert_eq!(breaker.on_end(at(until + 1_000), second, BreakerResult::Unknown, || true), None);
    assert_eq!(breaker.probe_due_for(at(until + 1_100)), Some(Duration::from_millis(100)));
}

#[test]
fn it_stays_open_longer_each_time_that_probes_fail_up_to_a_bound() {
    let mut breaker = tripped(BreakerSettings::default());
    let mut now = 0;
    let mut times = Vec::new();
    for _ in 0..6 {
        let until = reopens_at(&breaker, now);
        times.push((until - now) / 1_000);
        assert_eq!(once(&mut breaker, until, FAILED), Some(BreakerChange::Tripped));
        now = until;
    }
    for (seconds, least) in times.iter().zip([10, 20, 40, 80, 120, 120]) {
        assert!((least..=least + least / 16).contains(seconds), "{times:?}");
    }
    // Closed for longer than it was open: the next trip is a first one.
    let until = reopens_at(&breaker, now);
    once(&mut breaker, until, OK);
    let later = until + 130_000;
    for _ in 0..5 {
        once(&mut breaker, later, FAILED);
    }
    assert!(reopens_at(&breaker, later) - later < 11_000);
}

#[test]
fn who_may_not_trip_goes_on_and_is_judged_afresh() {
    let mut breaker = Breaker::new(BreakerSettings::default(), 1);
    for nth in 1..=50_u32 {
        let call = breaker.try_begin(at(0)).unwrap();
        let mut asked = false;
        let refuse = || {
            asked = true;
            false
        };
        assert_eq!(breaker.on_end(at(0), call, FAILED, refuse), None);
        assert_eq!(asked, nth % 5 == 0, "failure {nth}");
    }
    assert_eq!(breaker.state(at(0)), BreakerState::Closed);
}

#[test]
fn a_health_check_closes_it() {
    let mut breaker = tripped(BreakerSettings::default());
    breaker.force_close(at(1_000));
    assert!(!breaker.is_tripped());
    assert_eq!(once(&mut breaker, 1_000, OK), None);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    /// Ends one of those under way.
    End(usize, BreakerResult),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let result = prop_oneof![
        3 => Just(FAILED),
        2 => (0_u64..10_000).prop_map(|ms| BreakerResult::Success(Duration::from_millis(ms))),
        1 => Just(BreakerResult::Unknown),
    ];
    prop_oneof![
        3 => Just(Step::Begin),
        3 => (any::<usize>(), result).prop_map(|(which, result)| Step::End(which, result)),
        1 => (0_u64..20_000).prop_map(Step::Pass),
    ]
}

fn settings() -> impl Strategy<Value = BreakerSettings> {
    (0_u32..5, 0_u8..3, 0_u8..3, 1_u32..10, 1_u32..4, 1_u64..20).prop_map(
        |(row, failed, slow, least, probes, open)| {
            let mut settings = BreakerSettings::default();
            settings.consecutive_failures = NonZeroU32::new(row);
            settings.failure_rate = Percent::new(failed * 40);
            settings.slow_rate = Percent::new(slow * 40);
            settings.min_requests = NonZeroU32::new(least).unwrap();
            settings.probes = NonZeroU32::new(probes).unwrap();
            settings.open = Duration::from_secs(open);
            settings
        },
    )
}

proptest! {
    #[test]
    fn whatever_happens(settings in settings(), steps in proptest::collection::vec(step(), 1..400), seed: u64) {
        let mut breaker = Breaker::new(settings, seed);
        let mut now = 0;
        let mut under_way: Vec<(BreakerCall, u64)> = Vec::new();
        let mut changes = 0;
        for step in steps {
            let before = breaker.state(at(now));
            match step {
                Step::Pass(ms) => now += ms,
                Step::Begin => match (breaker.try_begin(at(now)), before) {
                    (Ok(call), BreakerState::Open { .. }) => prop_assert!(false, "{call:?} while open"),
                    (Ok(call), _) => under_way.push((call, changes)),
                    (Err(rest), BreakerState::Open { until }) => {
                        prop_assert_eq!(rest, until.saturating_since(at(now)));
                        prop_assert!(rest <= settings.max_open.mul_f64(1.07));
                    }
                    (Err(rest), state) => {
                        prop_assert_eq!((rest, state), (Duration::ZERO, BreakerState::Probing));
                    }
                },
                Step::End(which, result) if !under_way.is_empty() => {
                    let (call, began) = under_way.swap_remove(which % under_way.len());
                    let change = breaker.on_end(at(now), call, result, || true);
                    if began < changes {
                        prop_assert_eq!(change, None, "it began before the last change");
                        prop_assert_eq!(breaker.state(at(now)), before);
                    }
                    prop_assert!(result == FAILED || change != Some(BreakerChange::Tripped) || settings.slow_rate.is_some());
                    changes += u64::from(change.is_some());
                }
                Step::End(..) => {}
            }
            let probes = under_way.iter().filter(|(call, began)| call.is_probe() && *began == changes).count();
            prop_assert!(probes <= settings.probes.get() as usize, "{probes} probes at once");
        }
        // Nothing stays for ever: when all is ended and time has passed, it lets the next one through.
        for (call, _) in under_way {
            breaker.on_end(at(now), call, BreakerResult::Unknown, || true);
        }
        prop_assert_eq!(breaker.state(at(now + 200_000)), BreakerState::Closed);
        prop_assert!(breaker.try_begin(at(now + 200_000)).is_ok());
    }

    #[test]
    fn successes_never_trip_it(spans in proptest::collection::vec(0_u64..5_000, 1..500)) {
        let mut breaker = Breaker::new(BreakerSettings::default(), 1);
        let mut now = 0;
        for span in spans {
            now += span;
            prop_assert_eq!(once(&mut breaker, now, OK), None);
        }
    }
}
