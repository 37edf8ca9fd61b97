//! Child processes that never outlive the benchmark.
//!
//! Each child gets a process group of its own, named by its pid: the group is what is measured (a master with its
//! workers) and what is ended. Dropping a [`Child`] ends the group; so do Ctrl-C and SIGTERM to the benchmark, after which it may say
//! what it has found so far.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};

use super::{PROXY_CORE, Result, measure};

/// Groups to end when the benchmark is told to end.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// What is left to say when the benchmark is told to end.
static LAST_WORDS: Mutex<Option<LastWords>> = Mutex::new(None);

/// Makes the text.
type LastWords = Box<dyn FnOnce() -> String + Send>;

/// How often a wait for another process looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What to start.
#[derive(Clone)]
pub(super) struct Launch {
    /// A name for messages and for the file that takes its output.
    pub(super) name: String,
    /// Program and arguments.
    pub(super) line: Vec<OsString>,
    /// Variables added to the environment.
    pub(super) env: Vec<(String, String)>,
}

impl Launch {
    /// The same program under another one (`valgrind …`, `strace …`).
    pub(super) fn under(mut self, wrapper: &[String]) -> Self {
        self.line.splice(0..0, wrapper.iter().map(OsString::from));
        self
    }

    /// The command as one would type it.
    pub(super) fn shown(&self) -> String {
        let env = self.env.iter().map(|(key, value)| format!("{key}={value}"));
        env.chain(self.line.iter().map(|word| word.to_string_lossy().into_owned()))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A running child; dropping it ends its whole group.
pub(super) struct Child {
    name: String,
    child: std::process::Child,
    output: PathBuf,
}

impl Child {
    /// Starts a program on the proxy's core, its output into a file of `directory`.
    ///
    /// The calling thread is on the load's core afterwards.
    pub(super) fn start(launch: &Launch, directory: &Path) -> Result<Self> {
        let output = directory.join(format!("{}.output", launch.name));
        let file = File::create(&output)?;
        let (program, arguments) = launch.line.split_first().ok_or("nothing to start")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(launch.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0);
        // The core is inherited at the fork, so it is set here: no thread of the child ever runs elsewhere.
        measure::pin_to(PROXY_CORE)?;
        let spawned = command.spawn();
        measure::pin_to(super::LOAD_CORE)?;
        let child =
            spawned.map_err(|error| format!("cannot start {}: {error}", program.to_string_lossy()))?;
        running().push(child.id());
        Ok(Self { name: launch.name.clone(), child, output })
    }

    /// The id of its process group.
    pub(super) fn group(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When the child ends first or `limit` passes; the error carries the end of its output.
    pub(super) fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if ready() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.complaint(&format!("ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(self.complaint(&format!("was not ready within {limit:?}")));
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Asks the group to end and waits for it: once, and once more halfway through `limit`, since a first SIGTERM may
    /// mean "finish what you have".
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub(super) fn stop(mut self, limit: Duration) -> Result<()> {
        for _ in 0..2 {
            signal_group(self.group(), Signal::TERM);
            let deadline = Instant::now() + limit / 2;
            while Instant::now() < deadline {
                // Not just the first process: a tool that counts writes its result when the last one ends.
                if self.child.try_wait()?.is_some() && measure::members(self.group()).is_empty() {
                    return Ok(());
                }
                thread::sleep(LOOK_AGAIN);
            }
        }
        Err(self.complaint(&format!("did not end within {limit:?} of SIGTERM")))
    }

    fn complaint(&self, what: &str) -> Box<dyn std::error::Error + Send + Sync> {
        /// Enough for a configuration error with its context.
        const LINES: usize = 12;
        let output = fs::read_to_string(&self.output).unwrap_or_default();
        let lines: Vec<&str> = output.lines().collect();
        let tail = lines[lines.len().saturating_sub(LINES)..].join("\n  ");
        format!("{} {what}; its output:\n  {tail}", self.name).into()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        signal_group(self.group(), Signal::KILL);
        // Cannot fail in a way that matters: the child is dead or was waited for already.
        let _ = self.child.wait();
        running().retain(|group| *group != self.child.id());
    }
}

/// A directory for configurations and output, removed when dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A fresh directory below the system's temporary one.
    pub(super) fn new() -> Result<Self> {
        let path = Self::location();
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// One per benchmark process.
    fn location() -> PathBuf {
        std::env::temp_dir().join(format!("loadline-bench-{}", std::process::id()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is a few files below the temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// From now on, SIGINT and SIGTERM end all children before they end this process.
pub(super) fn end_children_on_signals() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    /// What a shell reports for a process ended by SIGINT.
    const INTERRUPTED: i32 = 130;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // Before what is being measured fails for want of its child.
            let words = last_words().take().map(|words| words());
            for group in running().iter() {
                signal_group(*group, Signal::KILL);
            }
            // As when it is dropped.
            let _ = fs::remove_dir_all(Scratch::location());
            eprintln!("interrupted");
            print!("{}", words.unwrap_or_default());
            #[expect(clippy::exit, reason = "the measuring thread may be anywhere; its children are ended")]
            std::process::exit(INTERRUPTED);
        });
    })?;
    Ok(())
}

/// Has this said when a signal ends the benchmark; [`say_nothing_on_signals`] takes it back.
pub(super) fn say_on_signals(last: impl FnOnce() -> String + Send + 'static) {
    *last_words() = Some(Box::new(last));
}

/// All is said already.
pub(super) fn say_nothing_on_signals() {
    *last_words() = None;
}

fn last_words() -> MutexGuard<'static, Option<LastWords>> {
    LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signal_group(group: u32, signal: Signal) {
    if let Some(group) = measure::pid(group) {
        // Fails when nothing of the group is left, which is what is wanted.
        let _ = kill_process_group(group, signal);
    }
}
