//! The limit: how many may be in flight at once, as a number that somebody gave or that a law learns.
//!
//! A law sees what ended and how long its slot was held, how many were in flight, and whether the limit was in the way
//! ([bound](Limiter::advance)). It answers with the limit in force from now on. It decides about nobody: raising lets waiters in,
//! lowering takes effect as work ends, and nothing in flight is ever touched.
//!
//! What holds for all of them:
//! - [`Settings::limit`](crate::Settings::limit) is a ceiling. A number that an operator gave is never exceeded.
//! - A limit rises only when it was used: an idle service has shown nothing about what it could do.
//! - Whatever holds a slot counts as in flight, also work for a client that has left: the permit comes back when the work is over.
//! - While a [warm-up](crate::Warmup) holds the limit down, laws hold still: what they would see is the warm-up.
//! - Requests that failed fast are not a sign of speed; see each law for what it makes of them.
//!
//! Out of scope: how long requests wait (that is the queue's), and what other machines do.

mod aimd;
mod auto;
mod bounded;
mod fixed;
mod gradient2;
mod history;
mod number;
mod settings;
mod vegas;

use std::num::NonZeroU32;

use crate::{Instant, Outcome, RouteId};

pub use aimd::AimdSettings;
pub use auto::AutoSettings;
pub use gradient2::Gradient2Settings;
pub use history::{LimitChange, Why};
pub use settings::{LimitRange, LimiterSettings};
pub use vegas::VegasSettings;

use aimd::Aimd;
use auto::Auto;
use fixed::Fixed;
use gradient2::Gradient2;
use history::History;
use vegas::Vegas;

/// The limit in force and the law that moves it; see the module.
#[derive(Debug)]
pub(crate) struct Limiter {
    in_force: NonZeroU32,
    law: Law,
    history: History,
}

#[derive(Debug)]
enum Law {
    Fixed(Fixed),
    Aimd(Aimd),
    Vegas(Vegas),
    Gradient2(Gradient2),
    // By far the largest, and there is one per service.
    Auto(Box<Auto>),
}

/// Work that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// How long its slots were held.
    pub(crate) held_nanos: u64,
    pub(crate) outcome: Outcome,
    pub(crate) route: RouteId,
    /// Slots it held.
    pub(crate) cost: u32,
    /// Slots in use when it was admitted, its own included.
    pub(crate) in_flight: u32,
}

/// What the service looks like between two events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Slots in use.
    pub(crate) in_flight: u32,
    /// Whether somebody waits, or would have to.
    pub(crate) bound: bool,
}

/// What a law says of itself; see [`LimiterSnapshot`].
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    arms: Option<(u32, u32)>,
    elasticity: Option<f64>,
    standard_error: Option<f64>,
    bound: Option<f64>,
}

/// What the limiter does at one moment, and why.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct LimiterSnapshot {
    /// The word for its law in configuration.
    pub law: &'static str,
    /// The limit that the law stands by.
    pub limit: u32,
    /// The limit in force, which differs while the law tries another one.
    pub in_force: u32,
    /// It goes no lower.
    pub min: u32,
    /// It goes no higher.
    pub max: u32,
    /// The two limits that are being compared, the lower one first; `None` while nothing is tried.
    pub arms: Option<(u32, u32)>,
    /// By what factor throughput changes with the limit, as an exponent: 1 is in proportion, 0 not at all, below 0 it falls.
    /// Of the last comparison; `None` before the first, and for laws that do not ask.
    pub elasticity: Option<f64>,
    /// Standard error of `elasticity`.
    pub standard_error: Option<f64>,
    /// The share of the time in which the limit was in the way, lately; `None` for laws that do not ask.
    pub bound: Option<f64>,
    /// How often the limit was raised since the start.
    pub raised: u64,
    /// How often it was lowered.
    pub lowered: u64,
    /// The last changes, the oldest first.
    pub changes: Vec<LimitChange>,
}

impl Limiter {
    /// The law starts anew.
    pub(crate) fn new(settings: &LimiterSettings, max: NonZeroU32) -> Self {
        let law = Law::new(settings, max);
        Self { in_force: law.limit(), law, history: History::default() }
    }

    /// Puts other settings in force. What was learned stays if the law is the same.
    pub(crate) fn reconfigure(&mut self, now: Instant, settings: &LimiterSettings, max: NonZeroU32) {
        let before = self.law.settled();
        let kept = match (&mut self.law, settings) {
            (Law::Fixed(law), LimiterSettings::Fixed) => {
                law.reconfigure(max);
                true
            }
            (Law::Aimd(law), LimiterSettings::Aimd(settings)) => {
                law.reconfigure(*settings, max);
                true
            }
            (Law::Vegas(law), LimiterSettings::Vegas(settings)) => {
                law.reconfigure(*settings, max);
                true
            }
            (Law::Gradient2(law), LimiterSettings::Gradient2(settings)) => {
                law.reconfigure(*settings, max);
                true
            }
            (Law::Auto(law), LimiterSettings::Auto(settings)) => {
                law.reconfigure(*settings, max);
                true
            }
            _ => false,
        };
        if !kept {
            self.law = Law::new(settings, max);
        }
        self.history.note(now, before, self.law.settled(), Why::Settings);
        self.in_force = self.law.limit();
    }

