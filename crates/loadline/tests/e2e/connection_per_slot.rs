//! Applications with a worker for each connection: one connection too many waits until another is closed.

use crate::support::{Gate, Setup, Upstream, eventually};

#[test]
fn a_kept_connection_serves_the_clients_of_every_worker() {
    for limit in [1, 3] {
        let upstream = Upstream::hello();
        let proxy = Setup::to(&upstream, limit).set("workers", 4).start();
        let mut clients: Vec<_> = (0..12).map(|_| proxy.connect()).collect();
        for _ in 0..3 {
            clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
        }
        assert_eq!(proxy.get("/healthcheck").status, 200);
        assert!(upstream.connections() <= limit, "{} for {limit} slots", upstream.connections());
    }
}

#[test]
fn a_health_check_takes_the_place_of_a_kept_connection() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1)
        .set("balance.health.path", "/up")
        .set("balance.health.interval", "20ms")
        .set("balance.health.timeout", "5s")
        .start();
    assert_eq!(proxy.get("/").status, 200);
    eventually("the kept connection is closed", || upstream.open_connections() == 0);
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn an_endpoint_that_serves_all_it_may_is_not_asked_how_it_is() {
    let gate = Gate::new();
    let endpoint = || {
        let gate = gate.clone();
        Upstream::start(move |exchange| {
            if exchange.target() != "/up" {
                gate.pass()?;
            }
            exchange.respond(200, b"hello")
        })
    };
    let asked =
        |upstream: &Upstream| upstream.requests().iter().filter(|request| request.target() == "/up").count();
    let (one, two) = (endpoint(), endpoint());
    let proxy = Setup::to_all(&[&one, &two], 2)
        .set("balance.max_per_endpoint", 1)
        .set("balance.health.path", "/up")
        .set("balance.health.interval", "20ms")
        .set("balance.health.timeout", "5s")
        .start();
    let mut client = proxy.send_get("/");
    eventually("one of them works", || asked(&one) < one.seen() || asked(&two) < two.seen());
    let (busy, idle) = if asked(&one) < one.seen() { (&one, &two) } else { (&two, &one) };
    let before = (asked(busy), asked(idle));
    eventually("the idle one is asked", || asked(idle) > before.1 + 10);
    assert!(asked(busy) <= before.0 + 1, "one check may have been under way");
    gate.open();
    assert_eq!(client.read().status, 200);
    let before = asked(busy);
    eventually("it is asked again", || asked(busy) > before);
}
