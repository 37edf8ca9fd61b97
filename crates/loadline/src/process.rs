//! The process as a whole: rates over the last seconds, what it uses of the machine, how its reloads went.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadline_core::{Class, Snapshot};
use tokio::time::Instant;

/// Rates are taken over this long: short enough to follow an overload, long enough to be steady at a few requests
/// per second.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);

/// Demand is capped here: an autoscaler that is told more would overshoot on a flood that is not demand.
const MOST_DEMAND: f64 = 10.0;

/// Process-wide observations.
pub(crate) struct Process {
    pub(crate) started: Instant,
    started_wall: SystemTime,
    /// This machine's name, for logs.
    pub(crate) hostname: String,
    random: RandomState,
    drawn: AtomicU64,
    window: Mutex<VecDeque<Sample>>,
    reloads_ok: AtomicU64,
    reloads_failed: AtomicU64,
    last_reload_failed: AtomicBool,
}

/// The ledger at one moment, all classes but bypass.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    offered: u64,
    admitted: u64,
    shed: u64,
    /// Admitted or shed ones that had been tried before.
    retries: u64,
    service: Duration,
    limit: u32,
}

/// Requests per second over the last [`WINDOW`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) offered: f64,
    pub(crate) admitted: f64,
    pub(crate) shed: f64,
    /// Work asked for, as a share of what the limit can do: (admitted + shed per second, retries excluded) × mean service
    /// time ÷ limit.
    /// With a limit of 3 and a mean of 50 ms, 90 requests per second are a demand of 90 × 0.05 ÷ 3 = 1.5. Unlike
    /// utilisation it goes on rising above 1, so it tells an autoscaler how many replicas are missing.
    pub(crate) demand: f64,
}

