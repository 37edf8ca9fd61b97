//! What the machine says: Linux' pressure-stall information, and the memory of the own control group (version 2).
//!
//! Pressure is a share of time: in `some avg10=12.34`, something waited for 12.34 % of the last ten seconds (kernel
//! documentation, "PSI - Pressure Stall Information"). Memory in use is `memory.current` without the file pages that nobody
//! used lately (`inactive_file` of `memory.stat`): the kernel gives these back before it runs short, and counts them until then.
//!
//! What is not there (another system, control groups of version 1, no limit) is said once, and then reads as nothing.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::Signal;

/// The machine's files, and what has been said about missing ones.
pub(super) struct Host {
    proc: PathBuf,
    cgroups: PathBuf,
    missing: BTreeSet<&'static str>,
    complaints: Vec<String>,
}

impl Default for Host {
    fn default() -> Self {
        Self::at("/proc", "/sys/fs/cgroup")
    }
}

impl Host {
    fn at(proc: impl Into<PathBuf>, cgroups: impl Into<PathBuf>) -> Self {
        Self { proc: proc.into(), cgroups: cgroups.into(), missing: BTreeSet::new(), complaints: Vec::new() }
    }

    /// The signal's reading as a share of 1; the inner `None` when the machine does not say. `None` for a signal that is not
    /// the machine's.
    pub(super) fn read(&mut self, signal: Signal) -> Option<Option<f64>> {
        let read = match signal {
            Signal::CpuPressure => self.pressure("cpu"),
            Signal::MemoryPressure => self.pressure("memory"),
            Signal::IoPressure => self.pressure("io"),
            Signal::CgroupMemory => self.cgroup_memory(),
            Signal::Lag | Signal::Upstream => return None,
        };
        match read {
            Ok(reading) => {
                self.missing.remove(signal.as_str());
                Some(Some(reading))
            }
            Err(why) => {
                if self.missing.insert(signal.as_str()) {
                    self.complaints.push(format!("overload.{} has no effect: {why}", signal.as_str()));
                }
                Some(None)
            }
        }
    }

    /// What is to be said since the last time.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    fn pressure(&self, resource: &str) -> Result<f64, String> {
        let path = self.proc.join("pressure").join(resource);
        let text = read(&path)?;
        some_avg10(&text).ok_or_else(|| format!("{} is not understood", path.display()))
    }

    fn cgroup_memory(&self) -> Result<f64, String> {
        let membership = read(&self.proc.join("self/cgroup"))?;
        // The one hierarchy of version 2 is number 0 and names no controller (cgroups(7)).
        let own = membership.lines().find_map(|line| line.strip_prefix("0::/"));
        let own = own.ok_or("this process is in no control group of version 2")?;
        let directory = self.cgroups.join(own);
        let max = read(&directory.join("memory.max"))?;
        if max.trim() == "max" {
            return Err("the control group has no memory limit".to_owned());
        }
        let current = read(&directory.join("memory.current"))?;
        let stat = read(&directory.join("memory.stat"))?;
        share_in_use(&max, &current, &stat)
            .ok_or_else(|| format!("the memory files in {} are not understood", directory.display()))
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{} is not there", path.display()),
        _ => format!("{}: {error}", path.display()),
    })
}

/// The share of time in `some avg10=12.34 …`.
fn some_avg10(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let value = line.split(' ').find_map(|field| field.strip_prefix("avg10="))?;
    let percent: f64 = value.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

fn share_in_use(max: &str, current: &str, stat: &str) -> Option<f64> {
    let bytes = |text: &str| text.trim().parse::<u64>().ok();
    let inactive = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let used = bytes(current)?.saturating_sub(bytes(inactive?)?);
    let max = bytes(max)?;
    (max > 0).then(|| used as f64 / max as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine made of these files.
    fn machine(name: &str, files: &[(&str, &str)]) -> Host {
        let root = std::env::temp_dir().join(format!("loadline-host-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Host::at(root.join("proc"), root.join("cgroup"))
    }

    #[test]
    fn pressure_is_the_share_of_the_last_ten_seconds() {
        let text =
            "some avg10=12.50 avg60=5.95 avg300=8.16 total=2147428510\nfull avg10=99.00 avg60=0.00 total=0\n";
        let mut host =
            machine("pressure", &[("proc/pressure/cpu", text), ("proc/pressure/io", "some avg10=x")]);
        assert_eq!(host.read(Signal::CpuPressure), Some(Some(0.125)));
        assert_eq!(host.complaints(), [""; 0]);
        assert_eq!(host.read(Signal::IoPressure), Some(None));
        assert_eq!(host.read(Signal::MemoryPressure), Some(None));
        let complaints = host.complaints();
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("overload.io_pressure has no effect: "), "{complaints:?}");
        assert!(complaints[1].ends_with("/proc/pressure/memory is not there"), "{complaints:?}");
        assert_eq!(host.read(Signal::MemoryPressure), Some(None));
        assert_eq!(host.complaints(), [""; 0], "said once");
        for broken in
            ["", "some", "some avg10=", "some avg10=101", "some avg10=-1", "some avg10=nan", "full avg10=1.0"]
        {
            assert_eq!(some_avg10(broken), None, "{broken}");
        }
    }

    #[test]
    fn memory_is_what_the_kernel_would_not_give_back() {
        let files = [
            ("proc/self/cgroup", "1:name=systemd:/\n0::/pod/app\n"),
            ("cgroup/pod/app/memory.max", "1000\n"),
            ("cgroup/pod/app/memory.current", "950\n"),
            ("cgroup/pod/app/memory.stat", "anon 500\ninactive_file 200\nactive_file 1\n"),
        ];
        assert_eq!(machine("memory", &files).read(Signal::CgroupMemory), Some(Some(0.75)));
        let mut unlimited = files;
        unlimited[1].1 = "max\n";
        let mut host = machine("unlimited", &unlimited);
        assert_eq!(host.read(Signal::CgroupMemory), Some(None));
        assert_eq!(
            host.complaints(),
            ["overload.cgroup_memory has no effect: the control group has no memory limit"]
        );
        let mut host = machine("version-1", &[("proc/self/cgroup", "4:memory:/app\n")]);
        assert_eq!(host.read(Signal::CgroupMemory), Some(None));
        let complaints = host.complaints();
        assert!(
            complaints[0].ends_with("this process is in no control group of version 2"),
            "{complaints:?}"
        );
    }
}
