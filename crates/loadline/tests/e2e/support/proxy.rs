//! A running proxy: its clients' side, its admin side and its process.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde::Deserialize;

use super::process::Process;
use super::{Client, PATIENCE, POLL, Response, eventually};

/// What `/api/v1/status` promises, as far as tests rely on it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) state: String,
    pub(crate) limit: u64,
    pub(crate) in_flight: u64,
    pub(crate) bypass_in_flight: u64,
    pub(crate) queued: u64,
    /// Exchanges that run to their end although nobody waits for them any more.
    pub(crate) abandoned_exchanges: u64,
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
    pub(super) fn new(addr: SocketAddr, admin: SocketAddr, process: Process) -> Self {
        Self { addr, admin, process }
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where its admin address is.
    pub(crate) fn admin_addr(&self) -> SocketAddr {
        self.admin
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
            .send(format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"))
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
            thread::sleep(POLL);
        }
    }

    /// Waits until exactly this many are in flight and queued.
    #[track_caller]
    pub(crate) fn wait_load(&self, in_flight: u64, queued: u64) {
        self.wait_status(&format!("{in_flight} in flight and {queued} queued"), |status| {
            status.in_flight == in_flight && status.queued == queued
        });
    }

    /// The sum of a family's samples whose labels contain all of `labels`, each written as on the page.
    #[track_caller]
    pub(crate) fn metric_sum(&self, family: &str, labels: &[&str]) -> f64 {
        self.find_metric(family, labels).unwrap_or_else(|| panic!("no series {family} with {labels:?}"))
    }

    /// The same, if there is such a series by now.
    #[track_caller]
    fn find_metric(&self, family: &str, labels: &[&str]) -> Option<f64> {
        let page = self.admin("/metrics").text();
        page.lines()
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| {
                let rest = series.strip_prefix(family);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
                    && labels.iter().all(|label| series.contains(label))
            })
            .map(|(_, value)| value.parse::<f64>().unwrap())
            .reduce(|sum, value| sum + value)
    }

    /// Waits until that sum has a value: an answer may be with its client before it is counted.
    #[track_caller]
    pub(crate) fn wait_metric(&self, family: &str, labels: &[&str], value: f64) {
        eventually(&format!("{family} {labels:?} is {value}"), || {
            self.find_metric(family, labels) == Some(value)
        });
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until the process ends.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Whether the process runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// What was written to stdout so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.process.stdout.lines()
    }

    /// What was written to stderr so far.
    pub(crate) fn stderr(&self) -> Vec<String> {
        self.process.stderr.lines()
    }

    /// Reads no more of what it writes to stderr.
    pub(crate) fn leave_stderr_alone(&self) {
        self.process.stderr.leave_alone();
    }

    /// Waits until stdout has this many lines and returns them.
    #[track_caller]
    pub(crate) fn wait_stdout(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} lines on stdout"), || self.stdout().len() >= count);
        self.stdout()
    }

    /// Stops all its threads, until [`Signal::CONT`].
    #[track_caller]
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let stopped = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
        };
        eventually("stopped", || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
            tasks.flatten().all(stopped)
        });
    }

    /// Lets it open no file or socket any more, or again as many as at its start.
    pub(crate) fn may_open(&self, more: bool) {
        let process = Pid::from_raw(self.process.id() as i32);
        let most = rustix::process::getrlimit(Resource::Nofile);
        // Descriptors below this number are taken.
        let current = if more { most.current } else { Some(3) };
        rustix::process::prlimit(process, Resource::Nofile, Rlimit { current, maximum: most.maximum })
            .unwrap();
    }

    /// Processor time used so far, by the process itself and by the kernel for it.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').expect("the name ends with a parenthesis");
        // Fields 14 and 15, counted in hundredths of a second.
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }

    /// The most memory that was ever resident, in bytes.
    pub(crate) fn peak_resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells VmHWM");
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes * 1024
    }
}
