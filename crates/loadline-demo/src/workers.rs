//! A fixed pool of workers with a queue that nobody bounds: what makes overload hurt.
//!
//! A threaded server does not learn that a client has left while it works for it, and neither does this: work once
//! asked for is done, and counted as abandoned when nobody waits for the result any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

/// The pool. Served in order of arrival.
#[derive(Debug)]
pub(crate) struct Workers {
    free: Semaphore,
    waiting: AtomicU64,
    in_service: AtomicU64,
    peak: AtomicU64,
    served: AtomicU64,
    abandoned: AtomicU64,
}

/// The pool's numbers at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Requests that wait for a worker.
    pub(crate) waiting: u64,
    /// Requests that a worker is busy with.
    pub(crate) in_service: u64,
    /// The most that were ever in service at once.
    pub(crate) peak: u64,
    /// Requests whose service time has passed, abandoned ones included.
    pub(crate) served: u64,
    /// Those of `served` whose client had left before: wasted work.
    pub(crate) abandoned: u64,
}

impl Workers {
    /// A pool of `count` idle workers.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            free: Semaphore::new(count),
            waiting: AtomicU64::new(0),
            in_service: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            served: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
        }
    }

    /// Waits for a worker, keeps it busy for `service_time`, and returns.
    ///
    /// Dropping the future abandons the work, which is done all the same.
    pub(crate) async fn work(self: &Arc<Self>, service_time: Duration) {
        let (done, finished) = oneshot::channel();
        let pool = Arc::clone(self);
        pool.waiting.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            let worker = pool.free.acquire().await.expect("the semaphore is never closed");
            pool.waiting.fetch_sub(1, Relaxed);
            pool.peak.fetch_max(pool.in_service.fetch_add(1, Relaxed) + 1, Relaxed);
            tokio::time::sleep(service_time).await;
            pool.in_service.fetch_sub(1, Relaxed);
            pool.served.fetch_add(1, Relaxed);
            drop(worker);
            if done.send(()).is_err() {
                pool.abandoned.fetch_add(1, Relaxed);
            }
        });
        // The other end is dropped unsent only when the runtime shuts down, and then nobody reads the answer.
        let _ = finished.await;
    }

    /// The numbers now.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            waiting: self.waiting.load(Relaxed),
            in_service: self.in_service.load(Relaxed),
            peak: self.peak.load(Relaxed),
            served: self.served.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const SERVICE_TIME: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn beyond_the_pool_requests_wait_their_turn() {
        let pool = Arc::new(Workers::new(4));
        let begin = Instant::now();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move {
                    pool.work(SERVICE_TIME).await;
                    begin.elapsed()
                })
            })
            .collect();
        let mut took = Vec::new();
        for task in tasks {
            took.push(task.await.unwrap());
        }
        assert!(took[..4].iter().all(|took| *took < SERVICE_TIME * 2), "{took:?}");
        assert!(took[4..].iter().all(|took| *took >= SERVICE_TIME * 2), "{took:?}");
        let stats = pool.stats();
        assert_eq!((stats.peak, stats.served, stats.in_service, stats.waiting), (4, 8, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn abandoned_work_is_done_all_the_same() {
        let pool = Arc::new(Workers::new(1));
        let gave_up = tokio::time::timeout(SERVICE_TIME / 2, pool.work(SERVICE_TIME)).await;
        assert!(gave_up.is_err());
        assert_eq!(pool.stats().in_service, 1);
        // The next one has to wait for the ghost: that is what a proxy in front can spare it.
        let begin = Instant::now();
        pool.work(SERVICE_TIME).await;
        assert!(begin.elapsed() >= SERVICE_TIME + SERVICE_TIME / 2);
        let stats = pool.stats();
        assert_eq!((stats.served, stats.abandoned, stats.in_service), (2, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn work_abandoned_while_it_waits_is_done_too() {
        let pool = Arc::new(Workers::new(1));
        let busy = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.work(SERVICE_TIME).await }
        });
        tokio::task::yield_now().await;
        assert!(tokio::time::timeout(SERVICE_TIME / 2, pool.work(SERVICE_TIME)).await.is_err());
        busy.await.unwrap();
        pool.work(SERVICE_TIME).await;
        assert_eq!(pool.stats(), Stats { waiting: 0, in_service: 0, peak: 1, served: 3, abandoned: 1 });
    }
}
