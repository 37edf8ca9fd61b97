//! Ctrl-C, seen by commands that have something to finish first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Becomes true with the first Ctrl-C. It is watched on a thread of its own, for a run has its thread to itself.
pub(super) fn watch() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&interrupted);
    let watch = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            seen.store(true, Ordering::Relaxed);
        }
    };
    // Without the thread Ctrl-C ends the process at once, as it does everywhere else.
    let _ = std::thread::Builder::new().name("interrupt".to_owned()).spawn(watch);
    interrupted
}
