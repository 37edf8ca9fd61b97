//! Endpoints found by name: they come and go with DNS, and no request is lost by it.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use crate::support::{Gate, NameServer, Setup, Stop, Upstream, eventually, parallel};

const SERVICE: &str = "_http._tcp.app.test";
const HOST: &str = "app.test";

/// A name server that knows the service on these ports of this machine.
fn serving(upstreams: &[&Upstream]) -> NameServer {
    let dns = NameServer::start();
    dns.set_host(HOST, &[Ipv4Addr::LOCALHOST]);
    announce(&dns, upstreams);
    dns
}

fn announce(dns: &NameServer, upstreams: &[&Upstream]) {
    let hosts: Vec<_> = upstreams.iter().map(|upstream| (HOST, upstream.addr().port(), 10)).collect();
    dns.set_service(SERVICE, &hosts);
}

fn asking(dns: &NameServer, upstream: &str, concurrency: usize) -> Setup {
    Setup::new(upstream, &concurrency.to_string()).set("dns.server", dns.addr()).set("dns.refresh", "100ms")
}

#[test]
fn a_services_hosts_and_ports_are_endpoints() {
    let (one, two, spare) = (Upstream::hello(), Upstream::hello(), Upstream::hello());
    let dns = serving(&[]);
    let ports = [&one, &two, &spare].map(|upstream| upstream.addr().port());
    dns.set_service(SERVICE, &[(HOST, ports[0], 10), (HOST, ports[1], 10), (HOST, ports[2], 20)]);
    let proxy = asking(&dns, &format!("srv:{SERVICE}"), 4).set("balance.policy", "round-robin").start();
    (0..20).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    assert!(one.seen() > 5 && two.seen() > 5);
    assert_eq!(spare.seen(), 0, "a worse priority");
    assert_eq!(proxy.metric_sum("loadline_endpoints", &[]), 2.0);
}

#[test]
fn endpoints_come_and_go_under_load() {
    let (one, two, three) = (Upstream::hello(), Upstream::hello(), Upstream::hello());
    let dns = serving(&[&one, &two]);
    let proxy =
        asking(&dns, &format!("srv:{SERVICE}"), 8).set("workers", 2).set("balance.slow_start", "0").start();
    let stop = AtomicBool::new(false);
    let lost: usize = thread::scope(|scope| {
        let _stopped = Stop(&stop);
        let load = scope.spawn(|| {
            parallel(4, |_| {
                let mut client = proxy.connect();
                let mut lost = 0;
                while !stop.load(SeqCst) {
                    lost += usize::from(client.get("/").status != 200);
                }
                lost
            })
        });
        eventually("both are used", || one.seen() > 50 && two.seen() > 50);
        announce(&dns, &[&two, &three]);
        eventually("the new one is used", || three.seen() > 50);
        eventually("the old one's connections are closed", || one.open_connections() == 0);
        let before = one.seen();
        announce(&dns, &[&three]);
        eventually("the second is gone too", || two.open_connections() == 0);
        assert_eq!(one.seen(), before);
        stop.store(true, SeqCst);
        load.join().unwrap().iter().sum()
    });
    assert_eq!(lost, 0);
    let page = proxy.admin("/metrics").text();
    assert!(!page.contains(&format!("endpoint=\"{}\"", one.addr())), "its series are gone with it");
}

#[test]
fn what_is_in_service_at_an_endpoint_that_goes_runs_to_its_end() {
    let gate = Gate::new();
    let (going, staying) = (Upstream::gated(&gate), Upstream::hello());
    let dns = serving(&[&going]);
    let proxy = asking(&dns, &format!("srv:{SERVICE}"), 4).start();
    let mut client = proxy.send_get("/");
    going.wait_in_service(1);
    announce(&dns, &[&staying]);
    eventually("it is found", || proxy.admin("/metrics").text().contains(&staying.addr().to_string()));
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!((going.seen(), staying.seen()), (1, 1), "new requests go elsewhere");
    gate.open();
    assert_eq!(client.read().text(), "hello");
    eventually("its connection is not kept", || going.open_connections() == 0);
}

#[test]
fn a_name_server_that_fails_or_forgets_takes_nothing_away() {
    let upstream = Upstream::hello();
    let dns = serving(&[&upstream]);
    let proxy = asking(&dns, &format!("srv:{SERVICE}"), 4).start();
    assert_eq!(proxy.get("/").status, 200);
    for trouble in [true, false] {
        dns.set_failing(trouble);
        if !trouble {
            dns.set_service(SERVICE, &[]);
        }
        let asked = dns.asked();
        eventually("it is asked again", || dns.asked() > asked + 4);
        assert_eq!(proxy.get("/").status, 200);
    }
}

#[test]
fn a_long_answer_comes_over_tcp() {
    let upstream = Upstream::hello();
    let dns = serving(&[&upstream]);
    dns.set_truncating(true);
    let proxy = asking(&dns, &format!("srv:{SERVICE}"), 4).start();
    eventually("it is found", || proxy.get("/").status == 200);
}

#[test]
fn a_name_that_appears_later_is_found() {
    let upstream = Upstream::hello();
    let dns = NameServer::start();
    let proxy = asking(&dns, &format!("{HOST}:{}", upstream.addr().port()), 4).start();
    let refused = proxy.get("/");
    assert_eq!((refused.status, refused.reason().as_str()), (503, "upstream_unresolved"));
    dns.set_host(HOST, &[Ipv4Addr::LOCALHOST]);
    eventually("it is found", || proxy.get("/").status == 200);
}

/// All of 127.0.0.0/8 is this machine on Linux.
#[cfg(target_os = "linux")]
#[test]
fn every_address_of_a_name_is_an_endpoint() {
    let one = Upstream::hello();
    let port = one.addr().port();
    let second = Ipv4Addr::new(127, 0, 0, 2);
    let Ok(free) = TcpListener::bind((second, port)) else { return };
    drop(free);
    let two = Upstream::start_at((second, port).into(), |exchange| exchange.respond(200, b"hello"));
    let dns = NameServer::start();
    dns.set_host(HOST, &[Ipv4Addr::LOCALHOST, second]);
    let proxy = asking(&dns, &format!("{HOST}:{port}"), 4).set("balance.policy", "round-robin").start();
    (0..20).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    assert!(one.seen() > 5 && two.seen() > 5, "{} and {}", one.seen(), two.seen());
}
