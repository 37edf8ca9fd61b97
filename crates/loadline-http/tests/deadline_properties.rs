//! No header panics or gains time, budgets are monotone, and what is written is read back.

use std::time::Duration;

use loadline_http::deadline::{
    AgeKind, Budget, DeadlineHeaders, DeadlineKind, DeadlineSettings, HeaderKind, NaiveZone, write_remaining,
};
use proptest::prelude::*;

const NOW: i64 = 1_795_188_443_726_505_710;
const MAX: Duration = Duration::from_secs(3_600);

fn headers(skew: Duration) -> DeadlineHeaders {
    DeadlineHeaders::new(DeadlineSettings { zone: NaiveZone::Utc, skew, ..Default::default() }).unwrap()
}

fn read(headers: &DeadlineHeaders, fields: &[(Vec<u8>, Vec<u8>)], trusted: bool) -> Budget {
    headers.budget(fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())), NOW, trusted)
}

fn name_of(kind: DeadlineKind) -> &'static str {
    match kind {
        DeadlineKind::Instant => "x-respond-by",
        DeadlineKind::Milliseconds => "x-request-timeout-ms",
        DeadlineKind::GrpcTimeout => "grpc-timeout",
    }
}

fn any_kind() -> impl Strategy<Value = DeadlineKind> {
    prop_oneof![
        Just(DeadlineKind::Instant),
        Just(DeadlineKind::Milliseconds),
        Just(DeadlineKind::GrpcTimeout)
    ]
}

/// Known names and others, with values that are bytes, or near to something.
fn any_field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop_oneof![
        proptest::sample::select(vec![
            "x-respond-by",
            "X-Request-Deadline",
            "grpc-timeout",
            "x-envoy-expected-rq-timeout-ms",
            "x-request-timeout-ms",
            "x-request-start",
            "x-queue-start",
            "X-Queue-Time-Seconds",
        ])
        .prop_map(|name| name.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..70),
    ];
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "[0-9]{1,20}(\\.[0-9]{0,10})?[HMSmun]?".prop_map(String::into_bytes),
        (-7_200_000_000_000i64..7_200_000_000_000).prop_map(|distance| {
            let mut out = Vec::new();
            write_remaining(DeadlineKind::Instant, Duration::ZERO, NOW + distance, &mut out);
            out
        }),
        "17951[0-9]{5}(\\.[0-9]{1,9})?".prop_map(String::into_bytes),
        "t=17951[0-9]{5}(\\.[0-9]{1,9})?".prop_map(String::into_bytes),
    ];
    (name, value)
}

fn written(kind: DeadlineKind, remaining: Duration, now: i64) -> (Vec<u8>, Vec<u8>) {
    let mut value = Vec::new();
    write_remaining(kind, remaining, now, &mut value);
    (name_of(kind).as_bytes().to_vec(), value)
}

