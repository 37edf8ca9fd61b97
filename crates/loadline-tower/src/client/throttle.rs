//! Client-side adaptive throttling: who is refused most of the time asks less.
//!
//! A rejection is cheap, not free. A service that is asked for ten times what it can do spends itself on saying no, so its
//! clients should say it for it. The law is that of Google's "Site Reliability Engineering", chapter 21, "Client-Side
//! Throttling": over the last two minutes, a request is not sent with the probability
//!
//! ```text
//! max(0, (requests − K × accepts) ÷ (requests + 1))
//! ```
//!
//! where requests are those that callers asked for and accepts those that the service did not refuse. Worked: of 100 requests 20
//! were accepted, K = 2: (100 − 40) ÷ 101 = 59 % are not sent. As those count as requests too, it goes on until about one in K
//! of what is sent is accepted. That one keeps looking whether the service has recovered.
//!
//! Refused means: status 503 or 429, gRPC's `UNAVAILABLE` or `RESOURCE_EXHAUSTED` as a response of trailers only, or no response
//! at all. An answer that came is accepted however bad it is.
//!
//! Out of scope: calls that one's own limit keeps back. The service has not refused them, so they are not counted.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, StatusCode};

use super::window::Window;

/// Keeps calls back while the service refuses most of them; see the module. Clones share what they have seen: one for each
/// service that is called.
#[derive(Clone, Debug)]
pub struct Throttle {
    k: f64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// By [`REQUESTS`] and [`ACCEPTS`].
    seen: Window<2>,
    random: u64,
}

const REQUESTS: usize = 0;
const ACCEPTS: usize = 1;

/// The book's: twice what is accepted is sent, so that a recovery is noticed soon.
const USUAL_K: f64 = 2.0;
/// The book's window.
const USUAL_WINDOW: Duration = Duration::from_secs(120);

/// gRPC's `RESOURCE_EXHAUSTED` and `UNAVAILABLE`.
const GRPC_REFUSALS: [&[u8]; 2] = [b"8", b"14"];

/// Why there is no such throttle.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum ThrottleError {
    /// K must be a number of at least 1: with less, calls are kept back although all of them are accepted.
    K(f64),
    /// A window of nothing remembers nothing.
    NoWindow,
}

impl Throttle {
    /// The book's: K = 2, two minutes.
    #[must_use]
    pub fn new() -> Self {
        Self::make(USUAL_K, USUAL_WINDOW)
    }

    /// With another K and another window. A lower K keeps more back.
    ///
    /// # Errors
    /// When one of them makes no sense; see [`ThrottleError`].
    pub fn with(k: f64, window: Duration) -> Result<Self, ThrottleError> {
        if !k.is_finite() || k < 1.0 {
            Err(ThrottleError::K(k))
        } else if window.is_zero() {
            Err(ThrottleError::NoWindow)
        } else {
            Ok(Self::make(k, window))
        }
    }

    /// With which probability the next call is not sent, 0 to 1.
    #[must_use]
    pub fn probability(&self) -> f64 {
        self.refusal(self.state().seen.sums())
    }

    fn make(k: f64, window: Duration) -> Self {
        // A generator of the xorshift kind must not begin at 0.
        let random = RandomState::new().build_hasher().finish() | 1;
        Self { k, state: Arc::new(Mutex::new(State { seen: Window::new(window), random })) }
    }

    /// Whether this call is to be kept back. If so, it counts.
    pub(super) fn keeps_back(&self) -> bool {
        let mut state = self.state();
        let probability = self.refusal(state.seen.sums());
        if probability <= 0.0 {
            return false;
        }
        let kept = state.draw() < probability;
        if kept {
            state.seen.add(REQUESTS, 1);
        }
        kept
    }

    pub(super) fn sent(&self) {
        self.state().seen.add(REQUESTS, 1);
    }

    pub(super) fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        let refused = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
            || headers.get("grpc-status").is_some_and(|status| GRPC_REFUSALS.contains(&status.as_bytes()));
        if !refused {
            self.state().seen.add(ACCEPTS, 1);
        }
    }

    fn refusal(&self, seen: [i64; 2]) -> f64 {
        let [requests, accepts] = [seen[REQUESTS] as f64, seen[ACCEPTS] as f64];
        ((requests - self.k * accepts) / (requests + 1.0)).max(0.0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// A number from 0 up to 1. xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
    fn draw(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let mixed = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d);
        // The upper 53 bits are what a double holds.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl fmt::Display for ThrottleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::K(k) => write!(f, "K is {k}, and must be a number of at least 1"),
            Self::NoWindow => f.write_str("a window of 0 s remembers nothing"),
        }
    }
}

impl std::error::Error for ThrottleError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(throttle: &Throttle, requests: i64, accepts: i64) {
        let mut state = throttle.state();
        state.seen.add(REQUESTS, requests);
        state.seen.add(ACCEPTS, accepts);
    }

    #[tokio::test(start_paused = true)]
    async fn the_books_formula() {
        for (requests, accepts, expected) in [
            (0, 0, 0.0),
            (100, 100, 0.0),
            (100, 50, 0.0),
            (100, 20, 60.0 / 101.0),
            (1, 0, 0.5),
            (999, 0, 0.999),
        ] {
            let throttle = Throttle::new();
            seen(&throttle, requests, accepts);
            assert!(
                (throttle.probability() - expected).abs() < 1e-12,
                "{requests} {accepts}: {}",
                throttle.probability()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_minutes_later_nothing_is_held_against_the_service() {
        let throttle = Throttle::new();
        seen(&throttle, 1_000, 0);
        tokio::time::advance(Duration::from_secs(119)).await;
        assert!(throttle.probability() > 0.9);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(throttle.probability(), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn about_one_in_k_of_what_is_sent_goes_to_waste() {
        let throttle = Throttle::new();
        let (mut sent, mut accepted) = (0, 0);
        // The service takes every tenth of what is asked for.
        for request in 0..20_000 {
            if throttle.keeps_back() {
                continue;
            }
            throttle.sent();
            sent += 1;
            if request % 10 == 0 {
                throttle.answered(StatusCode::OK, &HeaderMap::new());
                accepted += 1;
            } else {
                throttle.answered(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new());
            }
        }
        assert!(sent < 20_000 / 4 && accepted > 0, "{sent} sent, {accepted} accepted");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for k in [0.0, 0.99, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Throttle::with(k, USUAL_WINDOW), Err(ThrottleError::K(_))), "{k}");
        }
        let error = Throttle::with(2.0, Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "a window of 0 s remembers nothing");
    }
}
