//! What the demo service tells Prometheus: the names that its dashboard and its alerts read.
//!
//! The text format 0.0.4 by hand: three kinds of lines, and every series known beforehand but for statuses, which come
//! from the apps' own answers. No request can create a series by its path or method.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hyper::{Method, Response};

use crate::reply::Body;

/// Upper bounds of the buckets, in seconds.
const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0];

/// Results of a call to the upstream, as labels.
const RESULTS: [&str; 5] = ["ok", "error", "timeout", "transport", "breaker_open"];

/// What can become of `/work`, as labels.
const WORK_OUTCOMES: [&str; 3] = ["ok", "error", "shed"];

/// What is counted while an app runs.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    in_flight: AtomicUsize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(&'static str, &'static str, u16), u64>,
    durations: BTreeMap<(&'static str, &'static str), Histogram>,
    upstream: BTreeMap<&'static str, u64>,
    upstream_durations: BTreeMap<&'static str, Histogram>,
    work: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    sum: f64,
    count: u64,
}

/// One more request in flight, until it is dropped.
#[derive(Debug)]
struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What is read off when somebody asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauges {
    /// Whether the breaker refuses calls or tries out whether it can close.
    pub(crate) breaker_open: bool,
    /// Until when, in seconds since 1970; 0 if it is closed.
    pub(crate) open_until: f64,
    /// Requests on `/work` that wait.
    pub(crate) work_queue: usize,
}

impl Metrics {
    /// Counts a request while it is answered, and what became of it under the route's name that comes with the answer.
    pub(crate) async fn measured(
        &self,
        method: &Method,
        answer: impl Future<Output = (&'static str, Response<Body>)>,
    ) -> Response<Body> {
        let begun = Instant::now();
        self.in_flight.fetch_add(1, Relaxed);
        let _in_flight = InFlight(&self.in_flight);
        let (path, response) = answer.await;
        self.answered(method, path, response.status().as_u16(), begun.elapsed());
        response
    }

    /// A request was answered. `path` is a route's name.
    fn answered(&self, method: &Method, path: &'static str, status: u16, took: Duration) {
        let method = method_label(method);
        let mut counts = self.counts();
        *counts.requests.entry((method, path, status)).or_default() += 1;
        counts.durations.entry((method, path)).or_default().observe(took);
    }

    /// A call to the upstream ended, or was refused (`took` is `None`).
    pub(crate) fn called(&self, result: &'static str, took: Option<Duration>) {
        let mut counts = self.counts();
        *counts.upstream.entry(result).or_default() += 1;
        if let Some(took) = took {
            counts.upstream_durations.entry(result).or_default().observe(took);
        }
    }

    /// A request on `/work` ended.
    pub(crate) fn worked(&self, outcome: &'static str) {
        *self.counts().work.entry(outcome).or_default() += 1;
    }

    /// The page. `gauges` are those of an app that has an upstream; without it only requests and the process are told.
    pub(crate) fn page(&self, gauges: Option<Gauges>) -> String {
        let mut page = Page::default();
        let counts = self.counts();
        page.family("http_requests_total", "counter", "Requests by method, route and status.");
        for ((method, path, status), count) in &counts.requests {
            let labels = format!("method=\"{method}\",path=\"{path}\",status=\"{status}\"");
            page.sample("http_requests_total", &labels, *count as f64);
        }
        page.family("http_request_duration_seconds", "histogram", "Time until the answer.");
        for ((method, path), histogram) in &counts.durations {
            let labels = format!("method=\"{method}\",path=\"{path}\"");
            page.histogram("http_request_duration_seconds", &labels, histogram);
        }
        page.gauge("http_inflight_requests", "Requests in service.", self.in_flight.load(Relaxed) as f64);
        if let Some(gauges) = gauges {
            counts.upstream_part(&gauges, &mut page);
        }
        process_part(&mut page);
        page.0
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        // A panic while counting leaves numbers that are at most one short.
        self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Counts {
    /// What only an app with an upstream has. Every label is there from the start, so that a rate has a beginning.
    fn upstream_part(&self, gauges: &Gauges, page: &mut Page) {
        page.family("upstream_requests_total", "counter", "Calls to the upstream by result.");
        for result in RESULTS {
            let count = self.upstream.get(result).copied().unwrap_or_default();
            page.sample("upstream_requests_total", &format!("result=\"{result}\""), count as f64);
        }
        page.family("upstream_request_duration_seconds", "histogram", "Time of calls to the upstream.");
        for (result, histogram) in &self.upstream_durations {
            page.histogram("upstream_request_duration_seconds", &format!("result=\"{result}\""), histogram);
        }
        let open = f64::from(u8::from(gauges.breaker_open));
        page.gauge("circuit_breaker_state", "1 while the breaker is open or probing, else 0.", open);
        page.gauge(
            "circuit_breaker_open_until_epoch",
            "End of the open time in seconds since 1970; 0 while closed.",
            gauges.open_until,
        );
        page.family("work_items_total", "counter", "Requests on /work by outcome.");
        for outcome in WORK_OUTCOMES {
            let count = self.work.get(outcome).copied().unwrap_or_default();
            page.sample("work_items_total", &format!("outcome=\"{outcome}\""), count as f64);
        }
        page.gauge("work_queue_depth", "Requests on /work that wait.", gauges.work_queue as f64);
    }
}

impl Histogram {
    fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        for (count, bound) in self.buckets.iter_mut().zip(BUCKETS) {
            *count += u64::from(seconds <= bound);
        }
        self.sum += seconds;
        self.count += 1;
    }
}

/// Known methods only: a client may invent others.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        self.line(format_args!("{name}{{{labels}}} {value}"));
    }

    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        for (count, bound) in histogram.buckets.iter().zip(BUCKETS) {
            self.line(format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {count}"));
        }
        self.line(format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {}", histogram.count));
        self.line(format_args!("{name}_sum{{{labels}}} {}", histogram.sum));
        self.line(format_args!("{name}_count{{{labels}}} {}", histogram.count));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// What panels show of the process. A system that does not tell has no such lines.
fn process_part(page: &mut Page) {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    page.family("process_cpu_seconds_total", "counter", "CPU time used by the process.");
    page.line(format_args!("process_cpu_seconds_total {}", cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9));
    if let Some(bytes) = resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Memory in use by the process.", bytes as f64);
    }
}

/// From Linux's own table, in kilobytes there.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let metrics = Metrics::default();
        for millis in [4, 5, 60, 6_000] {
            metrics.answered(&Method::GET, "/client", 200, Duration::from_millis(millis));
        }
        let page = metrics.page(None);
        for (bound, count) in [("0.005", 2), ("0.05", 2), ("0.1", 3), ("5", 3), ("+Inf", 4)] {
            let line = format!(
                "http_request_duration_seconds_bucket{{method=\"GET\",path=\"/client\",le=\"{bound}\"}} {count}\n"
            );
            assert!(page.contains(&line), "{line}{page}");
        }
        assert!(
            page.contains("http_requests_total{method=\"GET\",path=\"/client\",status=\"200\"} 4\n"),
            "{page}"
        );
    }

    #[test]
    fn invented_methods_share_a_series() {
        let metrics = Metrics::default();
        for method in ["BREW", "WHEN"] {
            metrics.answered(&Method::from_bytes(method.as_bytes()).unwrap(), "other", 405, Duration::ZERO);
        }
        assert!(metrics.page(None).contains("{method=\"other\",path=\"other\",status=\"405\"} 2\n"));
    }
}
