//! Deadlines, classes by rules, retries: what the layers read from a request, what a handler is told, and what its own calls
//! inherit.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body, extract::MatchedPath, routing::get};
use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use loadline_tower::{
    Admission, Budget, Class, Deadlines, Discipline, Error, Observer, Reason, RouteId, Routes,
    client::{ClientLayer, DeadlineKind, Throttle},
    loadline_http::classify::{Condition, PathGlob, Rule, Rules},
    server::LoadlineLayer,
};
use tokio::time::{advance, sleep};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use super::support::{Chunks, assert_empty, data, limit, ms, ok};

/// A request with one header.
fn with(name: &str, value: &str) -> Request<()> {
    Request::get("/").header(name, value).body(()).unwrap()
}

fn reason(body: &Bytes) -> String {
    let text = std::str::from_utf8(body).unwrap();
    text.split_once("\"reason\":\"").unwrap().1.split('"').next().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_told_the_time_that_is_left_and_its_class() {
    let gate = limit(1).queue(10, ms(60_000)).build();
    let service = LoadlineLayer::new(gate.clone()).classify(|_: &Request<()>| Class::High).layer(service_fn(
        |request: Request<()>| async move {
            let admission: &Admission = request.extensions().get().unwrap();
            let told = (admission.class(), admission.remaining(), admission.waited());
            assert_eq!(Budget::current(), Some(admission.budget()));
            sleep(ms(100)).await;
            let left = Budget::current().unwrap().remaining();
            Ok::<_, Infallible>(Response::new(format!("{told:?} {left:?}")))
        },
    ));
    let call = |value: &str| tokio::spawn(service.clone().oneshot(with("x-request-timeout-ms", value)));
    let (first, second) = (call("1000"), call("500"));
    let first = first.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(first, "(High, Some(1s), 0ns) Some(900ms)");
    let second = second.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(second, "(High, Some(400ms), 100ms) Some(300ms)");
    assert_eq!(Budget::current(), None, "the budget is the handler's");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_late_is_answered_with_504_and_never_reaches_the_handler() {
    let gate = limit(1).queue(10, ms(60_000)).discipline(Discipline::Fifo).build();
    let service = LoadlineLayer::new(gate.clone()).layer(service_fn(|request: Request<()>| async move {
        sleep(ms(500)).await;
        assert!(request.headers().is_empty(), "only the one without a deadline is served");
        Ok::<_, Infallible>(ok([]))
    }));
    let past = epoch_seconds(SystemTime::now() - Duration::from_secs(60));
    let expired = service.clone().oneshot(with("x-respond-by", &past)).await.unwrap();
    assert_eq!(expired.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(reason(&expired.into_body().collect().await.unwrap().to_bytes()), "deadline_expired");

    let working = tokio::spawn(service.clone().oneshot(Request::new(())));
    tokio::task::yield_now().await;
    let waiting = service.oneshot(with("grpc-timeout", "100m")).await.unwrap();
    assert_eq!(waiting.status(), StatusCode::GATEWAY_TIMEOUT);
    let code = reason(&waiting.into_body().collect().await.unwrap().to_bytes());
    assert!(["deadline_expired", "deadline_unreachable"].contains(&code.as_str()), "{code}");
    drop(working.await.unwrap().unwrap().into_body().collect().await);
    assert_empty(&gate);
}

/// Seconds since the epoch, one of the accepted forms.
fn epoch_seconds(at: SystemTime) -> String {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string()
}

/// Writes down which headers were ignored.
#[derive(Default)]
struct Ignored(Mutex<Vec<String>>);

impl Observer for Ignored {
    fn on_invalid_header(&self, name: &str) {
        self.0.lock().unwrap().push(name.to_owned());
    }
}

#[tokio::test(start_paused = true)]
async fn headers_that_make_no_sense_are_ignored_and_told() {
    let ignored = Arc::new(Ignored::default());
    let service = LoadlineLayer::new(limit(1).build())
        .deadlines(Deadlines::default().default_budget(ms(3_000)))
        .observer(ignored.clone())
        .layer(service_fn(|_: Request<()>| async {
            let left = Budget::current().unwrap().remaining().unwrap();
            Ok::<_, Infallible>(Response::new(left.as_millis().to_string()))
        }));
    for (name, value, left) in [
        ("x-request-timeout-ms", "soon", "3000"),
        ("x-request-deadline", "1519.5", "3000"),
        ("x-request-timeout-ms", "250", "250"),
        ("x-unrelated", "1", "3000"),
    ] {
        let response = service.clone().oneshot(with(name, value)).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), left, "{name}: {value}");
    }
    assert_eq!(*ignored.0.lock().unwrap(), ["x-request-timeout-ms", "x-request-deadline"]);
}

#[tokio::test(start_paused = true)]
async fn a_trusted_balancers_word_on_the_wait_counts_and_nobody_elses() {
    let ask = async |deadlines: Deadlines, seconds: &str| {
        let layer = LoadlineLayer::new(limit(1).build()).deadlines(deadlines);
        let service =
            layer.layer(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(ok([data("served")])) }));
        let response = service.oneshot(with("x-queue-time-seconds", seconds)).await.unwrap();
        let status = response.status();
        (status.as_u16(), response.into_body().collect().await.unwrap().to_bytes())
    };
    let trusting = Deadlines::default().trusted_age(Duration::from_secs(10));
    assert_eq!(ask(trusting.clone(), "10.0").await.0, 200, "as long is not too long");
    let (status, body) = ask(trusting, "10.001").await;
    assert_eq!((status, reason(&body).as_str()), (503, "queue_age"));
    assert_eq!(ask(Deadlines::default(), "1000").await.0, 200);
    assert_eq!(ask(Deadlines::none(), "1000").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_made_and_a_task_that_is_handed_it_have_the_budget_too() {
    let service = LoadlineLayer::new(limit(1).build()).layer(service_fn(|_: Request<()>| async {
        let budget = Budget::current().unwrap();
        let spawned = tokio::spawn(budget.scope(async { Budget::current() })).await.unwrap();
        assert_eq!(spawned, Some(budget));
        Ok::<_, Infallible>(Response::new(Lazy(Some(move || {
            assert_eq!(Budget::current(), Some(budget));
            Bytes::from_static(b"1")
        }))))
    }));
    let response = service.oneshot(with("x-request-timeout-ms", "700")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "1");
}

/// A body of one frame that is made when it is asked for.
struct Lazy<F>(Option<F>);

impl<F: FnOnce() -> Bytes + Unpin> http_body::Body for Lazy<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|make| Ok(Frame::data(make()))))
    }
}

