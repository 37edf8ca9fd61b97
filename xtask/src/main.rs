//! `cargo xtask`: benchmarks and checks that need more than `cargo test`.

fn main() {}
