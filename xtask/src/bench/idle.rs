//! What connections cost that do nothing: memory and CPU beside thousands of idle keep-alive connections.
//!
//! Each connection has made one request, so that whatever a proxy keeps per connection exists. Kernel memory of the
//! sockets is on top and equal for all.

use std::thread;
use std::time::{Duration, Instant};

use super::Result;
use super::load::idle_connections;
use super::measure::{CpuOf, Memory, descriptor_limit, memory};
use super::proxies::Setup;

/// Connections wanted; fewer when the descriptor limit does not allow them.
const WANTED: usize = 10_000;

/// Descriptors left for everything but idle connections.
const RESERVE: u64 = 500;

/// What a proxy's idle connections cost.
#[derive(Clone, Copy)]
pub(super) struct Idle {
    /// Connections opened.
    pub(super) connections: usize,
    /// Memory after start and one request.
    pub(super) before: Memory,
    /// Memory with all connections open.
    pub(super) with: Memory,
    /// CPU time per second, in milliseconds, without connections.
    pub(super) cpu_alone_ms: f64,
    /// The same with all connections open.
    pub(super) cpu_with_ms: f64,
}

impl Idle {
    /// Proportional memory per idle connection, in bytes.
    pub(super) fn bytes_per_connection(&self) -> f64 {
        (self.with.pss as f64 - self.before.pss as f64) / self.connections as f64
    }
}

/// Starts the proxy, fills it with idle connections and watches it for twice `watch`.
pub(super) fn measure(
    setup: &Setup,
    request: &[u8],
    probe: &str,
    watch: Duration,
    directory: &std::path::Path,
) -> Result<Idle> {
    /// Time for timers and pools to settle after a change.
    const SETTLE: Duration = Duration::from_millis(300);
    let allowed = usize::try_from(descriptor_limit().saturating_sub(RESERVE)).unwrap_or(usize::MAX);
    let count = WANTED.min(allowed);
    let child = setup.start(&[], probe, directory)?;
    let group = child.group();
    thread::sleep(SETTLE);
    let before = memory(group);
    let cpu_alone_ms = cpu_per_second(group, watch);
    let connections = idle_connections(setup.address, request, count)?;
    thread::sleep(SETTLE);
    let with = memory(group);
    let cpu_with_ms = cpu_per_second(group, watch);
    Ok(Idle { connections: connections.len(), before, with, cpu_alone_ms, cpu_with_ms })
}

/// CPU milliseconds per second while nothing is asked.
fn cpu_per_second(group: u32, watch: Duration) -> f64 {
    let (start, before) = (Instant::now(), CpuOf::Group(group).read());
    thread::sleep(watch);
    let used = CpuOf::Group(group).read().saturating_sub(before);
    used.as_secs_f64() * 1e3 / start.elapsed().as_secs_f64()
}
