//! How a test starts the proxy: as its users do, by arguments, settings, variables and a file.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::process::Process;
use super::{Proxy, Upstream};

/// The binary under test: this package's, or another build of it named by `LOADLINE_E2E_BINARY`.
fn binary() -> String {
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

    /// In front of these upstreams with this limit.
    pub(crate) fn to_all(upstreams: &[&Upstream], concurrency: usize) -> Self {
        let list: Vec<_> = upstreams.iter().map(|upstream| upstream.addr().to_string()).collect();
        Self::new(&list.join(","), &concurrency.to_string())
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
        Proxy::new(address("listen"), address("admin"), process)
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
            if self.name.is_some() {
                // Under another name there are that program's arguments and no others.
                command.env(format!("LOADLINE_{}", key.replace('.', "_").to_uppercase()), value);
            } else {
                command.args(["--set", &format!("{key}={value}")]);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        Process::start(command)
    }
}
