//! The layers: each by itself under a paused clock, and the server's in a real server.

mod axum_server;
mod beside_tower;
mod budgets;
mod client;
mod server;
mod shared;
mod support;
