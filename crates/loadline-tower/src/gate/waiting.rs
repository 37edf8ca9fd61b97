//! A request in the queue, as a future.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use loadline_core::{Outcome, Rejection, Ticket};
use tokio::time::{Instant, Sleep};

use super::{Permit, Shared, state::Vacated};

/// A place in the queue of a [`Gate`](super::Gate). Resolves to a slot or to a rejection.
///
/// Dropping it gives up the place: it is counted as abandoned and never dispatched afterwards. If it had been dispatched
/// already but not polled since, its slot goes on to the next waiter, and is counted as [`Outcome::Aborted`].
///
/// Its timer belongs to the runtime in which it is first polled: that one must be running for it to expire on time.
///
/// # Panics
/// Polling panics outside of a tokio runtime with time enabled, and after it has resolved.
#[derive(Debug)]
#[must_use = "a future does nothing unless awaited; dropping it gives up the place in the queue"]
pub struct Waiting {
    shared: Arc<Shared>,
    ticket: Ticket,
    /// Where the answer will be; `None` once it was fetched.
    seat: Option<u32>,
    expires: Option<Instant>,
    /// When there will be more slots.
    rises: Option<Instant>,
    /// Until the first of the two. Made on the first poll: only then is there a runtime for certain.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Waiting {
    pub(super) const fn new(
        shared: Arc<Shared>,
        ticket: Ticket,
        seat: u32,
        expires: Option<Instant>,
        rises: Option<Instant>,
    ) -> Self {
        Self { shared, ticket, seat: Some(seat), expires, rises, sleep: None }
    }

    /// The position with which it would be logged if it were given up now; 0 if it has its answer already.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.shared.lock().admission.depth_of(self.ticket).unwrap_or_default()
    }

    /// Whether something falls due by the runtime's timer: its own time is up, or there are more slots.
    fn is_due(&mut self, context: &mut Context<'_>) -> bool {
        let Some(wakes) = self.expires.into_iter().chain(self.rises).min() else { return false };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wakes)));
        sleep.as_mut().poll(context).is_ready()
    }

    /// What it waits for next, after something fell due at `now`.
    fn rearm(&mut self, now: Instant) {
        self.expires = self.expires.filter(|expires| *expires > now);
        self.rises = self.shared.next_rise().filter(|rises| *rises > now);
        self.sleep = None;
    }
}

impl Future for Waiting {
    type Output = Result<Permit, Rejection>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let seat = this.seat.expect("not polled after it has resolved");
        while this.is_due(context) {
            // The core answers at exactly the expiry; the runtime's timer fires at it or later.
            let now = this.shared.now();
            this.shared.update(now, |_| ());
            this.rearm(this.shared.to_tokio(now));
        }
        let (answer, replaced) = this.shared.lock().fetch(seat, context);
        drop(replaced);
        let Some(answer) = answer else { return Poll::Pending };
        this.seat = None;
        this.sleep = None;
        Poll::Ready(answer.map(|permit| Permit::new(Arc::clone(&this.shared), permit)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(seat) = self.seat.take() else { return };
        let (shared, ticket) = (&self.shared, self.ticket);
        let now = shared.now();
        let left = shared.update(now, |state| match state.vacate(seat) {
            Vacated::Answered(Ok(permit)) => {
                state.admission.on_complete(now, permit, Outcome::Aborted);
                None
            }
            Vacated::Answered(Err(_)) => None,
            waiting @ Vacated::Waiting { .. } => {
                state.admission.on_cancel(now, ticket);
                Some(waiting)
            }
        });
        drop(left);
    }
}
