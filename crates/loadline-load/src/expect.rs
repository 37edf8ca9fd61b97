//! What a run must have shown: `p99<1s`, `goodput>95%`, `critical.success>=99.9%`.
//!
//! `[GROUP.]METRIC OPERATOR VALUE`. A group is a class, a target's name or a tenant.
//!
//! | metric | meaning | value |
//! |---|---|---|
//! | `p50` `p75` `p90` `p95` `p99` `p99.9` `p99.99` `min` `mean` `max` | latency of what was served | duration |
//! | `all.p99`, … | latency of everything sent, failures and timeouts included | duration |
//! | `shed.p99`, … | latency of rejections | duration |
//! | `goodput`, `success` | served in time | share of the offered, or for the whole run a rate |
//! | `late` `shed` `client_error` `server_error` `timeout` `refused` `reset` `not_sent` | outcome | share |
//! | `shed.queue_full`, … | shed for that reason | share |
//! | `recovery` | from the end of the overload | duration |
//! | `late_starts` | the generator's own lateness | share |

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use loadline_core::Reason;
use serde::Deserialize;

use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::report::{Group, Latency, Report};
use crate::target::Target;
use crate::units::{Rate, Span};

/// Names of latencies.
const LATENCIES: [&str; 10] = ["p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99", "min", "mean", "max"];

/// Operators, the longer before their beginnings.
const OPERATORS: [(&str, Operator); 4] =
    [("<=", Operator::AtMost), (">=", Operator::AtLeast), ("<", Operator::Below), (">", Operator::Above)];

/// One expectation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Expectation {
    text: String,
    group: Option<String>,
    metric: Metric,
    operator: Operator,
    bound: Bound,
}

/// Whether an expectation held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it held.
    pub held: bool,
    /// The expectation and what was measured, in words.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Metric {
    Latency(Part, usize),
    Outcome(Outcome),
    Reason(Reason),
    Recovery,
    LateStarts,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Served,
    Shed,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Below,
    AtMost,
    Above,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Time(Duration),
    /// 0 to 1.
    Share(f64),
    Rate(f64),
}

impl Expectation {
    /// # Errors
    /// It is about a group that such a run has not; better said before the run than after it.
    pub(crate) fn check(&self, plan: &Plan) -> Result<(), String> {
        let Some(group) = &self.group else { return Ok(()) };
        let own = |target: &Target| {
            let names = [Some(&target.name), target.class.as_ref(), target.tenant.as_ref()];
            names.into_iter().flatten().any(|name| name == group)
        };
        let drawn = plan.classes.names().iter().chain(plan.tenants.names()).any(|name| name == group);
        if drawn || plan.targets.iter().any(own) {
            return Ok(());
        }
        Err(format!("expectation `{}`: the run has no class, target or tenant `{group}`", self.text))
    }

    /// Holds it against a run. What cannot be found, such as a group that the run has not, does not hold.
    #[must_use]
    pub fn verdict(&self, report: &Report) -> Verdict {
        let measured = match &self.group {
            None => self.measure(report, &report.total),
            Some(name) => match report.group(name) {
                Some(group) => self.measure(report, group),
                None => {
                    let text = format!("{}: the run has no class, target or tenant `{name}`", self.text);
                    return Verdict { held: false, text };
                }
            },
        };
        let Some(measured) = measured else {
            return Verdict { held: false, text: format!("{}: nothing was measured", self.text) };
        };
        let held = self.operator.holds(measured.number(), self.bound.number());
        Verdict { held, text: format!("{}: {measured}", self.text) }
    }

    fn measure(&self, report: &Report, group: &Group) -> Option<Bound> {
        match (&self.metric, self.bound) {
            (Metric::Latency(part, index), _) => {
                let latency = match part {
                    Part::Served => &group.latency,
                    Part::Shed => &group.shed_latency,
                    Part::All => &group.all_latency,
                };
                let millis = of_index(latency, *index);
                (latency.count > 0).then(|| Bound::Time(Duration::from_secs_f64(millis / 1_000.0)))
            }
            (Metric::Outcome(_), Bound::Rate(_)) => Some(Bound::Rate(report.goodput_per_s)),
            (Metric::Outcome(outcome), _) => Some(Bound::Share(group.share(*outcome))),
            (Metric::Reason(reason), _) => {
                let count = group.shed_by_reason.get(reason.as_str()).copied().unwrap_or_default();
                Some(Bound::Share(count as f64 / group.offered.max(1) as f64))
            }
            (Metric::Recovery, _) => {
                let seconds = report.recovery?.seconds.map(Duration::from_secs_f64);
                Some(Bound::Time(seconds.unwrap_or(Duration::MAX)))
            }
            (Metric::LateStarts, _) => Some(Bound::Share(report.late_starts.share)),
        }
    }
}

