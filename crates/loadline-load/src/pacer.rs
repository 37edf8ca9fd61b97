//! Waking up on time.
//!
//! The runtime's timers have a grain of one millisecond. A request that leaves a millisecond late is that much slower in the
//! report, which is more than many services need. Linux's timer descriptors are exact to some microseconds; elsewhere
//! the runtime's timers have to do, and latencies below a few milliseconds are less exact.

use std::io;
use std::time::{Duration, Instant};

/// Requests that are due within this time leave together: waking for each would cost more than sending it.
const GRAIN: Duration = Duration::from_micros(50);

#[cfg(target_os = "linux")]
pub(crate) struct Pacer {
    timer: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
}

#[cfg(target_os = "linux")]
impl Pacer {
    /// # Errors
    /// When there is no descriptor left for a timer.
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        #[expect(deprecated, reason = "its successor is unsafe; an `OwnedFd` is what it promises to be")]
        let timer = tokio::io::unix::AsyncFd::with_interest(timer, tokio::io::Interest::READABLE)?;
        Ok(Self { timer })
    }

    /// Waits until `at`, and never less than the grain.
    ///
    /// # Errors
    /// The system's, which are not expected.
    pub(crate) async fn sleep_until(&self, at: Instant) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let wait = at.saturating_duration_since(Instant::now()).max(GRAIN);
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec::try_from(wait).map_err(io::Error::other)?;
        // Setting it also takes back an expiry that nobody has read.
        timerfd_settime(
            &self.timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: zero, it_value },
        )?;
        loop {
            let mut ready = self.timer.readable().await?;
            match rustix::io::read(&self.timer, &mut [0; 8]) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) struct Pacer;

#[cfg(not(target_os = "linux"))]
impl Pacer {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn sleep_until(&self, at: Instant) -> io::Result<()> {
        tokio::time::sleep_until((at.max(Instant::now() + GRAIN)).into()).await;
        Ok(())
    }
}
