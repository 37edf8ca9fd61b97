//! Demo applications with known service times, to overload and to protect.
//!
//! Why it exists: a load-shedding proxy shows nothing in front of an application that is never overloaded. The
//! application here is small enough to be overloaded from a laptop and behaves under overload like a real threaded
//! server: [`WORKERS`] workers, everything beyond them waits in a queue that nobody bounds, and work whose client has
//! left is still done. Its capacity is arithmetic ([`capacity_per_second`]), so a reader can check every claim.
//!
//! When it acts: `loadline` without arguments starts it in its own process and puts the proxy before it ([`start`]). It lives
//! on its own thread and runtime, so that it cannot borrow time from the proxy's workers, and listens on the loopback
//! interface only.
//!
//! Beside it there are apps to run on their own ([`run`]): a service with an upstream, a breaker and a bound on its
//! requests in flight, that upstream, and a server with one worker.
//!
//! Out of scope: TLS, HTTP/2, and any tuning.

mod api;
mod app;
mod burn;
mod call;
mod filler;
mod herd;
mod metrics;
mod query;
mod reply;
mod role;
mod route;
mod serve;
mod upstream;
mod workers;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::app::WorkersApp;

pub use api::ApiSettings;
pub use herd::HerdWork;
pub use role::{Role, run};

/// Requests that the demo app works on at once; everything beyond waits in its own queue.
///
/// Four is the default of many threaded servers' small deployments and low enough to be overloaded by hand.
pub const WORKERS: usize = 4;

/// Service time of `/`: long enough to see, short enough that a screenful of requests passes in a second.
pub const HOME_SERVICE_TIME: Duration = Duration::from_millis(50);

/// Service time of `/fast`.
pub const FAST_SERVICE_TIME: Duration = Duration::from_millis(5);

/// Service time of `/slow`.
pub const SLOW_SERVICE_TIME: Duration = Duration::from_millis(500);

/// Longest service time that `/<seconds>` accepts; a worker must not be taken away for good by one request.
pub const MAX_SERVICE_TIME: Duration = Duration::from_secs(60);

/// Longest work that a request on `/work` may ask for, in milliseconds.
pub(crate) const MAX_WORK_MS: u32 = 2_000;

/// Largest body that `/bytes/<n>` sends, in bytes.
pub const MAX_FILLER_BYTES: u64 = 1 << 30;

/// Requests per second that the demo app can finish when each takes `service_time`: `WORKERS ÷ service_time`.
///
/// Worked number: 4 workers ÷ 50 ms = 80 requests/s. A service time of zero has no such bound and gives infinity.
pub fn capacity_per_second(service_time: Duration) -> f64 {
    WORKERS as f64 / service_time.as_secs_f64()
}

/// A running demo app; dropping it stops the app and closes its port.
#[derive(Debug)]
pub struct DemoApp {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DemoApp {
    /// Where the app listens: a free port of 127.0.0.1.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for DemoApp {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there was already printed by the panic hook, and a destructor has nobody to tell.
            let _ = thread.join();
        }
    }
}

/// Starts the demo app on a free port of 127.0.0.1, on its own thread.
///
/// # Errors
/// When no port can be bound, or the thread or its runtime cannot be made.
pub fn start() -> io::Result<DemoApp> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let (stop, stopped) = oneshot::channel();
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let thread = std::thread::Builder::new().name("loadline-demo".into()).spawn(move || {
        runtime.block_on(async {
            let app = Arc::new(WorkersApp::new(WORKERS));
            tokio::select! {
                () = serve::serve(listener, app, std::future::pending()) => {}
                // Its connections are cut: whoever drops the app does not wait for its work.
                _ = stopped => {}
            }
        });
    })?;
    Ok(DemoApp { addr, stop: Some(stop), thread: Some(thread) })
}

#[cfg(test)]
mod tests;
