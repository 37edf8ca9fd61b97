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

mod gate;

pub use gate::{Attempt, Gate, Permit, Waiting};
pub use loadline_core;
