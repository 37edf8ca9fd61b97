//! Whether the upstream was gone and is back.
//!
//! An application that returns is cold: it has to fill caches and compile, and the crowd that waited for it must not find it
//! at the full limit. So its return is told apart from a connection that failed now and then: for [`LONG_ENOUGH`] every new
//! connection failed, and no kept one brought an answer. An outage in which nothing was asked for is not noticed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Shorter than a restart, longer than a full backlog or a lost packet (whose first repetition comes after 1 s) lasts.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// Since when connections fail.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Looked at by every answer; the rest only while it is set.
    failing: AtomicBool,
    since: Mutex<Option<Instant>>,
}

impl Outage {
    /// No connection could be made.
    pub(crate) fn failed(&self, now: Instant) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now);
        self.failing.store(true, Ordering::Relaxed);
    }

    /// A connection was made. Whether that ends an outage: true once for each.
    pub(crate) fn reached(&self, now: Instant) -> bool {
        let since = self.take();
        since.is_some_and(|since| now.saturating_duration_since(since) >= LONG_ENOUGH)
    }

    /// An answer came: the upstream is not gone, whatever keeps new connections from it.
    pub(crate) fn answered(&self) {
        self.take();
    }

    fn take(&self) -> Option<Instant> {
        if !self.failing.load(Ordering::Relaxed) {
            return None;
        }
        self.failing.store(false, Ordering::Relaxed);
        self.since.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_is_told_once_and_a_hiccup_never() {
        let outage = Outage::default();
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        assert!(!outage.reached(at(0)), "it was never gone");
        outage.failed(at(10));
        assert!(!outage.reached(at(900)), "a hiccup");
        outage.failed(at(2_000));
        outage.failed(at(2_900));
        assert!(outage.reached(at(3_000)));
        assert!(!outage.reached(at(3_001)), "told once");
        outage.failed(at(4_000));
        outage.answered();
        outage.failed(at(4_900));
        assert!(!outage.reached(at(5_100)), "kept connections brought answers meanwhile");
    }
}
