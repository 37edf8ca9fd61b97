//! Durations and sizes as people write them.
//!
//! A duration is a whole number with a unit (`us ms s m h d`), as HAProxy has them; without a unit it counts milliseconds, because
//! Spillway's variables do. A size is a whole number with `B`, `KB`/`MB`/`GB` (powers of 1000) or `KiB`/`MiB`/`GiB` (powers
//! of 1024); without a unit it counts bytes. Fractions, signs and spaces are refused: there is one way to write each value.

use std::time::Duration;

/// Largest unit first, so that formatting finds the shortest form. Microseconds per unit.
const DURATION_UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Bytes per unit; the binary ones first, which formatting prefers.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads `5s`, `500ms` or `5000` (milliseconds); `None` when it is anything else or too large for 64 bits of microseconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let micros = if unit.is_empty() { 1_000 } else { unit_size(&DURATION_UNITS, unit)? };
    Some(Duration::from_micros(number.checked_mul(micros)?))
}

/// Writes a duration with the largest unit that divides it, rounded down to microseconds: `5s`, `1500ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 {
        return "0s".to_owned();
    }
    let (unit, size) = largest_divisor(&DURATION_UNITS, micros);
    format!("{}{unit}", micros / size)
}

/// Reads `64KiB`, `1MB` or `65536` (bytes); `None` when it is anything else or exceeds 64 bits.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let bytes = if unit.is_empty() { 1 } else { unit_size(&SIZE_UNITS, unit)? };
    number.checked_mul(bytes)
}

/// Writes a size with the largest binary unit that divides it: `64KiB`, `1000B`, `0B`.
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 {
        return "0B".to_owned();
    }
    let (unit, size) = largest_divisor(&[SIZE_UNITS[0], SIZE_UNITS[1], SIZE_UNITS[2], ("B", 1)], bytes);
    format!("{}{unit}", bytes / size)
}

/// The leading digits as a number, and the rest.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

fn unit_size(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size)
}

/// The first unit that divides `value` exactly. The last unit must be 1.
fn largest_divisor<'u>(units: &[(&'u str, u64)], value: u64) -> (&'u str, u64) {
    *units
        .iter()
        .find(|(_, size)| value.is_multiple_of(*size))
        .expect("the last unit is 1, which divides everything")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_as_haproxy_writes_them() {
        let cases = [
            ("5000", 5_000_000),
            ("5s", 5_000_000),
            ("700", 700_000),
            ("250us", 250),
            ("2m", 120_000_000),
            ("1h", 3_600_000_000),
            ("1d", 86_400_000_000),
            ("0", 0),
        ];
        for (text, micros) in cases {
            assert_eq!(parse_duration(text), Some(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration() {
        let wrong = [
            "",
            "s",
            "5 s",
            "5 sec",
            "5sec",
            "-1",
            "+5s",
            "1.5s",
            "5S",
            "5s ",
            " 5s",
            "1e3",
            "99999999999999999999",
            "300000000d",
        ];
        for text in wrong {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_in_both_systems() {
        for (text, bytes) in
            [("0", 0), ("65536", 65_536), ("64KiB", 65_536), ("1MB", 1_000_000), ("2GiB", 2 << 30), ("7B", 7)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "64 KiB", "64kib", "-1", "1.5MB", "KiB", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn the_shortest_exact_form_is_written() {
        for (micros, text) in
            [(75_000_000, "75s"), (60_000_000, "1m"), (1_500_000, "1500ms"), (1, "1us"), (0, "0s")]
        {
            assert_eq!(format_duration(Duration::from_micros(micros)), text);
        }
        for (bytes, text) in [(65_536, "64KiB"), (1_000, "1000B"), (256 << 20, "256MiB"), (0, "0B")] {
            assert_eq!(format_size(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn durations_round_trip(micros in 0..=u64::MAX) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }

        #[test]
        fn sizes_round_trip(bytes in 0..=u64::MAX) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
