//! A timer that costs nothing while all goes well.
//!
//! An exchange has several deadlines that move with every byte. Re-arming the runtime's timer for each would cost a
//! lock and a wheel operation per read; so the armed timer is left where it is as long as it is early enough, and
//! re-armed for the true deadline when it fires. A busy connection touches the wheel about once per timeout.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

#[derive(Default)]
pub(crate) struct Watchdog {
    sleep: Option<Pin<Box<Sleep>>>,
    /// When the armed timer will fire; `None` when it is not armed.
    armed: Option<Instant>,
}

impl Watchdog {
    /// Ready when `deadline` has passed at `now`; otherwise makes sure that the task is polled again by then
    /// (perhaps earlier).
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant, deadline: Instant) -> Poll<()> {
        if now >= deadline {
            return Poll::Ready(());
        }
        if self.armed.is_some_and(|at| at <= deadline && at > now) {
            return Poll::Pending;
        }
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(deadline);
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
        // Not rationed: a busy task that has used up its turn would be told to wait without the timer being armed.
        let mut unrationed = std::pin::pin!(tokio::task::unconstrained(sleep.as_mut()));
        match unrationed.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => {
                self.armed = Some(deadline);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fires_at_a_deadline_that_moved_later() {
        let start = Instant::now();
        let mut dog = Watchdog::default();
        let mut deadline = start + Duration::from_secs(1);
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            let now = Instant::now();
            if polls == 2 {
                deadline = start + Duration::from_secs(5);
            }
            dog.poll(cx, now, deadline)
        })
        .await;
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn fires_at_a_deadline_that_moved_earlier() {
        let start = Instant::now();
        let mut dog = Watchdog::default();
        let far = start + Duration::from_secs(60);
        poll_fn(|cx| {
            assert!(dog.poll(cx, Instant::now(), far).is_pending());
            Poll::Ready(())
        })
        .await;
        let near = start + Duration::from_secs(2);
        poll_fn(|cx| dog.poll(cx, Instant::now(), near)).await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn fires_though_it_was_armed_by_a_task_that_had_used_up_its_share() {
        let start = Instant::now();
        let mut dog = Watchdog::default();
        let mut used_up = false;
        poll_fn(|cx| {
            while tokio::task::coop::has_budget_remaining() && !used_up {
                let _ = std::pin::pin!(tokio::task::coop::consume_budget()).poll(cx);
            }
            used_up = true;
            dog.poll(cx, Instant::now(), start + Duration::from_secs(1))
        })
        .await;
        assert_eq!(start.elapsed().as_secs(), 1);
    }
}
