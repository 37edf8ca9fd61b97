//! Memory of an active exchange, and the one total that bounds what outgrows it.
//!
//! A connection that idles holds no buffer: it takes a [`Scratch`] from its worker's stack when bytes arrive and
//! gives it back when it has answered. What a slow peer makes us hold beyond the scratch's own size (a held
//! request body, a response read ahead) is charged to one process-wide [`Budget`]; at the total, streaming takes over.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use loadline_h1::{RequestHead, ResponseHead};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

/// First size of each buffer: holds a usual head and a 10 kB answer in one read.
pub(crate) const BUFFER: usize = 16 * 1024;

/// A buffer that grew beyond this is freed rather than kept for the next request.
const KEEP: usize = 4 * BUFFER;

/// Sets kept per worker; more are made under load and freed after it.
const STACK: usize = 256;

/// The reusable memory of one exchange.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Bytes from the client: the head at the start, then what of the body is not yet taken, then pipelined requests.
    pub(crate) inbox: Vec<u8>,
    /// The request's head; its spans point into `inbox`.
    pub(crate) head: RequestHead,
    /// The request's body, as far as it was read before admission; framed for forwarding.
    pub(crate) held: Vec<u8>,
    /// Bytes for the upstream.
    pub(crate) to_upstream: Outbox,
    /// Bytes from the upstream that are not yet taken.
    pub(crate) from_upstream: Vec<u8>,
    /// The response's head; its spans point into `from_upstream` until that is drained.
    pub(crate) response: ResponseHead,
    /// Bytes for the client.
    pub(crate) to_client: Outbox,
}

impl Scratch {
    /// Makes it ready for the next exchange, of which the beginning is in the inbox. What outgrew the usual size was charged to the one
    /// that is over, and is freed.
    pub(crate) fn clear(&mut self) {
        self.to_upstream.clear();
        self.to_client.clear();
        self.held.clear();
        self.from_upstream.clear();
        for buffer in [
            &mut self.inbox,
            &mut self.held,
            &mut self.from_upstream,
            &mut self.to_upstream.bytes,
            &mut self.to_client.bytes,
        ] {
            buffer.shrink_to(KEEP);
        }
    }
}

/// A worker's stack of [`Scratch`]es.
#[derive(Default)]
#[expect(
    clippy::vec_box,
    reason = "a scratch changes hands for each request: a pointer moves, not its 300 bytes"
)]
pub(crate) struct Scratches(RefCell<Vec<Box<Scratch>>>);

impl Scratches {
    pub(crate) fn take(&self) -> Box<Scratch> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give(&self, mut scratch: Box<Scratch>) {
        let mut stack = self.0.borrow_mut();
        if stack.len() < STACK {
            scratch.inbox.clear();
            scratch.clear();
            stack.push(scratch);
        }
    }
}

/// Bytes to be written, and how many of them have been.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sent: usize,
}

impl Outbox {
    /// Bytes not yet written.
    pub(crate) fn pending(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }

    /// Forgets what was written. Moves the rest only where that frees more than it moves.
    pub(crate) fn compact(&mut self) {
        if self.sent == self.bytes.len() {
            self.clear();
        } else if self.sent > self.pending() && self.sent >= BUFFER {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Writes once; returns the number of bytes taken. Tries first and waits only where the socket says so.
    pub(crate) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(io).poll_write(cx, &self.bytes[self.sent..]))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.sent += n;
        Poll::Ready(Ok(n))
    }
}

/// Reads once into the spare room of `buffer`, which is at least `room` bytes.
pub(crate) fn poll_read_into<R: AsyncRead + Unpin>(
    io: &mut R,
    cx: &mut Context<'_>,
    buffer: &mut Vec<u8>,
    room: usize,
) -> Poll<io::Result<usize>> {
    if buffer.capacity() - buffer.len() < room {
        buffer.reserve(room.max(BUFFER.saturating_sub(buffer.len())));
    }
    let read = std::pin::pin!(io.read_buf(buffer));
    read.poll(cx)
}

/// The process-wide total of bytes held for slow peers.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    total: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), total: AtomicUsize::new(total) })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    pub(crate) fn set_total(&self, total: usize) {
        self.total.store(total, Ordering::Relaxed);
    }
}

/// What one exchange holds of the [`Budget`]; given back when dropped.
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// Makes the charge cover `bytes`. What fits into the scratch's own [`BUFFER`] is free. `false` when the total
    /// would be exceeded; the charge then stays as it was.
    pub(crate) fn cover(&mut self, bytes: usize) -> bool {
        let wanted = if bytes <= BUFFER { 0 } else { bytes };
        if wanted <= self.bytes {
            return true;
        }
        let more = wanted - self.bytes;
        let total = self.budget.total();
        let grown = self
            .budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(more).filter(|sum| *sum <= total)
            })
            .is_ok();
        if grown {
            self.bytes = wanted;
        }
        grown
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_never_exceed_the_total_and_come_back() {
        let budget = Budget::new(100_000);
        let mut a = Charge::new(&budget);
        let mut b = Charge::new(&budget);
        assert!(a.cover(BUFFER), "the scratch's own size is free");
        assert_eq!(budget.used(), 0);
        assert!(a.cover(60_000));
        assert!(!b.cover(60_000), "over the total");
        assert_eq!(budget.used(), 60_000);
        assert!(b.cover(40_000));
        drop(a);
        assert_eq!(budget.used(), 40_000);
        drop(b);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn compacting_keeps_what_is_unsent() {
        let mut out = Outbox { bytes: (0..=255u8).cycle().take(3 * BUFFER).collect(), sent: 2 * BUFFER };
        let rest = out.bytes[out.sent..].to_vec();
        out.compact();
        assert_eq!((out.sent, out.pending()), (0, BUFFER));
        assert_eq!(out.bytes, rest);
    }
}
