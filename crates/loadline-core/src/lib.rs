//! The admission state machine of loadline: who gets in, when, and why. Pure and deterministic.
//!
//! A caller (the gate of `loadline-tower`, a simulator, a test) tells [`Admission`] what happened and when, and is told what
//! to do. The same compiled code therefore decides in a proxy, in a middleware and in virtual time.
//!
//! # Contract
//!
//! ```text
//! on_arrival(now, Request)           -> Admit(Permit) | Queue(Ticket) | Shed(Rejection)
//! on_complete(now, Permit, Outcome)     the work is over; its slot is free
//! on_cancel(now, Ticket)                the client left while it was queued
//! poll(now) -> Event                    Dispatch(Ticket, Permit) | Expire(Ticket, Rejection) | WakeAt(t) | Idle
//! ```
//!
//! *Architecture invariant:* the core never reads a clock, a socket, a file, an environment variable or a global
//! generator, and never waits. What it knows comes in through arguments; `clippy.toml` beside this crate bans the rest.
//!
//! *Architecture invariant, single mutation:* after each `on_*` call, and after every other that changes
//! something, the caller drains [`Admission::poll`] until it answers [`Event::WakeAt`] or
//! [`Event::Idle`], and calls it again at the time that `WakeAt` names. Decisions about *other* requests (a waiter gets the
//! freed slot, a waiter gives way to a newcomer) come out of `poll` only, so that there is one place that hands them on.
//!
//! # What decides
//! Of a [`Request`]: class, deadline, cost, route, tenant, cohort, the bytes that it holds, and whether it is a retry. Besides the
//! [`Settings`]; the slots in use and who waits; and what was told about the whole process: [`Admission::set_overload`],
//! [`Admission::set_draining`], [`Admission::restart_warmup`]. What a request and the settings do not mention has no effect: a limit
//! of 3 and plain requests mean three at a time, and the rest waits.
//!
//! Classes come first, in strict order. Among the waiters of one class, from the outside in:
//!
//! 1. whose route is at its own limit ([`Settings::routes`]) is passed by everybody of another;
//! 2. tenants get the same slot time ([`Settings::fairness`]);
//! 3. under overload and [`Discipline::Adaptive`], lower cohorts go before upper ones ([`Request::with_cohort`]; not between tenants),
//!    and cheap requests before expensive ones, but for a share that each route gets in any case;
//! 4. the discipline decides: oldest or newest first.
//!
//! None of this sheds anybody while a slot is free and nobody waits for it.
//!
//! # Why
//! A [`Rejection`] has its [`Reason`], and a [`Remedy`] if something but time would have let the request in: a higher class, a later
//! deadline. [`Admission::explain`] says what would become of a request, and by which [`Rule`].
//!
//! # Beside it
//! A [`Breaker`] says whether an upstream is to be asked at all. It is a state machine of its own, one for each endpoint, and as
//! pure: calls with `now` in, decisions out.
//!
//! # Example
//!
//! ```
//! use loadline_core::{Admission, Class, Decision, Duration, Event, Instant, Outcome, Request, Settings};
//! use std::num::NonZeroU32;
//!
//! let mut admission = Admission::new(Settings::new(NonZeroU32::MIN)); // one at a time
//! let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
//!
//! let Decision::Admit(permit) = admission.on_arrival(at(0), Request::new(Class::Normal)) else { panic!() };
//! let Decision::Queue(ticket) = admission.on_arrival(at(1), Request::new(Class::Normal)) else { panic!() };
//!
//! admission.on_complete(at(40), permit, Outcome::Completed);
//! let Event::Dispatch(served, permit) = admission.poll(at(40)) else { panic!() };
//! assert_eq!(served, ticket);
//! assert_eq!(permit.queued(), Duration::from_millis(39));
//! # admission.on_complete(at(80), permit, Outcome::Completed);
//! ```

mod admission;
mod breaker;
mod class;
mod counters;
mod decision;
mod door;
mod drain;
mod explain;
mod invariants;
mod limiter;
mod load_shedder;
mod needless;
mod overload_level;
mod permit;
mod predictor;
mod queue;
mod reason;
mod remedy;
mod request;
mod retries;
mod retry_after;
mod routes;
mod rule;
mod service_time;
mod settings;
mod shadow;
mod shutdown;
mod snapshot;
mod thresholds;
mod ticket;
mod time;
mod warmup;

pub use std::time::Duration;

pub use admission::Admission;
pub use breaker::{Breaker, BreakerCall, BreakerChange, BreakerResult, BreakerSettings, BreakerState};
pub use class::Class;
pub use counters::{ClassCounters, Counters};
pub use decision::{Decision, Event, Outcome, Rejection};
pub use explain::{Explanation, Verdict};
pub use limiter::{
    AimdSettings, AutoSettings, Gradient2Settings, LimitChange, LimitRange, LimiterSettings, LimiterSnapshot,
    VegasSettings, Why,
};
pub use load_shedder::{LoadShedder, LoadShedderStats, Slot};
pub use overload_level::OverloadLevel;
pub use permit::Permit;
pub use reason::Reason;
pub use request::{Cohort, Request, RouteId, TenantId};
pub use rule::{Remedy, Rule};
pub use settings::{CodelSettings, Discipline, QueueSettings, RouteCost, RouteSettings, Settings};
pub use shadow::{Shadow, ShadowKey};
pub use snapshot::{ClassSnapshot, Occupancy, Snapshot};
pub use thresholds::{Percent, ShedAt};
pub use ticket::Ticket;
pub use time::Instant;
pub use warmup::Warmup;

/// The readme's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
