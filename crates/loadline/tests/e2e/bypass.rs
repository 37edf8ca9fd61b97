//! Health checks skip the queue: exactly Spillway's matching rule, and a cap of their own.

use crate::support::{Gate, Proxy, Setup, Upstream};

/// An application that answers `/healthcheck` at once and everything else when the gate opens.
fn application(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::start(move |exchange| {
        if exchange.target().contains("healthcheck") && !exchange.target().contains("held") {
            return exchange.respond(200, b"OK\n");
        }
        gate.pass()?;
        exchange.respond(200, b"hello")
    })
}

fn busy(gate: &Gate) -> (Upstream, Proxy, crate::support::Client) {
    let upstream = application(gate);
    let proxy = Setup::to(&upstream, 1).set("queue.depth", 0).start();
    let client = proxy.send_get("/busy");
    proxy.wait_load(1, 0);
    (upstream, proxy, client)
}

#[test]
fn what_matches_is_answered_by_the_application_while_it_is_busy() {
    let gate = Gate::new();
    let (upstream, proxy, mut client) = busy(&gate);
    for request in [
        "GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /healthcheck?deep=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /healthcheck? HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /healthcheck HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
        "GET http://x/healthcheck HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://x/healthcheck?a=b HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let response = proxy.connect().send(request).read();
        assert_eq!((response.status, response.text().as_str()), (200, "OK\n"), "{request}");
    }
    let mut head = proxy.connect();
    head.send("HEAD /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(head.try_read_for("HEAD").unwrap().status, 200);
    assert_eq!(upstream.seen(), 8);
    assert_eq!(proxy.status().in_flight, 1);
    gate.open();
    assert_eq!(client.read().status, 200);
}

#[test]
fn what_only_looks_alike_does_not() {
    let gate = Gate::new();
    let (upstream, proxy, mut client) = busy(&gate);
    for target in [
        "/healthcheck/",
        "/HEALTHCHECK",
        "/Healthcheck",
        "//healthcheck",
        "/a/../healthcheck",
        "/./healthcheck",
        "/health%63heck",
        "/%68ealthcheck",
        "/healthcheck;x",
        "/healthcheckx",
        "/healthcheck/x",
        "/healthcheck/../x",
        "/healthcheck%3Fx",
        "/x?/healthcheck",
        "/x?path=/healthcheck",
        "http://x/y?http://x/healthcheck",
        "http://healthcheck/",
    ] {
        let response = proxy.get(target);
        assert_eq!(response.status, 503, "{target} skipped the queue");
    }
    upstream.wait_seen(1);
    gate.open();
    assert_eq!(client.read().status, 200);
}

#[test]
fn it_has_a_cap_of_its_own() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1)
        .set("bypass.path", "/held/healthcheck")
        .set("bypass.concurrency", 2)
        .set("queue.depth", 10)
        .start();
    let mut health: Vec<_> = (0..2).map(|_| proxy.send_get("/held/healthcheck")).collect();
    proxy.wait_status("two health checks in flight", |status| status.bypass_in_flight == 2);
    // Beyond the cap it is refused or treated as ordinary traffic, but never a third one beside the limit.
    let mut ordinary = proxy.send_get("/ordinary");
    proxy.wait_load(1, 0);
    let mut third = proxy.send_get("/held/healthcheck");
    proxy.wait_status("the third was refused or queued", |status| {
        status.counters.shed == 1 || status.queued == 1
    });
    upstream.wait_in_service(3);
    gate.open();
    for client in health.iter_mut().chain([&mut ordinary]) {
        assert_eq!(client.read().status, 200);
    }
    assert!(matches!(third.read().status, 200 | 503));
    assert_eq!(upstream.peak(), 3);
    proxy.wait_status("all done", |status| status.bypass_in_flight == 0 && status.in_flight == 0);
}

#[test]
fn the_path_is_configurable_by_spillways_variable() {
    let gate = Gate::new();
    let upstream = Upstream::start({
        let gate = gate.clone();
        move |exchange| {
            if exchange.target() != "/up" {
                gate.pass()?;
            }
            exchange.respond(200, b"hello")
        }
    });
    let proxy = Setup::to(&upstream, 1).env("HEALTHCHECK_PATH", "/up").set("queue.depth", 0).start();
    let mut client = proxy.send_get("/busy");
    proxy.wait_load(1, 0);
    assert_eq!(proxy.get("/up").status, 200);
    assert_eq!(proxy.get("/healthcheck").status, 503);
    gate.open();
    assert_eq!(client.read().status, 200);
}

#[test]
fn it_is_the_application_that_answers() {
    let upstream = Upstream::start(|exchange| exchange.respond(500, b"broken"));
    let proxy = Setup::to(&upstream, 1).start();
    let response = proxy.get("/healthcheck");
    assert_eq!((response.status, response.text().as_str()), (500, "broken"));
}
