//! The checks that the fuzz targets run. They are the stable tests' own files, so that `cargo test` compiles and runs
//! what the fuzzer calls.

#[path = "../../crates/loadline-h1/tests/support/checks.rs"]
pub mod checks;
#[path = "../../crates/loadline-h1/tests/support/differential.rs"]
pub mod differential;
#[path = "../../crates/loadline-h1/tests/support/mutate.rs"]
pub mod mutate;
#[path = "../../crates/loadline-h1/tests/support/stream.rs"]
pub mod stream;

#[path = "../../crates/loadline-http/tests/support/checks.rs"]
pub mod http_checks;
