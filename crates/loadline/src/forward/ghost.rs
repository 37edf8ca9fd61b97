//! Abandoned exchanges: the client has left, or was told that it took too long, and the app still works.
//!
//! Most apps do not notice. Freeing the slot at once would ask them for more than the limit, which is how limits
//! break in the field; so the exchange runs to its end unseen and keeps its slot until then. A bound ends the ones
//! that never would: after it the connection is closed and the slot freed.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use loadline_core::Outcome;
use loadline_h1::{Limits, RequestKind, ResponseHead};
use loadline_tower::Permit;
use tokio::time::Instant;

use super::response::Phase;
use crate::buffers::{BUFFER, Outbox, poll_read_into};
use crate::exchange::Waste;
use crate::upstream::{Connection, Pick};
use crate::watchdog::Watchdog;
use crate::worker::Worker;

/// An exchange without a client.
pub(crate) struct Ghost {
    pub(crate) connection: Connection,
    /// The endpoint that works on it.
    pub(crate) pick: Pick,
    /// The complete rest of the request.
    pub(crate) to_upstream: Outbox,
    pub(crate) from_upstream: Vec<u8>,
    pub(crate) response: ResponseHead,
    pub(crate) phase: Phase,
    pub(crate) kind: RequestKind,
    pub(crate) limits: Limits,
    /// `None` when the slot was freed at the response's headers already.
    pub(crate) permit: Option<Permit>,
    /// How the exchange is counted when it has run to its end.
    pub(crate) outcome: Outcome,
    /// Why it works in vain, and since when.
    pub(crate) waste: Option<(Waste, Instant)>,
    pub(crate) until: Instant,
}

impl Ghost {
    /// Runs to the end in the background.
    pub(crate) fn release(mut self, worker: &Rc<Worker>) {
        let worker = Rc::clone(worker);
        worker.shared.abandoned.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_local(async move {
            let reusable = self.finish().await;
            worker.shared.abandoned.fetch_sub(1, Ordering::Relaxed);
            if let Some((waste, since)) = self.waste {
                worker.shared.metrics_of(worker.id).record_waste(waste, since.elapsed());
            }
            // The connection first: whoever gets the slot must find it, not open one more.
            if reusable {
                self.pick.endpoint().pool.give(worker.id, self.connection, Instant::now());
            } else {
                drop(self.connection);
            }
            drop(self.pick);
            if let Some(permit) = self.permit {
                permit.complete(self.outcome);
            }
        });
    }

    /// Whether the connection may be used again.
    async fn finish(&mut self) -> bool {
        let mut watchdog = Watchdog::default();
        poll_fn(|cx| {
            if let Poll::Ready(reusable) = self.poll(cx) {
                return Poll::Ready(reusable);
            }
            ready!(watchdog.poll(cx, Instant::now(), self.until));
            Poll::Ready(false)
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.to_upstream.pending() > 0 {
            match self.to_upstream.poll_write(&mut self.connection.io, cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => break,
            }
        }
        loop {
            match self.digest() {
                Ok(true) => {
                    let clean = self.from_upstream.is_empty() && self.to_upstream.pending() == 0;
                    return Poll::Ready(clean && self.response.keep_alive);
                }
                Ok(false) => {}
                Err(_) => return Poll::Ready(false),
            }
            let io = Pin::new(&mut self.connection.io).get_mut();
            match ready!(poll_read_into(io, cx, &mut self.from_upstream, BUFFER / 4)) {
                Ok(n) if n > 0 => {}
                _ => return Poll::Ready(false),
            }
        }
    }

    /// Takes what has arrived and drops it; `true` at the end of the response.
    fn digest(&mut self) -> Result<bool, loadline_h1::Refusal> {
        loop {
            match &mut self.phase {
                Phase::Ended => return Ok(true),
                Phase::Head => {
                    if !Phase::parse_head(&mut self.response, &self.from_upstream, self.kind, &self.limits)? {
                        return Ok(false);
                    }
                    self.from_upstream.drain(..self.response.len);
                    if !self.response.is_interim() {
                        self.phase = Phase::after(&self.response, &self.limits);
                    }
                }
                Phase::Body(decoder) => {
                    let step = decoder.decode(&self.from_upstream)?;
                    self.from_upstream.drain(..step.consumed);
                    if step.done {
                        self.phase = Phase::Ended;
                    } else if step.consumed == 0 {
                        return Ok(false);
                    }
                }
            }
        }
    }
}
