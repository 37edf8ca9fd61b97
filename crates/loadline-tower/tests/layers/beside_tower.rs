//! What docs/rust.md says about tower's own `ConcurrencyLimit` and `LoadShed`, and what the layer does in the same place.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use axum::{Router, body::Body, routing::get};
use http::{Request, Response, StatusCode};
use loadline_tower::server::LoadlineLayer;
use tower::{
    Layer, Service, ServiceExt as _, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer, service_fn,
};

use super::support::{Chunks, data, limit, ok};

/// Three chunks.
async fn stream(_: Request<()>) -> Result<Response<Chunks>, Infallible> {
    Ok(ok([data("1"), data("2"), data("3")]))
}

/// How many of a hundred connections can be made ready, one after another.
async fn ready<S: Service<Request<()>> + Clone>(service: S) -> (usize, Vec<S>) {
    let mut idle = vec![service; 100];
    let mut ready = 0;
    for connection in &mut idle {
        let polled = poll_fn(|context| Poll::Ready(connection.poll_ready(context)));
        ready += usize::from(polled.await.is_ready());
    }
    (ready, idle)
}

#[tokio::test]
async fn connections_that_are_polled_for_readiness_pin_towers_permits() {
    let towers = ConcurrencyLimitLayer::new(2).layer(service_fn(stream));
    let (ready_connections, _idle) = ready(towers).await;
    assert_eq!(ready_connections, 2);

    let shedding = LoadShedLayer::new().layer(ConcurrencyLimitLayer::new(2).layer(service_fn(stream)));
    let (_, mut idle) = ready(shedding).await;
    assert!(idle[99].call(Request::new(())).await.is_err(), "rejected although nobody is served");

    let ours = LoadlineLayer::new(limit(2).no_queue().build()).layer(service_fn(stream));
    let (ready_connections, mut idle) = ready(ours).await;
    assert_eq!(ready_connections, 100);
    assert_eq!(idle[99].call(Request::new(())).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn towers_permit_is_free_when_the_response_has_begun() {
    let shedding = LoadShedLayer::new().layer(ConcurrencyLimitLayer::new(1).layer(service_fn(stream)));
    let streaming = shedding.clone().oneshot(Request::new(())).await.unwrap();
    let second = shedding.oneshot(Request::new(())).await;
    assert!(second.is_ok(), "two streams at a limit of one");
    drop(streaming);

    let ours = LoadlineLayer::new(limit(1).no_queue().build()).layer(service_fn(stream));
    let streaming = ours.clone().oneshot(Request::new(())).await.unwrap();
    let second = ours.oneshot(Request::new(())).await.unwrap();
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(streaming);
}

/// Two routes whose handlers never end, each asked once: how many are at work?
async fn at_work(layered: impl Fn(Router) -> Router) -> usize {
    let working = Arc::new(AtomicUsize::new(0));
    let handler = || {
        let working = Arc::clone(&working);
        get(move || async move {
            working.fetch_add(1, Ordering::SeqCst);
            pending::<&'static str>().await
        })
    };
    let router = layered(Router::new().route("/a", handler()).route("/b", handler()));
    let tasks = ["/a", "/b"].map(|path| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        tokio::spawn(router.clone().oneshot(request))
    });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    working.load(Ordering::SeqCst)
}

#[tokio::test]
async fn in_axum_towers_layer_is_a_limit_for_each_route() {
    let towers = at_work(|router| router.layer(ConcurrencyLimitLayer::new(1))).await;
    let gate = limit(1).no_queue().build();
    let ours = at_work(|router| router.layer(LoadlineLayer::new(gate.clone()))).await;
    assert_eq!((towers, ours), (2, 1));
}