#[tokio::test(start_paused = true)]
async fn calls_made_for_a_request_inherit_its_class_and_deadline_and_tell_the_dependency() {
    let dependency = limit(2).no_queue().build();
    let client = ClientLayer::new(dependency.clone()).layer(service_fn(|request: Request<()>| async move {
        let told = request.headers()["x-request-timeout-ms"].to_str().unwrap().to_owned();
        let admission: &Admission = request.extensions().get().unwrap();
        Ok::<_, Infallible>(Response::new(format!("{} {told}", admission.class())))
    }));
    let service = LoadlineLayer::new(limit(1).build()).classify(|_: &Request<()>| Class::Low).layer(
        service_fn(move |_: Request<()>| {
            let client = client.clone();
            async move {
                sleep(ms(300)).await;
                let answer = client.oneshot(Request::new(())).await.unwrap();
                Ok::<_, Infallible>(answer.map(|body| body))
            }
        }),
    );
    let response = service.oneshot(with("x-request-timeout-ms", "1000")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "low 700");
    assert_eq!(dependency.snapshot().counters.of(Class::Low).completed, 1);
}

/// What a client layer sends of the time that is left.
async fn sent(layer: ClientLayer, request: Request<()>, header: &'static str) -> Option<String> {
    let service = layer.layer(service_fn(move |request: Request<()>| async move {
        let value = request.headers().get(header).map(|value| value.to_str().unwrap().to_owned());
        Ok::<_, Infallible>(Response::new(value.unwrap_or_default()))
    }));
    let body = service.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    Some(String::from_utf8(body.to_vec()).unwrap()).filter(|value| !value.is_empty())
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_sent_in_the_protocols_own_header_or_in_one_of_choice() {
    let layer = || ClientLayer::new(limit(1).build());
    let timeout = "x-request-timeout-ms";
    assert_eq!(sent(layer(), Request::new(()), timeout).await, None);
    let own = layer().default_budget(ms(1_500));
    assert_eq!(sent(own.clone(), Request::new(()), timeout).await.as_deref(), Some("1500"));
    assert_eq!(
        sent(own.clone(), with(timeout, "40"), timeout).await.as_deref(),
        Some("40"),
        "it said so itself"
    );
    let grpc = || with("content-type", "application/grpc");
    assert_eq!(sent(own.clone(), grpc(), "grpc-timeout").await.as_deref(), Some("1500m"));
    assert_eq!(sent(own.clone(), grpc(), timeout).await, None);
    let custom = own.clone().propagate_as(HeaderName::from_static("x-budget"), DeadlineKind::Milliseconds);
    assert_eq!(sent(custom, Request::new(()), "x-budget").await.as_deref(), Some("1500"));
    let absolute = own.clone().propagate_as(HeaderName::from_static("x-respond-by"), DeadlineKind::Instant);
    let respond_by = sent(absolute, Request::new(()), "x-respond-by").await.unwrap();
    assert!(respond_by.starts_with("20") && respond_by.ends_with('Z'), "{respond_by}");
    assert_eq!(sent(own.no_propagation(), Request::new(()), timeout).await, None);

    let request = Budget::new(Class::Normal).within(ms(800)).scope(sent(layer(), Request::new(()), timeout));
    assert_eq!(request.await.as_deref(), Some("800"));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_is_not_made() {
    let gate = limit(1).queue(5, ms(60_000)).discipline(Discipline::Fifo).build();
    let mut client = ClientLayer::new(gate.clone()).layer(service_fn(|_: Request<()>| async {
        sleep(ms(200)).await;
        Ok::<_, Infallible>(ok([]))
    }));
    let first = tokio::spawn(client.call(Request::new(())));
    tokio::task::yield_now().await;
    let budget = Budget::new(Class::Normal).within(ms(100));
    let error = budget.scope(async { client.call(Request::new(())).await }).await.unwrap_err();
    let rejection = error.rejection().unwrap();
    assert!(matches!(rejection.reason, Reason::DeadlineExpired | Reason::DeadlineUnreachable), "{rejection}");
    drop(first.await.unwrap().unwrap());

    advance(ms(1)).await;
    let spent = Budget::new(Class::Normal).within(ms(0));
    let error = spent.scope(async { client.call(Request::new(())).await }).await.unwrap_err();
    assert!(matches!(error, Error::Shed(rejection) if rejection.reason == Reason::DeadlineExpired));
    assert_empty(&gate);
}

#[tokio::test(start_paused = true)]
async fn work_without_http_asks_on_behalf_of_its_request() {
    let gate = limit(1).build();
    assert_eq!((gate.inherited().class, gate.inherited().deadline), (Class::Normal, None));
    let budget = Budget::new(Class::High).within(ms(100)).within(ms(5_000));
    let asked = budget.scope(async { gate.inherited() }).await;
    assert_eq!((asked.class, asked.deadline), (Class::High, Some(gate.now() + ms(100))));
    let health = Budget::new(Class::Bypass).scope(async { gate.inherited() }).await;
    assert_eq!(health.class, Class::Critical, "a dependency's limit holds for health checks too");
}

#[tokio::test(start_paused = true)]
async fn classes_by_rules_go_by_whole_segments() {
    let path =
        |glob: &str, class| Rule { conditions: vec![Condition::Path(PathGlob::parse(glob).unwrap())], class };
    let rules = Rules::new(
        vec![
            path("/health/*", Class::Bypass),
            path("/admin/*", Class::Critical),
            path("/api/checkout/*", Class::High),
            Rule { conditions: vec![Condition::HasHeader("authorization".into())], class: Class::Normal },
        ],
        Class::Low,
    );
    let service = LoadlineLayer::new(limit(1).build()).rules(rules.unwrap()).layer(service_fn(
        |request: Request<()>| async move {
            let class = request.extensions().get::<Admission>().unwrap().class();
            Ok::<_, Infallible>(Response::new(class.to_string()))
        },
    ));
    for (path, class) in [
        ("/health/live", "bypass"),
        ("/healthcare-shop", "low"),
        ("/admin/users", "critical"),
        ("/administrator", "low"),
        ("/api/checkout/pay", "high"),
        ("/", "low"),
        ("/admin/../export", "low"),
    ] {
        let response = service.clone().oneshot(Request::get(path).body(()).unwrap()).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), class, "{path}");
    }
    let response = service.oneshot(with("authorization", "Bearer x")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "normal");
}

