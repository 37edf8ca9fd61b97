//! What a running loadline says, question by question.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::cli::client::{Admin, ClientError};

/// Between two questions for the status.
const EVERY: Duration = Duration::from_millis(250);

/// Between two questions for new samples: there is one per second.
const SAMPLES_EVERY: Duration = Duration::from_secs(1);

/// What is shown of `/api/v1/status`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    pub(super) state: String,
    pub(super) version: String,
    pub(super) started_ms: u64,
    pub(super) uptime_seconds: u64,
    pub(super) upstream: String,
    pub(super) limit: u64,
    pub(super) effective_limit: u64,
    pub(super) in_flight: u64,
    pub(super) queued: u64,
    pub(super) queue_depth: u64,
    pub(super) oldest_wait_ms: Option<f64>,
    pub(super) demand_ratio: f64,
    pub(super) wait_ms: Percentiles,
    pub(super) service_ms: Percentiles,
    pub(super) rates_per_second: Rates,
    pub(super) shed_by_reason: BTreeMap<String, u64>,
    pub(super) classes: BTreeMap<String, Class>,
    pub(super) dry_run: bool,
}

/// In milliseconds; none where nothing was measured.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Percentiles {
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Rates {
    pub(super) offered: f64,
    pub(super) admitted: f64,
    pub(super) shed: f64,
    pub(super) good: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Class {
    pub(super) shed_by_reason: BTreeMap<String, u64>,
}

/// What is shown of `/api/v1/history`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Sample {
    pub(super) time_ms: u64,
    pub(super) offered: f64,
    pub(super) served: f64,
    pub(super) shed: f64,
    pub(super) good: f64,
    pub(super) would_shed: Option<f64>,
}

#[derive(Deserialize)]
struct History {
    samples: Vec<Sample>,
}

/// What there is to tell.
#[derive(Debug)]
pub(super) enum News {
    Status(Box<Status>),
    Samples(Vec<Sample>),
    /// Why there is no answer.
    Lost(String),
}

impl Status {
    /// The status now.
    ///
    /// # Errors
    /// There is no answer, or none that is understood.
    pub(super) fn ask(admin: &Admin) -> Result<Self, ClientError> {
        ask(admin, "/api/v1/status")
    }
}

/// Asks again and again, on a thread of its own: an answer may take seconds, a key must not.
pub(super) fn follow(admin: Admin) -> mpsc::UnboundedReceiver<News> {
    let (sender, news) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let (mut known, mut samples_due) = (0, Instant::now());
        loop {
            let status = match Status::ask(&admin) {
                Ok(status) => News::Status(Box::new(status)),
                Err(error) => News::Lost(error.to_string()),
            };
            let answered = matches!(status, News::Status(_));
            if sender.send(status).is_err() {
                return;
            }
            if answered && Instant::now() >= samples_due {
                samples_due = Instant::now() + SAMPLES_EVERY;
                let history = ask::<History>(&admin, &format!("/api/v1/history?after={known}"));
                // The next status tells whether this was a passing failure.
                let samples = history.map(|history| history.samples).unwrap_or_default();
                known = samples.last().map_or(known, |last| last.time_ms);
                let _ = sender.send(News::Samples(samples));
            }
            std::thread::sleep(EVERY);
        }
    });
    news
}

fn ask<T: DeserializeOwned>(admin: &Admin, path: &str) -> Result<T, ClientError> {
    let text = admin.get(path)?;
    serde_json::from_str(&text).map_err(|error| ClientError::content(admin.url(path), &error))
}
