//! The fuzz targets' checks over seeded input, so that they compile, run and hold without a fuzzer.

#[path = "support/checks.rs"]
pub mod checks;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn deadline(data in proptest::collection::vec(any::<u8>(), 0..80), near in "([\\x00-\\x07][0-9TZ:.+t=HMSmun-]{0,24}\n?){0,4}") {
        checks::deadline(&data);
        checks::deadline(near.as_bytes());
    }

    #[test]
    fn classify(data in proptest::collection::vec(any::<u8>(), 0..80), near in "(/[a*%.;/2e]{0,12}\n){3}") {
        checks::classify(&data);
        checks::classify(near.as_bytes());
    }
}
