//! What must come out of a scenario: ranges for numbers over a window of time.

use serde::Deserialize;

use super::Scenario;
use crate::clients::ClassName;
use crate::units::Span;

/// A range for one number.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Of whom: names of policies.
    pub policy: Vec<String>,
    /// Which number.
    pub what: What,
    /// Beginning of the window; left out: the start.
    #[serde(default)]
    pub from: Span,
    /// End of the window; left out: the end of the scenario.
    pub to: Option<Span>,
    /// Only clients of this class.
    pub class: Option<ClassName>,
    /// Only clients of this stream.
    pub clients: Option<String>,
    /// The least it may be.
    pub min: Option<f64>,
    /// The most it may be.
    pub max: Option<f64>,
    /// Why it does not hold yet: then it is shown as not met, and is no failure.
    pub known_gap: Option<String>,
}

/// A number that can be expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Answers in time per second ÷ capacity.
    Goodput,
    /// The same in the worst second of the window.
    WorstSecond,
    /// Goodput ÷ that of the best fixed limit under the same queue.
    VsBestFixed,
    /// Goodput ÷ that of the best of the other laws that adapt their limit, each the mean of all seeds. Not asked where none of them
    /// runs.
    VsBestAdaptive,
    /// Attempts turned away ÷ attempts.
    Shed,
    /// Clients answered in time, retries included, ÷ clients that came in the window.
    Success,
    /// The mean limit.
    Limit,
    /// The mean limit ÷ the knee.
    LimitOfKnee,
    /// Seconds from the window's beginning until, in the next second and over all the rest of the scenario, 98 % of the clients
    /// are answered in time.
    Recovery,
    /// Work done for clients that did not get it in time ÷ work done.
    Wasted,
    /// Requests that were started ÷ clients for whom any was.
    Amplification,
    /// Goodput of the last tenth of the window ÷ that of the first.
    Drift,
    /// Requests in the service at once, at most.
    InApp,
}

impl What {
    /// The word in files and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Goodput => "goodput",
            Self::WorstSecond => "worst_second",
            Self::VsBestFixed => "vs_best_fixed",
            Self::VsBestAdaptive => "vs_best_adaptive",
            Self::Shed => "shed",
            Self::Success => "success",
            Self::Limit => "limit",
            Self::LimitOfKnee => "limit_of_knee",
            Self::Recovery => "recovery",
            Self::Wasted => "wasted",
            Self::Amplification => "amplification",
            Self::Drift => "drift",
            Self::InApp => "in_app",
        }
    }
}

impl Expectation {
    /// Its window in nanoseconds.
    #[must_use]
    pub fn window(&self, scenario: &Scenario) -> (u64, u64) {
        (self.from.0, self.to.map_or(scenario.duration.0, |to| to.0))
    }

    /// Whether a number is in the range.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        // Not `value < min`: what is no number does not hold.
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    /// In words: `goodput (critical, 10s..40s) >= 0.95`.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut about = Vec::new();
        about.extend(self.class.map(|class| class.0.to_string()));
        about.extend(self.clients.clone());
        if self.from.0 > 0 || self.to.is_some() {
            about.push(format!("{}..{}", self.from, self.to.map_or_else(String::new, |to| to.to_string())));
        }
        let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
        let range = match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!(">= {min}"),
            (None, Some(max)) => format!("<= {max}"),
            (None, None) => "any".to_owned(),
        };
        format!("{}{about} {range}", self.what.as_str())
    }

    pub(super) fn check(&self, scenario: &Scenario) -> Result<(), String> {
        let fault = |fault: String| Err(format!("expect {}: {fault}", self.describe()));
        let (from, to) = self.window(scenario);
        if from >= to || to > scenario.duration.0 {
            return fault("the window is empty or ends after the scenario".to_owned());
        }
        if self.min.is_none() && self.max.is_none() {
            return fault("neither `min` nor `max`".to_owned());
        }
        if let Some(name) = &self.clients
            && !scenario.clients.iter().any(|clients| clients.name == *name)
        {
            return fault(format!("there are no clients named `{name}`"));
        }
        let by_client = matches!(self.what, What::Success | What::Shed | What::Recovery);
        if (self.class.is_some() || self.clients.is_some()) && !by_client {
            return fault("only success, shed and recovery can be asked of a class or a stream".to_owned());
        }
        for name in &self.policy {
            scenario.policy(name).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
