//! The demo apps as programs of their own: on an address, until they are told to stop.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::api::{Api, ApiSettings, WORK_THREADS};
use crate::app::WorkersApp;
use crate::herd::{Herd, HerdWork};
use crate::serve::serve;
use crate::upstream::{BURNERS, UpstreamApp};

/// Blocking threads beside those that compute: names are resolved there too, and must not wait for computing.
const OTHER_THREADS: usize = 4;

/// Which app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// So many workers with known service times, and an unbounded queue: the app that is embedded in `loadline`.
    Workers(NonZeroUsize),
    /// A service that asks an upstream for everything.
    Api(ApiSettings),
    /// That upstream.
    Upstream,
    /// One worker.
    Herd {
        /// Whether it looks at deadlines.
        with_load_shedding: bool,
        /// What the worker does.
        work: HerdWork,
        /// Seed of its random work.
        seed: u64,
    },
}

/// Runs an app on the calling thread until `stop` is ready, and then until the answers under way are sent (at most 10 s).
///
/// `stop` is polled within the app's runtime, which has I/O (signals, say) and time.
///
/// # Errors
/// When the runtime cannot be made or does not take the listener.
pub fn run<S: Future<Output = ()>>(
    listener: std::net::TcpListener,
    role: Role,
    stop: impl FnOnce() -> io::Result<S>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    // Connections have this thread to themselves: a machine whose cores all compute still answers its health check.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BURNERS.max(WORK_THREADS) + OTHER_THREADS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let stop = stop()?;
        match role {
            Role::Workers(count) => serve(listener, Arc::new(WorkersApp::new(count.get())), stop).await,
            Role::Api(settings) => serve(listener, Arc::new(Api::new(settings)), stop).await,
            Role::Upstream => serve(listener, Arc::new(UpstreamApp::new()), stop).await,
            Role::Herd { with_load_shedding, work, seed } => {
                serve(listener, Arc::new(Herd::new(with_load_shedding, work, seed)), stop).await;
            }
        }
        Ok::<(), io::Error>(())
    })?;
    // Work that nobody waits for any more is not waited for.
    runtime.shutdown_background();
    Ok(())
}
