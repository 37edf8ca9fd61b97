//! What a rejection looks like: why, when to come back, and on a connection that stays usable.

use serde_json::Value;

use crate::support::{Client, Gate, H2, Proxy, Response, Setup, Upstream};

/// A proxy that rejects everything: its only slot is taken, and there is no queue.
struct Full {
    gate: Gate,
    _upstream: Upstream,
    proxy: Proxy,
    busy: Client,
}

impl Full {
    fn start(setup: impl FnOnce(Setup) -> Setup) -> Self {
        let gate = Gate::new();
        let upstream = Upstream::gated(&gate);
        let proxy = setup(Setup::to(&upstream, 1).set("queue.depth", 0)).start();
        let busy = proxy.send_get("/busy");
        proxy.wait_load(1, 0);
        Self { gate, _upstream: upstream, proxy, busy }
    }
}

#[track_caller]
fn retry_after(response: &Response) -> u64 {
    let value = response.header("retry-after").unwrap_or_else(|| panic!("no Retry-After: {response:?}"));
    value.parse().unwrap_or_else(|error| panic!("Retry-After {value:?}: {error}"))
}

#[test]
fn headers_and_problem_document() {
    let full = Full::start(|setup| setup);
    let response = full.proxy.get("/");
    assert_eq!(response.status, 503);
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.header("content-length"), Some(response.body.len().to_string().as_str()));
    let proxy_status = response.header("proxy-status").expect("a Proxy-Status");
    assert!(proxy_status.starts_with("loadline;"), "{proxy_status}");
    assert!(proxy_status.contains("error=") && proxy_status.contains("concurrency"), "{proxy_status}");
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body["reason"], "concurrency");
    assert_eq!(body["class"], "normal");
    assert_eq!(body["retry_after"], retry_after(&response));
    assert!(body["error"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
}

#[test]
fn retry_after_is_between_one_and_thirty_seconds() {
    let full = Full::start(|setup| setup);
    let mut client = full.proxy.connect();
    for _ in 0..50 {
        assert!((1..=30).contains(&retry_after(&client.get("/"))));
    }
}

#[test]
fn the_log_and_the_recent_decisions_say_the_same() {
    let full = Full::start(|setup| setup.set("log.access", "json"));
    let response = full.proxy.get("/");
    let line: Value = serde_json::from_str(&full.proxy.wait_stdout(1)[0]).unwrap();
    let recent = full.proxy.admin("/api/v1/recent").body;
    let recent: Value = serde_json::from_slice(&recent).unwrap();
    let recent = &recent["decisions"][0];
    assert_eq!((&line["reason"], &recent["reason"]), (&"concurrency".into(), &"concurrency".into()));
    assert_eq!((&line["priority"], &recent["class"]), (&"normal".into(), &"normal".into()));
    let seconds = retry_after(&response);
    assert_eq!((&line["retry_after"], &recent["retry_after"]), (&seconds.into(), &seconds.into()));
}

#[test]
fn the_connection_stays_usable() {
    let mut full = Full::start(|setup| setup);
    let mut client = full.proxy.connect();
    for _ in 0..100 {
        let response = client.get("/");
        assert_eq!((response.status, response.header("connection")), (503, None));
    }
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.read().status, 503);
    full.gate.open();
    assert_eq!(full.busy.read().status, 200);
    full.proxy.wait_load(0, 0);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(full.proxy.status().counters.shed, 101);
}

#[test]
fn pipelined_requests_are_each_rejected() {
    let full = Full::start(|setup| setup);
    let mut client = full.proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20));
    for _ in 0..20 {
        assert_eq!(client.read().status, 503);
    }
}

#[test]
fn head_gets_no_body() {
    let full = Full::start(|setup| setup);
    let mut client = full.proxy.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.try_read_for("HEAD").unwrap().status, 503);
    assert_eq!(client.get("/").status, 503, "the next answer begins where it should");
}

#[test]
fn http10_is_rejected_with_a_close() {
    let full = Full::start(|setup| setup);
    let mut client = full.proxy.connect();
    assert_eq!(client.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n").read().status, 503);
    client.expect_close();
}

#[test]
fn status_429_when_asked_for() {
    let full = Full::start(|setup| setup.set("response.status", 429));
    let response = full.proxy.get("/");
    assert_eq!((response.status, response.reason().as_str()), (429, "concurrency"));
    retry_after(&response);
}

#[test]
fn html_looks_like_spillway() {
    let full = Full::start(|setup| setup.set("response.format", "html"));
    let response = full.proxy.get("/");
    assert_eq!(response.status, 503);
    assert_eq!(response.header("content-type"), Some("text/html"));
    assert_eq!(response.header("cache-control"), Some("no-cache"));
    assert!(
        response.text().contains("No server is available to handle this request."),
        "{}",
        response.text()
    );
    assert_eq!(response.body.len(), 107);
    retry_after(&response);
}

#[test]
fn plain_text_when_asked_for() {
    let full = Full::start(|setup| setup.set("response.format", "text"));
    let response = full.proxy.get("/");
    assert!(response.header("content-type").unwrap().starts_with("text/plain"), "{response:?}");
    assert!(response.text().contains("concurrency"), "{}", response.text());
}

#[test]
fn a_fixed_retry_after_is_jittered_around_its_value() {
    let full = Full::start(|setup| setup.set("response.retry_after", 10));
    let mut client = full.proxy.connect();
    for _ in 0..20 {
        assert!((1..=20).contains(&retry_after(&client.get("/"))));
    }
}

#[test]
fn grpc_gets_trailers_only() {
    let full = Full::start(|setup| setup);
    let h2 = H2::connect(full.proxy.addr());
    let reply = h2.request(
        "POST",
        "/pkg.Service/Method",
        &[("content-type", "application/grpc"), ("te", "trailers")],
        b"",
    );
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["content-type"], "application/grpc");
    assert_eq!(reply.headers["grpc-status"], "14");
    assert!(reply.headers.contains_key("grpc-message"));
    assert!(reply.body.is_empty());
}

#[test]
fn no_rejection_while_a_slot_is_free() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("queue.depth", 0).start();
    let mut client = proxy.connect();
    for _ in 0..300 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(proxy.status().counters.shed, 0);
}
