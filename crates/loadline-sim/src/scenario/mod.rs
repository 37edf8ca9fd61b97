//! A scenario: a service, its clients, who protects it, and what is expected. One TOML file.
//!
//! The same files are used by the tests, by `loadline sim` and by whoever wants to know what a setting would do. Every value
//! can be changed from outside by its dotted name (`backend.stage.0.cores=8`, `clients.web.rate=2x`, `policy.haproxy.limit=16`),
//! see [`Scenario::parse`].

mod embedded;
mod expect;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::backend::{Ability, BackendSpec};
use crate::clients::ClientsSpec;
use crate::policy::PolicySpec;
use crate::replay::Recorded;
use crate::units::Span;

pub use embedded::EMBEDDED;
pub use expect::{Expectation, What};

/// A parsed and checked scenario; see the module.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A short name.
    pub name: String,
    /// One sentence: what happens, and what is to be seen.
    #[serde(default)]
    pub about: String,
    /// Whether constants may be chosen by it, or whether it only judges.
    #[serde(default)]
    pub set: Set,
    /// The seeds with which it is run.
    #[serde(default = "first_seed")]
    pub seeds: Vec<u64>,
    /// How long new clients come.
    pub duration: Span,
    /// Tables count from here on, so that a start does not colour them.
    #[serde(default)]
    pub settle: Span,
    /// What an operator would write as the limit. Left out: the knee at the start.
    pub limit: Option<u32>,
    /// Who is compared.
    #[serde(default = "all_policies")]
    pub policies: Vec<String>,
    /// The service.
    pub backend: BackendSpec,
    /// Its clients.
    pub clients: Vec<ClientsSpec>,
    /// Kinds of requests; none: all alike.
    #[serde(default, rename = "route")]
    pub routes: Vec<RouteSpec>,
    /// What differs from the defaults of a policy, or policies of one's own, by name.
    #[serde(default)]
    pub policy: BTreeMap<String, toml::Table>,
    /// What must come out.
    #[serde(default, rename = "expect")]
    pub expectations: Vec<Expectation>,
}

/// What a scenario is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// Shows something.
    #[default]
    Example,
    /// Constants are chosen by it.
    Tuning,
    /// Judges only: nobody looked at it when choosing.
    Exam,
}

/// A kind of request.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// Its name.
    pub name: String,
    /// How many of the requests are of it, relative to the others.
    #[serde(default = "one")]
    pub share: f64,
    /// How many times the written work it needs, in every stage.
    #[serde(default = "one")]
    pub work: f64,
}

/// Why a scenario cannot be used.
#[derive(Debug)]
pub struct ScenarioError(String);

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScenarioError {}

impl ScenarioError {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Sections of loadline's own configuration: `queue.timeout=2s` is short for that of the policies that are loadline.
const OURS: [&str; 6] = ["limit.", "queue.", "priority.", "deadline.", "fairness.", "timeouts."];

const fn one() -> f64 {
    1.0
}

fn first_seed() -> Vec<u64> {
    vec![1]
}

fn all_policies() -> Vec<String> {
    PolicySpec::NAMES.iter().map(|name| (*name).to_owned()).collect()
}

impl Scenario {
    /// Reads a scenario, with changes of the form `key=value` applied to it.
    ///
    /// # Errors
    /// Text that is not TOML, keys that do not exist, values that make no sense; with the line where it is known.
    pub fn parse(text: &str, changes: &[String]) -> Result<Self, ScenarioError> {
        let scenario: Self = if changes.is_empty() {
            toml::from_str(text).map_err(wrong)?
        } else {
            let mut table: toml::Table = text.parse().map_err(wrong)?;
            for change in changes {
                if OURS.iter().any(|section| change.starts_with(section)) {
                    for policy in ["auto", "loadline"] {
                        apply(&mut table, &format!("policy.{policy}.{change}"))?;
                    }
                } else {
                    apply(&mut table, change)?;
                }
            }
            table.try_into().map_err(wrong)?
        };
        scenario.check().map_err(ScenarioError)?;
        Ok(scenario)
    }

    /// The first stream sends exactly these requests.
    pub(crate) fn replay(&mut self, requests: &Arc<[Recorded]>) {
        if let Some(clients) = self.clients.first_mut() {
            clients.recorded = Some(Arc::clone(requests));
        }
    }

    /// What the service can do at this moment.
    #[must_use]
    pub fn ability(&self, at: u64) -> Ability {
        self.backend.ability(at, self.mean_work())
    }

    /// Mean capacity from one moment to another, in requests per second.
    #[must_use]
    pub fn mean_capacity(&self, from: u64, to: u64) -> f64 {
        self.backend.mean_capacity(from, to, self.mean_work())
    }

    /// What an operator would write as the limit.
    #[must_use]
    pub fn hint(&self) -> u32 {
        self.limit.unwrap_or_else(|| {
            let knee = self.ability(0).knee;
            if knee.is_finite() { (knee.round() as u32).max(1) } else { 100 }
        })
    }

