//! A plan as a person writes it: a TOML file, flags, or a file with flags on top.
//!
//! Every value has the same spelling in both. Mistakes in a file are named with line and column.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::deadline::{Deadline, DeadlineFormat};
use crate::expect::Expectation;
use crate::mix::Mix;
use crate::plan::{Plan, PlanError, Protocol, Url};
use crate::retry::{Retry, RetryPolicy};
use crate::schedule::Arrivals;
use crate::stage::{Spike, Stage, with_spike};
use crate::target::{Field, Target};
use crate::units::{Rate, Span};

/// Largest body that is read from a file: every request in flight may hold a copy on its way.
const MAX_BODY_BYTES: u64 = 64 << 20;

/// What a scenario file may hold; everything but a URL and a rate has a default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of the file, documented in docs/load.md")]
pub struct Scenario {
    pub url: Option<String>,
    pub protocol: Option<Protocol>,
    pub new_connections: Option<bool>,
    pub rate: Option<Rate>,
    pub duration: Option<Span>,
    pub stages: Option<Vec<Stage>>,
    #[serde(default)]
    pub spikes: Vec<Spike>,
    pub arrivals: Option<Arrivals>,
    #[serde(default, rename = "target")]
    pub targets: Vec<Target>,
    pub method: Option<String>,
    #[serde(default)]
    pub headers: Vec<Field>,
    pub body: Option<String>,
    pub classes: Option<Mix>,
    pub class_header: Option<String>,
    pub tenants: Option<Mix>,
    pub tenant_header: Option<String>,
    pub timeout: Option<Span>,
    pub deadline: Option<Span>,
    pub deadline_header: Option<String>,
    pub deadline_format: Option<DeadlineFormat>,
    #[serde(default)]
    pub retry: RetryScenario,
    pub max_in_flight: Option<usize>,
    pub seed: Option<u64>,
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

/// `[retry]` of a scenario file.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of the file, documented in docs/load.md")]
pub struct RetryScenario {
    pub policy: Option<RetryPolicy>,
    pub limit: Option<u32>,
    pub base: Option<Span>,
    pub cap: Option<Span>,
    pub honour_retry_after: Option<bool>,
}

impl RetryScenario {
    /// Whether anything is said of retries but whether there are any.
    fn is_tuned(&self) -> bool {
        let waits = self.base.is_some() || self.cap.is_some();
        waits || self.limit.is_some() || self.honour_retry_after.is_some()
    }
}

impl Scenario {
    /// # Errors
    /// The place, the key and what was expected, as the TOML reader names them.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// Resolves it to a plan. Bodies that are files are read.
    ///
    /// # Errors
    /// What is missing, contradicts itself or cannot be sent.
    pub fn plan(&self) -> Result<Plan, PlanError> {
        let url = self.url.as_deref().ok_or_else(|| wrong("there is no URL (try http://127.0.0.1:8000/)"))?;
        let url: Url = url.parse().map_err(PlanError)?;
        let mut plan = Plan::new(url, self.stages()?);
        plan.targets = self.targets(&plan.url)?;
        plan.deadline = self.deadline()?;
        if self.retry.policy.is_none() && self.retry.is_tuned() {
            return Err(wrong(
                "nothing is retried: say what follows a failed attempt (try --retry exponential)",
            ));
        }
        let retry = Retry::default();
        plan.retry = Retry {
            policy: self.retry.policy.unwrap_or(retry.policy),
            limit: self.retry.limit.unwrap_or(retry.limit),
            base: self.retry.base.map_or(retry.base, |span| span.0),
            cap: self.retry.cap.map_or(retry.cap, |span| span.0),
            honour_retry_after: self.retry.honour_retry_after.unwrap_or(retry.honour_retry_after),
        };
        let lower =
            |name: &Option<String>, default: &str| name.as_deref().unwrap_or(default).to_ascii_lowercase();
        plan.class_header = lower(&self.class_header, &plan.class_header);
        plan.tenant_header = lower(&self.tenant_header, &plan.tenant_header);
        plan.classes = self.classes.clone().unwrap_or_default();
        plan.tenants = self.tenants.clone().unwrap_or_default();
        plan.protocol = self.protocol.unwrap_or_default();
        plan.new_connections = self.new_connections.unwrap_or_default();
        plan.arrivals = self.arrivals.unwrap_or_default();
        plan.timeout = self.timeout.map_or(plan.timeout, |span| span.0);
        plan.max_in_flight = self.max_in_flight.unwrap_or(plan.max_in_flight);
        plan.seed = self.seed.unwrap_or_default();
        plan.check()?;
        self.expect.iter().try_for_each(|expectation| expectation.check(&plan)).map_err(PlanError)?;
        Ok(plan)
    }

