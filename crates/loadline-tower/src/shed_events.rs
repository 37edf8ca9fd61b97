//! An event of `tracing` for each rejection, or for as many of them as a log can bear.
//!
//! An overload rejects thousands of requests per second, and a log line costs more than a rejection. So at most so many events
//! are written per second, and each says how many rejections went without one since the last.
//!
//! They are written within the request's current span: what the span knows of the request, the event need not say.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use loadline_core::Rejection;
use tokio::time::Instant;

use crate::Observer;

/// Writes rejections as events, level `WARN`, target `loadline`; see the module.
///
/// ```
/// use std::sync::Arc;
/// use loadline_tower::{Gate, ShedEvents, server::LoadlineLayer};
///
/// # let gate = Gate::builder(std::num::NonZeroU32::MIN).build();
/// let layer = LoadlineLayer::new(gate).observer(Arc::new(ShedEvents::new()));
/// # let _: axum::Router = axum::Router::new().layer(layer);
/// ```
#[derive(Debug)]
pub struct ShedEvents {
    per_second: u32,
    second: Mutex<Second>,
}

#[derive(Debug)]
struct Second {
    began: Instant,
    written: u32,
    /// Since the last event.
    unwritten: u64,
}

/// Enough to see what goes on, and too few to fill a disk.
const USUAL_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("10 is not zero");

impl ShedEvents {
    /// At most ten per second.
    #[must_use]
    pub fn new() -> Self {
        Self::at_most(USUAL_PER_SECOND)
    }

    /// At most so many per second.
    #[must_use]
    pub fn at_most(per_second: NonZeroU32) -> Self {
        let second = Second { began: Instant::now(), written: 0, unwritten: 0 };
        Self { per_second: per_second.get(), second: Mutex::new(second) }
    }

    /// Whether one more may be written, and how many were not since the last.
    fn draw(&self) -> Option<u64> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if second.began.elapsed() >= Duration::from_secs(1) {
            second.began = Instant::now();
            second.written = 0;
        }
        if second.written == self.per_second {
            second.unwritten += 1;
            return None;
        }
        second.written += 1;
        Some(std::mem::take(&mut second.unwritten))
    }
}

impl Default for ShedEvents {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for ShedEvents {
    fn on_shed(&self, rejection: &Rejection) {
        let Some(unwritten) = self.draw() else { return };
        tracing::warn!(
            target: "loadline",
            reason = rejection.reason.as_str(),
            class = rejection.class.as_str(),
            waited_ms = u64::try_from(rejection.waited.as_millis()).unwrap_or(u64::MAX),
            retry_after_s = rejection.retry_after.as_secs_f64(),
            unwritten,
            "shed"
        );
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_per_second_and_the_next_says_how_many_were_left_out() {
        let events = ShedEvents::at_most(NonZeroU32::new(2).unwrap());
        let drawn: Vec<_> = (0..5).map(|_| events.draw()).collect();
        assert_eq!(drawn, [Some(0), Some(0), None, None, None]);
        advance(Duration::from_secs(1)).await;
        assert_eq!([events.draw(), events.draw(), events.draw()], [Some(3), Some(0), None]);
    }
}
