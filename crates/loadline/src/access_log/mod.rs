//! The access log: lines leave the request's path at once and reach their target through one writer thread.
//!
//! Why: a log target can be slow, gone, or not there yet; a request must not notice. So a line is handed over through a
//! bounded queue without ever waiting. When the queue is full the line is dropped and counted, and the count is a
//! metric: a log with holes that are known is better than a proxy that waits for its log.
//!
//! One thread per log owns the target: it resolves names, connects, reconnects with back-off and writes in batches.
//! Start-up never depends on the target. A reload starts a new log and lets go of the old one, whose writer
//! sends what it still holds.
//!
//! Out of scope: what a line says (`loadline_http::log`) and what precedes it (`loadline_http::syslog`).

mod sink;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use loadline_http::log::{LogFormat, Record};
use loadline_http::syslog::{LogTarget, Severity, SyslogSettings};

/// Lines the queue holds. At 200 bytes each this bounds a dead target's cost to about 2 MB, and bridges a reconnect of
/// 100 ms at 80,000 requests per second.
const QUEUE_LINES: usize = 8192;
/// Typical length of a line, reserved at once.
const LINE_RESERVE: usize = 192;
/// How long a log that nobody holds any more may take to send its rest.
const PARTING_TIME: Duration = Duration::from_secs(5);
/// After its time is up the writer counts what it could not send.
const LAST_COUNT: Duration = Duration::from_millis(200);

/// Where and how to log.
#[derive(Clone, Debug)]
pub(crate) struct LogSettings {
    /// Where lines go.
    pub(crate) target: LogTarget,
    /// What they say.
    pub(crate) format: LogFormat,
    /// What precedes them. Its `format` is what counts: take it from [`LogTarget::header_format`] unless configured.
    pub(crate) syslog: SyslogSettings,
    /// Whether 5xx and unanswered requests have severity `err`. Otherwise all are `info`, as in Spillway.
    pub(crate) separate_errors: bool,
    /// Lines to hold while the target is slow; at least 1.
    pub(crate) queue_lines: usize,
}

/// A running log, or none. Shared by all workers; no method but [`close`](Self::close) waits for anything.
///
/// Dropping the last handle closes the log in the background.
#[derive(Debug)]
pub(crate) struct AccessLog {
    running: Option<Running>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Running {
    queue: SyncSender<Line>,
    done: Mutex<Receiver<()>>,
    format: LogFormat,
    separate_errors: bool,
}

/// One line on its way to the writer.
#[derive(Debug)]
struct Line {
    severity: Severity,
    epoch_nanos: i64,
    /// Empty for a mere wake-up.
    text: Vec<u8>,
}

/// What the handle and the writer both see.
#[derive(Debug)]
struct Shared {
    counters: Arc<Counters>,
    /// Once true, the writer ends when its queue is empty or [`Shared::end_by`] has passed.
    closing: AtomicBool,
    end_by: Mutex<Option<Instant>>,
    trouble: Mutex<Option<String>>,
}

/// Totals that outlive a reload.
#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    dropped: AtomicU64,
}

impl LogSettings {
    /// The settings of `address` and `format` alone, everything else at its default.
    pub(crate) fn new(target: LogTarget, format: LogFormat) -> Self {
        let syslog = SyslogSettings {
            format: target.header_format(),
            pid: std::process::id(),
            ..SyslogSettings::default()
        };
        Self { target, format, syslog, separate_errors: false, queue_lines: QUEUE_LINES }
    }
}

impl AccessLog {
    /// A log that writes nothing and costs nothing.
    pub(crate) fn off() -> Self {
        Self { running: None, shared: Arc::new(Shared::new(Arc::default())) }
    }

    /// Starts the writer thread. The target need not exist: it is opened, and opened again, in the background.
    ///
    /// # Errors
    /// Only if the thread cannot be created.
    pub(crate) fn start(settings: LogSettings) -> std::io::Result<Self> {
        Self::start_with(settings, Arc::default())
    }