    /// The policy with this name, with what the scenario says about it.
    ///
    /// # Errors
    /// A name that nobody knows, a knob that it does not have.
    pub fn policy(&self, name: &str) -> Result<PolicySpec, ScenarioError> {
        let table = self.policy.get(name).cloned().unwrap_or_default();
        PolicySpec::parse(name, table, self.hint()).map_err(ScenarioError)
    }

    /// Work of an average request, as a multiple of what is written.
    fn mean_work(&self) -> f64 {
        let shares: f64 = self.routes.iter().map(|route| route.share).sum();
        if shares > 0.0 {
            self.routes.iter().map(|route| route.share * route.work).sum::<f64>() / shares
        } else {
            1.0
        }
    }

    fn check(&self) -> Result<(), String> {
        self.backend.check()?;
        for (index, clients) in self.clients.iter().enumerate() {
            clients.check().map_err(|fault| format!("clients.{index}: {fault}"))?;
            if let Some(route) = &clients.route
                && !self.routes.iter().any(|known| known.name == *route)
            {
                return Err(format!("clients.{index}: there is no route named `{route}`"));
            }
        }
        if self.settle >= self.duration {
            return Err("`settle` is not shorter than `duration`".to_owned());
        }
        if !self.ability(0).capacity.is_finite() {
            return Err(
                "backend: without a stage that has workers or cores, nothing is ever overloaded".to_owned()
            );
        }
        for name in self.policies.iter().chain(self.policy.keys()) {
            self.policy(name).map_err(|error| error.0)?;
        }
        for expectation in &self.expectations {
            expectation.check(self)?;
        }
        Ok(())
    }
}

fn wrong(error: impl fmt::Display) -> ScenarioError {
    ScenarioError(error.to_string().trim_end().to_owned())
}

/// Sets one value by its dotted name. Elements of lists are named by their position, or by their `name`.
fn apply(table: &mut toml::Table, change: &str) -> Result<(), ScenarioError> {
    let (path, value) = change
        .split_once('=')
        .ok_or_else(|| ScenarioError(format!("`{change}` is not of the form key=value")))?;
    // A value that is no TOML is a text without its quotes.
    let value = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut parsed| parsed.remove("v"));
    let value = value.unwrap_or_else(|| toml::Value::String(change[path.len() + 1..].to_owned()));
    let mut keys = path.split('.').peekable();
    let mut at = table;
    while let Some(key) = keys.next() {
        if keys.peek().is_none() {
            at.insert(key.to_owned(), value);
            return Ok(());
        }
        let entry = at.entry(key).or_insert_with(|| toml::Table::new().into());
        at = match entry {
            toml::Value::Table(inner) => inner,
            toml::Value::Array(list) => {
                let element = keys.next().unwrap_or_default();
                let named =
                    |value: &toml::Value| value.get("name").and_then(toml::Value::as_str) == Some(element);
                let index = element.parse().ok().or_else(|| list.iter().position(named));
                let found =
                    index.and_then(|index: usize| list.get_mut(index)).and_then(toml::Value::as_table_mut);
                found.ok_or_else(|| ScenarioError(format!("{path}: `{key}` has no element `{element}`")))?
            }
            _ => return Err(ScenarioError(format!("{path}: `{key}` has no parts"))),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = 'x'\nduration = '10s'\n[[backend.stage]]\nkind = 'workers'\nworkers = 3\nwork = '50ms'\n\
                        [[clients]]\nname = 'web'\nrate = 60\n";

    fn parse(changes: &[&str]) -> Result<Scenario, String> {
        let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
        Scenario::parse(TEXT, &changes).map_err(|error| error.to_string())
    }

    #[test]
    fn every_value_can_be_changed_by_its_name() {
        let scenario =
            parse(&["backend.stage.0.workers=8", "clients.web.rate=2x", "policy.haproxy.queue_timeout=1s"])
                .unwrap();
        assert_eq!((scenario.ability(0).capacity, scenario.hint()), (160.0, 8));
        assert_eq!(parse(&["limit=5"]).unwrap().hint(), 5);
        let limit = |change| {
            let scenario = parse(&[change]).unwrap();
            scenario.policy("loadline").unwrap().build(1).gauge(0).limit
        };
        assert_eq!(limit("limit.concurrency=7"), 7.0, "the setting's own name is enough");
    }

    #[test]
    fn what_does_not_exist_is_named() {
        for (change, named) in [
            ("backend.stage.0.wrokers=8", "wrokers"),
            ("clients.wbe.rate=5", "no element `wbe`"),
            ("policy.haproxy.queue=5", "queue"),
            ("policy.nobody.limit=5", "nobody"),
            ("limit", "key=value"),
            ("name.x=3", "no parts"),
            ("clients.web.rate=fast", "a rate is"),
        ] {
            let error = parse(&[change]).unwrap_err();
            assert!(error.contains(named), "{change}: {error}");
        }
        let error = Scenario::parse("name = 'x'\nduration = 'long'\n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
