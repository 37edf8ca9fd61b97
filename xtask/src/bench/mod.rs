//! Benchmarks that put loadline beside the proxies it wants to replace.
//!
//! * `proxy`: what a proxied request, a rejection and an idle connection cost, beside HAProxy and nginx.
//! * `flash-crowd`: ten times more requests than the app can serve, from clients that give up and try again.
//! * `slow-clients`: trickled uploads and non-reading downloads against a small limit.
//! * `rust-service`: an axum service with tower's own limits and with loadline's layer.
//! * `auto`: a limit that nobody gave beside the best static ones and Envoy's, while the app changes.
//! * `reality`: the same scenario over sockets and in the simulator.
//! * `admission`: classes, deadlines, tenants and costs under overload, beside the same load without them.
//!
//! All of them start every process themselves, use 127.0.0.1 alone, and end what they started, also on Ctrl-C.
//! The proxy under test runs on core 0, the load and the origin on core 1.
//!
//! Out of scope: TLS, HTTP/2, more than one worker, a real network.

mod admission;
mod app;
mod auto;
mod client;
mod counts;
mod envoy;
mod event_loop;
mod findings;
mod flash_crowd;
mod histogram;
mod idle;
mod load;
mod measure;
mod origin;
mod process;
mod proxies;
mod proxy;
mod reality;
mod report;
mod rust_service;
mod side_by_side;
mod slot_origin;
mod slow_clients;
mod station_app;
mod wire;

use std::error::Error;

use clap::Subcommand;

/// What a benchmark returns: the error's text is for the person at the terminal.
type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// The core that the proxy under test runs on.
const PROXY_CORE: usize = 0;

/// The core that the load generator and the origin share.
const LOAD_CORE: usize = 1;

/// The benchmarks.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// CPU, throughput, latency and memory of HAProxy, nginx and loadline, interleaved in one run.
    Proxy(proxy::Options),
    /// Overload by clients with a timeout and retries: goodput during it, and recovery after it.
    FlashCrowd(flash_crowd::Options),
    /// Trickled uploads and non-reading downloads: are the requests beside them served?
    SlowClients(slow_clients::Options),
    /// An axum service at 0.8 and 5 times its capacity: without a limit, with tower's, with loadline's layer.
    RustService(rust_service::Options),
    /// Who is served under overload: classes, deadlines, tenants, costs, each with and without.
    Admission(admission::Options),
    /// The limit that loadline finds beside the best static one of each phase and Envoy's, while the app changes.
    Auto(auto::Options),
    /// The same scenario over sockets and in the simulator: goodput at 0.8, 1.2 and 2 times capacity.
    Reality(reality::Options),
}

/// Runs one benchmark.
///
/// # Errors
/// When something could not be started or measured, or an expectation did not hold.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    process::end_children_on_signals()?;
    measure::raise_descriptor_limit();
    match bench {
        Bench::Proxy(options) => proxy::run(options),
        Bench::FlashCrowd(options) => flash_crowd::run(options),
        Bench::SlowClients(options) => slow_clients::run(options),
        Bench::RustService(options) => rust_service::run(options),
        Bench::Admission(options) => admission::run(options),
        Bench::Auto(options) => auto::run(options),
        Bench::Reality(options) => reality::run(options),
    }
}
