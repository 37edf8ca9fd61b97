//! Instants beside jiff's parsers, and dates without zone around changes of the clocks.

use jiff::{Timestamp, fmt::rfc2822, tz::TimeZone};
use proptest::prelude::*;

use super::*;

fn utc(value: &str) -> Option<i64> {
    parse(value.as_bytes(), &Zone::Utc)
}

/// Nanoseconds, if jiff knows the text and the instant fits.
fn jiff_rfc3339(value: &str) -> Option<i64> {
    i64::try_from(value.parse::<Timestamp>().ok()?.as_nanosecond()).ok()
}

/// Central Europe by rule, so that the test does not depend on the machine's zone files.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

#[test]
fn a_skipped_or_repeated_time_means_the_later_instant() {
    let berlin = Zone::Local(berlin());
    let rows = [
        ("2026-01-20T12:00:00", "2026-01-20T11:00:00Z"),
        ("2026-07-20T12:00:00", "2026-07-20T10:00:00Z"),
        // 29 March 2026: 02:00 becomes 03:00.
        ("2026-03-29T01:59:59.999999", "2026-03-29T00:59:59.999999Z"),
        ("2026-03-29T02:00:00", "2026-03-29T01:00:00Z"),
        ("2026-03-29T02:30:00", "2026-03-29T01:30:00Z"),
        ("2026-03-29T03:00:00", "2026-03-29T01:00:00Z"),
        // 25 October 2026: 03:00 becomes 02:00.
        ("2026-10-25T01:59:59", "2026-10-24T23:59:59Z"),
        ("2026-10-25T02:00:00", "2026-10-25T01:00:00Z"),
        ("2026-10-25T02:30:00.5", "2026-10-25T01:30:00.5Z"),
        ("2026-10-25T03:00:00", "2026-10-25T02:00:00Z"),
    ];
    for (local, expected) in rows {
        assert_eq!(parse(local.as_bytes(), &berlin), utc(expected), "{local}");
        assert!(utc(expected).is_some());
    }
}

#[test]
fn a_zone_changes_only_what_has_none() {
    for value in
        ["2026-11-20T15:27:23Z", "2026-11-20T15:27:23+05:00", "1795188443", "Fri, 20 Nov 2026 15:27:23 GMT"]
    {
        assert_eq!(parse(value.as_bytes(), &Zone::Local(berlin())), utc(value), "{value}");
    }
}

#[test]
fn the_ends_of_the_range() {
    assert_eq!(utc("1970-01-01T00:00:00Z"), Some(0));
    assert_eq!(utc("2262-04-11T23:47:16.854775807Z"), Some(i64::MAX));
    assert_eq!(utc("2262-04-11T23:47:16.854775808Z"), None);
    assert_eq!(utc("1677-09-21T00:12:44Z"), Some(-9_223_372_036_000_000_000));
    for outside in
        ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59"]
    {
        assert_eq!(utc(outside), None, "{outside}");
    }
}

proptest! {
    /// Every combination of fields, existing or not: accepted exactly when jiff does, with the same instant. jiff also
    /// takes the leap second and offsets of 24 hours, which the grammar here refuses, so they are not generated.
    #[test]
    fn rfc3339_is_accepted_when_jiff_accepts_it(
        year in 1690u32..2250, month in 0u32..15, day in 0u32..34,
        hour in 0u32..26, minute in 0u32..62, second in 0u32..60,
        fraction in proptest::option::of("[0-9]{1,9}"),
        offset in prop_oneof![Just("Z".to_owned()), Just("z".to_owned()),
            (any::<bool>(), 0u32..24, 0u32..62).prop_map(|(east, h, m)| {
                format!("{}{h:02}:{m:02}", if east { '+' } else { '-' })
            })],
        separator in prop_oneof![Just('T'), Just('t')],
    ) {
        let fraction = fraction.map_or(String::new(), |digits| format!(".{digits}"));
        let text = format!(
            "{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{offset}"
        );
        prop_assert_eq!(utc(&text), jiff_rfc3339(&text), "{}", text);
    }

    /// One byte changed anywhere: what is still accepted means what jiff says it means.
    #[test]
    fn a_changed_byte_never_changes_the_meaning_unnoticed(
        at in 0usize..32, byte in 0x20u8..0x7f,
        original in prop_oneof![
            Just("2026-11-20T15:27:23.726505Z"), Just("2026-02-28T23:59:59+05:30"), Just("2024-02-29T00:00:00Z"),
        ],
    ) {
        let mut bytes = original.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        if let Some(instant) = utc(&text) {
            // Another digit in the place of `Z` makes a time without zone, which the test reads as UTC.
            let jiff = jiff_rfc3339(&text).or_else(|| jiff_rfc3339(&format!("{text}Z")));
            prop_assert_eq!(Some(instant), jiff, "{}", text);
        }
    }

    #[test]
    fn http_dates_agree_with_jiff(seconds in -8_000_000_000i64..8_000_000_000, at in 0usize..40, byte in 0x20u8..0x7f) {
        let text = rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&Timestamp::from_second(seconds).unwrap()).unwrap();
        prop_assert_eq!(utc(&text), seconds.checked_mul(NANOS_PER_SECOND));

        let mut bytes = text.into_bytes();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        let changed = String::from_utf8(bytes).unwrap();
        if let Some(instant) = utc(&changed) {
            let jiff = rfc2822::DateTimeParser::new().parse_timestamp(&changed).unwrap();
            prop_assert_eq!(i128::from(instant), jiff.as_nanosecond(), "{}", changed);
        }
    }

    #[test]
    fn dates_without_zone_agree_with_jiff(seconds in 0i64..8_000_000_000, micros in 0u32..1_000_000) {
        let zone = berlin();
        let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(micros) * 1_000;
        let shown = zone.to_datetime(Timestamp::from_nanosecond(nanos).unwrap());
        let ours = parse(shown.to_string().as_bytes(), &Zone::Local(zone.clone()));
        let later = zone.to_ambiguous_timestamp(shown).later().unwrap();
        prop_assert_eq!(ours.map(i128::from), Some(later.as_nanosecond()));
    }

    #[test]
    fn any_bytes_are_survived(value in proptest::collection::vec(any::<u8>(), 0..40)) {
        parse(&value, &Zone::Utc);
    }
}
