//! The proxy's own process: started with free ports, asked through its admin listener, ended with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;

use super::{Client, PATIENCE, Response, Upstream, eventually};

/// The binary under test: this package's, or another build of it named by `LOADLINE_E2E_BINARY`.
pub(crate) fn binary() -> String {
    std::env::var("LOADLINE_E2E_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_loadline").to_owned())
}

/// Spillway's variables: the environment of whoever runs the tests must not reach the proxy.
const VARIABLES: [&str; 7] = [
    "MAX_CONNECTIONS",
    "QUEUE_TIMEOUT",
    "SERVER_TIMEOUT",
    "PORT",
    "HEALTHCHECK_PATH",
    "LOG_ADDRESS",
    "LOG_FORMAT",
];

/// How the proxy is to be started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    arguments: Vec<String>,
    settings: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    file: Option<String>,
    drain: String,
    name: Option<String>,
}

impl Setup {
    /// `loadline UPSTREAM CONCURRENCY`.
    pub(crate) fn new(upstream: &str, concurrency: &str) -> Self {
        Self { arguments: vec![upstream.into(), concurrency.into()], ..Self::bare() }
    }

    /// In front of this upstream with this limit.
    pub(crate) fn to(upstream: &Upstream, concurrency: usize) -> Self {
        Self::new(&upstream.addr().to_string(), &concurrency.to_string())
    }

    /// No upstream and no limit.
    pub(crate) fn bare() -> Self {
        Self {
            arguments: vec![],
            settings: vec![],
            variables: vec![],
            file: None,
            drain: "10s".into(),
            name: None,
        }
    }

    /// One more `--set key=value`.
    pub(crate) fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.into(), value.to_string()));
        self
    }

    /// One more environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// `-c FILE`.
    pub(crate) fn file(mut self, path: &str) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Another drain bound than the default of these tests.
    pub(crate) fn drain(mut self, bound: &str) -> Self {
        self.drain = bound.into();
        self
    }

    /// Started under another name than its own.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Starts it and waits until it listens.
    #[track_caller]
    pub(crate) fn start(self) -> Proxy {
        let drain = self.drain.clone();
        let listening =
            self.set("listen", "127.0.0.1:0").set("admin.listen", "127.0.0.1:0").set("timeouts.drain", drain);
        let mut process = listening.spawn();
        let started = process.wait_for_line("started", |line| line["msg"] == "started");
        let address = |name: &str| -> SocketAddr {
            let text = started[name].as_str().unwrap_or_else(|| panic!("no {name} in {started}"));
            text.parse().unwrap_or_else(|error| panic!("{name} {text:?}: {error}"))
        };
        Proxy { addr: address("listen"), admin: address("admin"), process }
    }

    /// Runs it when it is expected to refuse: exit code and what it wrote to stderr.
    #[track_caller]
    pub(crate) fn refuse(self) -> (i32, String) {
        let mut process = self.spawn();
        let status = process.wait();
        let code = status.code().unwrap_or_else(|| panic!("ended by a signal: {status}"));
        let stderr = process.stderr.join_lines();
        (code, stderr)
    }

    fn spawn(&self) -> Process {
        let mut command = Command::new(binary());
        if let Some(name) = &self.name {
            command.arg0(name);
        }
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOADLINE_")) {
            command.env_remove(name);
        }
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.args(&self.arguments);
        if let Some(file) = &self.file {
            command.args(["-c", file]);
        }
        for (key, value) in &self.settings {
            command.args(["--set", &format!("{key}={value}")]);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        Process {
            stdout: Lines::of(child.stdout.take().expect("stdout is piped")),
            stderr: Lines::of(child.stderr.take().expect("stderr is piped")),
            _stdin: child.stdin.take(),
            child,
        }
    }
}

/// What `/api/v1/status` promises, as far as tests rely on it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) state: String,
    pub(crate) limit: u64,
    pub(crate) in_flight: u64,
    pub(crate) bypass_in_flight: u64,
    pub(crate) queued: u64,
    pub(crate) counters: Counters,
    pub(crate) connections: Connections,
}

/// How many requests met which fate since the start.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Counters {
    pub(crate) offered: u64,
    pub(crate) admitted: u64,
    pub(crate) shed: u64,
    pub(crate) abandoned: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) timed_out: u64,
    pub(crate) aborted: u64,
}

