//! Who gets in first: classes by rule and by a trusted hop's word, thresholds, the reserve.

use crate::support::{Client, Gate, Proxy, Setup, Upstream};

const RULES: &str = concat!(
    r#"[{ path = "/critical/*", class = "critical" }, "#,
    r#"{ path = "/high/*", class = "high" }, { path = "/low/*", class = "low" }]"#
);

fn send(proxy: &Proxy, target: &str, headers: &str) -> Client {
    let mut client = proxy.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
    client
}

#[test]
fn waiters_are_served_by_class() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("priority.rules", RULES).start();
    let mut clients = vec![send(&proxy, "/normal", "")];
    proxy.wait_load(1, 0);
    for (waiting, target) in ["/low/1", "/normal/1", "/high/1"].into_iter().enumerate() {
        clients.push(send(&proxy, target, ""));
        proxy.wait_load(1, waiting as u64 + 1);
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    let order: Vec<_> = upstream.requests().iter().map(|request| request.target()).collect();
    assert_eq!(order, ["/normal", "/high/1", "/normal/1", "/low/1"]);
}

#[test]
fn a_full_queue_gives_up_the_lowest_class() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("priority.rules", RULES).set("queue.depth", 2).start();
    let mut first = send(&proxy, "/first", "");
    proxy.wait_load(1, 0);
    let mut low = send(&proxy, "/low/1", "");
    proxy.wait_load(1, 1);
    let mut normal = send(&proxy, "/normal", "");
    proxy.wait_load(1, 2);
    let mut high = send(&proxy, "/high/1", "");
    let rejected = low.read();
    assert_eq!((rejected.status, rejected.reason().as_str()), (503, "queue_full"));
    let refused = send(&proxy, "/low/2", "").read();
    assert_eq!((refused.status, refused.reason().as_str()), (503, "queue_full"));
    gate.open();
    for client in [&mut first, &mut high, &mut normal] {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(upstream.seen(), 3, "who was turned away never reached the application");
}

#[test]
fn critical_requests_have_a_reserve_of_their_own() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 2).set("priority.rules", RULES).start();
    let mut busy: Vec<_> = (0..2).map(|_| send(&proxy, "/normal", "")).collect();
    proxy.wait_load(2, 0);
    let mut critical = send(&proxy, "/critical/1", "");
    proxy.wait_load(3, 0);
    let mut second = send(&proxy, "/critical/2", "");
    proxy.wait_load(3, 1);
    // Who has a slot is not there yet.
    upstream.wait_in_service(3);
    gate.open();
    for client in busy.iter_mut().chain([&mut critical, &mut second]) {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(upstream.peak(), 3, "the limit and one reserved slot");
}

#[test]
fn seven_of_ten_in_flight_in_threshold_mode() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 10)
        .set("priority.rules", RULES)
        .set("priority.shed_at.high", "0.95")
        .set("priority.shed_at.normal", "0.80")
        .set("priority.shed_at.low", "0.60")
        .start();
    let mut busy: Vec<_> = (0..7).map(|_| send(&proxy, "/normal", "")).collect();
    proxy.wait_load(7, 0);
    let low = send(&proxy, "/low/1", "").read();
    assert_eq!((low.status, low.reason().as_str()), (503, "priority"));
    busy.push(send(&proxy, "/normal", ""));
    proxy.wait_load(8, 0);
    let normal = send(&proxy, "/normal", "").read();
    assert_eq!((normal.status, normal.reason().as_str()), (503, "priority"));
    busy.push(send(&proxy, "/critical/1", ""));
    proxy.wait_load(9, 0);
    gate.open();
    for client in &mut busy {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(
        proxy.metric_sum("http_requests_shed_total", &["priority=\"low\"", "reason=\"priority\""]),
        1.0
    );
}

/// Whether the second of two waiters was served first when it claimed a class in these lines.
fn overtakes(trusted: &str, claims: &str) -> bool {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1)
        .set("priority.header", "x-criticality")
        .set("trust.proxies", trusted)
        .set("queue.discipline", "fifo")
        .start();
    let mut clients = vec![send(&proxy, "/busy", "")];
    proxy.wait_load(1, 0);
    clients.push(send(&proxy, "/first", ""));
    proxy.wait_load(1, 1);
    clients.push(send(&proxy, "/claims", claims));
    proxy.wait_load(1, 2);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    upstream.requests()[1].target() == "/claims"
}

#[test]
fn only_a_trusted_hop_may_say_the_class() {
    const HIGH: &str = "X-Criticality: high\r\n";
    assert!(overtakes("127.0.0.0/8", HIGH));
    assert!(!overtakes("10.0.0.0/8", HIGH), "an untrusted client raised its own priority");
}

/// A hop that adds its line and does not remove its client's must not pass the client's word on.
#[test]
fn of_several_words_the_last_hops_counts() {
    assert!(overtakes("127.0.0.0/8", "X-Criticality: low\r\nA: b\r\nx-criticality: high\r\n"));
    assert!(!overtakes("127.0.0.0/8", "X-Criticality: high\r\nA: b\r\nx-criticality: low\r\n"));
}

#[test]
fn a_look_alike_path_is_not_raised() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("priority.rules", RULES).set("queue.depth", 0).start();
    let mut busy = send(&proxy, "/normal", "");
    proxy.wait_load(1, 0);
    for target in ["/critical", "/criticality/x", "/critical/%2e%2e/x", "/critical//x", "/Critical/x"] {
        assert_eq!(send(&proxy, target, "").read().status, 503, "{target} took the reserve");
    }
    gate.open();
    assert_eq!(busy.read().status, 200);
}
