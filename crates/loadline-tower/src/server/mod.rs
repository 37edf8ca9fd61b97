//! Limits what a server takes on: a layer around any `Service<http::Request<B>>`, be it of axum, hyper or tonic.
//!
//! A request asks for a slot when the service is called, and waits in the gate's queue inside the response future, so a client
//! that leaves gives up its place. The slot is held until the response body is over. What is not admitted is answered with a
//! ready response ([`AsResponse`]) or with a typed error ([`AsError`]).
//!
//! What decides is read from the request: its class ([`LoadlineLayer::classify`], [`LoadlineLayer::rules`]), its deadline
//! ([`Deadlines`](crate::Deadlines)), and whether it is a retry (`X-Retry-Attempt`, `X-Envoy-Attempt-Count`,
//! `grpc-previous-rpc-attempts`): retries go behind fresh work, and hold a fifth of the slots at most.
//!
//! # What goes on after the response
//!
//! After an upgrade (WebSocket, `CONNECT`) the connection belongs to a task of the handler's, and nothing but that task knows
//! when it ends. A handler that wants the slot to be held for so long takes [`Admission::hold`](crate::Admission::hold) with
//! it; without it, an upgraded connection is not counted.

mod body;
mod future;
mod layer;
mod reject;
mod service;

pub use body::ResponseBody;
pub use future::ResponseFuture;
pub use layer::{LoadlineLayer, NoErrorStatus};
pub use loadline_http::rejection::BodyFormat;
pub use reject::{AsError, AsResponse};
pub use service::LoadlineService;