/// Open connections.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Connections {
    pub(crate) client: u64,
    pub(crate) upstream: u64,
}

/// A running proxy; killed when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    addr: SocketAddr,
    admin: SocketAddr,
    process: Process,
}

impl Proxy {
    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A new client connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// A client that has sent a GET and not read the answer.
    #[track_caller]
    pub(crate) fn send_get(&self, target: &str) -> Client {
        let mut client = self.connect();
        client.send_get(target);
        client
    }

    /// One GET on a connection of its own.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.connect().get(target)
    }

    /// A GET to the admin listener.
    #[track_caller]
    pub(crate) fn admin(&self, target: &str) -> Response {
        Client::connect(self.admin).get(target)
    }

    /// A POST without a body to the admin listener.
    #[track_caller]
    pub(crate) fn admin_post(&self, target: &str) -> Response {
        Client::connect(self.admin)
            .send(format!("POST {target} HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\n\r\n"))
            .read()
    }

    /// `/api/v1/status` now.
    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        let response = self.admin("/api/v1/status");
        assert_eq!(response.status, 200, "{response:?}");
        serde_json::from_slice(&response.body)
            .unwrap_or_else(|error| panic!("status: {error}: {}", response.text()))
    }

    /// Waits until the status satisfies `condition`.
    #[track_caller]
    pub(crate) fn wait_status(&self, what: &str, condition: impl Fn(&Status) -> bool) {
        let begin = Instant::now();
        loop {
            let status = self.status();
            if condition(&status) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "never {what}; the last status was {status:?}");
            thread::sleep(super::POLL);
        }
    }

    /// Waits until exactly this many are in flight and queued.
    #[track_caller]
    pub(crate) fn wait_load(&self, in_flight: u64, queued: u64) {
        self.wait_status(&format!("{in_flight} in flight and {queued} queued"), |status| {
            status.in_flight == in_flight && status.queued == queued
        });
    }

    /// The value of one metric line, its name with labels as written on the page; 0 when it is not there.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.admin("/metrics").text();
        page.lines()
            .filter_map(|line| line.rsplit_once(' '))
            .find(|(series, _)| *series == name)
            .map_or(0.0, |(_, value)| value.parse().unwrap())
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process.child);
        kill_process(pid, signal).expect("the proxy's process is there");
    }

    /// Waits until the process ends.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Whether the process runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.child.try_wait().unwrap().is_none()
    }

    /// What was written to stdout so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.process.stdout.lines()
    }

    /// What was written to stderr so far.
    pub(crate) fn stderr(&self) -> Vec<String> {
        self.process.stderr.lines()
    }

    /// Waits until stdout has this many lines and returns them.
    #[track_caller]
    pub(crate) fn wait_stdout(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} lines on stdout"), || self.stdout().len() >= count);
        self.stdout()
    }

    /// The most memory that was ever resident, in bytes.
    pub(crate) fn peak_resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells VmHWM");
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes * 1024
    }
}

/// A child with its output collected; killed by its own handle when dropped.
#[derive(Debug)]
struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    _stdin: Option<ChildStdin>,
}

impl Process {
    #[track_caller]
    fn wait_for_line(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
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
            thread::sleep(super::POLL);
        }
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "still running; stderr:\n{}", self.stderr.join_lines());
            thread::sleep(super::POLL);
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
struct Lines {
    inner: Arc<(Mutex<Collected>, Condvar)>,
}

#[derive(Debug, Default)]
struct Collected {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self { inner: Arc::default() };
        let inner = Arc::clone(&lines.inner);
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                inner.0.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
            }
            inner.0.lock().unwrap().ended = true;
            inner.1.notify_all();
        });
        lines
    }

    fn lines(&self) -> Vec<String> {
        self.inner.0.lock().unwrap().lines.clone()
    }

    /// All lines, after the pipe's end if it comes soon: the process may have ended before its output was read.
    fn join_lines(&self) -> String {
        let guard = self.inner.0.lock().unwrap();
        let wait = std::time::Duration::from_millis(500);
        let (guard, _) = self.inner.1.wait_timeout_while(guard, wait, |collected| !collected.ended).unwrap();
        guard.lines.join("\n")
    }
}
