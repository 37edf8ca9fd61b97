//! More clients than connections: the established are served, newcomers are told, health checks have a reserve.

use std::time::{Duration, Instant};

use crate::support::{Gate, H2, Setup, Upstream, eventually};

#[test]
fn beyond_the_maximum_newcomers_get_503_and_a_close() {
    let gate = Gate::new();
    let upstream = Upstream::gated_at_held(&gate);
    let proxy = Setup::to(&upstream, 8).env("MAX_CONNECTIONS", "4").set("workers", 1).start();
    let mut held: Vec<_> = (0..4).map(|_| proxy.send_get("/held")).collect();
    proxy.wait_load(4, 0);
    for _ in 0..5 {
        let mut client = proxy.connect();
        let response = client.get("/");
        assert_eq!((response.status, response.reason().as_str()), (503, "connection_limit"));
        client.expect_close();
    }
    upstream.wait_seen(4);
    proxy.wait_metric("http_requests_shed_total", &["reason=\"connection_limit\""], 5.0);
    gate.open();
    for client in &mut held {
        assert_eq!(client.read().status, 200);
        assert_eq!(client.get("/").status, 200, "established connections stay");
    }
    drop(held);
    proxy.wait_status("room again", |status| status.connections.client == 0);
    assert_eq!(proxy.get("/").status, 200);
}

/// Who only keeps a connection open keeps nobody out while slots are free; who is served, or waits, keeps it.
#[test]
fn the_longest_idle_connection_makes_room() {
    let gate = Gate::new();
    let upstream = Upstream::gated_at_held(&gate);
    let proxy = Setup::to(&upstream, 8).set("max_connections", 4).set("workers", 1).start();
    let mut held = proxy.send_get("/held");
    let mut idle = proxy.connect();
    assert_eq!(idle.get("/").status, 200);
    let h2 = H2::connect(proxy.addr());
    assert_eq!(h2.get("/").status, 200);
    let mut silent = proxy.connect();
    proxy.wait_status("all are there", |status| status.connections.client == 4);
    // Each newcomer is told, or takes the place of one that was silent for long enough.
    let mut served = Vec::new();
    eventually("three have made room", || {
        let mut newcomer = proxy.connect();
        if newcomer.get("/").status == 200 {
            served.push(newcomer);
        }
        served.len() == 3
    });
    idle.expect_close();
    silent.expect_close();
    for client in &mut served {
        assert_eq!(client.get("/").status, 200, "nobody who was served lately had to go");
    }
    gate.open();
    assert_eq!(held.read().status, 200);
}

/// Connections are spread over the workers, and it is a matter of luck which of them accepts the next one.
#[test]
fn whoever_idles_makes_room_whichever_worker_has_the_connection() {
    let gate = Gate::new();
    let upstream = Upstream::gated_at_held(&gate);
    let proxy = Setup::to(&upstream, 8).set("max_connections", 4).set("workers", 4).start();
    let mut held: Vec<_> = (0..2).map(|_| proxy.send_get("/held")).collect();
    proxy.wait_load(2, 0);
    let [mut idle, mut lively] = [proxy.connect(), proxy.connect()];
    for round in 0..3 {
        assert_eq!(idle.get("/").status, 200, "round {round}");
        let since = Instant::now();
        eventually("it has idled for longer than it takes", || {
            // The kernel gives a new connection to the worker that was busy last.
            assert_eq!(lively.get("/").status, 200);
            since.elapsed() > Duration::from_millis(1_500)
        });
        let mut newcomer = proxy.connect();
        assert_eq!(newcomer.get("/").status, 200, "round {round}: somebody idles");
        std::mem::replace(&mut idle, newcomer).expect_close();
    }
    gate.open();
    for client in &mut held {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn the_health_check_has_a_reserve() {
    let gate = Gate::new();
    let upstream = Upstream::gated_at_held(&gate);
    let proxy = Setup::to(&upstream, 8).set("max_connections", 2).start();
    let mut held: Vec<_> = (0..2).map(|_| proxy.send_get("/held")).collect();
    proxy.wait_load(2, 0);
    for _ in 0..5 {
        assert_eq!(proxy.get("/healthcheck").status, 200);
    }
    assert_eq!(proxy.get("/").status, 503);
    gate.open();
    for client in &mut held {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn the_maximum_holds_for_all_workers_together() {
    let gate = Gate::new();
    let upstream = Upstream::gated_at_held(&gate);
    let proxy = Setup::to(&upstream, 20).set("max_connections", 10).set("workers", 4).start();
    let mut clients: Vec<_> = (0..10).map(|_| proxy.send_get("/held")).collect();
    proxy.wait_load(10, 0);
    assert_eq!(proxy.get("/").status, 503);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn connections_that_come_and_go_are_given_back() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 4).set("max_connections", 20).set("workers", 2).start();
    for _ in 0..10 {
        let mut clients: Vec<_> = (0..15).map(|_| proxy.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.get("/").status, 200);
        }
        for (index, client) in clients.into_iter().enumerate() {
            if index % 2 == 0 {
                client.reset();
            }
        }
        proxy.wait_status("all are gone", |status| status.connections.client == 0);
    }
}
