//! A simulator of overload: what a service, its clients and an admission policy do to each other, in virtual time.
//!
//! The policy called `loadline` is `loadline-core` itself, the same code that runs in the proxy and in the middleware. Beside it stand
//! the control laws of others, so that they can be compared on the same clients and the same service. A run is determined by
//! its [scenario](Scenario), its policy and its seed, bit for bit.
//!
//! ```
//! use loadline_sim::{Scenario, run};
//!
//! let scenario = Scenario::parse(
//!     r#"
//!     name = "twice what it can do"
//!     duration = "10s"
//!     [[backend.stage]]
//!     kind = "workers"
//!     workers = 4
//!     work = "20ms"
//!     [[clients]]
//!     rate = "2x"
//!     timeout = "1s"
//!     "#,
//!     &["backend.stage.0.workers=8".to_owned()],
//! )?;
//! assert_eq!(scenario.ability(0).capacity, 400.0);
//! let run = run(&scenario, &scenario.policy("loadline")?, 1);
//! assert!(run.goodput(&scenario, 2_000_000_000, 10_000_000_000) > 0.95);
//! # Ok::<(), loadline_sim::ScenarioError>(())
//! ```

mod agenda;
mod backend;
mod clients;
mod compare;
mod engine;
mod fleet;
mod policy;
mod random;
mod recorder;
mod replay;
pub mod report;
mod scenario;
mod slab;
mod sweep;
mod units;

pub use backend::{Ability, BackendSpec, Change, StageKind, StageSpec};
pub use clients::{Arrivals, ClassMix, ClassName, ClientsSpec, Phase, Retry};
pub use compare::{Comparison, Plan, PolicyResult, Verdict as ExpectationVerdict, compare};
pub use engine::run;
pub use fleet::{FleetPlan, FleetRun, Signal, run_fleet};
pub use policy::{Action, CPU_EVERY, Gauge, Offer, OnAbort, Policy, PolicySpec, Refusal, Verdict};
pub use random::Random;
pub use recorder::{Bucket, Run, Totals};
pub use replay::{Recorded, Recording};
pub use scenario::{EMBEDDED, Expectation, RouteSpec, Scenario, ScenarioError, Set, What};
pub use sweep::Sweep;
pub use units::{Rate, Span, Spread};
