//! The budget of requests that are sent a second time, elsewhere.
//!
//! A retry is more work for upstreams that may have too much of it already. So the repetitions in service are bounded: a share
//! of all requests in service (Envoy's rule: 20 %, at least 3), and no request is repeated on an endpoint that has had it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Most endpoints that one request is sent to, the first included: what two others could not do, a fourth will not.
pub(crate) const MOST_ENDPOINTS: usize = 3;

#[derive(Debug, Default)]
pub(crate) struct Retries {
    under_way: AtomicUsize,
    refused: AtomicU64,
}

impl Retries {
    /// A place among the repetitions in service, if there is one: `share` in percent of `in_flight`, at least `least`.
    pub(super) fn begin(self: &Arc<Self>, share: u8, least: u32, in_flight: usize) -> Option<Retry> {
        let most = (in_flight * usize::from(share) / 100).max(least as usize);
        let one_more = |count: usize| (count < most).then_some(count + 1);
        let begun = self.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if !begun {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        begun.then(|| Retry(Arc::clone(self)))
    }

    /// Repetitions that the budget did not allow, since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// A repetition in service.
pub(crate) struct Retry(Arc<Retries>);

impl Drop for Retry {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_what_is_in_service_at_least_the_minimum() {
        let retries = Arc::new(Retries::default());
        let held: Vec<_> = (0..30).map_while(|_| retries.begin(20, 3, 100)).collect();
        assert_eq!((held.len(), retries.refused()), (20, 1));
        assert!(retries.begin(20, 3, 4).is_none());
        drop(held);
        let held: Vec<_> = (0..30).map_while(|_| retries.begin(20, 3, 4)).collect();
        assert_eq!(held.len(), 3);
        assert!(Arc::new(Retries::default()).begin(20, 0, 4).is_none());
    }
}
