//! The writer thread: takes lines from the queue, frames them, and keeps at it until the target takes them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use loadline_http::syslog::{LogTarget, SyslogSettings, finish_line, frame};

use super::sink::{Outcome, Sink};
use super::{Line, Shared};

/// After the first line the writer lets others gather: at most this many wake-ups per second reach the workers, at the
/// price of so much delay. Without it every line under moderate load would cost its worker a system call.
const GATHER: Duration = Duration::from_millis(1);
/// Back-off between attempts to open a target: doubles from the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Before trying again a target that takes no more. Most have made us wait already; a non-blocking pipe has not.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// How often a waiting writer looks whether the log is closing.
const ATTENTION: Duration = Duration::from_millis(50);

pub(super) struct Writer {
    target: LogTarget,
    syslog: SyslogSettings,
    lines: Receiver<Line>,
    shared: Arc<Shared>,
    sink: Option<Sink>,
    back_off: Duration,
}

/// Framed lines back to back, and where each ends.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<usize>,
}

impl Writer {
    pub(super) fn new(
        target: LogTarget,
        syslog: SyslogSettings,
        lines: Receiver<Line>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { target, syslog, lines, shared, sink: None, back_off: BACK_OFF.0 }
    }

    pub(super) fn run(mut self) {
        let mut batch = Batch::default();
        while self.gather(&mut batch) {
            if !self.deliver(&mut batch) {
                break;
            }
        }
        // Whoever still hands over lines sees a queue without a reader, and counts them itself.
        let left = batch.ends.len() as u64
            + self.lines.try_iter().filter(|line| !line.text.is_empty()).count() as u64;
        self.shared.counters.dropped.fetch_add(left, Ordering::Relaxed);
    }

    /// Waits for lines and frames as many as one delivery takes. False once the log is closed and the queue empty.
    fn gather(&self, batch: &mut Batch) -> bool {
        if self.shared.is_closing() {
            match self.lines.try_recv() {
                Ok(line) => self.add(&line, batch),
                Err(_) => return false,
            }
        } else {
            match self.lines.recv() {
                Ok(line) => self.add(&line, batch),
                Err(_) => return false,
            }
            if !self.shared.is_closing() {
                thread::sleep(GATHER);
            }
        }
        let room = Sink::batch_max(&self.target.address);
        while batch.bytes.len() < room {
            match self.lines.try_recv() {
                Ok(line) => self.add(&line, batch),
                Err(_) => break,
            }
        }
        true
    }

    fn add(&self, line: &Line, batch: &mut Batch) {
        if line.text.is_empty() {
            return;
        }
        let start = batch.bytes.len();
        frame(&self.syslog, line.severity, line.epoch_nanos, &line.text, &mut batch.bytes);
        finish_line(&mut batch.bytes, start, self.target.line_max());
        batch.ends.push(batch.bytes.len());
    }

    /// Sends the batch, opening the target as often as it takes. False if the log's time ran out first.
    fn deliver(&mut self, batch: &mut Batch) -> bool {
        while !batch.ends.is_empty() {
            if self.shared.time_is_up() {
                return false;
            }
            let (sent, trouble) = match self.open() {
                Ok(sink) => match sink.send(batch) {
                    (sent, Outcome::Sent) => (sent, None),
                    (sent, Outcome::Busy) => (sent, Some("the target reads too slowly".to_owned())),
                    (sent, Outcome::Broken(error)) => {
                        self.sink = None;
                        (sent, Some(error.to_string()))
                    }
                },
                Err(error) => (0, Some(error.to_string())),
            };
            self.shared.counters.written.fetch_add(sent as u64, Ordering::Relaxed);
            batch.forget(sent);
            if sent > 0 {
                self.back_off = BACK_OFF.0;
            }
            let troubled = trouble.is_some();
            self.shared.set_trouble(trouble.map(|trouble| format!("{}: {trouble}", self.target.address)));
            if self.sink.is_none() {
                if !self.pause() {
                    return false;
                }
            } else if troubled {
                thread::sleep(BUSY_PAUSE);
            }
        }
        true
    }

    fn open(&mut self) -> std::io::Result<&mut Sink> {
        if self.sink.as_ref().is_some_and(Sink::is_stale) {
            self.sink = None;
        }
        let sink = match self.sink.take() {
            Some(sink) => sink,
            None => Sink::open(&self.target.address)?,
        };
        Ok(self.sink.insert(sink))
    }

    /// Waits out the back-off. False if the log's time ran out meanwhile.
    fn pause(&mut self) -> bool {
        let until = Instant::now() + self.back_off;
        self.back_off = (self.back_off * 2).min(BACK_OFF.1);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.shared.time_is_up() {
                return false;
            }
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(ATTENTION));
        }
    }
}

impl Batch {
    /// Removes the first `count` lines.
    fn forget(&mut self, count: usize) {
        if count == self.ends.len() {
            self.bytes.clear();
            self.ends.clear();
        } else if count > 0 {
            let cut = self.ends[count - 1];
            self.bytes.drain(..cut);
            self.ends.drain(..count);
            self.ends.iter_mut().for_each(|end| *end -= cut);
        }
    }
}
