//! Limits what a client asks of a dependency: a layer around any HTTP client that is a `Service<http::Request<B>>`.
//!
//! The limit belongs to the dependency: a little more than it can work on at once, far less than what it would queue. Without
//! a queue ([`GateBuilder::no_queue`](crate::GateBuilder::no_queue)) a call at the limit fails at once and costs next to
//! nothing; the client is not called. The slot is held until the response body was read, or dropped.
//!
//! Overload is [`Error::Shed`](crate::Error::Shed), the client's own errors are [`Error::Inner`](crate::Error::Inner).
//!
//! # What goes on after the response
//!
//! The response to an upgrade (101, or 2xx to `CONNECT`) carries a [`Hold`](crate::Hold) in its extensions. Take it along with
//! the upgraded connection: the slot is free when both it and the response are dropped.

mod layer;
mod service;

pub use layer::ClientLayer;
pub use service::ClientService;
