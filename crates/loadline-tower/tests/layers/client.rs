//! The client layer.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use loadline_tower::{
    Discipline, Error, Hold, Reason,
    client::{ClientLayer, ClientService},
};
use tokio::time::{Instant, sleep};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use super::support::{Chunks, assert_empty, broken, data, ended, limit, ms, ok};

fn get() -> Request<()> {
    Request::new(())
}

#[tokio::test]
async fn at_the_limit_it_fails_at_once_and_the_dependency_is_not_called() {
    let gate = limit(2).no_queue().build();
    let calls = Arc::new(AtomicUsize::new(0));
    let mut client = ClientLayer::new(gate.clone()).layer(service_fn({
        let calls = Arc::clone(&calls);
        move |_: Request<()>| {
            calls.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, Infallible>(ok([data("1")])) }
        }
    }));
    let first = client.call(get()).await.unwrap();
    let second = client.call(get()).await.unwrap();
    for _ in 0..1_000 {
        let error = client.call(get()).await.unwrap_err();
        let rejection = error.rejection().unwrap();
        assert_eq!((rejection.reason, rejection.waited), (Reason::Concurrency, ms(0)));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);

    // A body that nobody has read yet is a call in flight; a freed slot goes to whoever comes next.
    drop(first.into_body().collect().await.unwrap());
    drop(client.call(get()).await.unwrap());
    drop(second);
    assert_eq!(ended(&gate), [1, 0, 2]);
    assert_empty(&gate);
}

#[tokio::test]
async fn errors_of_the_dependency_are_another_variant_and_free_the_slot() {
    let gate = limit(1).no_queue().build();
    let client = ClientLayer::new(gate.clone()).layer(service_fn(|request: Request<()>| async move {
        let breaks = request.uri().path() == "/broken";
        if breaks { Ok(ok([broken()])) } else { Err(io::Error::other("refused")) }
    }));
    let error = client.clone().oneshot(get()).await.unwrap_err();
    assert!(matches!(error, Error::Inner(error) if error.to_string() == "refused"));
    let request = Request::get("/broken").body(()).unwrap();
    client.oneshot(request).await.unwrap().into_body().collect().await.unwrap_err();
    assert_eq!(ended(&gate), [0, 2, 0]);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn with_a_queue_calls_wait_and_give_up_in_time() {
    let gate = limit(1).queue(2, ms(150)).discipline(Discipline::Fifo).build();
    let client = ClientLayer::new(gate.clone()).layer(service_fn(|_: Request<()>| async {
        sleep(ms(100)).await;
        Ok::<_, Infallible>(ok([]))
    }));
    let start = Instant::now();
    let tasks = [(); 4].map(|()| {
        let client = client.clone();
        tokio::spawn(async move {
            let answer = match client.oneshot(get()).await {
                Ok(response) => {
                    drop(response.into_body().collect().await.unwrap());
                    None
                }
                Err(error) => Some(error.rejection().unwrap().reason),
            };
            (answer, start.elapsed())
        })
    });
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    let expected = [
        (None, ms(100)),
        (None, ms(200)),
        (Some(Reason::QueueTimeout), ms(150)),
        (Some(Reason::QueueFull), ms(0)),
    ];
    assert_eq!(answers, expected);
    assert_empty(&gate);
}

#[tokio::test]
async fn an_upgraded_connection_keeps_the_slot_with_its_hold() {
    let gate = limit(1).no_queue().build();
    let client = ClientLayer::new(gate.clone()).layer(service_fn(|request: Request<()>| async move {
        let upgrade = request.uri().path() == "/upgrade";
        let status = if upgrade { StatusCode::SWITCHING_PROTOCOLS } else { StatusCode::OK };
        Ok::<_, Infallible>(Response::builder().status(status).body(Chunks::default()).unwrap())
    }));
    let upgrade = Request::get("/upgrade").body(()).unwrap();
    let connect = Request::builder().method(Method::CONNECT).uri("host:1").body(()).unwrap();
    for request in [upgrade, connect] {
        let mut response = client.clone().oneshot(request).await.unwrap();
        let hold: Hold = response.extensions_mut().remove().unwrap();
        drop(response.into_body().collect().await.unwrap());
        assert_eq!(gate.snapshot().in_flight, 1, "the connection is open");
        drop(hold);
        assert_eq!(gate.snapshot().in_flight, 0);
    }
    assert!(client.oneshot(get()).await.unwrap().extensions().get::<Hold>().is_none());
    assert_eq!(ended(&gate), [2, 0, 1]);
}

/// What a client library's own `Client` is, seen from here.
type HyperClient = hyper_util::client::legacy::Client<
    hyper_util::client::legacy::connect::HttpConnector,
    http_body_util::Empty<bytes::Bytes>,
>;

#[test]
fn hypers_client_can_be_limited_and_sent_between_threads() {
    fn is_client<S, B>(_: impl FnOnce(S))
    where
        S: tower::Service<Request<B>, Future: Send> + Clone + Send + Sync + 'static,
    {
    }
    is_client::<ClientService<HyperClient>, _>(drop);
}
