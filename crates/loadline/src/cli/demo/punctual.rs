//! How late this machine wakes a thread: whether figures that were measured meanwhile are about the programs or about the machine.
//!
//! A thread sleeps for a short time, again and again, and remembers by how much it overslept at most. A machine that has a core
//! free wakes it within a millisecond; one whose cores are all wanted by others, or that is stopped for a moment, does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// One sleep: short beside what it is to find, and far from being work for the machine.
const NAP: Duration = Duration::from_millis(5);

/// A watch over the machine, until it is dropped.
pub(super) struct Punctuality {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Duration>>,
}

impl Punctuality {
    /// Begins to look.
    pub(super) fn watch() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let look = move || {
            let mut worst = Duration::ZERO;
            while !seen.load(Ordering::Relaxed) {
                let begun = Instant::now();
                thread::sleep(NAP);
                worst = worst.max(begun.elapsed().saturating_sub(NAP));
            }
            worst
        };
        // Where there is no thread to be had, nothing is known.
        let thread = thread::Builder::new().name("punctuality".to_owned()).spawn(look).ok();
        Self { over, thread }
    }

    /// The latest that a thread was woken, by so much too late.
    pub(super) fn worst(mut self) -> Duration {
        self.end()
    }

    fn end(&mut self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Punctuality {
    fn drop(&mut self) {
        self.end();
    }
}
