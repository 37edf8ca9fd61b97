//! The programs of a show: this executable again, once for each part, so that what is shown is what users run.
//!
//! They end with the show, whatever ends it: each is killed when it is dropped. Should the show itself be killed, the kernel
//! kills them (Linux), for each began as `demo tether`, which asks for that and then becomes what it should be.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::client::{Answer, Request, exchange};

/// How long a part may take until it listens; reached only when something is broken.
const START: Duration = Duration::from_secs(20);

/// A part that runs.
pub(super) struct Part {
    child: Child,
    address: SocketAddr,
}

impl Part {
    /// A demo app: `demo` with these arguments, on a free port.
    pub(super) fn app(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self, String> {
        let arguments = [&["demo"], arguments, &["--listen", "127.0.0.1:0"]].concat();
        let read = |line: &str| line.split("http://").nth(1)?.split_whitespace().next()?.parse().ok();
        Self::listening(start(&arguments, environment)?, read)
    }

    /// The proxy before `upstream`, on free ports.
    pub(super) fn proxy(upstream: SocketAddr, limit: &str, settings: &[&str]) -> Result<Self, String> {
        let upstream = upstream.to_string();
        let mut arguments = vec!["run", &upstream, limit];
        let own = ["listen=127.0.0.1:0", "admin.listen=127.0.0.1:0"];
        arguments.extend(own.iter().chain(settings).flat_map(|setting| ["--set", setting]));
        // Its first line is JSON, for no terminal reads it.
        let read = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line.get("listen")?.as_str()?.parse().ok()
        };
        Self::listening(start(&arguments, &[])?, read)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks it for something, within this time.
    pub(super) fn ask(
        &self,
        method: &str,
        target: &str,
        header: Option<(&str, &str)>,
        timeout: Duration,
    ) -> std::io::Result<Answer> {
        let authority = self.address.to_string();
        let request = Request { method, authority: &authority, target, token: None, header };
        exchange(&[self.address], &request, Instant::now() + timeout)
    }

    /// Waits until its output says where it listens. The output is read to its end on a thread of its own, so that no part
    /// ever waits for a full pipe.
    fn listening(mut child: Child, read: fn(&str) -> Option<SocketAddr>) -> Result<Self, String> {
        let output = child.stderr.take().expect("stderr is a pipe");
        // From here on it ends with this value.
        let mut part = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let (said, heard) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more once the address is known.
                let _ = said.send(line);
            }
        });
        let begun = Instant::now();
        let mut last = String::from("nothing was said");
        while let Ok(line) = heard.recv_timeout(START.saturating_sub(begun.elapsed())) {
            if let Some(address) = read(&line) {
                part.address = address;
                return Ok(part);
            }
            last = line;
        }
        Err(format!("a part of the demo did not start: {last}"))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // A part has nothing to lose. One that has ended by itself cannot be killed, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Child, String> {
    let failed = |error: std::io::Error| format!("cannot start a part of the demo: {error}");
    let program = std::env::current_exe().map_err(failed)?;
    let parent = std::process::id().to_string();
    Command::new(program)
        .args(["demo", "tether", &parent])
        .args(arguments)
        // What the environment says about loadline is meant for others.
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)
}

/// Makes this process end when its parent does; false if that has ended already.
pub(super) fn tether(parent: u32) -> bool {
    // Elsewhere a show that is killed leaves its parts behind.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    rustix::process::getppid().is_some_and(|now| u32::try_from(now.as_raw_nonzero().get()) == Ok(parent))
}