impl Operator {
    fn holds(self, measured: f64, bound: f64) -> bool {
        match self {
            Self::Below => measured < bound,
            Self::AtMost => measured <= bound,
            Self::Above => measured > bound,
            Self::AtLeast => measured >= bound,
        }
    }
}

impl Bound {
    fn number(self) -> f64 {
        match self {
            Self::Time(time) => time.as_secs_f64(),
            Self::Share(share) => share,
            Self::Rate(rate) => rate,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(Duration::MAX) => f.write_str("not within the run"),
            Self::Time(time) if *time < Duration::from_secs(1) => {
                write!(f, "{:.3}ms", time.as_secs_f64() * 1e3)
            }
            Self::Time(time) => write!(f, "{:.3}s", time.as_secs_f64()),
            Self::Share(share) => write!(f, "{:.3}%", share * 100.0),
            Self::Rate(rate) => write!(f, "{rate:.1}/s"),
        }
    }
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("expectation `{text}`: {why} (try 'p99<1s', 'goodput>95%', 'shed<1%')");
        let compact: String = text.chars().filter(|character| *character != ' ').collect();
        let found =
            OPERATORS.iter().find_map(|(sign, operator)| Some((compact.split_once(sign)?, *operator)));
        let ((name, value), operator) = found.ok_or_else(|| wrong("there is no <, <=, > or >="))?;
        let (group, metric) = metric(name).ok_or_else(|| wrong(&format!("`{name}` is not measured")))?;
        let bound =
            bound(value).ok_or_else(|| wrong(&format!("`{value}` is not a duration, share or rate")))?;
        let fits = match (&metric, bound) {
            (Metric::Latency(..) | Metric::Recovery, Bound::Time(_)) => true,
            (Metric::Outcome(_) | Metric::Reason(_) | Metric::LateStarts, Bound::Share(_)) => true,
            (Metric::Outcome(Outcome::Served), Bound::Rate(_)) => group.is_none(),
            _ => false,
        };
        if !fits {
            return Err(wrong(&format!("`{value}` is not what `{name}` is measured in")));
        }
        Ok(Self { text: text.to_owned(), group, metric, operator, bound })
    }
}

impl TryFrom<String> for Expectation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The longest end of a name that is a metric; what stands before it is the group.
fn metric(name: &str) -> Option<(Option<String>, Metric)> {
    let starts = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
    starts.into_iter().find_map(|start| {
        let metric = known(&name[start..])?;
        let group = name[..start].strip_suffix('.').map(str::to_owned);
        let whole_run = matches!(metric, Metric::Recovery | Metric::LateStarts);
        (group.is_none() || !whole_run).then_some((group, metric))
    })
}

fn known(name: &str) -> Option<Metric> {
    let latency = |name: &str| LATENCIES.iter().position(|known| *known == name);
    let (part, rest) = match name.split_once('.') {
        Some(("shed", rest)) => (Part::Shed, rest),
        Some(("all", rest)) => (Part::All, rest),
        _ => (Part::Served, name),
    };
    if let Some(index) = latency(rest) {
        return Some(Metric::Latency(part, index));
    }
    if part == Part::Shed {
        return Reason::ALL.into_iter().find(|reason| reason.as_str() == rest).map(Metric::Reason);
    }
    match name {
        "goodput" | "success" => Some(Metric::Outcome(Outcome::Served)),
        "recovery" => Some(Metric::Recovery),
        "late_starts" => Some(Metric::LateStarts),
        _ => Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == name).map(Metric::Outcome),
    }
}

fn bound(value: &str) -> Option<Bound> {
    if let Some(percent) = value.strip_suffix('%') {
        let percent = percent.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
        return percent.map(|percent| Bound::Share(percent / 100.0));
    }
    if value.contains('/') {
        return value.parse().ok().map(|rate: Rate| Bound::Rate(rate.get()));
    }
    // A bare number could be anything.
    let has_unit = value.ends_with(|character: char| character.is_ascii_alphabetic());
    has_unit.then(|| value.parse().ok()).flatten().map(|span: Span| Bound::Time(span.0))
}

fn of_index(latency: &Latency, index: usize) -> f64 {
    let values = [
        latency.p50_ms,
        latency.p75_ms,
        latency.p90_ms,
        latency.p95_ms,
        latency.p99_ms,
        latency.p99_9_ms,
        latency.p99_99_ms,
        latency.min_ms,
        latency.mean_ms,
        latency.max_ms,
    ];
    values[index]
}

#[cfg(test)]
mod tests;
