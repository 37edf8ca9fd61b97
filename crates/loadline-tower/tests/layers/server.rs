//! The server layer under a paused clock.

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use loadline_tower::{
    Admission, Class, Discipline, Error, Gate, Hold, Observer, Outcome, Reason, Rejection, ShedAt,
    server::{BodyFormat, LoadlineLayer},
};
use tokio::{task::yield_now, time::sleep};
use tower::{Layer, Service, ServiceExt as _, service_fn};

use super::support::{Chunks, assert_empty, broken, data, ended, limit, ms, ok, trailers};

/// Works for 10 s.
async fn slow(_: Request<()>) -> Result<Response<Chunks>, Infallible> {
    sleep(ms(10_000)).await;
    Ok(ok([data("done")]))
}

fn get() -> Request<()> {
    Request::new(())
}

/// Until what was spawned has run as far as it can without time passing.
async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_without_a_queue_the_answer_is_503_with_retry_after() {
    let gate = limit(1).no_queue().build();
    let service = LoadlineLayer::new(gate.clone()).layer(service_fn(slow));
    let first = tokio::spawn(service.clone().oneshot(get()));
    settle().await;

    let second = service.oneshot(get()).await.unwrap();
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    let field = |name: &str| second.headers()[name].to_str().unwrap().to_owned();
    assert!((1..=30).contains(&field("retry-after").parse::<u32>().unwrap()));
    assert_eq!(field("content-type"), "application/problem+json");
    assert_eq!(field("proxy-status"), "loadline; error=connection_limit_reached; details=\"concurrency\"");
    let length = second.headers()["content-length"].to_str().unwrap().parse().ok();
    assert_eq!(second.body().size_hint().exact(), length);
    let body = second.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.contains(r#""reason":"concurrency","class":"normal","retry_after":"#), "{body}");

    let first = first.await.unwrap().unwrap();
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), "done");
    assert_empty(&gate);
    assert_eq!(gate.snapshot().counters.of(Class::Normal).shed(Reason::Concurrency), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_the_queue_is_told_for_how_long() {
    let gate = limit(1).queue(10, ms(15_000)).discipline(Discipline::Fifo).build();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = LoadlineLayer::new(gate.clone()).layer(service_fn({
        let seen = Arc::clone(&seen);
        move |request: Request<()>| {
            let admission: &Admission = request.extensions().get().unwrap();
            seen.lock().unwrap().push((admission.class(), admission.waited()));
            slow(request)
        }
    }));
    let tasks = [(); 3].map(|()| {
        let service = service.clone();
        tokio::spawn(async move {
            let response = service.oneshot(get()).await.unwrap();
            let status = response.status();
            drop(response.into_body().collect().await);
            status
        })
    });
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap().as_u16());
    }
    assert_eq!(answers, [200, 200, 503]);
    assert_eq!(*seen.lock().unwrap(), [(Class::Normal, ms(0)), (Class::Normal, ms(10_000))]);
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn grpc_requests_get_trailers_only_and_head_requests_no_body() {
    let gate = limit(1).no_queue().build();
    let service = LoadlineLayer::new(gate.clone()).layer(service_fn(slow));
    let first = tokio::spawn(service.clone().oneshot(get()));
    settle().await;

    let call = Request::post("/").header("content-type", "application/grpc+proto").body(()).unwrap();
    let answer = service.clone().oneshot(call).await.unwrap();
    assert_eq!((answer.status(), &answer.headers()["grpc-status"]), (StatusCode::OK, &"14".parse().unwrap()));
    assert!(!answer.headers().contains_key("content-length"));
    assert!(answer.body().is_end_stream(), "the head is all there is");

    let answer = service.oneshot(Request::head("/").body(()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body().is_end_stream());
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn status_and_format_can_be_chosen_and_rejections_can_be_errors() {
    let gate = limit(1).no_queue().build();
    let layer = LoadlineLayer::new(gate.clone())
        .status(StatusCode::TOO_MANY_REQUESTS, StatusCode::GATEWAY_TIMEOUT)
        .unwrap()
        .body_format(BodyFormat::Text);
    let first = tokio::spawn(layer.layer(service_fn(slow)).oneshot(get()));
    settle().await;

    let answer = layer.layer(service_fn(slow)).oneshot(get()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "The concurrency limit is reached. (concurrency)\n");

    let error = layer.shed_as_error().layer(service_fn(slow)).oneshot(get()).await.unwrap_err();
    assert_eq!(error.rejection().unwrap().reason, Reason::Concurrency);
    first.abort();
}

#[test]
fn a_rejection_cannot_look_like_an_answer() {
    let layer = LoadlineLayer::new(limit(1).build()).status(StatusCode::OK, StatusCode::GATEWAY_TIMEOUT);
    let error = layer.unwrap_err().to_string();
    assert_eq!(error, "200 OK is no 4xx or 5xx, and a rejection must not look like an answer");
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_nobody_is_no_queue() {
    let gate = limit(1).queue(0, ms(1_000)).build();
    let permit = gate.admit(loadline_core::Request::new(Class::Normal)).await.unwrap();
    let rejection = gate.admit(loadline_core::Request::new(Class::Normal)).await.unwrap_err();
    assert_eq!((rejection.reason, rejection.waited), (Reason::Concurrency, Duration::ZERO));
    drop(permit);
}

#[test]
#[should_panic(expected = "100 cannot wait for 0ns: say `no_queue()` if nobody is to wait")]
fn a_queue_for_no_time_is_refused_with_a_reason() {
    let _gate = limit(1).queue(100, Duration::ZERO);
}

/// What a path does: how a response can end.
async fn various(request: Request<()>) -> Result<Response<Chunks>, io::Error> {
    match request.uri().path() {
        "/error" => Err(io::Error::other("no")),
        "/panic" => panic!("in the handler"),
        "/never" => pending().await,
        "/broken" => Ok(ok([data("1"), broken()])),
        "/trailers" => Ok(ok([data("1"), trailers()])),
        "/upgrade" => {
            Ok(Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).body(Chunks::default()).unwrap())
        }
        _ => Ok(ok([data("1"), data("2"), data("3")])),
    }
}

fn at(path: &str) -> Request<()> {
    Request::get(path).body(()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_slot_comes_back_on_success_error_panic_and_cancellation() {
    let gate = limit(1).no_queue().build();
    let service = LoadlineLayer::new(gate.clone()).layer(service_fn(various));

    let response = service.clone().oneshot(at("/")).await.unwrap();
    drop(response.into_body().collect().await.unwrap());
    assert_eq!(ended(&gate), [1, 0, 0], "success");

    service.clone().oneshot(at("/error")).await.unwrap_err();
    assert_eq!(ended(&gate), [1, 1, 0], "error");

    assert!(tokio::spawn(service.clone().oneshot(at("/panic"))).await.unwrap_err().is_panic());
    assert_eq!(ended(&gate), [1, 1, 1], "panic");

    let mut service = service;
    let task = tokio::spawn(service.clone().oneshot(at("/never")));
    settle().await;
    assert_eq!(gate.snapshot().in_flight, 1);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(ended(&gate), [1, 1, 2], "cancelled in service");

    drop(service.call(at("/")));
    assert_eq!(ended(&gate), [1, 1, 3], "dropped before it was polled");
    assert_empty(&gate);
}

/// Work that looks, when it is cancelled, how many are in flight.
struct Work(Gate, Arc<AtomicUsize>);

impl Drop for Work {
    fn drop(&mut self) {
        self.1.store(self.0.snapshot().in_flight as usize, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_slot_comes_back_after_what_the_cancelled_work_held() {
    let gate = limit(1).no_queue().build();
    let seen = Arc::new(AtomicUsize::new(0));
    let service = LoadlineLayer::new(gate.clone()).layer(service_fn(|_: Request<()>| {
        let work = Work(gate.clone(), Arc::clone(&seen));
        async move {
            pending::<()>().await;
            drop(work);
            Ok::<_, Infallible>(ok([]))
        }
    }));
    {
        let mut call = std::pin::pin!(service.oneshot(get()));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!((seen.load(Ordering::SeqCst), gate.snapshot().in_flight), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_the_queue_never_reaches_the_handler() {
    let gate = limit(1).queue(10, ms(60_000)).build();
    let calls = Arc::new(AtomicUsize::new(0));
    let service = LoadlineLayer::new(gate.clone()).layer(service_fn({
        let calls = Arc::clone(&calls);
        move |request| {
            calls.fetch_add(1, Ordering::SeqCst);
            slow(request)
        }
    }));
    let first = tokio::spawn(service.clone().oneshot(get()));
    settle().await;
    let second = tokio::spawn(service.clone().oneshot(get()));
    settle().await;
    assert_eq!(gate.snapshot().queued, 1);
    second.abort();
    drop(first.await.unwrap().unwrap());
    settle().await;
    assert_eq!((calls.load(Ordering::SeqCst), gate.snapshot().counters.total().abandoned), (1, 1));
    assert_empty(&gate);
}

#[tokio::test]
async fn a_body_of_three_chunks_keeps_the_slot_through_the_third() {
    let gate = limit(1).no_queue().build();
    let service = LoadlineLayer::new(gate.clone()).layer(service_fn(various));
    let mut body = service.oneshot(at("/")).await.unwrap().into_body();
    for chunk in ["1", "2", "3"] {
        assert_eq!(gate.snapshot().in_flight, 1, "before chunk {chunk}");
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), chunk);
        assert_eq!(gate.snapshot().in_flight, 1, "with chunk {chunk}");
    }
    assert!(body.frame().await.is_none());
    assert_eq!((gate.snapshot().in_flight, ended(&gate)), (0, [1, 0, 0]));
}

#[tokio::test]
async fn trailers_failures_and_abandoned_bodies_end_the_exchange_each_in_its_way() {
    let gate = limit(1).no_queue().build();
    let service = LoadlineLayer::new(gate.clone()).layer(service_fn(various));

    let mut body = service.clone().oneshot(at("/trailers")).await.unwrap().into_body();
    while body.frame().await.is_some() {
        assert_eq!(gate.snapshot().in_flight, 1, "through the trailers");
    }
    assert_eq!(ended(&gate), [1, 0, 0]);

    service.clone().oneshot(at("/broken")).await.unwrap().into_body().collect().await.unwrap_err();
    assert_eq!(ended(&gate), [1, 1, 0]);

    let mut body = service.clone().oneshot(at("/")).await.unwrap().into_body();
    drop(body.frame().await);
    drop(body);
    assert_eq!(ended(&gate), [1, 1, 1]);

    let head = Request::builder().method(Method::HEAD).body(()).unwrap();
    drop(service.oneshot(head).await.unwrap());
    assert_eq!(ended(&gate), [2, 1, 1], "nobody reads the body of a response to HEAD");
    assert_empty(&gate);
}

#[tokio::test]
async fn a_body_that_is_known_to_be_over_keeps_no_slot() {
    let gate = limit(1).no_queue().build();
    let service = LoadlineLayer::new(gate.clone()).layer(service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(http_body_util::Full::new(bytes::Bytes::from_static(b"1")))))
    }));
    let mut response = service.clone().oneshot(get()).await.unwrap();
    assert_eq!(gate.snapshot().in_flight, 1);
    drop(response.body_mut().frame().await);
    assert_eq!(gate.snapshot().in_flight, 0, "although the server keeps the response");
    assert_eq!(ended(&gate), [1, 0, 0]);
}

#[tokio::test]
async fn what_goes_on_after_the_response_can_hold_the_slot() {
    let gate = limit(1).no_queue().build();
    let kept = Arc::new(Mutex::new(None::<Hold>));
    let service = LoadlineLayer::new(gate.clone()).layer(service_fn({
        let kept = Arc::clone(&kept);
        move |request: Request<()>| {
            *kept.lock().unwrap() = request.extensions().get::<Admission>().unwrap().hold();
            various(request)
        }
    }));
    drop(service.oneshot(at("/upgrade")).await.unwrap().into_body().collect().await.unwrap());
    assert_eq!(gate.snapshot().in_flight, 1, "the upgraded connection is open");
    drop(kept.lock().unwrap().take());
    assert_eq!((gate.snapshot().in_flight, ended(&gate)), (0, [1, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn health_checks_pass_a_full_gate_up_to_their_own_cap() {
    let gate = limit(1).no_queue().bypass_limit(2.try_into().unwrap()).build();
    let service = LoadlineLayer::new(gate.clone())
        .classify(|request: &Request<()>| match request.uri().path() {
            "/healthz" => Class::Bypass,
            _ => Class::Normal,
        })
        .layer(service_fn(slow));
    let paths = ["/", "/", "/healthz", "/healthz", "/healthz"];
    let tasks = paths.map(|path| tokio::spawn(service.clone().oneshot(at(path))));
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap().unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 503, 200, 200, 503]);
    assert_empty(&gate);
}

/// The class that the path names.
fn by_path(request: &Request<()>) -> Class {
    let named = |class: &Class| request.uri().path().strip_prefix('/') == Some(class.as_str());
    Class::ALL.into_iter().find(named).unwrap_or(Class::Normal)
}

#[tokio::test(start_paused = true)]
async fn with_seven_of_ten_slots_taken_low_is_refused_and_normal_and_critical_are_not() {
    let gate = limit(10).no_queue().shed_at(ShedAt::USUAL).build();
    let service = LoadlineLayer::new(gate.clone()).classify(by_path).layer(service_fn(slow));
    let seven = [(); 7].map(|()| tokio::spawn(service.clone().oneshot(at("/normal"))));
    settle().await;
    assert_eq!(gate.snapshot().in_flight, 7);

    let low = service.clone().oneshot(at("/low")).await.unwrap();
    assert_eq!(low.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(low.headers().contains_key("retry-after"));
    assert_eq!(gate.snapshot().counters.of(Class::Low).shed(Reason::Priority), 1);
    let others = ["/normal", "/critical"].map(|path| tokio::spawn(service.clone().oneshot(at(path))));
    for admitted in seven.into_iter().chain(others) {
        assert_eq!(admitted.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn critical_requests_find_the_reserve_when_all_slots_are_taken() {
    let gate = limit(2).no_queue().reserve(1).build();
    let service = LoadlineLayer::new(gate.clone()).classify(by_path).layer(service_fn(slow));
    let paths = ["/high", "/high", "/high", "/critical", "/critical"];
    let tasks = paths.map(|path| tokio::spawn(service.clone().oneshot(at(path))));
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap().unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 503, 200, 503], "and no more than the reserve");
    assert_empty(&gate);
}

/// Insists on the contract: whoever is called was ready before, itself. A clone is not.
#[derive(Default)]
struct Strict {
    asked: Arc<AtomicUsize>,
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { asked: Arc::clone(&self.asked), ready: false }
    }
}

impl Service<Request<()>> for Strict {
    type Response = Response<Chunks>;
    type Error = io::Error;
    type Future = Ready<io::Result<Response<Chunks>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        ready(Ok(ok([])))
    }
}

#[tokio::test]
async fn readiness_takes_nothing_from_the_gate_nor_from_the_service() {
    let gate = limit(2).no_queue().build();
    let strict = Strict::default();
    let service = LoadlineLayer::new(gate.clone()).layer(strict.clone());
    let mut idle: Vec<_> = (0..100).map(|_| service.clone()).collect();
    for connection in &mut idle {
        connection.ready().await.unwrap();
    }
    assert_eq!((gate.snapshot().in_flight, strict.asked.load(Ordering::SeqCst)), (0, 0));

    for connection in &mut idle {
        let response = connection.call(get()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        drop(response.into_body().collect().await.unwrap());
    }
    assert_empty(&gate);
}

/// Writes down what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn on_admitted(&self, class: Class, waited: Duration) {
        self.0.lock().unwrap().push(format!("{class} admitted after {waited:?}"));
    }

    fn on_shed(&self, rejection: &Rejection) {
        self.0.lock().unwrap().push(rejection.to_string());
    }

    fn on_ended(&self, class: Class, outcome: Outcome, held: Duration) {
        self.0.lock().unwrap().push(format!("{class} {outcome:?} after {held:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_what_becomes_of_each_request() {
    let gate = limit(1).no_queue().build();
    let notes = Arc::new(Notes::default());
    let service = LoadlineLayer::new(gate).observer(notes.clone()).layer(service_fn(slow));
    let first = tokio::spawn(service.clone().oneshot(get()));
    settle().await;
    drop(service.oneshot(get()).await.unwrap());
    drop(first.await.unwrap().unwrap().into_body().collect().await.unwrap());
    let expected =
        ["normal admitted after 0ns", "rejected: concurrency (class normal)", "normal Completed after 10s"];
    assert_eq!(*notes.0.lock().unwrap(), expected);
}

#[tokio::test]
async fn errors_of_the_service_keep_their_type_unless_rejections_are_errors_too() {
    let layer = LoadlineLayer::new(Gate::builder(1.try_into().unwrap()).build());
    let error: io::Error = layer.layer(service_fn(various)).oneshot(at("/error")).await.unwrap_err();
    assert_eq!(error.to_string(), "no");
    let service = layer.shed_as_error().layer(service_fn(various));
    let error: Error<io::Error> = service.oneshot(at("/error")).await.unwrap_err();
    assert!(matches!(error, Error::Inner(error) if error.to_string() == "no"));
}
