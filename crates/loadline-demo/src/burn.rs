//! Work that takes CPU: threads that compute until their time is over.
//!
//! The threads are the runtime's blocking ones, so that whatever they do, connections are accepted and health checks
//! answered. Time is the wall's, not the thread's: a request takes as long as it was asked to, whoever shares the machine.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Rounds between two looks at the clock: about a microsecond.
const ROUNDS: u64 = 1_000;

/// So many threads, and a queue that nobody bounds. Served in order of arrival.
#[derive(Debug)]
pub(crate) struct Burners {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Counts a request that waits, also when its client leaves.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Burners {
    /// `count` of them, idle. The runtime needs as many blocking threads.
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), waiting: AtomicUsize::new(0) }
    }

    /// How many requests wait for a thread.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Waits for a thread, keeps it busy for `time`, and returns. Work that has begun is done, whether or not somebody
    /// still waits for it.
    pub(crate) async fn burn(&self, time: Duration) {
        let permit = {
            self.waiting.fetch_add(1, Relaxed);
            let _waiting = Waiting(&self.waiting);
            Arc::clone(&self.free).acquire_owned().await.expect("the semaphore is never closed")
        };
        let burning = tokio::task::spawn_blocking(move || {
            burn(time);
            drop(permit);
        });
        // It fails only when the runtime ends, and then nobody reads the answer.
        let _ = burning.await;
    }
}

/// Computes until `time` is over.
pub(crate) fn burn(time: Duration) {
    let begin = Instant::now();
    let mut state = 1_u64;
    while begin.elapsed() < time {
        for round in 0..ROUNDS {
            state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round));
        }
    }
}
