//! Every format of every deadline header, good and bad, and how several of them make one budget.

use std::time::Duration;

use loadline_http::deadline::{
    AgeKind, Budget, DeadlineHeaders, DeadlineKind, DeadlineSettings, HeaderError, HeaderKind, NaiveZone,
    write_line, write_remaining,
};

/// 2026-11-20T15:27:23.726505710Z
const NOW: i64 = 1_795_188_443_726_505_710;
const SKEW: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_secs(3_600);

fn headers() -> DeadlineHeaders {
    DeadlineHeaders::new(DeadlineSettings { zone: NaiveZone::Utc, ..DeadlineSettings::default() }).unwrap()
}

fn exact() -> DeadlineHeaders {
    let settings =
        DeadlineSettings { zone: NaiveZone::Utc, skew: Duration::ZERO, ..DeadlineSettings::default() };
    DeadlineHeaders::new(settings).unwrap()
}

fn read(headers: &DeadlineHeaders, fields: &[(&str, &str)], trusted: bool) -> Budget {
    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    headers.budget(fields, NOW, trusted)
}

fn one(name: &str, value: &str) -> Budget {
    read(&exact(), &[(name, value)], true)
}

/// What a table row expects.
#[derive(Clone, Copy, Debug)]
enum Means {
    /// So many nanoseconds are left.
    Left(u64),
    Passed,
    /// So many nanoseconds were waited.
    Waited(u64),
    /// Ignored and counted.
    Invalid,
}
use Means::{Invalid, Left, Passed, Waited};

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// Header, value, meaning at `NOW`; naive dates are in UTC, there is no tolerance.
const TABLE: &[(&str, &str, Means)] = &[
    // RFC 3339.
    ("x-respond-by", "2026-11-20T15:27:24.226505710Z", Left(500 * MS)),
    ("x-respond-by", "2026-11-20T15:27:24.2265057Z", Left(500 * MS - 10)),
    ("x-respond-by", "2026-11-20T15:27:24.226Z", Left(500 * MS - 505_710)),
    ("x-respond-by", "2026-11-20T15:27:24.2Z", Left(473_494_290)),
    ("x-respond-by", "2026-11-20T15:27:24Z", Left(273_494_290)),
    ("x-respond-by", "2026-11-20t15:27:24z", Left(273_494_290)),
    ("x-respond-by", "2026-11-20T15:27:24+00:00", Left(273_494_290)),
    ("x-respond-by", "2026-11-20T15:27:24-00:00", Left(273_494_290)),
    ("x-respond-by", "2026-11-20T16:27:24+01:00", Left(273_494_290)),
    ("x-respond-by", "2026-11-21T14:27:24+23:00", Left(273_494_290)),
    ("x-respond-by", "2026-11-20T11:57:24.2-03:30", Left(473_494_290)),
    ("x-respond-by", "2026-11-20T21:12:24.000+05:45", Left(273_494_290)),
    ("x-respond-by", "2026-11-20T16:27:23.726505710Z", Left(3_600 * S)),
    ("x-respond-by", "2026-11-20T15:27:23.726505710Z", Passed),
    ("x-respond-by", "2026-11-20T15:27:23Z", Passed),
    ("x-respond-by", "2026-11-20T14:27:23.726505710Z", Passed),
    ("x-request-deadline", "2026-11-20T15:27:24.226505710Z", Left(500 * MS)),
    // Without zone, as Python prints it.
    ("x-respond-by", "2026-11-20T15:27:24.226505", Left(500 * MS - 710)),
    ("x-respond-by", "2026-11-20T15:27:24", Left(273_494_290)),
    ("x-respond-by", "2026-11-20T15:27:24.226505710", Left(500 * MS)),
    ("x-respond-by", "2026-11-20T15:27:23", Passed),
    // Seconds and milliseconds since 1970.
    ("x-respond-by", "1795188444", Left(273_494_290)),
    ("x-respond-by", "1795188444.5", Left(773_494_290)),
    ("x-respond-by", "1795188443.8265057", Left(100 * MS - 10)),
    ("x-respond-by", "1795188443.726505711", Left(1)),
    ("x-respond-by", "1795188443.726505710", Passed),
    ("x-respond-by", "1795188443", Passed),
    ("x-respond-by", "1795188444226", Left(499_494_290)),
    ("x-request-deadline", "1795188444.5", Left(773_494_290)),
    // IMF-fixdate.
    ("x-respond-by", "Fri, 20 Nov 2026 15:27:24 GMT", Left(273_494_290)),
    ("x-request-deadline", "Fri, 20 Nov 2026 15:27:23 GMT", Passed),
    // Implausible: the wrong clock, the wrong zone, the wrong unit.
    ("x-respond-by", "2026-11-20T16:27:23.726505711Z", Invalid),
    ("x-respond-by", "2026-11-20T14:27:23.726505709Z", Invalid),
    ("x-respond-by", "2026-11-20T20:27:24.226505", Invalid),
    ("x-respond-by", "2016-11-20T15:27:24Z", Invalid),
    ("x-respond-by", "2036-11-20T15:27:24Z", Invalid),
    ("x-respond-by", "0000-01-01T00:00:00Z", Invalid),
    ("x-respond-by", "9999-12-31T23:59:59Z", Invalid),
    ("x-respond-by", "0000000000", Invalid),
    ("x-respond-by", "9999999999", Invalid),
    ("x-respond-by", "9999999999999", Invalid),
    ("x-request-deadline", "1519", Invalid),
    ("x-request-deadline", "1519.25", Invalid),
    ("x-request-deadline", "179518844.5", Invalid),
    ("x-request-deadline", "17951884445", Invalid),
    ("x-request-deadline", "1795188444226505", Invalid),
    ("x-request-deadline", "1795188444226505710", Invalid),
    ("x-request-deadline", "1795188444226.5", Invalid),
    // Not numbers in this grammar.
    ("x-request-deadline", "", Invalid),
    ("x-request-deadline", " ", Invalid),
    ("x-request-deadline", "0", Invalid),
    ("x-request-deadline", "-1", Invalid),
    ("x-request-deadline", "nan", Invalid),
    ("x-request-deadline", "NaN", Invalid),
    ("x-request-deadline", "inf", Invalid),
    ("x-request-deadline", "-inf", Invalid),
    ("x-request-deadline", "Infinity", Invalid),
    ("x-request-deadline", "1e400", Invalid),
    ("x-request-deadline", "1.795188444e9", Invalid),
    ("x-request-deadline", "+1795188444", Invalid),
    ("x-request-deadline", "++1795188444", Invalid),
    ("x-request-deadline", "-1795188444", Invalid),
    ("x-request-deadline", "1795188444.", Invalid),
    ("x-request-deadline", ".1795188444", Invalid),
    ("x-request-deadline", "1795188444.5.5", Invalid),
    ("x-request-deadline", "1795188444,5", Invalid),
    ("x-request-deadline", "1,795,188,444", Invalid),
    ("x-request-deadline", "1_795_188_444", Invalid),
    ("x-request-deadline", "1 795 188 444", Invalid),
    ("x-request-deadline", "1795188444.0000000001", Invalid),
    ("x-request-deadline", "1795188444s", Invalid),
    ("x-request-deadline", "t=1795188444", Invalid),
    ("x-request-deadline", "0x6b0071dc", Invalid),
    ("x-request-deadline", "0b1795188444", Invalid),
    ("x-request-deadline", "\"1795188444\"", Invalid),
    ("x-request-deadline", " 1795188444", Invalid),
    ("x-request-deadline", "1795188444 ", Invalid),
    ("x-request-deadline", "1795188444\t", Invalid),
    ("x-request-deadline", "1795188444\0", Invalid),
    ("x-request-deadline", "1795188444\r\n", Invalid),
    ("x-request-deadline", "1795188444, 1795188444", Invalid),
    ("x-request-deadline", "@1795188444", Invalid),
    ("x-request-deadline", "१७९५१८८४४४", Invalid),
    ("x-request-deadline", "１７９５１８８４４４", Invalid),
    ("x-request-deadline", "99999999999999999999999999999999999999999999999", Invalid),
    ("x-request-deadline", "None", Invalid),
    ("x-request-deadline", "null", Invalid),
    ("x-request-deadline", "undefined", Invalid),
    ("x-request-deadline", "never", Invalid),
    ("x-request-deadline", "now", Invalid),
    ("x-request-deadline", "{{deadline}}", Invalid),
    // What lenient parsers guess at.
    ("x-respond-by", "12", Invalid),
    ("x-respond-by", "12:30", Invalid),
    ("x-respond-by", "15:27:24", Invalid),
    ("x-respond-by", "T15:27:24Z", Invalid),
    ("x-respond-by", "2026", Invalid),
    ("x-respond-by", "2026-11", Invalid),
    ("x-respond-by", "2026-11-20", Invalid),
    ("x-respond-by", "2026-11-20T15", Invalid),
    ("x-respond-by", "2026-11-20T15:27", Invalid),
    ("x-respond-by", "2026-11-20T15:27Z", Invalid),
    ("x-respond-by", "20261120T152724Z", Invalid),
    ("x-respond-by", "2026-W47-5T15:27:24Z", Invalid),
    ("x-respond-by", "2026-324T15:27:24Z", Invalid),
    ("x-respond-by", "2026-11-20 15:27:24Z", Invalid),
    ("x-respond-by", "2026-11-20_15:27:24Z", Invalid),
    ("x-respond-by", "2026/11/20T15:27:24Z", Invalid),
    ("x-respond-by", "2026-11-20T15.27.24Z", Invalid),
    ("x-respond-by", "20-11-2026T15:27:24Z", Invalid),
    ("x-respond-by", "26-11-20T15:27:24Z", Invalid),
    ("x-respond-by", "12026-11-20T15:27:24Z", Invalid),
    ("x-respond-by", "+002026-11-20T15:27:24Z", Invalid),
    ("x-respond-by", "-2026-11-20T15:27:24Z", Invalid),
    ("x-respond-by", "10000-01-01T00:00:00Z", Invalid),
    ("x-respond-by", "2026-1-2T3:4:5Z", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24.Z", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24.", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24,5Z", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24.0000000001Z", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24.5.5Z", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24ZZ", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24 Z", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24Z ", Invalid),
    ("x-respond-by", " 2026-11-20T15:27:24Z", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24 GMT", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24UTC", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24+0100", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24+01", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24+1:00", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24+24:00", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24+00:60", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24++00:00", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24+05:53:28", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24\u{2212}00:00", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24+01:00[Europe/Berlin]", Invalid),
    ("x-respond-by", "2026\u{2010}11\u{2010}20T15:27:24Z", Invalid),
    ("x-respond-by", "2026-11-20T15:27:2\u{0664}Z", Invalid),
    ("x-respond-by", "2026-11-20T15:27:60Z", Invalid),
    ("x-respond-by", "2026-12-31T23:59:60Z", Invalid),
    ("x-respond-by", "2026-11-20T24:00:00Z", Invalid),
    ("x-respond-by", "2026-11-20T25:27:24Z", Invalid),
    ("x-respond-by", "2026-11-20T15:60:24Z", Invalid),
    ("x-respond-by", "2026-11-20T15:27:99Z", Invalid),
    ("x-respond-by", "2026-13-20T15:27:24Z", Invalid),
    ("x-respond-by", "2026-00-20T15:27:24Z", Invalid),
    ("x-respond-by", "2026-02-30T15:27:24Z", Invalid),
    ("x-respond-by", "2026-02-29T15:27:24", Invalid),
    ("x-respond-by", "2026-11-00T15:27:24Z", Invalid),
    ("x-respond-by", "2026-11-31T15:27:24Z", Invalid),
    ("x-respond-by", "2026-11- 2T15:27:24Z", Invalid),
    ("x-respond-by", "2026-11--2T15:27:24Z", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24Z;drop", Invalid),
    ("x-respond-by", "2026-11-20T15:27:24Z, 2026-11-20T15:27:25Z", Invalid),
    // Almost an IMF-fixdate.
    ("x-respond-by", "Thu, 20 Nov 2026 15:27:24 GMT", Invalid),
    ("x-respond-by", "Fri, 20 Nov 2026 15:27:24 UTC", Invalid),
    ("x-respond-by", "Fri, 20 Nov 2026 15:27:24 gmt", Invalid),
    ("x-respond-by", "Fri, 20 Nov 2026 15:27:24 +0000", Invalid),
    ("x-respond-by", "Fri, 20 Nov 2026 15:27:24", Invalid),
    ("x-respond-by", "Fri, 20 nov 2026 15:27:24 GMT", Invalid),
    ("x-respond-by", "fri, 20 Nov 2026 15:27:24 GMT", Invalid),
    ("x-respond-by", "Fr, 20 Nov 2026 15:27:24 GMT", Invalid),
    ("x-respond-by", "Ven, 20 Nov 2026 15:27:24 GMT", Invalid),
    ("x-respond-by", "Fri,  20 Nov 2026 15:27:24 GMT", Invalid),
    ("x-respond-by", "Mon, 31 Nov 2026 15:27:24 GMT", Invalid),
    ("x-respond-by", "Fri, 20 Nov 26 15:27:24 GMT", Invalid),
    ("x-respond-by", "Fri, 20 Nov 2026 15:27:60 GMT", Invalid),
    ("x-respond-by", "Fri, 20 Nov 2026 24:00:00 GMT", Invalid),
    ("x-respond-by", "Friday, 20-Nov-26 15:27:24 GMT", Invalid),
    ("x-respond-by", "Fri Nov 20 15:27:24 2026", Invalid),
    // Milliseconds.
    ("x-request-timeout-ms", "1", Left(MS)),
    ("x-request-timeout-ms", "250", Left(250 * MS)),
    ("x-request-timeout-ms", "0250", Left(250 * MS)),
    ("x-request-timeout-ms", "3600000", Left(3_600 * S)),
    ("x-request-timeout-ms", "3600001", Left(3_600 * S)),
    ("x-request-timeout-ms", "999999999999999", Left(3_600 * S)),
    ("x-envoy-expected-rq-timeout-ms", "15000", Left(15 * S)),
    ("x-request-timeout-ms", "", Invalid),
    ("x-request-timeout-ms", "0", Invalid),
    ("x-request-timeout-ms", "-250", Invalid),
    ("x-request-timeout-ms", "+250", Invalid),
    ("x-request-timeout-ms", "250.0", Invalid),
    ("x-request-timeout-ms", "250ms", Invalid),
    ("x-request-timeout-ms", "2e2", Invalid),
    ("x-request-timeout-ms", "250 ", Invalid),
    ("x-request-timeout-ms", "1,000", Invalid),
    ("x-request-timeout-ms", "0xfa", Invalid),
    ("x-request-timeout-ms", "٢٥٠", Invalid),
    ("x-request-timeout-ms", "1000000000000000", Invalid),
    ("x-request-timeout-ms", "18446744073709551617", Invalid),
    ("x-envoy-expected-rq-timeout-ms", "0", Invalid),
    ("x-envoy-expected-rq-timeout-ms", "infinite", Invalid),
    // gRPC.
    ("grpc-timeout", "1H", Left(3_600 * S)),
    ("grpc-timeout", "2M", Left(120 * S)),
    ("grpc-timeout", "5S", Left(5 * S)),
    ("grpc-timeout", "250m", Left(250 * MS)),
    ("grpc-timeout", "99999999u", Left(99_999_999_000)),
    ("grpc-timeout", "99999999n", Left(99_999_999)),
    ("grpc-timeout", "00000001S", Left(S)),
    ("grpc-timeout", "99999999H", Left(3_600 * S)),
    ("grpc-timeout", "0n", Passed),
    ("grpc-timeout", "0S", Passed),
    ("grpc-timeout", "", Invalid),
    ("grpc-timeout", "S", Invalid),
    ("grpc-timeout", "5", Invalid),
    ("grpc-timeout", "5s", Invalid),
    ("grpc-timeout", "5h", Invalid),
    ("grpc-timeout", "5 S", Invalid),
    ("grpc-timeout", "5S ", Invalid),
    ("grpc-timeout", "-5S", Invalid),
    ("grpc-timeout", "1.5S", Invalid),
    ("grpc-timeout", "5ms", Invalid),
    ("grpc-timeout", "5µ", Invalid),
    ("grpc-timeout", "123456789S", Invalid),
    // Since when it waits.
    ("x-request-start", "t=1795188443.226505710", Waited(500 * MS)),
    ("x-request-start", "1795188443.226", Waited(500_505_710)),
    ("x-request-start", "1795188443226", Waited(500_505_710)),
    ("x-request-start", "1795188443226.505", Waited(500 * MS + 710)),
    ("x-request-start", "t=1795188443226505", Waited(500 * MS + 710)),
    ("x-request-start", "t=1795188443226505.71", Waited(500 * MS)),
    ("x-request-start", "1795188443226505710", Waited(500 * MS)),
    ("x-queue-start", "t=1795188433", Waited(10_726_505_710)),
    ("x-queue-start", "1795188443.726505710", Waited(0)),
    ("x-queue-start", "1795188445", Waited(0)),
    ("x-queue-start", "1795184843.726505710", Waited(3_600 * S)),
    ("x-queue-start", "1795184843.726505709", Invalid),
    ("x-queue-start", "1795192045", Invalid),
    ("x-queue-start", "", Invalid),
    ("x-queue-start", "t=", Invalid),
    ("x-queue-start", "t=t=1795188443", Invalid),
    ("x-queue-start", "T=1795188443", Invalid),
    ("x-queue-start", "s=1795188443", Invalid),
    ("x-queue-start", "t= 1795188443", Invalid),
    ("x-queue-start", "-1795188443", Invalid),
    ("x-queue-start", "179518844322", Invalid),
    ("x-queue-start", "9999999999999999999", Invalid),
    ("x-queue-start", "2026-11-20T15:27:23Z", Invalid),
    // How many seconds it waited.
    ("x-queue-time-seconds", "0", Waited(0)),
    ("x-queue-time-seconds", "0.25", Waited(250 * MS)),
    ("x-queue-time-seconds", "10.000000001", Waited(10 * S + 1)),
    ("x-queue-time-seconds", "3600", Waited(3_600 * S)),
    ("x-queue-time-seconds", "3600.1", Invalid),
    ("x-queue-time-seconds", "1e400", Invalid),
    ("x-queue-time-seconds", "nan", Invalid),
    ("x-queue-time-seconds", "-inf", Invalid),
    ("x-queue-time-seconds", "-0.5", Invalid),
    ("x-queue-time-seconds", "5s", Invalid),
    ("x-queue-time-seconds", "0,25", Invalid),
    ("x-queue-time-seconds", "", Invalid),
];

#[test]
fn the_table_of_formats() {
    assert!(TABLE.len() >= 80);
    for &(name, value, means) in TABLE {
        let budget = one(name, value);
        let nanos = Duration::from_nanos;
        let (remaining, age) = match means {
            Left(left) => (Some(nanos(left)), Duration::ZERO),
            Passed => (Some(Duration::ZERO), Duration::ZERO),
            Waited(waited) => (None, nanos(waited)),
            Invalid => (None, Duration::ZERO),
        };
        let row = format!("{name}: {value:?}");
        assert_eq!((budget.remaining, budget.age), (remaining, age), "{row}");
        assert_eq!(budget.expired(), matches!(means, Passed), "{row}");
        assert_eq!(budget.source.is_some(), remaining.is_some(), "{row}");
        let (right, wrong) = if matches!(means, Invalid) {
            (budget.invalid, budget.understood)
        } else {
            (budget.understood, budget.invalid)
        };
        assert!(wrong.is_empty(), "{row}");
        let names: Vec<_> = right.iter().map(|id| exact().header(id).unwrap().0.to_owned()).collect();
        assert_eq!(names, [name], "{row}");
    }
}

#[test]
fn names_are_found_in_any_case_and_others_are_not() {
    assert_eq!(one("X-Respond-By", "1795188444").remaining, Some(Duration::from_nanos(273_494_290)));
    assert_eq!(one("GRPC-TIMEOUT", "5S").remaining, Some(Duration::from_secs(5)));
    for other in ["", "x-respond-b", "x-respond-by-", "content-type", &"x".repeat(300)] {
        assert_eq!(one(other, "garbage"), Budget::default(), "{other:?}");
        assert!(!headers().reads(other.as_bytes()), "{other:?}");
    }
    assert!(headers().reads(b"X-Respond-By") && headers().reads(b"GRPC-TIMEOUT"));
}

#[test]
fn the_earliest_counts_whatever_its_kind_and_place() {
    let by = ("x-respond-by", "2026-11-20T15:27:24Z"); // 273 ms
    let long = ("x-request-timeout-ms", "900");
    let short = ("grpc-timeout", "100m");
    let headers = exact();
    let source = |budget: Budget| headers.header(budget.source.unwrap()).unwrap().0.to_owned();
    for fields in [[by, long, short], [short, by, long], [long, short, by]] {
        let budget = read(&headers, &fields, false);
        assert_eq!(budget.remaining, Some(Duration::from_millis(100)));
        assert_eq!(source(budget), "grpc-timeout");
        assert_eq!(budget.understood.iter().count(), 3);
    }
    assert_eq!(source(read(&headers, &[long, by], false)), "x-respond-by");

    let twice =
        [("x-request-timeout-ms", "900"), ("X-Request-Timeout-Ms", "300"), ("x-request-timeout-ms", "?")];
    let budget = read(&headers, &twice, false);
    assert_eq!(budget.remaining, Some(Duration::from_millis(300)));
    assert_eq!((budget.understood, budget.understood.iter().count()), (budget.invalid, 1));
}

#[test]
fn a_malformed_deadline_leaves_the_others_in_force() {
    let budget = read(&exact(), &[("x-respond-by", "12:30"), ("grpc-timeout", "1S")], false);
    assert_eq!(budget.remaining, Some(Duration::from_secs(1)));
    assert_eq!(budget.invalid.iter().count(), 1);
}

#[test]
fn instants_are_compared_with_tolerance_and_durations_are_not() {
    let headers = headers();
    let left = |value| {
        let budget = read(&headers, &[("x-respond-by", value)], false);
        (budget.remaining.unwrap(), budget.tolerance)
    };
    let nanos = Duration::from_nanos;
    assert_eq!(left("1795188444"), (nanos(273_494_290) + SKEW, SKEW));
    assert_eq!(left("1795188443.726505710"), (SKEW, SKEW));
    // 10 ms late, 40 ms of tolerance are left; none of it is the client's.
    assert_eq!(left("1795188443.716505710"), (Duration::from_millis(40), Duration::from_millis(40)));
    assert_eq!(left("1795188443.676505711"), (nanos(1), nanos(1)));
    assert_eq!(left("1795188443.676505710"), (Duration::ZERO, Duration::ZERO));
    assert_eq!(left("1795188443.6"), (Duration::ZERO, Duration::ZERO));
    // The tolerance does not lift the longest budget.
    assert_eq!(left("2026-11-20T16:27:23.726505710Z"), (HOUR, Duration::ZERO));
    assert_eq!(left("2026-11-20T16:27:23.716505710Z"), (HOUR, Duration::from_millis(10)));

    let budget = read(&headers, &[("grpc-timeout", "1S")], false);
    assert_eq!((budget.remaining, budget.tolerance), (Some(Duration::from_secs(1)), Duration::ZERO));

    // 100 ms to the instant, 120 ms to the end of the duration: the tolerance ends with the duration, and 100 are promised.
    let both = [("x-respond-by", "1795188443.826505710"), ("x-request-timeout-ms", "120")];
    let budget = read(&headers, &both, false);
    let ms = Duration::from_millis;
    assert_eq!((budget.remaining, budget.tolerance), (Some(ms(120)), ms(20)));
}

#[test]
fn a_wait_shortens_durations_and_is_believed_from_trusted_hops_only() {
    let headers = exact();
    let waited = ("x-queue-time-seconds", "0.2");
    let since = ("x-request-start", "t=1795188443.426505710");
    let timeout = ("x-request-timeout-ms", "500");
    let ms = Duration::from_millis;

    let budget = read(&headers, &[timeout, waited], true);
    assert_eq!((budget.remaining, budget.age), (Some(ms(300)), ms(200)));
    let budget = read(&headers, &[waited, timeout, since], true);
    assert_eq!((budget.remaining, budget.age), (Some(ms(200)), ms(300)), "the longest report counts");
    let budget = read(&headers, &[("grpc-timeout", "200m"), waited], true);
    assert!(budget.expired());

    let instant = ("x-respond-by", "1795188443.826505710");
    assert_eq!(read(&headers, &[instant, waited], true).remaining, Some(ms(100)));

    let untrusted = read(&headers, &[timeout, waited, ("x-queue-start", "garbage")], false);
    assert_eq!((untrusted.remaining, untrusted.age), (Some(ms(500)), Duration::ZERO));
    assert!(untrusted.invalid.is_empty());
    assert_eq!(untrusted.understood.iter().count(), 1);
}

#[test]
fn the_age_rule_is_strict() {
    let ten = Duration::from_secs(10);
    assert!(!one("x-queue-time-seconds", "10").waited_longer_than(ten));
    assert!(one("x-queue-time-seconds", "10.000000001").waited_longer_than(ten));
}

#[test]
fn a_short_maximum_cuts_durations_and_still_knows_a_late_request() {
    let settings =
        DeadlineSettings { max: Duration::from_secs(5), skew: Duration::ZERO, ..Default::default() };
    let headers = DeadlineHeaders::new(settings).unwrap();
    let left = |name, value| read(&headers, &[(name, value)], false).remaining;
    assert_eq!(left("grpc-timeout", "1M"), Some(Duration::from_secs(5)));
    assert_eq!(left("x-respond-by", "1795188449"), None, "further ahead than anybody may wait");
    assert_eq!(
        left("x-respond-by", "1795188400"),
        Some(Duration::ZERO),
        "43 s late is late, not implausible"
    );
}

#[test]
fn a_wall_clock_at_either_end_of_its_range_is_survived() {
    let headers = headers();
    for now in [i64::MIN, -1, 0, i64::MAX] {
        for &(name, value, _) in TABLE {
            headers.budget([(name.as_bytes(), value.as_bytes())], now, true);
        }
        for kind in [DeadlineKind::Instant, DeadlineKind::Milliseconds, DeadlineKind::GrpcTimeout] {
            for remaining in [Duration::ZERO, Duration::MAX] {
                write_remaining(kind, remaining, now, &mut Vec::new());
            }
        }
    }
}

#[test]
fn what_is_left_is_written_for_the_next_hop() {
    let text = |kind, nanos| {
        let mut out = Vec::new();
        write_remaining(kind, Duration::from_nanos(nanos), NOW, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(text(DeadlineKind::Instant, 500 * MS), "2026-11-20T15:27:24.226505Z");
    assert_eq!(text(DeadlineKind::Instant, 0), "2026-11-20T15:27:23.726505Z");
    assert_eq!(text(DeadlineKind::Milliseconds, 250 * MS + 999_999), "250");
    assert_eq!(text(DeadlineKind::Milliseconds, 0), "1");
    let grpc = [
        (0, "1n"),
        (1, "1n"),
        (99_999_999, "99999999n"),
        (100_000_000, "100m"),
        (123_456_789, "123456u"),
        (250 * MS, "250m"),
        (1_500 * MS, "1500m"),
        (S, "1S"),
        (90 * S, "90S"),
        (120 * S, "2M"),
        (3_600 * S, "1H"),
        (99_999_999_001, "99999999u"),
        (100_000_000_001, "100000m"),
        (u64::MAX, "5124095H"),
    ];
    for (nanos, expected) in grpc {
        assert_eq!(text(DeadlineKind::GrpcTimeout, nanos), expected);
    }

    let mut head = Vec::new();
    write_line("x-respond-by", DeadlineKind::Instant, Duration::from_millis(500), NOW, &mut head);
    write_line(
        "x-request-timeout-ms",
        DeadlineKind::Milliseconds,
        Duration::from_millis(500),
        NOW,
        &mut head,
    );
    let expected = "x-respond-by: 2026-11-20T15:27:24.226505Z\r\nx-request-timeout-ms: 500\r\n";
    assert_eq!(String::from_utf8(head).unwrap(), expected);
}

#[test]
fn settings_that_cannot_be_used() {
    let with = |names: &[&str]| {
        let kind = HeaderKind::Deadline(DeadlineKind::Instant);
        let headers = names.iter().map(|name| ((*name).to_owned(), kind)).collect();
        DeadlineHeaders::new(DeadlineSettings { headers, ..Default::default() }).map(|_| ())
    };
    assert_eq!(with(&["x-deadline", "x-other"]), Ok(()));
    assert_eq!(with(&[]), Ok(()));
    let long = "x".repeat(64);
    for bad in ["", "X-Respond-By", "x respond", "x:y", "é", long.as_str()] {
        assert_eq!(with(&[bad]), Err(HeaderError::Name(bad.to_owned())));
    }
    assert_eq!(with(&["a", "b", "a"]), Err(HeaderError::Twice("a".to_owned())));
    let names: Vec<String> = (0..17).map(|n| format!("x-{n}")).collect();
    assert_eq!(with(&names.iter().map(String::as_str).collect::<Vec<_>>()), Err(HeaderError::TooMany(17)));
    let zero = DeadlineSettings { max: Duration::ZERO, ..Default::default() };
    assert_eq!(DeadlineHeaders::new(zero).map(|_| ()), Err(HeaderError::ZeroMax));
    assert_eq!(HeaderError::Twice("a".to_owned()).to_string(), "\"a\" is given twice");
}

#[test]
fn well_known_names_have_their_kind() {
    assert_eq!(HeaderKind::known("grpc-timeout"), Some(HeaderKind::Deadline(DeadlineKind::GrpcTimeout)));
    assert_eq!(HeaderKind::known("x-queue-start"), Some(HeaderKind::Age(AgeKind::Since)));
    assert_eq!(HeaderKind::known("x-deadline"), None);
    assert_eq!(headers().headers().count(), 8);
}
