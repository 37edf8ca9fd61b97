//! `loadline app:8080 3`: a load-shedding reverse proxy.

pub mod access_log;
mod admin;
mod asked;
pub mod banner;
mod budget;
mod buffers;
pub mod cli;
mod client;
pub mod config;
mod connection;
mod exchange;
mod explain;
mod forward;
mod history;
mod hold;
mod http2;
mod keepalive;
mod listen;
mod live;
mod metrics;
mod observe;
mod overload;
mod page;
mod pipeline;
mod process;
mod recent;
mod reload;
mod reply;
mod reuse;
mod routes;
pub mod run;
mod say;
mod shadow;
mod shared;
#[cfg(feature = "otlp")]
mod spans;
#[cfg(not(feature = "otlp"))]
#[path = "spans/absent.rs"]
mod spans;
mod state_line;
mod status;
mod stream;
mod tenant;
mod trace;
mod upstream;
mod watchdog;
mod worker;
mod zone;

use std::process::ExitCode;

/// The default allocator of a static musl build costs a third more CPU; one allocator everywhere keeps what is
/// measured the same as what is shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(std::env::args_os().collect(), std::env::vars_os().collect())
}
