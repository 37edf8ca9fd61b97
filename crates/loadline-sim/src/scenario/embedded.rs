//! The scenarios of the project as part of the program, so that it needs no files.

macro_rules! embed {
    ($($path:literal),* $(,)?) => {
        /// Path below `scenarios/`, and text.
        pub const EMBEDDED: &[(&str, &str)] =
            &[$(($path, include_str!(concat!("../../../../scenarios/", $path)))),*];
    };
}

embed![
    "backlog.toml",
    "exam/big.toml",
    "exam/bursts.toml",
    "exam/crowd.toml",
    "exam/deadlines.toml",
    "exam/double.toml",
    "exam/five.toml",
    "exam/hour.toml",
    "exam/light.toml",
    "exam/lock.toml",
    "exam/mixed.toml",
    "exam/near.toml",
    "exam/pool.toml",
    "exam/quarter-healthy.toml",
    "exam/quarter.toml",
    "exam/returns.toml",
    "exam/slow-arms.toml",
    "exam/slow-io.toml",
    "exam/slower.toml",
    "exam/storm.toml",
    "exam/thrash-quarter.toml",
    "exam/thrash.toml",
    "exam/tenants.toml",
    "exam/three-idle.toml",
    "exam/three.toml",
    "exam/users.toml",
    "tuning/big.toml",
    "tuning/bursts.toml",
    "tuning/crowd.toml",
    "tuning/deadlines.toml",
    "tuning/double.toml",
    "tuning/five.toml",
    "tuning/hour.toml",
    "tuning/light.toml",
    "tuning/lock.toml",
    "tuning/mixed.toml",
    "tuning/near.toml",
    "tuning/pool.toml",
    "tuning/quarter-healthy.toml",
    "tuning/quarter.toml",
    "tuning/returns.toml",
    "tuning/slow-arms.toml",
    "tuning/slow-io.toml",
    "tuning/slower.toml",
    "tuning/storm.toml",
    "tuning/thrash-quarter.toml",
    "tuning/thrash.toml",
    "tuning/tenants.toml",
    "tuning/three-idle.toml",
    "tuning/three.toml",
    "tuning/users.toml",
];
