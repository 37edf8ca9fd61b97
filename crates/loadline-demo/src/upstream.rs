//! The demo service's upstream: it takes as long and fails as often as it is asked to.
//!
//! | path | what it does |
//! |---|---|
//! | `/upstream?ms&fail_rate` | computes for so long, then fails this often with 503 |
//! | `/<seconds>` | waits so long: the sample app that comes with Spillway has it, as well as the greeting at `/` and `/healthcheck` |
//! | `/healthz`, `/metrics` | well; in numbers |

use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use crate::burn::Burners;
use crate::metrics::Metrics;
use crate::query::{Query, Refused};
use crate::reply::{Body, detail, json, text};
use crate::route::Route;
use crate::serve::App;

/// Threads that compute: as many requests as a common framework runs at once. With the wall's time each takes as long as it
/// was asked to.
pub(crate) const BURNERS: usize = 40;

/// The upstream's state.
#[derive(Debug)]
pub(crate) struct UpstreamApp {
    burners: Burners,
    metrics: Metrics,
}

impl App for UpstreamApp {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        self.metrics.measured(request.method(), self.route(&request)).await
    }
}

impl UpstreamApp {
    pub(crate) fn new() -> Self {
        Self { burners: Burners::new(BURNERS), metrics: Metrics::default() }
    }

    /// The route's name and its answer.
    async fn route(&self, request: &Request<Incoming>) -> (&'static str, Response<Body>) {
        let path = request.uri().path();
        match path {
            "/upstream" => {
                let answer = self.upstream(Query::new(request.uri().query())).await;
                ("/upstream", answer.unwrap_or_else(|refused| refused.response()))
            }
            "/healthz" => ("/healthz", json(StatusCode::OK, "{\"ok\":true}")),
            "/metrics" => ("/metrics", text(StatusCode::OK, self.metrics.page(None))),
            "/" => ("/", text(StatusCode::OK, "Hello World!\n")),
            "/healthcheck" => ("/healthcheck", text(StatusCode::OK, "OK\n")),
            _ => match Route::seconds(path) {
                Some(Ok(time)) => {
                    tokio::time::sleep(time).await;
                    ("/seconds", text(StatusCode::OK, "Hello World!\n"))
                }
                Some(Err(())) => ("/seconds", text(StatusCode::BAD_REQUEST, "that is too much\n")),
                None => ("other", detail(StatusCode::NOT_FOUND, "not found")),
            },
        }
    }

    async fn upstream(&self, query: Query<'_>) -> Result<Response<Body>, Refused> {
        let ms = milliseconds(query)?;
        let fail_rate = query.share("fail_rate")?.unwrap_or(0.0);
        self.burners.burn(Duration::from_millis(ms.into())).await;
        Ok(if fastrand::f64() < fail_rate {
            detail(StatusCode::SERVICE_UNAVAILABLE, "upstream failure")
        } else {
            json(StatusCode::OK, format!("{{\"ok\":true,\"ms\":{ms}}}"))
        })
    }
}

/// How long the upstream is to compute.
pub(crate) fn milliseconds(query: Query<'_>) -> Result<u32, Refused> {
    Ok(query.count("ms", 1..=5_000)?.unwrap_or(50))
}
