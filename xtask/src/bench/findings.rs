//! What a long run has found so far: for its end, and for whoever ends it before.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Result;
use super::proxies::Proxy;
use super::report::Report;

/// What was found so far, also for whoever ends the run.
#[derive(Clone)]
pub(super) struct Findings(Arc<Mutex<Report>>);

impl Findings {
    pub(super) fn new(report: Report) -> Self {
        Self(Arc::new(Mutex::new(report)))
    }

    /// As it is now. Not to be kept over a measurement.
    pub(super) fn now(&self) -> MutexGuard<'_, Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tables of an interrupted run. What it has found is in the file as well.
    pub(super) fn so_far(&self, json: Option<&Path>) -> String {
        let mut report = self.now();
        report.failures.push("interrupted: this is what was measured until then".to_owned());
        if let Err(error) = write(&report, json) {
            report.failures.push(error.to_string());
        }
        report.markdown()
    }

    /// Something could not be measured.
    pub(super) fn fail(&self, what: &str, proxy: Proxy, why: &str) {
        eprintln!("  failed: {why}");
        self.now().failures.push(format!("`{what}` {}: {why}", proxy.name()));
    }
}

/// All samples, into the file that was asked for.
pub(super) fn write(report: &Report, json: Option<&Path>) -> Result<()> {
    if let Some(path) = json {
        fs::write(path, serde_json::to_string_pretty(report)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::report::Sample;
    use super::*;

    #[test]
    fn an_interrupted_run_tells_what_it_has_measured() {
        let found = Findings::new(Report::default());
        found.now().samples.push(Sample {
            scenario: "get128",
            proxy: Proxy::Loadline,
            round: 0,
            cpu_us: 21.5,
            per_second: 40_000.0,
            p50_us: 1_000.0,
            p99_us: 2_000.0,
            proxy_busy: 0.9,
            load_busy: 0.5,
            answers: 160_000,
            errors: 0,
        });
        let file = std::env::temp_dir().join(format!("loadline-interrupted-{}.json", std::process::id()));
        let text = found.so_far(Some(&file));
        assert!(text.contains("### `get128`") && text.contains("21.5"), "{text}");
        assert!(text.contains("- interrupted: "), "{text}");
        assert!(fs::read_to_string(&file).unwrap().contains("\"answers\": 160000"));
        fs::remove_file(&file).unwrap();
    }
}
