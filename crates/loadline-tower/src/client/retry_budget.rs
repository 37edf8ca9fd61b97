//! How many retries a client may make: a share of its calls, so that retries cannot multiply an overload.
//!
//! Three attempts for each call are harmless while one in a thousand fails, and triple the load when all do. A budget knows
//! the difference: each call pays in a part of a retry, each retry takes out a whole one. The design is that of Finagle's
//! `RetryBudget` (twitter.github.io/finagle, "Retries"): a token bucket whose deposits and withdrawals are forgotten after a while,
//! with a reserve for clients that make few calls.
//!
//! ```text
//! retries in the last 10 s ≤ 20 % of the calls in the last 10 s + 10 per second
//! ```
//!
//! Worked, with these usual numbers: 1,000 calls per second that all fail make 200 + 10 retries per second, an amplification of
//! 1.21; with three attempts each and no budget it would be 3.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use loadline_core::Percent;

use super::window::Window;

/// Finagle's window.
const USUAL_MEMORY: Duration = Duration::from_secs(10);
/// Finagle's share of the calls, in percent.
const USUAL_SHARE: u8 = 20;
/// Finagle's reserve, in retries per second.
const USUAL_RESERVE: u32 = 10;
/// A retry costs so much, and a call pays in so much of it as the share has percent.
const RETRY: i64 = 100;

/// Allows retries as a share of the calls; see the module. Clones share the budget: one for each service that is called.
///
/// With `tower::retry`, ask it in the policy:
///
/// ```
/// use std::future::{Ready, ready};
/// use http::{Request, Response, StatusCode};
/// use loadline_tower::{Error, client::RetryBudget};
/// use tower::retry::Policy;
///
/// #[derive(Clone)]
/// struct Unavailable(RetryBudget);
///
/// impl<R, E> Policy<Request<()>, Response<R>, Error<E>> for Unavailable {
///     type Future = Ready<()>;
///
///     fn retry(
///         &mut self,
///         request: &mut Request<()>,
///         result: &mut Result<Response<R>, Error<E>>,
///     ) -> Option<Ready<()>> {
///         // Not `Error::Shed`: our own limit would only be asked again.
///         let refused = matches!(result, Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE);
///         let first = !request.headers().contains_key("x-retry-attempt");
///         (refused && first && self.0.try_withdraw()).then(|| {
///             // The service takes fresh work before retries, if it is told which is which.
///             request.headers_mut().insert("x-retry-attempt", 2.into());
///             ready(())
///         })
///     }
///
///     fn clone_request(&mut self, request: &Request<()>) -> Option<Request<()>> {
///         self.0.deposit();
///         Some(request.clone())
///     }
/// }
/// ```
///
/// `clone_request` is called for the retry once more, which pays in for it too: at a share of 20 % that makes 25 %.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    pays: i64,
    reserve: i64,
    balance: Arc<Mutex<Window<1>>>,
}

impl RetryBudget {
    /// Finagle's: 20 % of the calls of the last 10 s, and 10 per second in any case.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Percent::new(USUAL_SHARE).expect("20 is a percentage"), USUAL_RESERVE, USUAL_MEMORY)
    }

    /// So many percent of the calls of the last `memory`, and so many per second in any case.
    #[must_use]
    pub fn with(share: Percent, per_second: u32, memory: Duration) -> Self {
        let reserve = (f64::from(per_second) * memory.as_secs_f64()) as i64;
        Self {
            pays: i64::from(share.get()),
            reserve: reserve.saturating_mul(RETRY),
            balance: Arc::new(Mutex::new(Window::new(memory))),
        }
    }

    /// A call was made.
    pub fn deposit(&self) {
        self.change(|window| window.add(0, self.pays));
    }

    /// Whether a retry may be made. If so, it is paid.
    #[must_use = "a retry that was paid for should be made"]
    pub fn try_withdraw(&self) -> bool {
        self.change(|window| {
            let affordable = window.sums()[0].saturating_add(self.reserve) >= RETRY;
            if affordable {
                window.add(0, -RETRY);
            }
            affordable
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Window<1>) -> T) -> T {
        change(&mut self.balance.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn retries(budget: &RetryBudget) -> usize {
        std::iter::repeat_with(|| budget.try_withdraw()).take_while(|paid| *paid).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_the_calls_and_the_reserve() {
        let budget = RetryBudget::new();
        assert_eq!(retries(&budget), 100, "ten seconds of ten");
        for _ in 0..1_000 {
            budget.deposit();
        }
        assert_eq!(retries(&budget), 200);
        for _ in 0..4 {
            budget.deposit();
        }
        assert_eq!(retries(&budget), 0);
        budget.deposit();
        assert_eq!(retries(&budget), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn deposits_and_withdrawals_are_forgotten() {
        let budget = RetryBudget::with(Percent::new(50).unwrap(), 0, Duration::from_secs(10));
        assert_eq!(retries(&budget), 0);
        for _ in 0..100 {
            budget.deposit();
        }
        advance(Duration::from_secs(11)).await;
        assert_eq!(retries(&budget), 0, "a quiet time saves nothing up");
        let budget = RetryBudget::new();
        assert_eq!(retries(&budget), 100);
        advance(Duration::from_secs(11)).await;
        assert_eq!(retries(&budget), 100);
    }
}
