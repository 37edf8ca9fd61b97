//! Lines on stderr, for which nobody waits.
//!
//! The main thread says them, and it also answers probes and hears signals. stderr is often a pipe, and its reader may stand still: a
//! log shipper without its server, a terminal that was stopped. A thread that wrote to it would stand still too; the probes would fail
//! and a signal to end would go unheard, just because somebody was to be told that requests are shed. So a thread of its own
//! writes, and what it cannot take is dropped.

use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Lines that may wait to be written: minutes of them, as there are a few per change of the state.
const WAITING: usize = 256;

enum Task {
    Write(String),
    /// Tells that all before it is written.
    Tell(SyncSender<()>),
}

static WRITER: LazyLock<Option<SyncSender<Task>>> = LazyLock::new(|| {
    let (tasks, waiting) = sync_channel(WAITING);
    let write = move || {
        for task in waiting {
            match task {
                // A closed one is no reason to stop serving.
                Task::Write(text) => drop(std::io::stderr().write_all(text.as_bytes())),
                Task::Tell(done) => drop(done.try_send(())),
            }
        }
    };
    thread::Builder::new().name("stderr".to_owned()).spawn(write).is_ok().then_some(tasks)
});

/// Has `text`, which ends with its line's end, written to stderr.
pub(crate) fn say(text: &str) {
    if let Some(writer) = &*WRITER {
        let _ = writer.try_send(Task::Write(text.to_owned()));
    }
}

/// Waits until what was said is written, but no longer than this.
pub(crate) fn flush(patience: Duration) {
    let (done, told) = sync_channel(1);
    if let Some(writer) = &*WRITER
        && writer.try_send(Task::Tell(done)).is_ok()
    {
        let _ = told.recv_timeout(patience);
    }
}
