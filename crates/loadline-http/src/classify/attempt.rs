//! Whether a request is a retry. It can only cost its sender something, so it is believed from anyone.

/// Nine digits fit 32 bits, and nobody retries a billion times.
const MOST_DIGITS: usize = 9;

/// The fields that [`attempt`] looks at.
pub const ATTEMPT_HEADERS: [&str; 3] =
    ["x-retry-attempt", "x-envoy-attempt-count", "grpc-previous-rpc-attempts"];

/// Which attempt this is: 1 for the first, 2 and more for retries.
///
/// `x-envoy-attempt-count` and `x-retry-attempt` hold that number, `grpc-previous-rpc-attempts` one less. If they differ,
/// the highest counts; 0 is the first attempt too; what is no plain number of at most nine digits is ignored.
pub fn attempt<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> u32 {
    let mut highest = 1;
    for (name, value) in fields {
        if let (Some(uncounted), Some(number)) = (uncounted(name), number(value)) {
            highest = highest.max(number + uncounted);
        }
    }
    highest
}

/// Whether [`attempt`] looks at fields of this name, whatever its case.
#[must_use]
pub fn is_attempt_header(name: &[u8]) -> bool {
    uncounted(name).is_some()
}

/// How many attempts the number in a field of this name leaves out; `None` if it says nothing of attempts.
fn uncounted(name: &[u8]) -> Option<u32> {
    match name.len() {
        15 if name.eq_ignore_ascii_case(b"x-retry-attempt") => Some(0),
        21 if name.eq_ignore_ascii_case(b"x-envoy-attempt-count") => Some(0),
        26 if name.eq_ignore_ascii_case(b"grpc-previous-rpc-attempts") => Some(1),
        _ => None,
    }
}

fn number(value: &[u8]) -> Option<u32> {
    if value.is_empty() || value.len() > MOST_DIGITS {
        return None;
    }
    value
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &str)]) -> u32 {
        attempt(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    #[test]
    fn attempts() {
        assert_eq!(of(&[]), 1);
        assert_eq!(ATTEMPT_HEADERS.map(|name| of(&[(name, "7")])), [7, 7, 8]);
        assert_eq!(of(&[("x-envoy-attempt-count", "1")]), 1);
        assert_eq!(of(&[("X-Envoy-Attempt-Count", "3")]), 3);
        assert_eq!(of(&[("grpc-previous-rpc-attempts", "1")]), 2);
        assert_eq!(of(&[("x-retry-attempt", "2")]), 2);
        assert_eq!(of(&[("x-retry-attempt", "0")]), 1);
        assert_eq!(
            of(&[
                ("x-retry-attempt", "2"),
                ("grpc-previous-rpc-attempts", "4"),
                ("x-envoy-attempt-count", "3")
            ]),
            5
        );
        assert_eq!(of(&[("grpc-previous-rpc-attempts", "999999999")]), 1_000_000_000);
        for malformed in ["", " 2", "2 ", "-2", "+2", "2.0", "2e1", "1000000000", "two", "２", "0x2", "2,3"]
        {
            for name in ["x-envoy-attempt-count", "grpc-previous-rpc-attempts", "x-retry-attempt"] {
                assert_eq!(of(&[(name, malformed)]), 1, "{malformed}");
            }
        }
        assert_eq!(of(&[("x-envoy-attempt-count", "x"), ("x-envoy-attempt-count", "2")]), 2);
        assert_eq!(of(&[("x-envoy-attempt-counts", "9"), ("attempt", "9"), ("", "9")]), 1);
        assert!(is_attempt_header(b"X-Retry-Attempt") && !is_attempt_header(b"x-retry-attempts"));
    }
}