#[tokio::test(start_paused = true)]
async fn where_slots_are_scarce_retries_hold_a_fifth_of_them_at_most() {
    let gate = limit(20).queue(100, ms(60_000)).build();
    let service = LoadlineLayer::new(gate.clone())
        .layer(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(ok([data("1")])) }));
    let mut fresh = Vec::new();
    for _ in 0..20 {
        // The first attempt is no retry.
        fresh.push(service.clone().oneshot(with("x-retry-attempt", "1")).await.unwrap());
    }
    let waiting = [(); 4].map(|()| tokio::spawn(service.clone().oneshot(with("x-retry-attempt", "2"))));
    tokio::task::yield_now().await;
    assert_eq!(gate.snapshot().queued, 4);
    let refused = service.clone().oneshot(with("grpc-previous-rpc-attempts", "2")).await.unwrap();
    assert_eq!(refused.headers()["x-retry-attempt"], "4", "what the next attempt should say of itself");
    assert_eq!(reason(&refused.into_body().collect().await.unwrap().to_bytes()), "priority");
    drop(fresh);
    for retry in waiting {
        assert_eq!(retry.await.unwrap().unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn routes_by_axums_matched_path_have_service_times_of_their_own() {
    let gate = limit(4).build();
    let routes = Routes::new(["/users/{id}", "/search"]);
    let [users, search] = ["/users/{id}", "/search"].map(|route| routes.id(route));
    let layer = LoadlineLayer::new(gate.clone()).classify(move |request: &axum::extract::Request| {
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        loadline_tower::Request::new(Class::Normal).with_route(routes.id(route))
    });
    let router = Router::new()
        .route("/users/{id}", get(|| async { "user" }))
        .route("/search", get(|| async { "found" }))
        .layer(layer);
    for path in ["/users/1", "/users/2", "/users/3", "/users/4", "/users/5"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        drop(router.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap());
    }
    let known = gate.snapshot().predicted_service;
    let knows = |route: RouteId| known.get(route.index()).copied().flatten().is_some();
    assert_eq!((knows(users), knows(search)), (true, false), "{known:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_refuses_is_asked_less_and_then_again() {
    let gate = limit(100).no_queue().build();
    let throttle = Throttle::new();
    let healthy = Arc::new(Mutex::new(false));
    let calls = Arc::new(Mutex::new(0));
    let mut client =
        ClientLayer::new(gate.clone()).throttle(throttle.clone()).layer(service_fn({
            let (healthy, calls) = (Arc::clone(&healthy), Arc::clone(&calls));
            move |_: Request<()>| {
                *calls.lock().unwrap() += 1;
                let status = if *healthy.lock().unwrap() { 200 } else { 503 };
                async move {
                    Ok::<_, Infallible>(Response::builder().status(status).body(Chunks::default()).unwrap())
                }
            }
        }));
    let mut kept = 0;
    for _ in 0..1_000 {
        match client.call(Request::new(())).await {
            Ok(refused) => assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE),
            Err(error) => {
                assert_eq!(error.rejection().unwrap().reason, Reason::Overload);
                kept += 1;
            }
        }
    }
    assert!(*calls.lock().unwrap() < 50 && throttle.probability() > 0.9, "{kept} of 1,000 kept back");
    assert_eq!(gate.snapshot().counters.of(Class::Normal).shed(Reason::Overload), kept);

    *healthy.lock().unwrap() = true;
    advance(Duration::from_secs(125)).await;
    for _ in 0..100 {
        assert_eq!(client.call(Request::new(())).await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_the_own_limit_keeps_back_are_not_held_against_the_dependency() {
    let throttle = Throttle::new();
    let mut client = ClientLayer::new(limit(1).no_queue().build())
        .throttle(throttle.clone())
        .layer(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(ok([data("1")])) }));
    let _held = client.call(Request::new(())).await.unwrap();
    for _ in 0..100 {
        assert_eq!(
            client.call(Request::new(())).await.unwrap_err().rejection().unwrap().reason,
            Reason::Concurrency
        );
    }
    assert_eq!(throttle.probability(), 0.0);
}
