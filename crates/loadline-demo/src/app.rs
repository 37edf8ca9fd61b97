//! One request of the demo app: find the route, let a worker serve it, answer.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};

use crate::filler::Filler;
use crate::reply::{BINARY, Body, json, respond, text};
use crate::route::Route;
use crate::serve::App;
use crate::workers::{Stats, Workers};
use crate::{FAST_SERVICE_TIME, HOME_SERVICE_TIME, MAX_FILLER_BYTES, MAX_SERVICE_TIME, SLOW_SERVICE_TIME};

/// The demo app's state, shared by its connections.
#[derive(Debug)]
pub(crate) struct WorkersApp {
    workers: Arc<Workers>,
    home: Bytes,
}

impl WorkersApp {
    /// An app with `workers` workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers: Arc::new(Workers::new(workers)), home: Bytes::from(home(workers)) }
    }
}

impl App for WorkersApp {
    /// Answers one request. All but `/stats` go through a worker, `/healthcheck` too: an app whose workers are all
    /// busy answers its health check late, as real ones do.
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let route = Route::of(request.uri().path());
        if route != Route::Stats {
            self.workers.work(route.service_time()).await;
        }
        match route {
            Route::Home => text(StatusCode::OK, self.home.clone()),
            Route::Work(_) => text(StatusCode::OK, Bytes::from_static(b"Hello World!\n")),
            Route::Health => text(StatusCode::OK, Bytes::from_static(b"OK\n")),
            Route::Bytes(length) => respond(StatusCode::OK, BINARY, Filler::new(length).boxed_unsync()),
            Route::Echo if request.method() == Method::POST => echo(request),
            Route::Echo => text(StatusCode::METHOD_NOT_ALLOWED, Bytes::from_static(b"POST a body here\n")),
            Route::Stats => json(StatusCode::OK, stats(self.workers.stats())),
            Route::TooMuch => text(StatusCode::BAD_REQUEST, Bytes::from_static(b"that is too much\n")),
            Route::Unknown => text(StatusCode::NOT_FOUND, Bytes::from_static(b"no such route; see /\n")),
        }
    }
}

/// The request's body and its type, back again while it still arrives.
fn echo(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let kind = head.headers.get(CONTENT_TYPE).cloned().unwrap_or(BINARY);
    respond(StatusCode::OK, kind, body.boxed_unsync())
}

fn stats(stats: Stats) -> String {
    let Stats { waiting, in_service, peak, served, abandoned } = stats;
    format!(
        "{{\"waiting\":{waiting},\"in_service\":{in_service},\"peak\":{peak},\"served\":{served},\
         \"abandoned\":{abandoned}}}\n"
    )
}

fn home(workers: usize) -> String {
    format!(
        "Hello! This is loadline's demo app: {workers} workers, everything beyond them waits.\n\
         \n\
         GET  /             this page, {home:?} of work: {capacity} requests/s and no more\n\
         GET  /fast         {fast:?} of work\n\
         GET  /slow         {slow:?} of work\n\
         GET  /<seconds>    as much work as you say, /0.4 for instance (at most {longest:?})\n\
         GET  /healthcheck  OK\n\
         GET  /bytes/<n>    a body of n bytes (at most {most})\n\
         POST /echo         your body back\n\
         GET  /stats        what the workers are doing, as JSON\n",
        home = HOME_SERVICE_TIME,
        fast = FAST_SERVICE_TIME,
        slow = SLOW_SERVICE_TIME,
        longest = MAX_SERVICE_TIME,
        most = MAX_FILLER_BYTES,
        capacity = workers as f64 / HOME_SERVICE_TIME.as_secs_f64(),
    )
}
