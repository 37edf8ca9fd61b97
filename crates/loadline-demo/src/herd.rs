//! One worker, 50 to 200 ms of work for each request, and a queue that nobody bounds: a server that a short rush keeps busy
//! with requests whose clients have long left.
//!
//! The work is to compute. Where something is to be measured it is to sleep, from when the request before it should have been
//! done: then the times are those that were drawn, however slow the machine is.
//!
//! With shedding it looks at the request's deadline (`X-Respond-By`, and every other header that loadline knows) when the
//! worker gets to it. What cannot be done in time any more is answered 419, and costs nothing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use loadline_http::deadline::{DeadlineHeaders, DeadlineSettings};
use tokio::sync::{Mutex as Turns, oneshot};

use crate::burn::burn;
use crate::reply::{Body, text};
use crate::serve::App;

/// Shortest and longest work, in milliseconds.
const WORK_MS: std::ops::RangeInclusive<u64> = 50..=200;

/// Not registered, but what servers of this kind answer to a request whose deadline has passed.
const EXPIRED: u16 = 419;

/// What the herd server's worker does for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HerdWork {
    /// It computes.
    Compute,
    /// It sleeps.
    Sleep,
}

/// The server's state.
#[derive(Debug)]
pub(crate) struct Herd {
    /// The worker, and when it was done with the request before. Served in order of arrival.
    worker: Arc<Turns<Instant>>,
    kind: HerdWork,
    deadlines: Option<DeadlineHeaders>,
    random: Mutex<fastrand::Rng>,
}

impl App for Herd {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path() != "/" {
            return text(StatusCode::NOT_FOUND, "not found\n");
        }
        let deadline = self.deadline(&request);
        let (done, finished) = oneshot::channel();
        let (worker, kind, work, arrived) =
            (Arc::clone(&self.worker), self.kind, self.work(), Instant::now());
        // On its own: a server like this one does not notice that a client has left.
        tokio::spawn(async move {
            let mut free = worker.lock_owned().await;
            let begin = match kind {
                HerdWork::Compute => Instant::now(),
                HerdWork::Sleep => arrived.max(*free),
            };
            let longest = Duration::from_millis(*WORK_MS.end());
            if deadline.is_some_and(|deadline| begin + longest > deadline) {
                drop(free);
                let _ = done.send(false);
                return;
            }
            match kind {
                // It fails only when the runtime ends, and then nobody reads the answer.
                HerdWork::Compute => drop(tokio::task::spawn_blocking(move || burn(work)).await),
                HerdWork::Sleep => tokio::time::sleep_until((begin + work).into()).await,
            }
            *free = begin + work;
            drop(free);
            // Nobody may wait any more; the work was done all the same.
            let _ = done.send(true);
        });
        match finished.await {
            Ok(false) => text(
                StatusCode::from_u16(EXPIRED).expect("three digits are a status"),
                "Request expired before processing",
            ),
            // Unsent only when the runtime ends, and then nobody reads the answer.
            Ok(true) | Err(_) => text(StatusCode::OK, "Computed something expensive"),
        }
    }
}

impl Herd {
    /// A server that works for random times of this `seed`, and looks at deadlines or not.
    pub(crate) fn new(with_load_shedding: bool, kind: HerdWork, seed: u64) -> Self {
        // Client and server share a clock here, and what is late is what is to be seen.
        let settings = DeadlineSettings { skew: Duration::ZERO, ..DeadlineSettings::default() };
        let headers = || DeadlineHeaders::new(settings).expect("the default headers are well-formed");
        Self {
            worker: Arc::new(Turns::new(Instant::now())),
            kind,
            deadlines: with_load_shedding.then(headers),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        }
    }

    fn work(&self) -> Duration {
        let mut random = self.random.lock().expect("a random number does not panic");
        Duration::from_millis(random.u64(WORK_MS))
    }

    fn deadline(&self, request: &Request<Incoming>) -> Option<Instant> {
        let fields =
            request.headers().iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let wall = i64::try_from(wall).unwrap_or(i64::MAX);
        let remaining = self.deadlines.as_ref()?.budget(fields, wall, false).remaining?;
        Some(Instant::now() + remaining)
    }
}
