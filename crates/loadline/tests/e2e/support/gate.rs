//! A door that the test opens: how long an application works is the test's decision, not the clock's.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;

/// Shared by the test and the upstream's scripts. Opens for ever, or for a number of passages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    inner: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    passes: usize,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lets everybody pass, now and later.
    pub(crate) fn open(&self) {
        self.inner.0.lock().unwrap().open = true;
        self.inner.1.notify_all();
    }

    /// Lets `count` pass, waiting now or coming later.
    pub(crate) fn let_through(&self, count: usize) {
        self.inner.0.lock().unwrap().passes += count;
        self.inner.1.notify_all();
    }

    /// Waits for a passage.
    ///
    /// # Errors
    /// When none is given within twice [`PATIENCE`]; longer than the test's own waits, so that the test fails first.
    pub(crate) fn pass(&self) -> io::Result<()> {
        let state = self.inner.0.lock().unwrap();
        let (mut state, timeout) = self
            .inner
            .1
            .wait_timeout_while(state, 2 * PATIENCE, |state| !state.open && state.passes == 0)
            .unwrap();
        if timeout.timed_out() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if !state.open {
            state.passes -= 1;
        }
        Ok(())
    }
}
