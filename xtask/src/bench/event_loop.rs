//! Level-triggered epoll over std sockets: the one loop of the origin and of the load generator.
//!
//! Both must be clearly cheaper than the proxies they measure, so there is no runtime, no task and no timer wheel here.

use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

/// Events taken in one system call. More than the connections of any scenario at saturation.
const BATCH: usize = 256;

/// A set of watched descriptors, each with a number that its owner understands.
pub(super) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// An empty set.
    pub(super) fn new() -> super::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(BATCH) })
    }

    /// Watches `fd` for input (which includes its end).
    pub(super) fn watch_input(&self, fd: impl AsFd, token: u64) -> super::Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token), EventFlags::IN)?;
        Ok(())
    }

    /// Watches `fd`, which is watched already, for output as well (`true`) or for input alone (`false`).
    pub(super) fn watch_output(&self, fd: impl AsFd, token: u64, wanted: bool) -> super::Result<()> {
        let flags = if wanted { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags)?;
        Ok(())
    }

    /// Waits up to `timeout_ms` and appends the tokens that are ready to `ready`, which is cleared first.
    /// An interrupted wait counts as an empty one.
    pub(super) fn wait(&mut self, timeout_ms: u32, ready: &mut Vec<u64>) -> super::Result<()> {
        let timeout = Timespec {
            tv_sec: i64::from(timeout_ms / 1000),
            tv_nsec: i64::from(timeout_ms % 1000) * 1_000_000,
        };
        self.events.clear();
        ready.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) => ready.extend(self.events.iter().map(|event| event.data.u64())),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