    fn stages(&self) -> Result<Vec<Stage>, PlanError> {
        let stages = match (&self.stages, self.rate, self.duration) {
            (Some(stages), None, None) if !stages.is_empty() => stages.clone(),
            (Some(_), None, None) | (None, None, _) => {
                return Err(wrong("there is no rate (try --rate 100/s --duration 30s, or --stage 30s@100)"));
            }
            (Some(_), ..) => return Err(wrong("give either rate and duration or stages, not both")),
            (None, Some(_), None) => return Err(wrong("there is no duration (try --duration 30s)")),
            (None, Some(rate), Some(duration)) => vec![Stage::hold(duration.0, rate)],
        };
        let total: Duration = stages.iter().map(|stage| stage.duration).sum();
        if let Some(spike) = self.spikes.iter().find(|spike| spike.at >= total) {
            return Err(wrong(&format!(
                "a spike begins at {:?}, when the run of {total:?} is over",
                spike.at
            )));
        }
        Ok(self.spikes.iter().fold(stages, |stages, spike| with_spike(&stages, *spike)))
    }

    /// The targets, each with the fields, method and body that all have in common.
    fn targets(&self, url: &Url) -> Result<Vec<Target>, PlanError> {
        let single = || Target {
            method: self.method.clone().unwrap_or_else(|| Target::default().method),
            body: self.body.clone().unwrap_or_default(),
            ..Target::default()
        };
        if !self.targets.is_empty() && (self.method.is_some() || self.body.is_some()) {
            return Err(wrong("method and body belong to the one request of a run without targets"));
        }
        let mut targets = if self.targets.is_empty() { vec![single()] } else { self.targets.clone() };
        for target in &mut targets {
            if target.path.is_empty() {
                target.path.clone_from(&url.path);
            }
            if target.name.is_empty() {
                target.name.clone_from(&target.path);
            }
            target.headers.extend(self.headers.iter().cloned());
            if let Some(file) = target.body.strip_prefix('@') {
                target.body = read_body(Path::new(file))?;
            }
        }
        let weights = targets.iter().map(|target| (target.name.clone(), target.weight));
        Mix::new(weights).map_err(|why| wrong(&format!("targets: {why}")))?;
        Ok(targets)
    }