proptest! {
    #[test]
    fn any_request_gets_a_sane_budget(fields in proptest::collection::vec(any_field(), 0..8), trusted: bool) {
        let headers = headers(Duration::from_millis(50));
        let budget = read(&headers, &fields, trusted);
        prop_assert!(budget.remaining.is_none_or(|remaining| remaining <= MAX));
        prop_assert!(budget.tolerance <= budget.remaining.unwrap_or_default());
        prop_assert!(budget.tolerance <= Duration::from_millis(50));
        prop_assert_eq!(budget.source.is_some(), budget.remaining.is_some());
        prop_assert!(budget.source.is_none_or(|id| budget.understood.contains(id)));
        prop_assert!(trusted || budget.age == Duration::ZERO);
        let aged = |id| matches!(headers.header(id), Some((_, HeaderKind::Age(AgeKind::Since | AgeKind::Seconds))));
        prop_assert!(trusted || !budget.understood.iter().chain(budget.invalid.iter()).any(aged));
    }

    /// Whatever is added to a request, it never gets more time, and it never looks younger.
    #[test]
    fn a_further_header_never_gives_more_time(
        fields in proptest::collection::vec(any_field(), 0..6), further in any_field(), trusted: bool,
    ) {
        let headers = headers(Duration::from_millis(50));
        let before = read(&headers, &fields, trusted);
        let mut more = fields;
        more.push(further);
        let after = read(&headers, &more, trusted);
        prop_assert!(after.age >= before.age);
        if let Some(remaining) = before.remaining {
            prop_assert!(after.remaining.is_some_and(|less| less <= remaining));
        }
    }

    #[test]
    fn the_order_of_fields_is_irrelevant(fields in proptest::collection::vec(any_field(), 0..8)) {
        let headers = headers(Duration::from_millis(50));
        let forwards = read(&headers, &fields, true);
        let backwards = read(&headers, &fields.iter().rev().cloned().collect::<Vec<_>>(), true);
        // Two headers may name the same deadline; then either may be the source.
        let unsourced = |mut budget: Budget| {
            budget.source = None;
            budget
        };
        prop_assert_eq!(unsourced(forwards), unsourced(backwards));
    }

    /// Each kind loses at most one of its units, and gains nothing but a smallest unit.
    #[test]
    fn what_is_written_is_read_back(kind in any_kind(), nanos in 1u64..3_600_000_000_000) {
        let remaining = Duration::from_nanos(nanos);
        let field = written(kind, remaining, NOW);
        let budget = read(&headers(Duration::ZERO), &[field], false);
        let back = budget.remaining.expect("written values are well-formed");
        prop_assert!(budget.invalid.is_empty());
        let (least, lost) = match kind {
            DeadlineKind::Instant => (0, 1_000),
            DeadlineKind::Milliseconds => (1_000_000, 1_000_000),
            // Eight digits, and the next coarser unit is at most a thousand times as long: five digits at least.
            DeadlineKind::GrpcTimeout => (1, nanos / 100_000 + 1),
        };
        prop_assert!(back <= remaining.max(Duration::from_nanos(least)), "{back:?} > {remaining:?}");
        prop_assert!(back + Duration::from_nanos(lost) >= remaining, "{back:?} << {remaining:?}");
    }

    #[test]
    fn an_earlier_deadline_leaves_less_time(
        kind in any_kind(), one in 0u64..3_600_000_000_000, other in 0u64..3_600_000_000_000, skew in 0u64..1_000_000_000,
    ) {
        let headers = headers(Duration::from_nanos(skew));
        let left = |nanos| {
            read(&headers, &[written(kind, Duration::from_nanos(nanos), NOW)], false).remaining.unwrap()
        };
        prop_assert!(left(one.min(other)) <= left(one.max(other)));
    }

    #[test]
    fn a_later_clock_leaves_less_time(at in 0i64..3_600_000_000_000, passed in 0i64..3_000_000_000_000) {
        let headers = headers(Duration::from_millis(50));
        let (name, value) = written(DeadlineKind::Instant, Duration::from_nanos(at as u64), NOW);
        let left = |now| headers.budget([(name.as_slice(), value.as_slice())], now, false).remaining;
        prop_assert!(left(NOW + passed) <= left(NOW));
    }

    /// A proxy that passes on what is left, without its own tolerance, moves the client's instant by less than one unit.
    #[test]
    fn a_chain_of_hops_does_not_lengthen_a_deadline(
        nanos in 1_000_000u64..3_000_000_000_000, spent in 0u64..1_000_000, hops in 1usize..6,
    ) {
        let headers = headers(Duration::from_millis(50));
        let mut field = written(DeadlineKind::Instant, Duration::from_nanos(nanos), NOW);
        let original = field.1.clone();
        let mut now = NOW;
        for _ in 0..hops {
            let budget = headers.budget([(field.0.as_slice(), field.1.as_slice())], now, false);
            let step = Duration::from_nanos(spent);
            let left = budget.remaining.unwrap().saturating_sub(budget.tolerance).saturating_sub(step);
            now += spent as i64;
            if left.is_zero() {
                break;
            }
            field = written(DeadlineKind::Instant, left, now);
            prop_assert!(field.1 <= original, "{:?}", field.1);
        }
    }

    #[test]
    fn any_clock_is_survived(now: i64, nanos: u64, kind in any_kind(), fields in proptest::collection::vec(any_field(), 0..4)) {
        let headers = headers(Duration::from_millis(50));
        headers.budget(fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())), now, true);
        written(kind, Duration::from_nanos(nanos), now);
    }
}
