//! An upstream that fails is left alone for a while, and tried by a few requests before it gets all of them again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Gate, RefusedPort, Setup, Upstream, eventually};

/// Fails with 500 as long as the switch says so.
fn failing(fails: &Arc<AtomicBool>) -> Upstream {
    let fails = Arc::clone(fails);
    Upstream::start(move |exchange| exchange.respond(if fails.load(SeqCst) { 500 } else { 200 }, b"said"))
}

/// No descriptor left: the endpoints are as well as before.
#[test]
fn what_the_proxy_itself_lacks_is_not_the_endpoints_failure() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 4)
        .set("breaker.enabled", true)
        .set("breaker.consecutive_failures", 1)
        .set("balance.health.path", "/")
        .set("balance.health.interval", "100ms")
        .set("balance.health.fall", 1)
        .start();
    eventually("it is checked", || upstream.seen() > 0);
    let mut client = proxy.connect();
    proxy.wait_status("it is connected", |status| status.connections.client == 1);
    proxy.may_open(false);
    // Each takes 25 ms, for a refused connection is tried twice: health checks fall into it.
    for _ in 0..10 {
        let refused = client.get("/");
        assert_eq!((refused.status, refused.reason().as_str()), (503, "proxy_exhausted"));
    }
    let seen = upstream.seen();
    proxy.may_open(true);
    assert_eq!(client.get("/").status, 200, "neither ejected nor down");
    eventually("it is checked again", || upstream.seen() > seen + 1);
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn it_trips_stays_open_probes_and_closes() {
    let fails = Arc::new(AtomicBool::new(true));
    let upstream = failing(&fails);
    // Long enough that a slow machine asks the sixth time before it is over.
    let proxy = Setup::to(&upstream, 4).set("breaker.enabled", "true").set("breaker.open", "3s").start();
    let endpoint = format!("endpoint=\"{}\"", upstream.addr());
    proxy.wait_metric("circuit_breaker_state", &[], 0.0);
    for call in 1..=5 {
        let response = proxy.get("/");
        assert_eq!(
            (response.status, response.text().as_str()),
            (500, "said"),
            "call {call} is the upstream's"
        );
    }
    let begin = Instant::now();
    for _ in 0..3 {
        let response = proxy.get("/");
        assert_eq!((response.status, response.reason().as_str()), (503, "breaker_open"));
        let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=4).contains(&seconds), "the rest of the open time, not {seconds}");
    }
    assert_eq!(upstream.seen(), 5, "nothing reached the upstream since");
    assert_eq!(proxy.metric_sum("circuit_breaker_state", &[]), 1.0);
    assert_eq!(proxy.metric_sum("loadline_breaker_state", &[&endpoint]), 1.0);
    let until = proxy.metric_sum("circuit_breaker_open_until_epoch", &[]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(until > now && until < now + 3.3, "{until} at {now}");
    proxy.wait_metric("upstream_requests_total", &["result=\"error\""], 5.0);
    proxy.wait_metric("upstream_requests_total", &["result=\"breaker_open\""], 3.0);
    proxy.wait_metric("http_requests_shed_total", &["reason=\"breaker_open\""], 3.0);
    eventually("stderr says so", || proxy.stderr().iter().any(|line| line.contains("its breaker is open")));

    // Nobody asks, and yet the gauge comes back.
    proxy.wait_metric("circuit_breaker_state", &[], 0.0);
    assert_eq!(proxy.metric_sum("circuit_breaker_open_until_epoch", &[]), 0.0);
    assert!(begin.elapsed() >= Duration::from_secs(2), "it was open for {:?}", begin.elapsed());
    // A probe that fails opens it again.
    assert_eq!(proxy.get("/").status, 500);
    assert_eq!(proxy.get("/").reason(), "breaker_open");
    fails.store(false, SeqCst);
    eventually("a probe closes it", || proxy.get("/").status == 200);
    assert_eq!(proxy.metric_sum("circuit_breaker_state", &[]), 0.0);
    for _ in 0..10 {
        assert_eq!(proxy.get("/").status, 200);
    }
    eventually("stderr says so", || proxy.stderr().iter().any(|line| line.contains("is back")));
    proxy.wait_load(0, 0);
}

#[test]
fn it_is_off_unless_asked_for() {
    let upstream = failing(&Arc::new(AtomicBool::new(true)));
    let proxy = Setup::to(&upstream, 4).start();
    assert!((0..30).all(|_| proxy.get("/").text() == "said"));
    assert_eq!(proxy.metric_sum("circuit_breaker_state", &[]), 0.0);
}

#[test]
fn in_a_dry_run_it_refuses_nobody() {
    let upstream = failing(&Arc::new(AtomicBool::new(true)));
    let proxy = Setup::to(&upstream, 4).set("breaker.enabled", "true").set("dry_run", "true").start();
    assert!((0..10).all(|_| proxy.get("/").text() == "said"));
}

#[test]
fn refused_connections_trip_it() {
    let port = RefusedPort::new();
    let proxy = Setup::new(&port.addr().to_string(), "1").set("breaker.enabled", "true").start();
    let reasons: Vec<_> = (0..7).map(|_| proxy.get("/").reason()).collect();
    assert_eq!(reasons[..5], ["upstream_refused"; 5], "each request counts once");
    assert_eq!(reasons[5..], ["breaker_open"; 2]);
    proxy.wait_metric("upstream_requests_total", &["result=\"transport\""], 5.0);
}