    /// The limit in force.
    #[inline]
    pub(crate) const fn in_force(&self) -> NonZeroU32 {
        self.in_force
    }

    /// Whether the limit can change by itself.
    #[inline]
    pub(crate) const fn adapts(&self) -> bool {
        !matches!(self.law, Law::Fixed(_))
    }

    /// The limit that the law stands by, which is in force unless it tries another one.
    pub(crate) fn settled(&self) -> NonZeroU32 {
        self.law.settled()
    }

    /// Accounts for the time since the last call, during which the load was this. To be called before every change of it.
    pub(crate) fn advance(&mut self, now: Instant, load: Load) {
        if let Law::Auto(auto) = &mut self.law {
            let before = auto.settled();
            let why = auto.advance(now, load);
            self.adopt(now, before, why);
        }
    }

    /// Work ended. After [`Self::advance`].
    pub(crate) fn on_complete(&mut self, now: Instant, sample: &Sample) {
        let before = self.law.settled();
        let why = match &mut self.law {
            Law::Fixed(_) => return,
            Law::Aimd(law) => law.on_complete(sample),
            Law::Vegas(law) => law.on_complete(sample),
            Law::Gradient2(law) => law.on_complete(now, sample),
            Law::Auto(law) => law.on_complete(now, sample),
        };
        self.adopt(now, before, why);
    }

    /// When the limit may rise without anything having happened.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        match &self.law {
            Law::Auto(auto) => auto.wakes_at(),
            _ => None,
        }
    }

    /// Something other than the law decides at present: what was measured is void.
    pub(crate) fn pause(&mut self, now: Instant) {
        if let Law::Auto(auto) = &mut self.law {
            auto.pause(now);
            self.in_force = auto.limit();
        }
    }

    pub(crate) fn snapshot(&self, max: NonZeroU32) -> LimiterSnapshot {
        let facts = match &self.law {
            Law::Auto(auto) => auto.facts(),
            _ => Facts::default(),
        };
        LimiterSnapshot {
            law: self.law.name(),
            limit: self.law.settled().get(),
            in_force: self.in_force.get(),
            min: self.law.min().get(),
            max: max.get(),
            arms: facts.arms,
            elasticity: facts.elasticity,
            standard_error: facts.standard_error,
            bound: facts.bound,
            raised: self.history.raised(),
            lowered: self.history.lowered(),
            changes: self.history.changes().collect(),
        }
    }

    fn adopt(&mut self, now: Instant, before: NonZeroU32, why: Why) {
        self.in_force = self.law.limit();
        self.history.note(now, before, self.law.settled(), why);
    }
}

impl Law {
    fn new(settings: &LimiterSettings, max: NonZeroU32) -> Self {
        match settings {
            LimiterSettings::Fixed => Self::Fixed(Fixed::new(max)),
            LimiterSettings::Aimd(settings) => Self::Aimd(Aimd::new(*settings, max)),
            LimiterSettings::Vegas(settings) => Self::Vegas(Vegas::new(*settings, max)),
            LimiterSettings::Gradient2(settings) => Self::Gradient2(Gradient2::new(*settings, max)),
            LimiterSettings::Auto(settings) => Self::Auto(Box::new(Auto::new(*settings, max))),
        }
    }

    fn limit(&self) -> NonZeroU32 {
        match self {
            Self::Auto(law) => law.limit(),
            other => other.settled(),
        }
    }

    fn settled(&self) -> NonZeroU32 {
        match self {
            Self::Fixed(law) => law.limit(),
            Self::Aimd(law) => law.limit.slots(),
            Self::Vegas(law) => law.limit.slots(),
            Self::Gradient2(law) => law.limit.slots(),
            Self::Auto(law) => law.settled(),
        }
    }

    fn min(&self) -> NonZeroU32 {
        match self {
            Self::Fixed(law) => law.limit(),
            Self::Aimd(law) => law.limit.min(),
            Self::Vegas(law) => law.limit.min(),
            Self::Gradient2(law) => law.limit.min(),
            Self::Auto(law) => law.min(),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Fixed(_) => "fixed",
            Self::Aimd(_) => "aimd",
            Self::Vegas(_) => "vegas",
            Self::Gradient2(_) => "gradient2",
            Self::Auto(_) => "auto",
        }
    }
}
