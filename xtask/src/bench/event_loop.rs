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

/// A read buffer shared by all connections of one loop.
pub(super) fn read_buffer() -> Vec<u8> {
    /// Holds any answer or request of the scenarios in one piece.
    const READ_BUFFER: usize = 64 * 1024;
    vec![0; READ_BUFFER]
}

/// Where the head of an HTTP message ends: the index just after its empty line.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    const END: &[u8; 4] = b"\r\n\r\n";
    bytes.windows(4).position(|window| window == END).map(|at| at + 4)
}

/// The value of the first field called `name` (lower case) in a message head.
pub(super) fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (key, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        key.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
    })
}

/// The value of `Content-Length`, in bytes; `None` when absent or malformed.
pub(super) fn content_length(head: &[u8]) -> Option<usize> {
    std::str::from_utf8(field(head, "content-length")?).ok()?.parse().ok()
}

/// The status code of a response head.
pub(super) fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-LENGTH:  12 \r\nX: y\r\n\r\n";

    #[test]
    fn heads_are_read() {
        assert_eq!(head_end(HEAD), Some(HEAD.len()));
        assert_eq!(status(HEAD), Some(503));
        assert_eq!(content_length(HEAD), Some(12));
        assert_eq!(field(HEAD, "x"), Some(&b"y"[..]));
        assert_eq!(field(HEAD, "content"), None);
    }

    #[test]
    fn the_first_empty_line_ends_the_head() {
        assert_eq!(head_end(b"a\r\n\r\nb\r\n\r\n"), Some(5));
        assert_eq!(head_end(b"a\r\n\r\nbody"), Some(5));
        assert_eq!(head_end(b"a\r\n\r"), None);
    }
}
