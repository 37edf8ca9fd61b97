//! The proxy as its users meet it: the real binary, real sockets, an application that records what reaches it.
//!
//! One module per promise. Support code is in `support/`; a test states who sends what and what must be seen, and
//! nothing about how the proxy does it. `LOADLINE_E2E_BINARY` names another binary to run the same tests against.

mod support;

mod abort;
mod admin;
mod auto;
mod bodies;
mod breaker;
mod bypass;
mod config;
mod connection_per_slot;
mod connections;
mod deadlines;
mod discovery;
mod dry_run;
mod endpoints;
mod errors;
mod explain;
mod hints;
mod hop_by_hop;
mod http2;
mod ledger;
mod lifecycle;
mod limits;
mod live_page;
mod logs;
mod metrics;
mod overload;
mod priorities;
mod queue;
mod rejection;
mod reload;
mod restart;
mod retries;
mod regressions;
mod routes;
mod self_test;
mod slow_clients;
mod smuggling;
#[cfg(feature = "otlp")]
mod spans;
mod tenants;
mod traces;
mod transparent;
mod unread_body;
mod upgrade;
mod upstreams;
mod warmup;
