//! Time in an exchange: whoever makes it wait has a bounded time for it.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::{End, Moved, Pump};
use crate::client::ClientIo;

/// While a slow client ties a slot, how often it is asked whether others wait for it by now.
const RECHECK: Duration = Duration::from_millis(100);

impl<S: ClientIo> Pump<'_, S> {
    /// Ready when somebody's time is up; otherwise makes sure that this is looked at again in time.
    pub(super) fn poll_clock(&mut self, cx: &mut Context<'_>, moved: &Moved) -> Poll<End> {
        // The next poll is at another time.
        let now = self.now.take().unwrap_or_else(Instant::now);
        if moved.upstream {
            self.upstream_moved = now;
        }
        if moved.client {
            self.client_moved = now;
        }
        let timeouts = &self.live.settings.timeouts;
        let patience = self.exchange.timeout.unwrap_or(timeouts.upstream);
        let reading = self.connection.is_some();
        let owes_body = reading && !self.body.done() && self.scratch.to_upstream.pending() == 0;
        let unread = self.scratch.to_client.pending() > 0;
        let tied = reading && unread && !self.has_room();

        // Until its head has come, the upstream's time runs from the last byte it was sent; afterwards it must be silent.
        let heard =
            if self.answered { self.upstream_moved.max(self.client_moved) } else { self.upstream_moved };
        // The client waits no longer than its deadline for the answer to begin; one that has begun is let go on.
        let deadline =
            self.exchange.binding_deadline().filter(|_| !self.answered).map(|deadline| deadline.at);
        let silent_at = heard + patience;
        let upstream_due = deadline.map_or(silent_at, |deadline| deadline.min(silent_at));
        let client_due = self.client_moved + timeouts.client;
        let mut next = if reading && !tied && !owes_body { upstream_due } else { client_due };
        if reading && !tied && !owes_body && now >= upstream_due {
            // A client that gives it less time than it may take proves nothing.
            return Poll::Ready(End::TimedOut { blame: now >= silent_at });
        }
        if let Some(total) = self.total.filter(|_| reading) {
            if now >= total {
                return Poll::Ready(End::TimedOut { blame: !tied && !owes_body });
            }
            next = next.min(total);
        }
        if (unread || owes_body) && now >= client_due {
            return Poll::Ready(End::ClientSlow);
        }
        if unread {
            next = next.min(client_due);
        }
        if tied || (owes_body && !self.streaming) {
            if self.is_too_slow(now) && self.slot_is_wanted() {
                return Poll::Ready(End::ClientSlow);
            }
            next = next.min(now + RECHECK);
        } else {
            self.window = None;
        }
        ready!(self.client.watchdog.poll(cx, now, next));
        // The time came between reading the clock and arming: look again.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The time of this poll: the clock is read once for all that comes of one read.
    pub(super) fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    /// Whether the client took longer than `buffer.grace` for the bytes that `buffer.min_rate` asks for in that time.
    fn is_too_slow(&mut self, now: Instant) -> bool {
        let buffer = &self.live.settings.buffer;
        let (start, bytes) = *self.window.get_or_insert((now, self.client_bytes));
        let least = (buffer.min_rate as f64 * buffer.grace.as_secs_f64()) as u64;
        if self.client_bytes - bytes >= least {
            self.window = Some((now, self.client_bytes));
            return false;
        }
        now >= start + buffer.grace
    }

    /// Whether others wait for this slot, or would if they could wait: as long as nobody does, a client that pauses
    /// harms nobody.
    fn slot_is_wanted(&self) -> bool {
        let gate = self.worker.shared.gate.occupancy();
        gate.queued > 0 || (gate.queue_depth == 0 && gate.in_flight >= gate.effective_limit)
    }
}
