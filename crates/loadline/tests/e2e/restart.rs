//! The application dies and comes back; connections it closes cost no request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Client, Recorded, Setup, Upstream, eventually, parallel};

#[derive(Clone, Copy, Debug)]
struct Outcome {
    begin: Instant,
    end: Instant,
    status: Option<u16>,
}

#[test]
fn killed_and_restarted_under_load() {
    let mut first = Upstream::delayed(Duration::from_millis(2));
    let addr = first.addr();
    let proxy = Setup::to(&first, 8).set("workers", 2).start();
    let stop = AtomicBool::new(false);
    let (outcomes, second, killed, restarted) = thread::scope(|scope| {
        let load = scope.spawn(|| parallel(8, |client| drive(proxy.addr(), client, &stop)).concat());
        eventually("there is load", || first.seen() > 100);
        let killed = Instant::now();
        first.kill();
        eventually("the outage is noticed", || proxy.get("/probe").status >= 502);
        let second = Upstream::start_at(addr, |exchange| exchange.respond(200, b"hello"));
        let restarted = Instant::now();
        eventually("requests are served again", || second.seen() > 200);
        stop.store(true, SeqCst);
        (load.join().unwrap(), second, killed, restarted)
    });
    let failures: Vec<_> = outcomes.iter().filter(|outcome| outcome.status != Some(200)).collect();
    let outside: Vec<_> =
        failures.iter().filter(|outcome| outcome.end < killed || outcome.begin > restarted).collect();
    assert!(outside.is_empty(), "{} failed outside the outage: {:?}", outside.len(), outside.first());
    let back = outcomes
        .iter()
        .filter(|outcome| outcome.status == Some(200) && outcome.end > restarted)
        .map(|outcome| outcome.end - restarted)
        .min()
        .expect("served again");
    assert!(back < Duration::from_millis(500), "the first success came after {back:?}");
    assert_no_post_twice(first.requests().into_iter().chain(second.requests()));
    proxy.wait_load(0, 0);
}

/// GETs and POSTs in turn, each POST with a number of its own; a new connection after every failure.
fn drive(addr: std::net::SocketAddr, client: usize, stop: &AtomicBool) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut connection = Client::connect(addr);
    let mut number = 0;
    while !stop.load(SeqCst) {
        number += 1;
        let request = if number % 2 == 0 {
            format!("POST /post/{client}-{number} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
        } else {
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()
        };
        let begin = Instant::now();
        let answer = connection.try_send(request).and_then(|()| connection.try_read());
        let status = answer.as_ref().ok().map(|response| response.status);
        outcomes.push(Outcome { begin, end: Instant::now(), status });
        if status != Some(200) {
            connection = Client::connect(addr);
        }
    }
    outcomes
}

fn assert_no_post_twice(requests: impl Iterator<Item = Recorded>) {
    let mut counts = HashMap::<String, usize>::new();
    for request in requests.filter(|request| request.line().starts_with("POST ")) {
        *counts.entry(request.target()).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "executed more than once: {twice:?}");
}

#[test]
fn kept_connections_that_the_application_closes_lose_no_get() {
    let upstream = Upstream::start(|exchange| {
        exchange.respond(200, b"hello")?;
        // A multiplicative hash: about every seventh connection is closed or reset after an answer that kept it.
        match exchange.index().wrapping_mul(2_654_435_761) >> 7 & 0xf {
            0 => exchange.close(),
            1 => exchange.reset(),
            _ => {}
        }
        Ok(())
    });
    let proxy = Setup::to(&upstream, 8).set("workers", 2).start();
    let lost: usize = parallel(8, |_| {
        let mut client = proxy.connect();
        (0..250).filter(|_| client.get("/").status != 200).count()
    })
    .iter()
    .sum();
    assert_eq!(lost, 0, "of 2,000");
}

#[test]
fn a_post_on_a_dying_connection_is_never_sent_twice() {
    let upstream = Upstream::start(|exchange| {
        if exchange.method() == "POST" && exchange.index() % 5 == 0 {
            // Executed, but dead before it could say so.
            exchange.read_body()?;
            exchange.close();
            return Ok(());
        }
        exchange.respond(200, b"hello")
    });
    let proxy = Setup::to(&upstream, 4).start();
    parallel(4, |client| {
        let mut connection = proxy.connect();
        for number in 0..50 {
            let response = connection
                .send(format!("POST /{client}-{number} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"))
                .read();
            match response.status {
                200 => {}
                502 => connection = proxy.connect(),
                _ => panic!("{response:?}"),
            }
        }
    });
    assert_no_post_twice(upstream.requests().into_iter());
    assert_eq!(upstream.seen(), 200);
}

#[test]
fn a_get_that_died_on_a_fresh_connection_is_not_repeated_for_ever() {
    let upstream = Upstream::start(|exchange| {
        exchange.close();
        Ok(())
    });
    let proxy = Setup::to(&upstream, 1).start();
    assert_eq!(proxy.get("/").status, 502);
    assert!(upstream.seen() <= 2, "tried {} times", upstream.seen());
}

#[test]
fn idle_connections_closed_by_the_application_are_not_used_again() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 4).start();
    for _ in 0..5 {
        assert_eq!(proxy.get("/").status, 200);
        upstream.close_all();
        eventually("the close arrived", || upstream.open_connections() == 0);
        let response =
            proxy.connect().send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi").read();
        assert_eq!(response.status, 200, "a POST cannot be repeated, so it must not meet a dead connection");
    }
}
