//! What Linux says about a process: on-CPU time, memory, cores, descriptor limit.
//!
//! CPU time comes from `/proc/PID/task/TID/schedstat`, whose first figure is nanoseconds on a CPU. It is exact, where the
//! tick counts of `/proc/PID/stat` are samples of 10 ms. Memory is the proportional set size (PSS), so that a master and
//! its forked worker do not count shared pages twice.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::Result;

/// Whose CPU time is meant.
#[derive(Clone, Copy)]
pub(super) enum CpuOf {
    /// All threads of all processes in the process group with this id.
    Group(u32),
    /// One thread of this process.
    Thread(u32),
    /// All threads of this process.
    Here,
}

impl CpuOf {
    /// On-CPU time since the start. Threads that ended are no longer counted: the proxies keep theirs.
    pub(super) fn read(self) -> Duration {
        let nanos = match self {
            Self::Thread(tid) => read_schedstat(&format!("/proc/self/task/{tid}/schedstat")),
            Self::Here => of_process(std::process::id()),
            Self::Group(group) => members(group).into_iter().map(of_process).sum(),
        };
        Duration::from_nanos(nanos)
    }
}

/// Memory of all processes in a group.
#[derive(Clone, Copy, Default)]
pub(super) struct Memory {
    /// Resident bytes, shared pages counted once per process.
    pub(super) rss: u64,
    /// Resident bytes, shared pages divided among their users.
    pub(super) pss: u64,
}

/// The memory of the process group with this id.
pub(super) fn memory(group: u32) -> Memory {
    members(group).into_iter().fold(Memory::default(), |sum, pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        Memory { rss: sum.rss + kilobytes(&text, "Rss:"), pss: sum.pss + kilobytes(&text, "Pss:") }
    })
}

/// Ids of the processes in a group. A proxy and its workers share the group that the benchmark started it in.
pub(super) fn members(group: u32) -> Vec<u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| process_group(&stat) == Some(group))
        })
        .collect()
}

/// Moves the calling thread, and what it starts from now on, to one core.
pub(super) fn pin_to(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot use core {core} (two are needed): {error}"))?;
    Ok(())
}

/// Raises the soft descriptor limit to the hard one, and the hard one too where that is allowed.
pub(super) fn raise_descriptor_limit() {
    /// Both sides of 10,000 connections, twice.
    const WANTED: u64 = 40_000;
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(u64::MAX);
    let best = Rlimit { current: Some(WANTED), maximum: Some(hard.max(WANTED)) };
    if setrlimit(Resource::Nofile, best).is_err() {
        // Not allowed to raise the hard limit: use all of it. This cannot fail, and if it did the old limit stands.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
}

/// How many descriptors a process started now may open.
pub(super) fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// A process id as the system calls want it.
pub(super) fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?)
}

fn of_process(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.map(|task| read_schedstat(&format!("{}/schedstat", task.path().display()))).sum()
}

fn read_schedstat(path: &str) -> u64 {
    // A thread that ended between listing and reading has nothing to add.
    fs::read_to_string(path).ok().and_then(|text| on_cpu_nanos(&text)).unwrap_or(0)
}

/// First field of a `schedstat` line: "on-CPU ns, run-queue ns, timeslices".
fn on_cpu_nanos(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Fifth field of `/proc/PID/stat`. The second, the name in brackets, may itself contain blanks and brackets.
fn process_group(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// A line of `smaps_rollup`, "Pss:   123 kB", in bytes; 0 when absent.
fn kilobytes(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_is_read() {
        assert_eq!(on_cpu_nanos("123456789 2268028 17\n"), Some(123_456_789));
        assert_eq!(on_cpu_nanos(""), None);
        assert_eq!(on_cpu_nanos("x 1 2"), None);
    }

    #[test]
    fn process_group_survives_odd_names() {
        assert_eq!(process_group("812 (nginx) S 800 801 802 0 -1"), Some(801));
        assert_eq!(process_group("812 (a) b (c)) R 1 77 9 0"), Some(77));
        assert_eq!(process_group(""), None);
    }

    #[test]
    fn smaps_lines_are_bytes() {
        let text = "Rss:                 100 kB\nPss:                  42 kB\nPss_Dirty:  7 kB\n";
        assert_eq!(kilobytes(text, "Pss:"), 42 * 1024);
        assert_eq!(kilobytes(text, "Swap:"), 0);
    }

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let group = rustix::process::getpgrp().as_raw_nonzero().get().unsigned_abs();
        assert!(members(group).contains(&std::process::id()));
        assert!(CpuOf::Group(group).read() > Duration::ZERO);
        assert!(memory(group).rss > 0);
    }
}
