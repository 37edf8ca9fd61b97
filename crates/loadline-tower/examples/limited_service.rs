//! One axum service under three regimes, for `cargo xtask bench rust-service`: without a limit, with tower's own, with loadline.
//!
//! ```text
//! cargo run --release -p loadline-tower --example limited_service -- loadline 127.0.0.1:3000    # or tower, or none
//! ```
//!
//! Behind the handlers are eight workers, say the connections of a database, and 50 ms of work for each request: 160 requests
//! per second. Who finds no worker free waits for one, first come first served, as in most pools. `/checkout` is what matters
//! most.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Router,
    error_handling::HandleErrorLayer,
    extract::{Request, State},
    http::StatusCode,
    routing::get,
};
use loadline_tower::{Class, Gate, server::LoadlineLayer};
use tokio::sync::Semaphore;
use tower::{BoxError, ServiceBuilder};

const WORKERS: NonZeroU32 = NonZeroU32::new(8).unwrap();
const WORK: Duration = Duration::from_millis(50);
/// What can be served in the time that may be waited: 8 × 500 ms ÷ 50 ms.
const QUEUE: (u32, Duration) = (80, Duration::from_millis(500));

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let regime = arguments.next().unwrap_or_else(|| "loadline".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let app = limited(&regime, app()).ok_or("none, tower or loadline")?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("{regime}: http://{}/", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

fn app() -> Router {
    let workers = Arc::new(Semaphore::new(WORKERS.get() as usize));
    Router::new().route("/", get(work)).route("/checkout", get(work)).with_state(workers)
}

async fn work(State(workers): State<Arc<Semaphore>>) -> &'static str {
    let _worker = workers.acquire().await.expect("never closed");
    tokio::time::sleep(WORK).await;
    "done\n"
}

fn limited(regime: &str, app: Router) -> Option<Router> {
    match regime {
        "none" => Some(app),
        "tower" => {
            // The one that is shared by all routes.
            let limit = tower::limit::GlobalConcurrencyLimitLayer::new(WORKERS.get() as usize);
            let overloaded = |_: BoxError| async { StatusCode::SERVICE_UNAVAILABLE };
            let stack =
                ServiceBuilder::new().layer(HandleErrorLayer::new(overloaded)).load_shed().layer(limit);
            Some(app.layer(stack))
        }
        "loadline" => {
            let gate = Gate::builder(WORKERS).queue(QUEUE.0, QUEUE.1).build();
            let class = |request: &Request| match request.uri().path() {
                "/checkout" => Class::High,
                _ => Class::Normal,
            };
            Some(app.layer(LoadlineLayer::new(gate).classify(class)))
        }
        _ => None,
    }
}

#[cfg(test)]
#[tokio::test(start_paused = true)]
async fn each_regime_serves() {
    use tower::ServiceExt as _;

    for regime in ["none", "tower", "loadline"] {
        let request = Request::get("/checkout").body(axum::body::Body::empty()).unwrap();
        let response = limited(regime, app()).unwrap().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{regime}");
    }
    assert!(limited("other", app()).is_none());
}
