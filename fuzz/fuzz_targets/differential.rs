#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use loadline_fuzz::differential::{compare, runtime};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(runtime);

fuzz_target!(|data: &[u8]| compare(&RUNTIME, data));
