//! A response body that holds the slot of its exchange.
//!
//! The work of an exchange is over when its body is, not when its head is sent: a handler that streams works until the last
//! chunk. So the slot rides here, and comes free when the body ended (with its trailers), failed, or was dropped.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use loadline_core::Outcome;
use pin_project_lite::pin_project;

use crate::slot::Slot;

pin_project! {
    /// The body of an admitted request's response; holds the slot until it is over.
    ///
    /// It counts as completed when it ended, as failed when it failed, and as aborted when it was dropped before.
    #[derive(Debug)]
    pub struct PermitBody<B> {
        #[pin]
        body: B,
        // `None` once the body is over.
        slot: Option<Slot>,
    }
}

impl<B: Body> PermitBody<B> {
    pub(crate) fn new(body: B, slot: Slot) -> Self {
        let mut slot = Some(slot);
        end_with(&body, &mut slot);
        Self { body, slot }
    }
}

impl<B: Body> Body for PermitBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        // A body that is still being made works for the same request.
        let budget = this.slot.as_ref().map(Slot::budget);
        let mut poll = || this.body.as_mut().poll_frame(context);
        let frame = ready!(match budget {
            Some(budget) => budget.enter(poll),
            None => poll(),
        });
        match &frame {
            Some(Ok(_)) => end_with(&*this.body, this.slot),
            Some(Err(_)) => end(this.slot, Outcome::Failed),
            None => end(this.slot, Outcome::Completed),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Ends the exchange if the body says that nothing more will come: servers do not ask such a body again.
fn end_with(body: &impl Body, slot: &mut Option<Slot>) {
    if body.is_end_stream() {
        end(slot, Outcome::Completed);
    }
}

fn end(slot: &mut Option<Slot>, outcome: Outcome) {
    if let Some(slot) = slot.take() {
        slot.end(outcome);
    }
}
