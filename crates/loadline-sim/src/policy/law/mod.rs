//! Control laws of others: how many may be in flight, judged by what became of those that were.
//!
//! Each is written from its published description or source, with its constants. All of them compare latency with a baseline or
//! the processor with a threshold; the head of each file says what follows from that.

pub(super) mod aimd;
pub(super) mod envoy;
pub(super) mod failsafe;
pub(super) mod gradient2;
pub(super) mod kratos;
pub(super) mod vegas;

use std::fmt::Debug;
use std::num::NonZeroU32;

use loadline_core::Outcome;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// How long it was in service, in nanoseconds.
    pub(super) took: u64,
    /// How many were in flight when it was started, itself included.
    pub(super) in_flight: u32,
    pub(super) outcome: Outcome,
}

/// A control law.
pub(super) trait Law: Debug + Send {
    /// The limit in force.
    fn limit(&self) -> f64;
    /// Whether one more may be started while so many are in flight.
    fn admits(&mut self, _now: u64, in_flight: u32) -> bool {
        f64::from(in_flight) < self.limit().floor()
    }
    /// One was started.
    fn on_start(&mut self, _now: u64) {}
    /// One was refused.
    fn on_refuse(&mut self, _now: u64) {}
    /// One has ended.
    fn on_end(&mut self, now: u64, sample: &Sample);
    /// When the limit changes by itself.
    fn wake_at(&self) -> Option<u64> {
        None
    }
    /// See [`Policy::observe_cpu`](super::Policy::observe_cpu).
    fn observe_cpu(&mut self, _now: u64, _share: f64) {}
}

/// A law with its constants.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum LawSpec {
    Unlimited,
    Fixed(u32),
    Aimd(aimd::Aimd),
    Vegas(vegas::Vegas),
    Gradient2(gradient2::Gradient2),
    Envoy(envoy::Envoy),
    Failsafe(failsafe::Failsafe),
    Kratos(kratos::Kratos),
}

impl LawSpec {
    /// From its knobs.
    pub(super) fn read<K: DeserializeOwned + Into<Self>>(
        knobs: toml::Table,
    ) -> Result<Self, toml::de::Error> {
        knobs.try_into::<K>().map(Into::into)
    }

    /// The one knob of a fixed limit is `limit`.
    pub(super) fn fixed(knobs: toml::Table, hint: u32) -> Result<Self, toml::de::Error> {
        let knobs: FixedKnobs = knobs.try_into()?;
        Ok(Self::Fixed(knobs.limit.map_or(hint, NonZeroU32::get)))
    }

    pub(super) fn build(&self, seed: u64) -> Box<dyn Law> {
        match self {
            Self::Unlimited => Box::new(Unlimited {}),
            Self::Fixed(limit) => Box::new(Fixed(*limit)),
            Self::Aimd(knobs) => Box::new(knobs.build()),
            Self::Vegas(knobs) => Box::new(knobs.build(seed)),
            Self::Gradient2(knobs) => Box::new(knobs.build()),
            Self::Envoy(knobs) => Box::new(knobs.build(seed)),
            Self::Failsafe(knobs) => Box::new(knobs.build()),
            Self::Kratos(knobs) => Box::new(knobs.build()),
        }
    }
}

/// No limit at all.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unlimited {}

impl Law for Unlimited {
    fn limit(&self) -> f64 {
        f64::INFINITY
    }

    fn on_end(&mut self, _now: u64, _sample: &Sample) {}
}

impl From<Unlimited> for LawSpec {
    fn from(Unlimited {}: Unlimited) -> Self {
        Self::Unlimited
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixedKnobs {
    limit: Option<NonZeroU32>,
}

/// A limit that stays as it is.
#[derive(Debug)]
pub(super) struct Fixed(pub(super) u32);

impl Law for Fixed {
    fn limit(&self) -> f64 {
        f64::from(self.0)
    }

    fn on_end(&mut self, _now: u64, _sample: &Sample) {}
}

/// The step of the additive laws: max(1, floor(log10 L)), so 1 below 100, 2 from 100 on.
fn step(limit: f64) -> f64 {
    libm::floor(libm::log10(limit.max(1.0))).max(1.0)
}
