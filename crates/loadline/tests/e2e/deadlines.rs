//! Never start doomed work: deadlines from headers, at the door, in the queue and in service.

use std::time::{Duration, Instant};

use crate::support::{Client, Gate, Proxy, Response, Setup, Upstream, eventually};

fn send(proxy: &Proxy, target: &str, headers: &str) -> Client {
    let mut client = proxy.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
    client
}

fn ask(proxy: &Proxy, headers: &str) -> Response {
    send(proxy, "/", headers).read()
}

#[test]
fn what_is_too_late_never_reaches_the_application() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 4).start();
    for header in ["X-Respond-By: 2020-01-01T00:00:00Z", "X-Request-Deadline: 1577836800", "grpc-timeout: 0n"]
    {
        let response = ask(&proxy, &format!("{header}\r\n"));
        // More than an hour ago is a wrong clock, not a deadline; no time at all is one that has passed.
        let passed = header.starts_with("grpc");
        assert_eq!(response.status, if passed { 504 } else { 200 }, "{header}");
        if passed {
            assert_eq!(response.reason(), "deadline_expired");
            assert!(response.header("retry-after").is_some());
        }
    }
    assert_eq!(upstream.seen(), 2);
}

#[test]
fn the_original_clients_header_works_unchanged() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 4).set("response.deadline_status", 419).start();
    // Local time without a zone and with microseconds, as a Python client prints it.
    let at = |seconds: i64| {
        let moment = jiff::Zoned::now().datetime() + jiff::SignedDuration::from_secs(seconds);
        format!("X-Respond-By: {}\r\n", moment.strftime("%Y-%m-%dT%H:%M:%S.%6f"))
    };
    assert_eq!(ask(&proxy, &at(30)).status, 200);
    let late = ask(&proxy, &at(-30));
    assert_eq!((late.status, late.reason().as_str()), (419, "deadline_expired"));
    assert_eq!(upstream.seen(), 1);
}

/// It is asked for a slot when its body has ended, also if that body turns out to be empty.
#[test]
fn an_empty_body_that_ends_late_leaves_the_time_that_is_left() {
    const TIME: Duration = Duration::from_secs(6);
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 4).start();
    let begun = Instant::now();
    let mut client = proxy.connect();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: x\r\nX-Request-Timeout-Ms: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        TIME.as_millis()
    ));
    // The others move the gate's clock past the time that will be left.
    eventually("most of the time is over", || {
        assert_eq!(proxy.get("/other").status, 200);
        begun.elapsed() > TIME * 11 / 20
    });
    assert_eq!(client.send("0\r\n\r\n").read().status, 200);
}

#[test]
fn what_is_no_deadline_is_ignored_and_counted() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 4).start();
    let bad = ["", "nan", "1e400", "-inf", "12", "12:30", "1519.25", "tomorrow", "2026-13-01T00:00:00Z"];
    for value in bad {
        assert_eq!(ask(&proxy, &format!("X-Request-Deadline: {value}\r\n")).status, 200, "{value:?}");
    }
    assert_eq!(upstream.seen(), bad.len());
    proxy.wait_metric("loadline_headers_invalid_total", &["header=\"x-request-deadline\""], bad.len() as f64);
}

#[test]
fn a_waiter_whose_time_is_up_is_told_and_never_sent() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).start();
    let mut first = send(&proxy, "/first", "");
    proxy.wait_load(1, 0);
    let late = send(&proxy, "/late", "X-Request-Timeout-Ms: 150\r\n").read();
    assert_eq!(late.status, 504);
    assert!(late.reason().starts_with("deadline_"), "{}", late.reason());
    gate.open();
    assert_eq!(first.read().status, 200);
    assert_eq!(upstream.seen(), 1);
    assert_eq!(proxy.metric_sum("loadline_doomed_started_total", &[]), 0.0);
}

#[test]
fn the_answer_comes_by_the_deadline_and_the_connection_stays() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("deadline.predict", "false").start();
    let mut client = send(&proxy, "/slow", "X-Request-Timeout-Ms: 200\r\n");
    let late = client.read();
    assert_eq!((late.status, late.reason().as_str()), (504, "deadline_expired"));
    // The application still works on it: its slot is taken until it is done.
    proxy.wait_load(1, 0);
    gate.open();
    proxy.wait_load(0, 0);
    assert_eq!(client.get("/next").status, 200, "on the same connection");
}

#[test]
fn the_rest_of_the_budget_travels_on() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    assert_eq!(ask(&proxy, "X-Request-Timeout-Ms: 5000\r\nX-Respond-By: 2020-01-01\r\n").status, 200);
    let request = upstream.only_request();
    let left: u64 = request.header("x-request-timeout-ms").expect("it is passed on").parse().unwrap();
    assert!((1..=5000).contains(&left), "{left}");
    assert_eq!(
        request.header("x-respond-by").as_deref(),
        Some("2020-01-01"),
        "what is not understood is not touched"
    );
}

#[test]
fn an_untrusted_client_gains_nothing() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    // It claims to have waited for an hour; only a trusted hop is believed.
    assert_eq!(ask(&proxy, "X-Queue-Time-Seconds: 3600\r\n").status, 200);
    let trusting = Setup::to(&upstream, 1).set("trust.proxies", "127.0.0.0/8").start();
    let old = ask(&trusting, "X-Queue-Time-Seconds: 3600\r\n");
    assert_eq!((old.status, old.reason().as_str()), (503, "queue_age"));
    assert_eq!(
        ask(&trusting, "X-Queue-Time-Seconds: 10\r\n").status,
        200,
        "exactly ten seconds are not too many"
    );
}

#[test]
fn prediction_refuses_what_cannot_be_met_and_recovers() {
    let upstream = Upstream::delayed(Duration::from_millis(100));
    let proxy = Setup::to(&upstream, 1).start();
    for _ in 0..5 {
        assert_eq!(proxy.get("/learn").status, 200);
    }
    let mut busy = send(&proxy, "/busy", "");
    proxy.wait_load(1, 0);
    let hopeless = send(&proxy, "/hopeless", "X-Request-Timeout-Ms: 60\r\n").read();
    assert_eq!((hopeless.status, hopeless.reason().as_str()), (504, "deadline_unreachable"));
    assert_eq!(busy.read().status, 200);
    eventually("requests with enough time are served", || {
        ask(&proxy, "X-Request-Timeout-Ms: 2000\r\n").status == 200
    });
    assert_eq!(proxy.metric_sum("loadline_doomed_started_total", &[]), 0.0);
}
