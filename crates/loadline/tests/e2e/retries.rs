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
        .set("log.access", "json")
        .start();
    let mut busy = send(&proxy, "/busy", "");
    proxy.wait_load(1, 0);
    let mut first = send(&proxy, "/first", "");
    proxy.wait_load(1, 1);
    let mut second = send(&proxy, "/second", "");
    proxy.wait_load(1, 2);
    let rejected = send(&proxy, "/again", "").read();
    assert_eq!(rejected.status, 503);
    assert_eq!(class_and_token(&rejected), ("normal".to_owned(), Some("2")));
    // It comes again as it was told: while fresh ones are rejected it counts for less than they do.
    let again = send(&proxy, "/again", "X-Retry-Attempt: 2\r\n").read();
    assert_eq!(class_and_token(&again), ("low".to_owned(), Some("3")));
    let mesh = send(&proxy, "/again", "x-envoy-attempt-count: 4\r\n").read();
    assert_eq!(class_and_token(&mesh), ("low".to_owned(), Some("5")));
    gate.open();
    for client in [&mut busy, &mut first, &mut second] {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(proxy.metric_sum("loadline_client_retries_total", &["decision=\"shed\""]), 2.0);
    assert_eq!(send(&proxy, "/", "grpc-previous-rpc-attempts: 1\r\n").read().status, 200);
    assert_eq!(proxy.metric_sum("loadline_client_retries_total", &["decision=\"admitted\""]), 1.0);
    let attempts: Vec<_> = proxy
        .wait_stdout(7)
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["attempt"].as_u64().unwrap())
        .collect();
    assert_eq!(attempts.iter().sum::<u64>(), 1 + 2 + 4 + 1 + 1 + 1 + 2, "{attempts:?}");
}

#[test]
fn a_wave_of_retries_is_overtaken_by_a_fresh_request() {
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
    let order: Vec<_> = upstream.requests().iter().map(|request| request.target()).collect();
    assert_eq!(order, ["/busy", "/fresh", "/retry"]);
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
