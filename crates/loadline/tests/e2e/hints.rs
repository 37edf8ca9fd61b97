//! What would have let a rejected request in: said in the response, in a few fixed words.

use std::time::Duration;

use crate::support::{Client, Gate, Proxy, Response, Setup, Upstream};

/// Of the application's slow route.
const SERVICE_TIME: Duration = Duration::from_millis(300);

const RULES: &str = r#"[{ path = "/high/*", class = "high" }, { path = "/low/*", class = "low" }]"#;

fn hint(answer: &Response) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    body["hint"].as_str().unwrap_or_else(|| panic!("no hint: {answer:?}")).to_owned()
}

fn send(proxy: &Proxy, target: &str, headers: &str) -> Client {
    let mut client = proxy.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
    client
}

#[test]
fn a_class_a_deadline_or_nothing_but_time() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("priority.rules", RULES).set("queue.depth", 1).start();
    let mut busy = send(&proxy, "/", "");
    proxy.wait_load(1, 0);
    let mut waiting = send(&proxy, "/normal", "");
    proxy.wait_load(1, 1);
    let full = send(&proxy, "/low/a", "").read();
    assert_eq!((full.reason().as_str(), hint(&full).as_str()), ("queue_full", "class high or above"));
    let expired = send(&proxy, "/", "grpc-timeout: 0n\r\n").read();
    let seconds = expired.header("retry-after").unwrap();
    assert_eq!(hint(&expired), format!("retry after {seconds} s"));
    gate.open();
    assert_eq!((busy.read().status, waiting.read().status), (200, 200));
}

#[test]
fn a_deadline_that_would_have_been_far_enough() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |exchange| {
        match exchange.target() {
            "/slow" => std::thread::sleep(SERVICE_TIME),
            _ => held.pass()?,
        }
        exchange.respond(200, b"hello")
    });
    let proxy = Setup::to(&upstream, 1).start();
    // What was learned is believed less and less while nothing completes, so a machine that stands still in between spoils
    // an attempt.
    for _ in 0..20 {
        assert_eq!(proxy.get("/slow").status, 200);
        proxy.wait_load(0, 0);
        let mut busy = send(&proxy, "/", "");
        proxy.wait_load(1, 0);
        let unreachable = send(&proxy, "/", "x-request-timeout-ms: 50\r\n").read();
        gate.let_through(1);
        assert_eq!((unreachable.status, busy.read().status), (504, 200));
        if unreachable.reason() == "deadline_unreachable" {
            let hint = hint(&unreachable);
            let seconds =
                hint.strip_prefix("a deadline at least ").and_then(|rest| rest.strip_suffix(" s away"));
            let seconds: f64 = seconds.unwrap_or_else(|| panic!("{hint:?}")).parse().unwrap();
            assert!(seconds >= 0.1, "{seconds}");
            return;
        }
    }
    panic!("nothing was predicted in twenty attempts");
}
