//! Load shedding for Rust services: take on what can be done now, let a bounded number wait, reject the rest at once and say
//! when to come back.
//!
//! # A server: three lines around a `Router`
//!
//! ```
//! use std::{num::NonZeroU32, time::Duration};
//! use axum::{Router, routing::get};
//! use loadline_tower::{Gate, server::LoadlineLayer};
//!
//! const AT_ONCE: NonZeroU32 = NonZeroU32::new(100).unwrap();
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let gate = Gate::builder(AT_ONCE).queue(500, Duration::from_secs(1)).build();
//!     let app = Router::new()
//!         .route("/", get(|| async { "hello" }))
//!         .layer(LoadlineLayer::new(gate));
//!
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     axum::serve(listener, app)
//! #       .with_graceful_shutdown(async {}) // or this test would never end
//!         .await
//! }
//! ```
//!
//! A hundred requests are in the handlers at once, five hundred more wait for up to a second each. Everybody else gets a 503
//! with `Retry-After`, `Proxy-Status` and a small problem document that names the reason; gRPC calls get `UNAVAILABLE`. There is
//! no error to handle. A client that leaves gives up its place or its slot; a response that streams keeps its slot until its
//! last byte; an idle connection keeps nothing.
//!
//! [`server`] has the rest: classes, health checks that are never queued, deadlines, the status and format of rejections, typed
//! errors instead of responses. A handler finds its [`Admission`] in the request's extensions, and the time it has left in
//! [`Budget::current`].
//!
//! # A client: a cap around a dependency
//!
//! ```
//! use std::num::NonZeroU32;
//! use loadline_tower::{Error, Gate, client::ClientLayer};
//! use tower::{Layer, Service, ServiceExt};
//!
//! const AT_ONCE: NonZeroU32 = NonZeroU32::new(8).unwrap();
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let client = tower::service_fn(|_: http::Request<()>| async {
//! #     Ok::<_, std::io::Error>(http::Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
//! # });
//! // `client` is any `Service<http::Request<_>>`, for example the one of hyper-util.
//! let mut client = ClientLayer::new(Gate::builder(AT_ONCE).no_queue().build()).layer(client);
//!
//! # let request = http::Request::new(());
//! match client.ready().await.unwrap().call(request).await {
//!     Ok(response) => println!("{}", response.status()),
//!     Err(Error::Shed(rejection)) => println!("not sent: {rejection}"),
//!     Err(Error::Inner(error)) => println!("the dependency failed: {error}"),
//! }
//! # }
//! ```
//!
//! At the limit a call fails at once, and the dependency does not hear of it. A clone of the client shares the limit. Within a
//! request that has a deadline, the call has it too, and the dependency is told. [`client`] also has a throttle for
//! dependencies that refuse, and a budget for retries.
//!
//! # Anything else: the gate itself
//!
//! ```
//! use std::num::NonZeroU32;
//! use loadline_tower::{Class, Gate, Outcome, Request};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let gate = Gate::builder(NonZeroU32::new(3).unwrap()).build(); // three at a time
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
//!
//! [`Gate::try_admit`] does not wait. Layers and jobs that share clones of one gate share one limit and one queue.
//!
//! # To see what it does
//!
//! [`Gate::snapshot`] has the limit, what is in flight, the queue, and a counter for every class and reason. An [`Observer`]
//! is told of each admission, rejection and end. [`lag`] measures how late a runtime is, and sheds for it.
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `prometheus` | `Metrics`: an observer for `prometheus-client`, with the names of the loadline proxy |
//! | `tracing` | `ShedEvents`: an event per rejection, some per second at most |
//! | `local-time` | deadlines that name no zone may be the machine's local time |
//!
//! None is on unless asked for.
//!
//! # What it needs
//!
//! A tokio runtime with time enabled, where something waits. The public interface names types of `http`, `http-body`, `bytes`,
//! `tower-layer` and `tower-service`, and nothing of tokio or hyper. No `unsafe`. Rust 1.88 or later.
//!
//! Guide, sizing, and how to come from tower's own limits: `docs/rust.md` in the repository. Complete programs: `examples/`.

mod admit;
mod body;
mod budget;
pub mod builder;
mod classify;
pub mod client;
mod deadlines;
mod entrance;
mod error;
mod gate;
mod grpc;
pub mod lag;
#[cfg(feature = "prometheus")]
mod metrics;
mod observer;
pub mod server;
#[cfg(feature = "tracing")]
mod shed_events;
mod slot;

pub use admit::AdmitFuture;
pub use body::PermitBody;
pub use budget::Budget;
pub use builder::GateBuilder;
pub use classify::{AllNormal, ByRules, Classify, Inherited, Routes, Tenants};
pub use deadlines::Deadlines;
pub use error::Error;
pub use gate::{Attempt, Gate, Permit, Waiting};
pub use loadline_core;
pub use loadline_core::{
    Class, Discipline, LimiterSettings, LoadShedder, LoadShedderStats, Occupancy, Outcome, OverloadLevel,
    Percent, Reason, Rejection, Request, RouteCost, RouteId, RouteSettings, Settings, ShedAt, Slot, Snapshot,
    TenantId, Warmup,
};
pub use loadline_http;
#[cfg(feature = "prometheus")]
pub use metrics::Metrics;
pub use observer::Observer;
#[cfg(feature = "tracing")]
pub use shed_events::ShedEvents;
pub use slot::{Admission, Hold};

/// The readme's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The guide's code compiles. It is not in the package.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
struct Guide;