/// What the process uses of the machine. Zero where the system does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) max_virtual_bytes: Option<u64>,
    pub(crate) threads: u64,
    pub(crate) open_descriptors: u64,
    pub(crate) max_descriptors: u64,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            started_wall: SystemTime::now(),
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            random: RandomState::new(),
            drawn: AtomicU64::new(0),
            window: Mutex::default(),
            reloads_ok: AtomicU64::new(0),
            reloads_failed: AtomicU64::new(0),
            last_reload_failed: AtomicBool::new(false),
        }
    }

    /// Notes the ledger, and how many of those admitted and shed were `retries`; called about once a second.
    pub(crate) fn sample(&self, gate: &Snapshot, retries: u64) {
        let mut sample = Sample {
            at: Instant::now(),
            offered: 0,
            admitted: 0,
            shed: 0,
            retries,
            service: gate.mean_service.unwrap_or_default(),
            limit: gate.limit,
        };
        for class in Class::ALL.into_iter().filter(|class| *class != Class::Bypass) {
            let counters = gate.counters.of(class);
            sample.offered += counters.offered;
            sample.admitted += counters.admitted;
            sample.shed += counters.shed_total();
        }
        let mut window = self.window();
        while window.len() > 1 && sample.at - window[1].at >= WINDOW {
            window.pop_front();
        }
        window.push_back(sample);
    }

    pub(crate) fn rates(&self) -> Rates {
        let window = self.window();
        let (Some(first), Some(last)) = (window.front(), window.back()) else { return Rates::default() };
        let seconds = (last.at - first.at).as_secs_f64();
        if seconds <= 0.0 {
            return Rates::default();
        }
        let per_second = |from: u64, to: u64| (to - from) as f64 / seconds;
        let (admitted, shed) = (per_second(first.admitted, last.admitted), per_second(first.shed, last.shed));
        let fresh = (admitted + shed - per_second(first.retries, last.retries)).max(0.0);
        let demand = fresh * last.service.as_secs_f64() / f64::from(last.limit);
        Rates {
            offered: per_second(first.offered, last.offered),
            admitted,
            shed,
            demand: demand.min(MOST_DEMAND),
        }
    }

    /// Share of the offered requests that were rejected, 0 to 1.
    pub(crate) fn shed_rate(&self) -> f64 {
        let rates = self.rates();
        if rates.offered > 0.0 { (rates.shed / rates.offered).min(1.0) } else { 0.0 }
    }

    /// Whether anything was rejected between the last two samples.
    pub(crate) fn shed_just_now(&self) -> bool {
        let window = self.window();
        let mut latest = window.iter().rev();
        matches!((latest.next(), latest.next()), (Some(last), Some(before)) if last.shed > before.shed)
    }

    pub(crate) fn note_reload(&self, ok: bool) {
        if ok { &self.reloads_ok } else { &self.reloads_failed }.fetch_add(1, Ordering::Relaxed);
        self.last_reload_failed.store(!ok, Ordering::Relaxed);
    }

    pub(crate) fn reloads_ok(&self) -> u64 {
        self.reloads_ok.load(Ordering::Relaxed)
    }

    pub(crate) fn reloads_failed(&self) -> u64 {
        self.reloads_failed.load(Ordering::Relaxed)
    }

    pub(crate) fn last_reload_ok(&self) -> bool {
        !self.last_reload_failed.load(Ordering::Relaxed)
    }

    pub(crate) fn started_unix_seconds(&self) -> f64 {
        self.started_wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    /// A number that nobody can guess, a new one each time.
    pub(crate) fn entropy(&self) -> u64 {
        self.random.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    fn window(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that differs from process to process, for jitter.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Reads the process's own figures.
pub(crate) fn usage() -> Usage {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let mut usage = Usage {
        max_descriptors: limits.current.unwrap_or(u64::MAX),
        max_virtual_bytes: rustix::process::getrlimit(rustix::process::Resource::As).current,
        ..Usage::default()
    };
    if let Ok(stat) = std::fs::read_to_string("/proc/self/stat") {
        // Fields are counted from behind the command's closing parenthesis: it may contain spaces. There, user and
        // system time are the 12th and 13th, then come the threads (18th), the virtual size (21st) and the resident one (proc(5)).
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        let ticks = rustix::param::clock_ticks_per_second();
        usage.cpu_seconds = (number(11) + number(12)) as f64 / ticks as f64;
        usage.threads = number(17);
        usage.virtual_bytes = number(20);
        usage.resident_bytes = number(21) * rustix::param::page_size() as u64;
    }
    if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
        usage.open_descriptors = descriptors.count() as u64;
    }
    usage
}

/// Seconds since the Unix epoch.
pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use loadline_core::{Admission, Reason, Settings};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rates_cover_the_last_ten_seconds_only() {
        let process = Process::new();
        let mut admission = Admission::new(Settings::new(std::num::NonZeroU32::MIN));
        let now = loadline_core::Instant::from_nanos(1);
        for second in 0..30 {
            // Two per second, and none any more after twenty seconds.
            for _ in 0..if second < 20 { 2 } else { 0 } {
                let _ = admission.record_shed(now, Class::Normal, Reason::QueueFull);
            }
            process.sample(&admission.snapshot(now), 0);
            if second == 19 {
                assert!((process.rates().shed - 2.0).abs() < 0.21, "{:?}", process.rates());
                assert!((process.shed_rate() - 1.0).abs() < 1e-9);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(process.rates().shed, 0.0);
        assert_eq!(process.shed_rate(), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_no_demand() {
        let process = Process::new();
        let mut admission = Admission::new(Settings::new(std::num::NonZeroU32::MIN));
        let at = |second: u64| loadline_core::Instant::from_nanos(second * 1_000_000_000);
        for second in 0..10 {
            // Half of what comes had been there before; each takes half a second.
            for half in 0..2 {
                let begin = at(second) + Duration::from_millis(500 * half);
                let request = loadline_core::Request::new(Class::Normal);
                let loadline_core::Decision::Admit(permit) = admission.on_arrival(begin, request) else {
                    panic!("the slot is free")
                };
                let end = begin + Duration::from_millis(500);
                admission.on_complete(end, permit, loadline_core::Outcome::Completed);
            }
            process.sample(&admission.snapshot(at(second + 1)), second + 1);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let Rates { admitted, demand, .. } = process.rates();
        assert!((admitted - 2.0).abs() < 1e-9 && (demand - 0.5).abs() < 0.01, "{admitted} {demand}");
    }

    #[test]
    fn the_process_uses_something() {
        let usage = usage();
        assert!(usage.resident_bytes > 0 && usage.open_descriptors > 0 && usage.max_descriptors > 0);
        assert!(usage.virtual_bytes > usage.resident_bytes && usage.threads > 0);
    }
}
