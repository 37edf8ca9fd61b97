//! Requests that come again: known by their headers, behind fresh ones, a bounded share, not counted as demand.

use crate::support::{Client, Gate, Proxy, Response, Setup, Upstream};

fn send(proxy: &Proxy, target: &str, headers: &str) -> Client {
    let mut client = proxy.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
    client
}

fn class_and_token(answer: &Response) -> (String, Option<&str>) {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    (body["class"].as_str().unwrap().to_owned(), answer.header("x-retry-attempt"))
}

#[test]
fn a_rejected_client_that_says_so_goes_behind_fresh_ones() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1)
        .set("queue.depth", 2)
        .set("queue.discipline", "fifo")
        .set("queue.timeout", "1m")
        .set("log.access", "json")
        .start();
    let mut busy = send(&proxy, "/busy", "");
    proxy.wait_load(1, 0);
    let mut first = send(&proxy, "/first", "");
    proxy.wait_load(1, 1);
    let mut second = send(&proxy, "/second", "");
    proxy.wait_load(1, 2);
    // What is rejected comes again as it was told. Within a second it counts for less than fresh requests; on a machine that
    // stands still in between, not at the first attempt.
    let mut tries = 0.0;
    let mut demoted = 0;
    loop {
        let rejected = send(&proxy, "/again", "").read();
        assert_eq!(rejected.status, 503);
        assert_eq!(class_and_token(&rejected), ("normal".to_owned(), Some("2")));
        let again = send(&proxy, "/again", "X-Retry-Attempt: 2\r\n").read();
        let mesh = send(&proxy, "/again", "x-envoy-attempt-count: 4\r\n").read();
        tries += 1.0;
        let (class, token) = class_and_token(&again);
        demoted += [&again, &mesh].iter().filter(|answer| class_and_token(answer).0 == "low").count();
        assert_eq!((token, mesh.header("x-retry-attempt")), (Some("3"), Some("5")));
        if class == "low" && class_and_token(&mesh).0 == "low" {
            break;
        }
        assert!(tries < 20.0, "never demoted");
    }
    gate.open();
    for client in [&mut busy, &mut first, &mut second] {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(proxy.metric_sum("loadline_client_retries_total", &["decision=\"shed\""]), 2.0 * tries);
    assert_eq!(send(&proxy, "/last", "grpc-previous-rpc-attempts: 1\r\n").read().status, 200);
    assert_eq!(proxy.metric_sum("loadline_client_retries_total", &["decision=\"admitted\""]), 1.0);
    for line in proxy.wait_stdout(4 + 3 * tries as usize) {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        // The log says the class that the response says.
        demoted -= usize::from(line["path"] == "/again" && line["priority"] == "low");
        let attempt = line["attempt"].as_u64().unwrap();
        let expected: &[u64] = match line["path"].as_str().unwrap() {
            "/again" => &[1, 2, 4],
            "/last" => &[2],
            _ => &[1],
        };
        assert!(expected.contains(&attempt), "{line}");
    }
    assert_eq!(demoted, 0, "also when it was lowered");
}

/// Whether a fresh request overtook a retry that waited before it, while fresh ones were being rejected.
fn fresh_overtakes_retry() -> bool {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("queue.depth", 2).set("queue.discipline", "fifo").start();
    let mut clients = vec![send(&proxy, "/busy", "")];
    proxy.wait_load(1, 0);
    let places = ["/one", "/two"].map(|target| send(&proxy, target, ""));
    proxy.wait_load(1, 2);
    assert_eq!(send(&proxy, "/refused", "").read().status, 503);
    drop(places);
    proxy.wait_load(1, 0);
    clients.push(send(&proxy, "/retry", "x-retry-attempt: 2\r\n"));
    proxy.wait_load(1, 1);
    clients.push(send(&proxy, "/fresh", ""));
    proxy.wait_load(1, 2);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    upstream.requests()[1].target() == "/fresh"
}

#[test]
fn a_retry_is_overtaken_by_a_fresh_request() {
    // The rejection must not be longer ago than a second, which a machine that stands still may make it.
    assert!((0..10).any(|_| fresh_overtakes_retry()));
}

#[test]
fn neither_heeded_nor_told_when_switched_off() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1)
        .set("queue.depth", 0)
        .set("retry.detect", "false")
        .set("retry.token", "false")
        .start();
    let mut busy = send(&proxy, "/", "");
    proxy.wait_load(1, 0);
    for headers in ["", "x-retry-attempt: 2\r\n"] {
        let rejected = send(&proxy, "/", headers).read();
        assert_eq!(class_and_token(&rejected), ("normal".to_owned(), None));
    }
    assert_eq!(proxy.metric_sum("loadline_client_retries_total", &[]), 0.0);
    gate.open();
    assert_eq!(busy.read().status, 200);
}
