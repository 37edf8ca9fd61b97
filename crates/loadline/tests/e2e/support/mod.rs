//! What every end-to-end test stands on: the proxy's process, an application that records what it is sent, a client
//! that sends exactly the bytes it is told to.
//!
//! Nothing here sleeps to give others time: tests wait for conditions ([`eventually`]) or on a [`Gate`], and a bound
//! is reached only when something is broken.

mod client;
mod dns;
mod gate;
mod h2;
mod process;
mod proxy;
mod refused;
mod setup;
mod upstream;

use std::time::{Duration, Instant};

pub(crate) use client::{Client, Framing, Response, get, parallel};
pub(crate) use dns::{NameServer, Service};
pub(crate) use gate::Gate;
pub(crate) use h2::H2;
pub(crate) use proxy::Proxy;
pub(crate) use refused::RefusedPort;
pub(crate) use setup::Setup;
pub(crate) use upstream::{Recorded, Upstream};

/// Bound on every single wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(2);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within [`PATIENCE`].
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "did not happen within {PATIENCE:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// Stops a load when the test ends, also when it fails: its threads would run for ever.
pub(crate) struct Stop<'a>(pub(crate) &'a std::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

/// The position of `needle` in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A path for a file of this test run; `name` must be unique among the tests.
pub(crate) fn scratch(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}
