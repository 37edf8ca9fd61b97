//! Who decides: loadline's core, and the others, re-implemented from their published laws.
//!
//! The simulator tells a [`Policy`] what a proxy or a library would see (arrivals, ends, clients that leave) and nothing else. It
//! knows neither the service nor its capacity.
//!
//! Out of scope: everything about the others that is not their decision, such as their cost per request. They are models of their laws, with
//! the constants and defaults of their sources; none is their code.

mod front;
mod law;
mod loadline;

use std::fmt::Debug;

use loadline_core::{Class, Outcome};
use serde::Deserialize;

use front::{Front, FrontSpec};
use law::{LawSpec, aimd, envoy, failsafe, gradient2, kratos, vegas};
use loadline::LoadlineSpec;

/// A request that asks.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// By which it is spoken of. Unique among those that are not over.
    pub id: usize,
    /// How much it matters.
    pub class: Class,
    /// When its answer is worth nothing any more, if it says so.
    pub deadline: Option<u64>,
    /// Which route it is of, from 1; 0: unknown.
    pub route: u16,
    /// To whom it belongs.
    pub tenant: Option<u64>,
    /// Whether it says that it is a retry.
    pub retry: bool,
}

/// What becomes of an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Sent to the service.
    Start,
    /// Waits; [`Policy::poll`] will say more.
    Wait,
    /// Turned away.
    Refuse(Refusal),
}

/// A request was turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Why, in a word.
    pub reason: &'static str,
    /// How long the client is told to stay away, in nanoseconds.
    pub retry_after: Option<u64>,
}

/// What a policy wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send this waiter to the service.
    Start(usize),
    /// Turn this waiter away.
    Refuse(usize, Refusal),
    /// Ask again at this moment.
    WakeAt(u64),
    /// Nothing.
    Idle,
}

/// What becomes of a request whose client leaves while the service works on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnAbort {
    /// It holds its slot until the service is done with it.
    Finish,
    /// The connection to the service is closed and the slot is free; a service that does not notice works on.
    Cancel,
}

/// The state at one moment, for plots.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Gauge {
    /// The limit in force; infinity: none.
    pub limit: f64,
    /// Slots in use.
    pub in_flight: u32,
    /// Requests that wait.
    pub queued: u32,
}

/// Somebody who decides. After each call that changes something, [`Self::poll`] is called until it answers
/// [`Action::WakeAt`] or [`Action::Idle`].
pub trait Policy: Debug + Send {
    /// A request has arrived.
    fn arrive(&mut self, now: u64, offer: &Offer) -> Verdict;
    /// The service is done with a request that was started, or its slot is free for another reason.
    fn end(&mut self, now: u64, id: usize, outcome: Outcome);
    /// A client left while it waited. `false`: nobody noticed, it waits on and will be served.
    fn leave(&mut self, now: u64, id: usize) -> bool;
    /// The next thing to do.
    fn poll(&mut self, now: u64) -> Action;
    /// What happens to a request in service whose client has left.
    fn on_abort(&self) -> OnAbort;
    /// After how many nanoseconds in service a client gets an error instead of its answer.
    fn server_timeout(&self) -> Option<u64> {
        None
    }
    /// The share of the service's cores that was busy in the last [`CPU_EVERY`] nanoseconds.
    fn observe_cpu(&mut self, _now: u64, _share: f64) {}
    /// The state.
    fn gauge(&self, now: u64) -> Gauge;
}

/// How often policies are told how busy the processor was: as often as go-kratos samples it.
pub const CPU_EVERY: u64 = 500_000_000;

/// A policy with its knobs.
#[derive(Clone, PartialEq, Debug)]
pub struct PolicySpec {
    name: String,
    kind: Kind,
}

#[derive(Clone, PartialEq, Debug)]
enum Kind {
    Loadline(LoadlineSpec),
    Other(FrontSpec, LawSpec),
}

impl PolicySpec {
    /// The policies that exist without being defined.
    pub const NAMES: [&'static str; 12] = [
        "auto",
        "loadline",
        "none",
        "spillway",
        "haproxy",
        "reject",
        "aimd",
        "vegas",
        "gradient2",
        "envoy",
        "failsafe",
        "kratos",
    ];

