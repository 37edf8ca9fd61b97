//! Which users are turned away together.
//!
//! If every request of a class has the same chance, a page of twenty requests fails for everybody. So users are divided into
//! cohorts, and an overload turns away whole cohorts: most users are served completely. The division changes every hour, so
//! that the same users are not always the last.

/// Number of cohorts.
pub const COHORTS: u8 = 128;

const NANOS_PER_HOUR: i64 = 3_600_000_000_000;

/// The cohort of a user or tenant, 0 to 127: the same for a key within an hour of the wall clock (nanoseconds since
/// 1970), on every instance with the same `seed`.
///
/// The hash is FNV-1a with splitmix64's finish. It is not meant to resist somebody who knows the seed, only to spread keys
/// evenly; so the seed is chosen at start-up or configured, and not told.
#[must_use]
pub fn cohort(seed: u64, key: &[u8], now_wall_ns: i64) -> u8 {
    const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
    let hour = now_wall_ns.div_euclid(NANOS_PER_HOUR) as u64;
    let start = FNV_OFFSET ^ mix(seed ^ mix(hour));
    let hash = key.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME));
    (mix(hash) % u64::from(COHORTS)) as u8
}

/// splitmix64's step and finish (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators").
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 498_663 * NANOS_PER_HOUR;

    #[test]
    fn stable_within_the_hour_and_different_in_the_next() {
        let keys: Vec<String> = (0..200).map(|n| format!("user-{n}")).collect();
        let at = |now| keys.iter().map(|key| cohort(7, key.as_bytes(), now)).collect::<Vec<_>>();
        assert_eq!(at(HOUR), at(HOUR + NANOS_PER_HOUR - 1));
        let same = |other: Vec<u8>| at(HOUR).iter().zip(other).filter(|(one, other)| **one == *other).count();
        assert!(same(at(HOUR + NANOS_PER_HOUR)) < 10, "one in 128 by chance");
        assert!(same(at(HOUR - 1)) < 10);
        let seeded: Vec<u8> = keys.iter().map(|key| cohort(8, key.as_bytes(), HOUR)).collect();
        assert!(same(seeded) < 10);
    }

    #[test]
    fn cohorts_are_of_even_size() {
        // 64,000 keys, 500 per cohort; five standard deviations are 112.
        let mut sizes = [0_u32; COHORTS as usize];
        for key in 0..64_000_u32 {
            sizes[usize::from(cohort(1, format!("10.0.{}.{}", key / 256, key % 256).as_bytes(), HOUR))] += 1;
        }
        assert!(sizes.iter().all(|size| (388..=612).contains(size)), "{sizes:?}");
    }

    #[test]
    fn any_clock_and_key_give_a_cohort() {
        for now in [i64::MIN, -1, 0, i64::MAX] {
            assert!(cohort(u64::MAX, b"", now) < COHORTS);
        }
    }
}
