//! Counts that stay the same on a noisy machine: user-mode instructions and system calls per request.
//!
//! Each is the difference of two runs of different length, so that start-up, warm-up and shutdown cancel out:
//! `(events in the long run - events in the short run) / (answers in the long run - answers in the short run)`.
//! Instructions come from callgrind, system calls from `strace -c`; both must be installed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Result;

/// A counting tool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter {
    /// User-mode instructions by `valgrind --tool=callgrind`.
    Instructions,
    /// System calls by `strace -c`.
    Syscalls,
}

impl Counter {
    /// Answers in the short and in the long run. callgrind slows a proxy some fifty times.
    pub(super) const SHORT: u64 = 2_000;
    /// See [`Counter::SHORT`].
    pub(super) const LONG: u64 = 12_000;
    /// How long the tool may take to end its program and to write the result.
    pub(super) const STOP_LIMIT: Duration = Duration::from_secs(20);

    /// Connections that load the proxy: enough to fill each turn of its loop, as far as the tool leaves it one.
    pub(super) fn connections(self) -> usize {
        match self {
            Self::Instructions => 16,
            Self::Syscalls => 64,
        }
    }

    /// Whether the tool is installed.
    pub(super) fn installed(self) -> bool {
        let program = match self {
            Self::Instructions => "valgrind",
            Self::Syscalls => "strace",
        };
        let found =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    }

    /// The words before the proxy's command. Results go into `directory`.
    pub(super) fn wrapper(self, directory: &Path) -> Vec<String> {
        let file = |name: &str| directory.join(name).display().to_string();
        match self {
            Self::Instructions => vec![
                "valgrind".to_owned(),
                "--tool=callgrind".to_owned(),
                format!("--callgrind-out-file={}", file("callgrind.%p")),
            ],
            Self::Syscalls => ["strace", "-c", "-f", "-o", &file("strace")].map(str::to_owned).to_vec(),
        }
    }

    /// Reads the results in `directory` and removes them. All processes count: a master is idle in both runs.
    pub(super) fn collect(self, directory: &Path) -> Result<u64> {
        let prefix = match self {
            Self::Instructions => "callgrind.",
            Self::Syscalls => "strace",
        };
        let mut total = 0;
        let mut found = false;
        for entry in fs::read_dir(directory)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                let text = fs::read_to_string(entry.path())?;
                total += match self {
                    Self::Instructions => instructions(&text),
                    Self::Syscalls => syscalls(&text),
                }
                .ok_or_else(|| format!("{} has no total", entry.path().display()))?;
                fs::remove_file(entry.path())?;
                found = true;
            }
        }
        if found { Ok(total) } else { Err(format!("no {prefix} file was written").into()) }
    }
}

/// Events per answer from the two runs.
pub(super) fn per_answer(short: (u64, u64), long: (u64, u64)) -> f64 {
    let (events, answers) = (long.0.saturating_sub(short.0), long.1.saturating_sub(short.1));
    events as f64 / answers.max(1) as f64
}

/// The sum over the parts of a callgrind file.
fn instructions(text: &str) -> Option<u64> {
    let parts = text.lines().filter_map(|line| line.strip_prefix("totals:")?.trim().parse::<u64>().ok());
    parts.reduce(|sum, part| sum + part)
}

/// The calls in the `total` line of `strace -c`: "% time, seconds, usecs/call, calls, errors (or nothing), name".
fn syscalls(text: &str) -> Option<u64> {
    let line = text.lines().rfind(|line| line.trim_end().ends_with(" total"))?;
    line.split_ascii_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_counts() {
        assert_eq!(per_answer((1_000, 100), (5_000, 300)), 20.0);
        assert_eq!(per_answer((5, 1), (5, 1)), 0.0);
    }

    #[test]
    fn totals_are_found() {
        assert_eq!(instructions("events: Ir\nfn=(1) x\n1 5\ntotals: 42\ntotals: 8\n"), Some(50));
        assert_eq!(instructions("nothing"), None);
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
 60.00    0.000060           1        40           recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.000100           1        97         3 total
";
        assert_eq!(syscalls(table), Some(97));
    }
}
