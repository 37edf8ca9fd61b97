//! Which names the fields of a head may have, in one word.
//!
//! A request is asked for some twenty fields that hardly any request has: deadlines, attempts, traces, classes. To look for
//! each in the list of fields costs more than all else that is done to a small request. So parsing leaves a [Bloom
//! filter](https://doi.org/10.1145/362686.362692) with one bit per name behind, and what is not in it is not looked for.
//!
//! The bit comes from the name's length, its first letter and its last, which need no walk over the name. Two names may share a bit: a
//! name in the set may be there, one that is not in it is not.

/// A set of field names, in any case; see the module.
///
/// ```
/// use loadline_h1::{Limits, NameSet, RequestHead};
///
/// let buf = b"GET / HTTP/1.1\r\nHost: app\r\nX-Respond-By: 0\r\n\r\n";
/// let mut head = RequestHead::default();
/// head.parse(buf, &Limits::default())?;
/// assert!(head.names.meets(NameSet::of("x-respond-by")));
/// assert!(!head.names.meets(NameSet::of("grpc-timeout")));
/// # Ok::<(), loadline_h1::Refusal>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameSet(u64);

impl NameSet {
    /// The set of this name alone.
    #[must_use]
    pub const fn of(name: &str) -> Self {
        Self(bit(name.as_bytes()))
    }

    /// The names of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether both may have a name in common.
    #[inline]
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(crate) const fn insert(&mut self, name: &[u8]) {
        self.0 |= bit(name);
    }
}

impl FromIterator<Self> for NameSet {
    fn from_iter<T: IntoIterator<Item = Self>>(sets: T) -> Self {
        sets.into_iter().fold(Self::default(), Self::and)
    }
}

/// One bit of 64 for a name, the same in upper and lower case.
#[inline]
const fn bit(name: &[u8]) -> u64 {
    /// Of the odd numbers the one that takes usual names best apart from those that are looked for: see the test below.
    const SPREAD: u32 = 13;
    let [first, .., last] = name else { return 1 };
    let letters = (*first | 0x20) as u32 + (*last | 0x20) as u32;
    // Only the last six bits count, which is what a rotation takes.
    1_u64.rotate_left((name.len() as u32).wrapping_mul(SPREAD).wrapping_add(letters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_is_found_in_any_case() {
        for name in ["te", "Host", "X-RESPOND-BY", "x-envoy-expected-rq-timeout-ms", ""] {
            let mut set = NameSet::default();
            set.insert(name.as_bytes());
            assert!(set.meets(NameSet::of(&name.to_ascii_lowercase())), "{name}");
            assert!(!NameSet::default().meets(set));
            let more: NameSet = [set, NameSet::of("accept")].into_iter().collect();
            assert!(more.meets(set) && more.meets(NameSet::of("Accept")));
        }
    }

    /// What a browser sends has no bit in common with what is looked for in every request: otherwise each would pay the search.
    #[test]
    fn usual_fields_are_told_from_those_that_are_looked_for() {
        let usual = [
            "host",
            "user-agent",
            "accept",
            "accept-encoding",
            "accept-language",
            "connection",
            "cookie",
            "cache-control",
            "referer",
            "authorization",
            "origin",
            "if-none-match",
            "content-type",
            "content-length",
            "sec-fetch-mode",
            "sec-fetch-site",
            "sec-fetch-dest",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-request-id",
        ];
        let asked = [
            "x-respond-by",
            "x-request-deadline",
            "grpc-timeout",
            "x-envoy-expected-rq-timeout-ms",
            "x-request-timeout-ms",
            "x-request-start",
            "x-queue-start",
            "x-queue-time-seconds",
            "x-retry-attempt",
            "x-envoy-attempt-count",
            "grpc-previous-rpc-attempts",
            "traceparent",
        ];
        let asked: NameSet = asked.into_iter().map(NameSet::of).collect();
        let mistaken: Vec<_> = usual.into_iter().filter(|name| NameSet::of(name).meets(asked)).collect();
        assert_eq!(mistaken, Vec::<&str>::new());
    }
}
