//! An axum service that takes on what it can do, and says no to the rest.
//!
//! ```text
//! cargo run -p loadline-tower --example axum_service
//! curl -i http://127.0.0.1:3000/
//! curl http://127.0.0.1:3000/status
//! ```
//!
//! Ask for more than 80 pages per second (four at a time, 50 ms each), say with `wrk -c 100 http://127.0.0.1:3000/`, and see
//! that those who are served are served in time, that the others get a 503 with `Retry-After`, and that the health check
//! passes all the while.

use std::{num::NonZeroU32, time::Duration};

use axum::{
    Router,
    extract::{Extension, Request, State},
    routing::get,
};
use loadline_tower::{Admission, Class, Gate, server::LoadlineLayer};

/// What this service can work on at once. A real one starts with its number of workers, or of connections to its database.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(4).unwrap();

#[tokio::main]
async fn main() -> std::io::Result<()> {
    // A hundred more may wait, for half a second each: whoever waits longer has probably left.
    let gate = Gate::builder(AT_ONCE).queue(100, Duration::from_millis(500)).build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}/", listener.local_addr()?);
    axum::serve(listener, app(gate)).await
}

fn app(gate: Gate) -> Router {
    let limited = Router::new()
        .route("/", get(page))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(LoadlineLayer::new(gate.clone()).classify(class));
    // Added after the layer, so outside of it: it must answer when nothing else does.
    limited.route("/status", get(status)).with_state(gate)
}

/// By path, because a client cannot choose to be important by asking for something else than it wants.
fn class(request: &Request) -> Class {
    match request.uri().path() {
        "/healthz" => Class::Bypass,
        _ => Class::Normal,
    }
}

/// 50 ms of work.
async fn page(Extension(admission): Extension<Admission>) -> String {
    tokio::time::sleep(Duration::from_millis(50)).await;
    format!("after {} ms in the queue\n", admission.waited().as_millis())
}

async fn status(State(gate): State<Gate>) -> String {
    let now = gate.snapshot();
    let total = now.counters.total();
    format!(
        "{} of {} in flight, {} queued; {} admitted, {} shed since the start\n",
        now.in_flight,
        now.limit,
        now.queued,
        total.admitted,
        total.shed_total()
    )
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rejects_what_is_too_much_and_passes_health_checks() {
        let gate = Gate::builder(AT_ONCE).no_queue().build();
        let app = app(gate.clone());
        let ask = |path: &str| {
            let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
            tokio::spawn(app.clone().oneshot(request))
        };
        let paths = ["/", "/", "/", "/", "/", "/healthz", "/status"];
        let mut statuses = Vec::new();
        for answer in paths.map(ask) {
            statuses.push(answer.await.unwrap().unwrap().status().as_u16());
        }
        assert_eq!(statuses, [200, 200, 200, 200, 503, 200, 200]);
    }
}
