//! An open-loop load generator for overload work.
//!
//! **Why it exists.** Most generators wait for an answer before they ask again. Such a closed loop slows down with its
//! target, so that it can neither overload it nor see that it stalls: the requests that would have suffered are never sent
//! (coordinated omission: G. Tene, *How NOT to Measure Latency*, 2013). Here the plan says when each request is due;
//! it leaves then, whatever became of those before, and its latency counts from then.
//!
//! **How to use it.** A [`Plan`] says everything; [`run`] executes it on the calling thread and returns a [`Report`]. A
//! [`Progress`] sees counts per tenth of a second meanwhile. [`Scenario`] is a plan as people write it, [`Expectation`]
//! what they expect of the report.
//!
//! **What a run costs.** One thread. A request is a task; with HTTP/1.1 it has a connection of its own, kept for later ones.
//!
//! **Out of scope.** TLS, redirects, cookies, scripts, several machines. And closed loops, on purpose.
//!
//! ```no_run
//! use loadline_load::{Plan, Silent, run};
//!
//! let stages = vec!["10s@100".parse()?, "5s@1000".parse()?, "15s@100".parse()?];
//! let report = run(&Plan::new("http://127.0.0.1:8000/".parse()?, stages), &mut Silent)?;
//! println!("{}", report.text());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod deadline;
mod expect;
mod mix;
mod outcome;
mod pacer;
mod plan;
mod record;
mod recovery;
mod report;
mod retry;
mod run;
mod scenario;
mod schedule;
mod stage;
mod target;
mod units;

pub use deadline::{Deadline, DeadlineFormat};
pub use expect::{Expectation, Verdict};
pub use mix::Mix;
pub use outcome::Outcome;
pub use plan::{DEFAULT_MAX_IN_FLIGHT, DEFAULT_TIMEOUT, Plan, PlanError, Protocol, Url};
pub use record::{Snapshot, TICK, Tick};
pub use recovery::{RECOVERED_GOODPUT, Recovery};
pub use report::{
    FORMAT, Group, LATE_START, LateStarts, Latency, MAX_LATE_STARTS, Point, Report, Series, StageReport,
    html, html_of_two,
};
pub use retry::{Retry, RetryPolicy};
pub use run::{Progress, RunError, Silent, run};
pub use scenario::{RetryScenario, Scenario};
pub use schedule::{Arrival, Arrivals, Schedule};
pub use stage::{Spike, Stage, with_spike};
pub use target::{Field, Target};
pub use units::{Rate, Span};
