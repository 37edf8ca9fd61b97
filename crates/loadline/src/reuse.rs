//! Work of one kind, done over and over in the same memory.
//!
//! A connection boxes what it needs while a request is served, and has none of it while it idles: some 4 kB, for each request. An
//! allocator does that well until the pages of that size happen to be full; then each rejection takes a page from it and gives it
//! back, at a quarter of the rejection's price. So a worker keeps the boxes, as it keeps [buffers](crate::buffers).
//!
//! A box is not filled anew, which would mean to copy those 4 kB: its future never ends, and takes one piece of work after the
//! other from a desk.

use std::cell::RefCell;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A box in which inputs are turned into outputs, one at a time.
pub(crate) struct Reusable<I, O> {
    desk: Rc<RefCell<Desk<I, O>>>,
    working: Pin<Box<dyn Future<Output = ()>>>,
}

/// Where work is left and found.
#[derive(Default)]
enum Desk<I, O> {
    #[default]
    Empty,
    Asked(I),
    Done(O),
}

impl<I: 'static, O: 'static> Reusable<I, O> {
    pub(crate) fn new(work: impl AsyncFn(I) -> O + 'static) -> Self {
        let desk = Rc::new(RefCell::default());
        let shared = Rc::clone(&desk);
        let working = Box::pin(async move {
            loop {
                let asked = shared.take();
                if let Desk::Asked(input) = asked {
                    let output = work(input).await;
                    *shared.borrow_mut() = Desk::Done(output);
                }
                // Nobody wakes it: it is polled again when there is something to do.
                leave_off().await;
            }
        });
        Self { desk, working }
    }

    /// Does this next. What was begun before has ended.
    pub(crate) fn begin(&self, input: I) {
        *self.desk.borrow_mut() = Desk::Asked(input);
    }

    /// Ready when it is done.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<O> {
        let _ = self.working.as_mut().poll(cx);
        match self.desk.take() {
            Desk::Done(output) => Poll::Ready(output),
            Desk::Empty | Desk::Asked(_) => Poll::Pending,
        }
    }
}

/// Gives the caller a chance to take what is done.
async fn leave_off() {
    let mut left = false;
    std::future::poll_fn(|_| if mem::replace(&mut left, true) { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn one_after_the_other() {
        let mut doubling = Reusable::new(async |number: u64| {
            for _ in 0..number {
                tokio::task::yield_now().await;
            }
            2 * number
        });
        for number in [3, 0, 1, 0, 2] {
            doubling.begin(number);
            assert_eq!(poll_fn(|cx| doubling.poll(cx)).await, 2 * number);
        }
    }

    #[tokio::test]
    async fn what_is_not_done_goes_with_it() {
        let held = Rc::new(());
        let mut waiting = Reusable::new(async |held: Rc<()>| {
            std::future::pending::<()>().await;
            drop(held);
        });
        waiting.begin(Rc::clone(&held));
        let polled = poll_fn(|cx| Poll::Ready(waiting.poll(cx).is_pending())).await;
        assert!(polled && Rc::strong_count(&held) == 2);
        drop(waiting);
        assert_eq!(Rc::strong_count(&held), 1);
    }
}
