//! Limits what a client asks of a dependency: a layer around any HTTP client that is a `Service<http::Request<B>>`.
//!
//! The limit belongs to the dependency: a little more than it can work on at once, far less than what it would queue. Without
//! a queue ([`GateBuilder::no_queue`](crate::GateBuilder::no_queue)) a call at the limit fails at once and costs next to
//! nothing; the client is not called. The slot is held until the response body was read, or dropped.
//!
//! Overload is [`Error::Shed`](crate::Error::Shed), the client's own errors are [`Error::Inner`](crate::Error::Inner).
//!
//! # Time and importance
//!
//! A call made while a request is being served has that request's class, and its deadline: it is not sent when it could not be
//! answered before, does not wait longer for a slot, and tells the dependency how much time is left (`X-Request-Timeout-Ms`, or
//! `grpc-timeout`). See [`Budget`](crate::Budget). The call itself is not cut off when the time is over; put a timeout inside
//! the layer for that.
//!
//! # When the dependency refuses
//!
//! A [`Throttle`] keeps calls back while most of them are refused anyway; a [`RetryBudget`] bounds what retries add.
//!
//! # What goes on after the response
//!
//! The response to an upgrade (101, or 2xx to `CONNECT`) carries a [`Hold`](crate::Hold) in its extensions. Take it along with
//! the upgraded connection: the slot is free when both it and the response are dropped.

mod layer;
mod outgoing;
mod retry_budget;
mod service;
mod throttle;
mod window;

pub use layer::ClientLayer;
pub use loadline_http::deadline::DeadlineKind;
pub(crate) use outgoing::Outgoing;
pub use retry_budget::RetryBudget;
pub use service::ClientService;
pub use throttle::{Throttle, ThrottleError};