#[test]
fn timeouts_trip_it_but_not_the_impatience_of_clients() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 20)
        .set("breaker.enabled", "true")
        .set("deadline.predict", "false")
        .set("timeouts.upstream", "400ms")
        .set("limit.on_abort", "cancel")
        .start();
    for _ in 0..6 {
        let hurried = "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Timeout-Ms: 30\r\n\r\n";
        assert_eq!(proxy.connect().send(hurried).read().reason(), "deadline_expired");
    }
    let reasons: Vec<_> = (0..6).map(|_| proxy.get("/").reason()).collect();
    assert_eq!(reasons[..5], ["upstream_timeout"; 5]);
    assert_eq!(reasons[5], "breaker_open");
    gate.open();
}

#[test]
fn what_is_not_the_upstreams_failure_does_not_trip_it() {
    let upstream = Upstream::start(|exchange| match exchange.target() {
        "/missing" => exchange.respond(404, b""),
        "/limited" => exchange.respond(429, b""),
        _ => {
            let busy = "Proxy-Status: loadline; error=connection_limit_reached; details=\"queue_full\"\r\n";
            exchange.respond_with(503, busy, b"")
        }
    });
    let proxy = Setup::to(&upstream, 4).set("breaker.enabled", "true").start();
    for (target, status) in [("/missing", 404), ("/limited", 429), ("/busy", 503)] {
        for _ in 0..25 {
            assert_eq!(proxy.get(target).status, status);
        }
    }
    assert_eq!(upstream.seen(), 75);
}

#[test]
fn a_loadline_that_cannot_reach_its_application_is_a_failure() {
    let upstream = Upstream::start(|exchange| {
        let broken = "Proxy-Status: loadline; error=connection_refused; details=\"upstream_refused\"\r\n";
        exchange.respond_with(503, broken, b"gone")
    });
    let proxy = Setup::to(&upstream, 4).set("breaker.enabled", "true").start();
    assert!((0..5).all(|_| proxy.get("/").text() == "gone"));
    assert_eq!(proxy.get("/").reason(), "breaker_open");
}

#[test]
fn what_began_before_the_trip_does_not_close_it() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |exchange| {
        if exchange.target() == "/slow" {
            held.pass()?;
            return exchange.respond(200, b"late");
        }
        exchange.respond(500, b"")
    });
    let proxy = Setup::to(&upstream, 4).set("breaker.enabled", "true").set("breaker.open", "1m").start();
    let mut slow = proxy.send_get("/slow");
    upstream.wait_in_service(1);
    (0..5).for_each(|_| assert_eq!(proxy.get("/").status, 500));
    gate.open();
    assert_eq!(slow.read().text(), "late");
    assert_eq!(proxy.metric_sum("circuit_breaker_state", &[]), 1.0);
    assert_eq!(proxy.get("/").reason(), "breaker_open");
}

#[test]
fn one_probe_at_a_time_and_its_place_comes_back_when_its_client_leaves() {
    let gate = Gate::new();
    let (held, fails) = (gate.clone(), Arc::new(AtomicBool::new(true)));
    let failing = Arc::clone(&fails);
    let upstream = Upstream::start(move |exchange| {
        if failing.load(SeqCst) {
            return exchange.respond(502, b"");
        }
        held.pass()?;
        exchange.respond(200, b"well")
    });
    let proxy = Setup::to(&upstream, 4).set("breaker.enabled", "true").set("breaker.open", "50ms").start();
    eventually("it trips", || proxy.get("/").status == 503);
    fails.store(false, SeqCst);
    proxy.wait_metric("circuit_breaker_state", &[], 0.0);
    let leaving = proxy.send_get("/probe");
    upstream.wait_in_service(1);
    assert_eq!(proxy.get("/").reason(), "breaker_open", "one probe is enough");
    assert_eq!(proxy.metric_sum("circuit_breaker_state", &[]), 1.0, "probing");
    drop(leaving);
    proxy.wait_status("the probe's client has left", |status| status.abandoned_exchanges == 1);
    let mut next = proxy.send_get("/probe");
    upstream.wait_in_service(2);
    gate.open();
    assert_eq!(next.read().text(), "well");
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(proxy.metric_sum("circuit_breaker_state", &[]), 0.0);
}

/// It was sent as little as one that came later, and is told as much.
#[test]
fn who_waited_when_it_opened_is_told_why_of_which_class_and_when_to_come_back() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |exchange| {
        held.pass()?;
        exchange.respond(500, b"said")
    });
    let proxy = Setup::to(&upstream, 1)
        .set("breaker.enabled", "true")
        .set("breaker.consecutive_failures", 1)
        .set("log.access", "json")
        .start();
    let mut fails = proxy.send_get("/");
    upstream.wait_in_service(1);
    let mut waits = proxy.send_get("/");
    proxy.wait_load(1, 1);
    gate.open();
    assert_eq!(fails.read().status, 500);
    let refused = waits.read();
    assert_eq!((refused.status, refused.reason().as_str()), (503, "breaker_open"));
    let told: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(told["class"], "normal");
    assert_eq!(refused.header("x-retry-attempt"), Some("2"));
    let seconds = refused.header("retry-after").expect("it is known when").to_owned();
    assert_eq!(told["retry_after"].to_string(), seconds);
    let line = proxy.wait_stdout(2).into_iter().find(|line| line.contains("breaker_open")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["retry_after"].to_string(), seconds);
    proxy.wait_metric("upstream_requests_total", &["result=\"breaker_open\""], 1.0);
}

#[test]
fn health_checks_are_told_how_things_are() {
    let upstream = failing(&Arc::new(AtomicBool::new(true)));
    let proxy = Setup::to(&upstream, 4).set("breaker.enabled", "true").start();
    eventually("it trips", || proxy.get("/").status == 503);
    assert_eq!(proxy.get("/healthcheck").text(), "said");
}
