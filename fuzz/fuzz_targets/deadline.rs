#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| loadline_fuzz::http_checks::deadline(data));
