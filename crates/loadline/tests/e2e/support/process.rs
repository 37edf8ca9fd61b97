//! A child process whose output is collected and which never outlives its test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{PATIENCE, POLL};

/// A child with its output collected; killed by its own handle when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) stdout: Lines,
    pub(super) stderr: Lines,
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts it.
    #[track_caller]
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        Self {
            stdout: Lines::of(child.stdout.take().expect("stdout is piped")),
            stderr: Lines::of(child.stderr.take().expect("stderr is piped")),
            _stdin: child.stdin.take(),
            child,
        }
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the proxy's process is there");
    }

    /// Whether it runs.
    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for a JSON line on stderr.
    #[track_caller]
    pub(super) fn wait_for_line(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            for line in self.stderr.lines() {
                if let Ok(value) = serde_json::from_str::<Value>(&line)
                    && wanted(&value)
                {
                    return value;
                }
            }
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || begin.elapsed() > PATIENCE {
                panic!("no line {what:?} on stderr (exit {ended:?}):\n{}", self.stderr.join_lines());
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until it ends.
    #[track_caller]
    pub(super) fn wait(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "still running; stderr:\n{}", self.stderr.join_lines());
            thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            // What the proxy said is the first thing one wants to see beside a failed assertion.
            let _ = writeln!(std::io::stderr(), "--- the proxy's stderr:\n{}", self.stderr.join_lines());
        }
    }
}

/// Lines of a pipe, collected by a thread.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    inner: Arc<(Mutex<Collected>, Condvar)>,
}

#[derive(Debug, Default)]
struct Collected {
    lines: Vec<String>,
    ended: bool,
    /// Nobody reads any more, and the pipe stays open.
    left_alone: bool,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self { inner: Arc::default() };
        let inner = Arc::clone(&lines.inner);
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let mut collected = inner.0.lock().unwrap();
                collected.lines.push(String::from_utf8_lossy(&line).into_owned());
                drop(inner.1.wait_while(collected, |collected| collected.left_alone));
            }
            inner.0.lock().unwrap().ended = true;
            inner.1.notify_all();
        });
        lines
    }

    /// Reads one more line at most.
    pub(super) fn leave_alone(&self) {
        self.inner.0.lock().unwrap().left_alone = true;
    }

    /// Those so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.inner.0.lock().unwrap().lines.clone()
    }

    /// All lines, after the pipe's end if it comes soon: the process may have ended before its output was read.
    pub(super) fn join_lines(&self) -> String {
        let guard = self.inner.0.lock().unwrap();
        let wait = Duration::from_millis(500);
        let (guard, _) = self.inner.1.wait_timeout_while(guard, wait, |collected| !collected.ended).unwrap();
        guard.lines.join("\n")
    }
}