    /// The policy with this name and these knobs, for an operator who would write this limit. `kind` among the knobs makes it a
    /// variant of another.
    ///
    /// # Errors
    /// A name or a knob that does not exist, in words.
    pub fn parse(name: &str, mut knobs: toml::Table, hint: u32) -> Result<Self, String> {
        let kind = match knobs.remove("kind") {
            Some(toml::Value::String(kind)) => kind,
            Some(other) => return Err(format!("policy.{name}.kind: {other} is not the name of a policy")),
            None => name.to_owned(),
        };
        let fault =
            |error: &dyn std::fmt::Display| format!("policy.{name}: {}", error.to_string().trim_end());
        if kind == "loadline" || kind == "auto" {
            if kind == "auto" {
                let limit = knobs.entry("limit").or_insert_with(|| toml::Table::new().into());
                if let Some(limit) = limit.as_table_mut() {
                    limit.entry("limiter").or_insert_with(|| "auto".into());
                }
            }
            let spec = LoadlineSpec::parse(knobs, hint).map_err(|error| fault(&error))?;
            return Ok(Self { name: name.to_owned(), kind: Kind::Loadline(spec) });
        }
        let front_knobs: toml::Table = FrontSpec::KNOBS
            .iter()
            .filter_map(|knob| Some(((*knob).to_owned(), knobs.remove(*knob)?)))
            .collect();
        let front = |defaults: FrontSpec| defaults.with(front_knobs.clone()).map_err(|error| fault(&error));
        let library = FrontSpec { on_abort: OnAbort::Finish, ..FrontSpec::REFUSING };
        let (front, law) = match kind.as_str() {
            "none" => (front(FrontSpec::REFUSING)?, LawSpec::read::<law::Unlimited>(knobs)),
            "reject" => (front(FrontSpec::REFUSING)?, LawSpec::fixed(knobs, hint)),
            "spillway" => (front(FrontSpec::SPILLWAY)?, LawSpec::fixed(knobs, hint)),
            "haproxy" => (front(FrontSpec::HAPROXY)?, LawSpec::fixed(knobs, hint)),
            "aimd" => (front(library)?, LawSpec::read::<aimd::Aimd>(knobs)),
            "vegas" => (front(library)?, LawSpec::read::<vegas::Vegas>(knobs)),
            "gradient2" => (front(library)?, LawSpec::read::<gradient2::Gradient2>(knobs)),
            "envoy" => (front(FrontSpec::ENVOY)?, LawSpec::read::<envoy::Envoy>(knobs)),
            "failsafe" => (front(library)?, LawSpec::read::<failsafe::Failsafe>(knobs)),
            "kratos" => (front(library)?, LawSpec::read::<kratos::Kratos>(knobs)),
            _ => return Err(format!("there is no policy named `{kind}`; known: {}", Self::NAMES.join(", "))),
        };
        Ok(Self { name: name.to_owned(), kind: Kind::Other(front, law.map_err(|error| fault(&error))?) })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its limit follows what is measured.
    #[must_use]
    pub const fn adapts(&self) -> bool {
        match &self.kind {
            Kind::Loadline(spec) => spec.adapts(),
            Kind::Other(_, law) => !matches!(law, LawSpec::Unlimited | LawSpec::Fixed(_)),
        }
    }

    /// Ready to decide.
    #[must_use]
    pub fn build(&self, seed: u64) -> Box<dyn Policy> {
        match &self.kind {
            Kind::Loadline(spec) => Box::new(spec.build(seed)),
            Kind::Other(front, law) => Box::new(Front::new(front.clone(), law.build(seed))),
        }
    }

    /// The same, but with this fixed limit, if it is one that has a fixed limit.
    #[must_use]
    pub fn with_limit(&self, limit: u32) -> Option<Self> {
        let kind = match &self.kind {
            Kind::Loadline(spec) => Kind::Loadline(spec.with_fixed_limit(limit)),
            Kind::Other(front, LawSpec::Fixed(_)) => Kind::Other(front.clone(), LawSpec::Fixed(limit.max(1))),
            Kind::Other(..) => return None,
        };
        Some(Self { name: format!("{}-{limit}", self.name), kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, knobs: &str) -> Result<PolicySpec, String> {
        PolicySpec::parse(name, knobs.parse().unwrap(), 8)
    }

    #[test]
    fn all_names_build_and_wrong_ones_are_named() {
        for name in PolicySpec::NAMES {
            let policy = parse(name, "").unwrap().build(1);
            assert!(policy.gauge(0).limit >= 1.0, "{name}");
        }
        assert!(parse("mine", "kind = 'envoy'\nbuffer = 0.5").is_ok());
        for (name, knobs, named) in [
            ("mine", "", "no policy named `mine`"),
            ("envoy", "bufer = 0.5", "bufer"),
            ("haproxy", "limit = 0", "limit"),
            ("loadline", "queue.timout = '1s'", "timout"),
            ("none", "limit = 5", "limit"),
        ] {
            let error = parse(name, knobs).unwrap_err();
            assert!(error.contains(named), "{name} {knobs}: {error}");
        }
    }

    #[test]
    fn a_limit_can_be_put_on_those_that_have_one() {
        let limit =
            |name: &str| parse(name, "").unwrap().with_limit(5).map(|spec| spec.build(1).gauge(0).limit);
        assert_eq!([limit("loadline"), limit("haproxy"), limit("vegas")], [Some(5.0), Some(5.0), None]);
    }
}
