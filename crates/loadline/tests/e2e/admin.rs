//! The admin listener: never subject to shedding, and truthful.

use crate::support::{Gate, Setup, Upstream, eventually};

#[test]
fn answers_while_everything_is_shed() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("queue.depth", 0).start();
    let mut busy = proxy.send_get("/busy");
    proxy.wait_load(1, 0);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 503);
    }
    assert_eq!(proxy.admin("/healthz").status, 200);
    assert_eq!(proxy.admin("/readyz").status, 200, "ready while shedding");
    assert_eq!(proxy.admin("/metrics").status, 200);
    proxy.wait_status("the state says so", |status| status.state == "SHEDDING");
    gate.open();
    assert_eq!(busy.read().status, 200);
}

#[test]
fn status_tells_limit_queue_and_connections() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 2).start();
    let status = proxy.status();
    assert_eq!((status.state.as_str(), status.limit, status.in_flight, status.queued), ("OK", 2, 0, 0));
    let mut clients: Vec<_> = (0..3).map(|_| proxy.send_get("/")).collect();
    proxy.wait_load(2, 1);
    let status = proxy.status();
    assert_eq!(status.state, "QUEUEING");
    assert_eq!((status.connections.client, status.connections.upstream), (3, 2));
    assert_eq!((status.counters.offered, status.counters.admitted), (3, 2));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    drop(clients);
    proxy.wait_status("the connections are gone", |status| status.connections.client == 0);
    assert_eq!(proxy.status().counters.completed, 3);
}

#[test]
fn metrics_have_their_families_and_move() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("queue.depth", 0).start();
    let mut busy = proxy.send_get("/busy");
    proxy.wait_load(1, 0);
    assert_eq!(proxy.get("/some/path").status, 503);
    let response = proxy.admin("/metrics");
    let kind = response.header("content-type").unwrap();
    assert!(kind.starts_with("text/plain") || kind.starts_with("application/openmetrics-text"), "{kind}");
    let page = response.text();
    for family in [
        "http_requests_total",
        "http_request_duration_seconds",
        "http_inflight_requests",
        "http_requests_shed_total",
        "http_queue_latency_seconds",
        "upstream_requests_total",
    ] {
        assert!(page.contains(&format!("# TYPE {family} ")), "no {family} in\n{page}");
    }
    assert!(page.lines().any(|line| line.starts_with("loadline_")), "no loadline_ family");
    assert!(page.lines().any(|line| line.starts_with("process_")), "no process_ family");
    for (reason, count) in [("concurrency", 1.0), ("queue_timeout", 0.0)] {
        let label = format!("reason=\"{reason}\"");
        assert!(page.contains(&label), "every reason exists from the start; no {reason} in\n{page}");
        proxy.wait_metric("http_requests_shed_total", &["priority=\"normal\"", &label], count);
    }
    proxy.wait_metric("http_inflight_requests", &[], 1.0);
    gate.open();
    assert_eq!(busy.read().status, 200);
}

#[test]
fn drain_by_request() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let mut proxy = Setup::to(&upstream, 1).start();
    let mut busy = proxy.send_get("/busy");
    proxy.wait_load(1, 0);
    let answer = proxy.admin_post("/-/drain");
    assert!((200..300).contains(&answer.status), "{answer:?}");
    eventually("not ready while draining", || proxy.admin("/readyz").status == 503);
    assert_eq!(proxy.admin("/healthz").status, 200, "alive while draining");
    assert_eq!(proxy.status().state, "DRAINING");
    gate.open();
    assert_eq!(busy.read().status, 200);
    assert!(proxy.is_running() || proxy.wait_exit().success());
}

#[test]
fn unknown_paths_and_methods() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    assert_eq!(proxy.admin("/nothing").status, 404);
    assert_eq!(proxy.admin("/-/drain").status, 405, "a GET changes nothing");
    assert_eq!(proxy.get("/metrics").text(), "hello", "the admin pages are not on the clients' listener");
    assert_eq!(proxy.admin("/readyz").status, 200);
    assert_eq!(upstream.only_request().target(), "/metrics");
}
