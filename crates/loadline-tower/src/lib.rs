//! Admission for async code: one [`Gate`] around the state machine of [`loadline_core`].
//!
//! ```
//! use loadline_core::{Class, Outcome, Request, Settings};
//! use loadline_tower::Gate;
//! use std::num::NonZeroU32;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let gate = Gate::new(Settings::new(NonZeroU32::new(3).unwrap())); // three at a time
//!
//! match gate.admit(Request::new(Class::Normal)).await {
//!     Ok(permit) => {
//!         // ... the work that is to be protected ...
//!         permit.complete(Outcome::Completed);
//!     }
//!     Err(rejection) => println!("{rejection}, come back in {:?}", rejection.retry_after),
//! }
//! # assert_eq!(gate.snapshot().counters.total().completed, 1);
//! # }
//! ```

mod admit;
mod body;
mod builder;
pub mod client;
mod error;
mod gate;
pub mod lag;
mod observer;
pub mod server;
mod slot;

pub use admit::AdmitFuture;
pub use body::PermitBody;
pub use builder::GateBuilder;
pub use error::Error;
pub use gate::{Attempt, Gate, Permit, Waiting};
pub use loadline_core;
pub use loadline_core::{Class, Discipline, Outcome, Reason, Rejection, Request, Settings, Snapshot};
pub use observer::Observer;
pub use slot::{Admission, Hold};