    /// Starts the log that takes over from `self` on a reload; totals go on. Drop `self` to let its writer finish.
    ///
    /// # Errors
    /// As for [`start`](Self::start); `self` then simply goes on.
    pub(crate) fn successor(&self, settings: Option<LogSettings>) -> std::io::Result<Self> {
        let counters = Arc::clone(&self.shared.counters);
        match settings {
            Some(settings) => Self::start_with(settings, counters),
            None => Ok(Self { running: None, shared: Arc::new(Shared::new(counters)) }),
        }
    }

    /// Whether anything is logged. Lets callers skip collecting what only a log line needs.
    pub(crate) fn is_on(&self) -> bool {
        self.running.is_some()
    }

    /// The format, for what it needs to know of a request. `None` if off.
    pub(crate) fn format(&self) -> Option<&LogFormat> {
        self.running.as_ref().map(|running| &running.format)
    }

    /// Renders and hands over the line of one exchange. Does nothing if off.
    pub(crate) fn record(&self, record: &Record<'_>) {
        let Some(running) = &self.running else { return };
        let failed = record.status.is_none_or(|status| status >= 500);
        let severity = if running.separate_errors && failed { Severity::Err } else { Severity::Info };
        self.submit(severity, record.now_ns, |out| running.format.render(record, out));
    }

    /// Hands over one line without its line feed; `render` is not called if off. `epoch_nanos` is the time that the
    /// header shows. Never waits: if the queue is full, the line is dropped and counted.
    pub(crate) fn submit(&self, severity: Severity, epoch_nanos: i64, render: impl FnOnce(&mut Vec<u8>)) {
        let Some(running) = &self.running else { return };
        let mut text = Vec::with_capacity(LINE_RESERVE);
        render(&mut text);
        if running.queue.try_send(Line { severity, epoch_nanos, text }).is_err() {
            self.shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that reached the target, or the kernel on their way there.
    pub(crate) fn written(&self) -> u64 {
        self.shared.counters.written.load(Ordering::Relaxed)
    }

    /// Lines lost: the queue was full, or the log closed before they were sent.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.counters.dropped.load(Ordering::Relaxed)
    }

    /// Why the target cannot be written to at the moment; `None` while it can.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends what is queued, for at most `timeout`, and ends the writer. True if everything handed over before
    /// was sent or counted as dropped. Lines handed over later are dropped.
    pub(crate) fn close(&self, timeout: Duration) -> bool {
        let Some(running) = &self.running else { return true };
        self.shared.begin_closing(&running.queue, timeout);
        let done = running.done.lock().unwrap_or_else(PoisonError::into_inner);
        // The writer never sends on this channel: it hangs up when it ends.
        matches!(done.recv_timeout(timeout + LAST_COUNT), Err(RecvTimeoutError::Disconnected))
    }

    fn start_with(settings: LogSettings, counters: Arc<Counters>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(counters));
        let (queue, lines) = sync_channel(settings.queue_lines.max(1));
        let (hold, done) = sync_channel::<()>(0);
        let format = settings.format.clone();
        let separate_errors = settings.separate_errors;
        let writer = writer::Writer::new(settings.target, settings.syslog, lines, Arc::clone(&shared));
        thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            writer.run();
            drop(hold);
        })?;
        Ok(Self { running: Some(Running { queue, done: Mutex::new(done), format, separate_errors }), shared })
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            self.shared.begin_closing(&running.queue, PARTING_TIME);
        }
    }
}

impl Shared {
    fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            closing: AtomicBool::new(false),
            end_by: Mutex::new(None),
            trouble: Mutex::new(None),
        }
    }

    fn begin_closing(&self, queue: &SyncSender<Line>, timeout: Duration) {
        let mut end_by = self.end_by.lock().unwrap_or_else(PoisonError::into_inner);
        if end_by.is_none() {
            *end_by = Some(Instant::now() + timeout);
        }
        drop(end_by);
        self.closing.store(true, Ordering::Release);
        // Wakes a writer that waits for a line. If the queue is full, it does not wait for one.
        let _ = queue.try_send(Line { severity: Severity::Info, epoch_nanos: 0, text: Vec::new() });
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whether a closing log has used up its time.
    fn time_is_up(&self) -> bool {
        let end_by = *self.end_by.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_closing() && end_by.is_some_and(|end| Instant::now() >= end)
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