    fn deadline(&self) -> Result<Option<Deadline>, PlanError> {
        let Some(Span(after)) = self.deadline else {
            return match self.deadline_header.is_some() || self.deadline_format.is_some() {
                true => Err(wrong("there is a deadline header but no deadline (try --deadline 500ms)")),
                false => Ok(None),
            };
        };
        let header = self.deadline_header.as_deref().unwrap_or("x-respond-by").to_ascii_lowercase();
        if header == "none" {
            return Ok(Some(Deadline { after, header: None, format: DeadlineFormat::Rfc3339 }));
        }
        let format =
            self.deadline_format.or_else(|| DeadlineFormat::of_header(&header)).ok_or_else(|| {
                wrong(&format!("how `{header}` is written is not known (try --deadline-format rfc3339)"))
            })?;
        Ok(Some(Deadline { after, header: Some(header), format }))
    }
}

fn read_body(file: &Path) -> Result<String, PlanError> {
    let size = std::fs::metadata(file).map(|metadata| metadata.len());
    let text = match size {
        Ok(size) if size > MAX_BODY_BYTES => Err(format!("is larger than {MAX_BODY_BYTES} bytes")),
        _ => std::fs::read_to_string(file).map_err(|error| error.to_string()),
    };
    text.map_err(|why| wrong(&format!("body {}: {why}", file.display())))
}

fn wrong(why: &str) -> PlanError {
    PlanError(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
        url = "http://127.0.0.1:8000/"
        stages = ["10s@100", "5s@100..1000"]
        spikes = ["2s+1s@2000"]
        arrivals = "poisson"
        protocol = "h2"
        headers = ["user-agent: loadline"]
        classes = { critical = 1, low = 9 }
        timeout = "1s"
        deadline = 500
        deadline_header = "grpc-timeout"
        retry = { policy = "exponential", limit = 2, base = "50ms" }
        expect = ["p99<1s", "goodput>95%"]
        [[target]]
        path = "/cheap"
        weight = 9
        [[target]]
        method = "POST"
        path = "/dear"
        body = "x"
    "#;

    #[test]
    fn a_file_is_a_plan() {
        let plan = Scenario::parse(FULL).unwrap().plan().unwrap();
        assert_eq!(plan.stages.len(), 4);
        assert_eq!(plan.duration(), Duration::from_secs(15));
        assert_eq!((plan.targets[0].name.as_str(), plan.targets[1].method.as_str()), ("/cheap", "POST"));
        assert_eq!(plan.targets[1].headers[0].name, "user-agent");
        let deadline = plan.deadline.unwrap();
        assert_eq!((deadline.after, deadline.format), (Duration::from_millis(500), DeadlineFormat::Grpc));
        assert_eq!((plan.retry.limit, plan.retry.cap), (2, Retry::default().cap));
    }

    #[test]
    fn mistakes_in_a_file_have_line_and_column() {
        for (text, parts) in [
            ("rate = 5\nurl = 7", ["line 2", "url"]),
            ("\nraet = 5", ["line 2", "raet"]),
            ("stages = [\"5s\"]", ["line 1", "there is no `@`"]),
            ("[[target]]\nweigth = 1", ["line 2", "weigth"]),
            ("timeout = \"5 sec\"", ["line 1", "not a duration"]),
            ("expect = [\"p99\"]", ["line 1", "p99"]),
        ] {
            let error = Scenario::parse(text).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn what_is_missing_or_contradicts_itself_is_said() {
        let plan = |text: &str| Scenario::parse(text).unwrap().plan().unwrap_err().0;
        let base = "url = \"http://a/\"\n";
        for (text, part) in [
            ("rate = 1\nduration = \"1s\"".to_owned(), "no URL"),
            (base.to_owned(), "no rate"),
            (format!("{base}rate = 1"), "no duration"),
            (format!("{base}rate = 1\nduration = \"1s\"\nstages = [\"1s@1\"]"), "not both"),
            (format!("{base}stages = [\"1s@1\"]\ndeadline_header = \"x-a\""), "no deadline"),
            (format!("{base}stages = [\"1s@1\"]\ndeadline = 5\ndeadline_header = \"x-a\""), "x-a"),
            (format!("{base}stages = [\"1s@1\"]\nretry = {{ limit = 5 }}"), "nothing is retried"),
            (format!("{base}stages = [\"1s@1\"]\nbody = \"@/nowhere\""), "/nowhere"),
            (format!("{base}stages = [\"1s@1\"]\nspikes = [\"1s+1s@9\"]"), "is over"),
            (
                format!("{base}stages = [\"1s@1\"]\nexpect = [\"high.p99<1s\"]"),
                "no class, target or tenant `high`",
            ),
            (
                format!("{base}stages = [\"1s@1\"]\nmethod = \"PUT\"\n[[target]]\npath = \"/\""),
                "without targets",
            ),
        ] {
            let error = plan(&text);
            assert!(error.contains(part), "{error}");
        }
    }
}
