//! Endpoints found by name: they come and go with DNS, and no request is lost by it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Client, Gate, NameServer, Service, Setup, Stop, Upstream, eventually, parallel};

const SERVICE: &str = "_http._tcp.app.test";
const HOST: &str = "app.test";

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// This machine's `port` in the service.
fn at(port: u16, priority: u16, weight: u16) -> Service {
    Service { host: HOST, port, priority, weight }
}

/// A name server that knows the service on these ports of this machine.
fn serving(upstreams: &[&Upstream]) -> NameServer {
    let dns = NameServer::start();
    dns.set_host(HOST, &[LOCALHOST]);
    announce(&dns, upstreams);
    dns
}

fn announce(dns: &NameServer, upstreams: &[&Upstream]) {
    let hosts: Vec<_> = upstreams.iter().map(|upstream| at(upstream.addr().port(), 10, 1)).collect();
    dns.set_service(SERVICE, &hosts);
}

fn asking(dns: &NameServer, upstream: &str, concurrency: usize) -> Setup {
    Setup::new(upstream, &concurrency.to_string()).set("dns.server", dns.addr()).set("dns.refresh", "100ms")
}

#[test]
fn a_services_hosts_and_ports_are_endpoints_and_those_of_a_worse_priority_stand_by() {
    let (mut one, mut two, standby) = (Upstream::hello(), Upstream::hello(), Upstream::hello());
    let dns = serving(&[]);
    let ports = [&one, &two, &standby].map(|upstream| upstream.addr().port());
    dns.set_service(SERVICE, &[at(ports[0], 10, 1), at(ports[1], 10, 1), at(ports[2], 20, 1)]);
    let proxy = asking(&dns, &format!("srv:{SERVICE}"), 4).set("balance.policy", "round-robin").start();
    (0..20).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    assert!(one.seen() > 5 && two.seen() > 5);
    assert_eq!(standby.seen(), 0, "a worse priority");
    assert_eq!(proxy.metric_sum("loadline_endpoints", &[]), 3.0);
    one.kill();
    (0..20).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    assert_eq!(standby.seen(), 0, "one of the best priority is left");
    two.kill();
    (0..20).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    assert_eq!(standby.seen(), 20);
}

#[test]
fn a_host_on_standby_takes_what_the_ones_before_it_are_too_busy_for() {
    let gate = Gate::new();
    let (first, standby) = (Upstream::gated(&gate), Upstream::hello());
    let dns = serving(&[]);
    dns.set_service(SERVICE, &[at(first.addr().port(), 0, 1), at(standby.addr().port(), 1, 1)]);
    let proxy = asking(&dns, &format!("srv:{SERVICE}"), 4).set("balance.max_per_endpoint", 1).start();
    eventually("it is found", || proxy.metric_sum("loadline_endpoints", &[]) == 2.0);
    let mut held = proxy.send_get("/");
    first.wait_in_service(1);
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!((first.seen(), standby.seen()), (1, 1));
    gate.open();
    assert_eq!(held.read().status, 200);
    proxy.wait_metric("loadline_endpoint_in_flight", &[], 0.0);
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!((first.seen(), standby.seen()), (2, 1));
}

#[test]
fn requests_go_by_weight_and_a_weight_of_zero_gets_next_to_none() {
    let upstreams = [Upstream::hello(), Upstream::hello(), Upstream::hello()];
    let dns = serving(&[]);
    let weights = upstreams.iter().zip([30, 10, 0]);
    let hosts: Vec<_> = weights.map(|(upstream, weight)| at(upstream.addr().port(), 0, weight)).collect();
    dns.set_service(SERVICE, &hosts);
    let proxy = asking(&dns, &format!("srv:{SERVICE}"), 4).set("balance.policy", "least-inflight").start();
    let mut client = proxy.connect();
    (0..400).for_each(|_| assert_eq!(client.get("/").status, 200));
    let seen = upstreams.each_ref().map(Upstream::seen);
    // 299, 100 and 1 are expected; chance alone goes as far as this once in a million runs.
    assert!((255..345).contains(&seen[0]) && seen[2] < 15, "{seen:?}");
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
    eventually("stderr says so", || proxy.stderr().iter().any(|line| line.contains("cannot be resolved")));
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
    let says = |text: &str| proxy.stderr().iter().any(|line| line.contains(text));
    eventually("stderr says so", || says("cannot be resolved: there is no such name"));
    dns.set_host(HOST, &[LOCALHOST]);
    eventually("it is found", || proxy.get("/").status == 200);
    eventually("stderr says so", || says("is resolved again"));
}

#[test]
fn a_family_that_cannot_be_asked_for_loses_no_endpoint() {
    let upstream = Upstream::hello();
    let dns = NameServer::start();
    dns.set_host(HOST, &[LOCALHOST, Ipv6Addr::LOCALHOST.into()]);
    let proxy = asking(&dns, &format!("{HOST}:{}", upstream.addr().port()), 4).start();
    assert_eq!(proxy.get("/").status, 200);
    dns.set_failing_v4(true);
    let asked = dns.asked();
    eventually("it is asked again", || dns.asked() > asked + 8);
    assert_eq!(proxy.get("/").status, 200);
    let page = proxy.admin("/metrics").text();
    assert!(page.contains(&format!("endpoint=\"{}\"", upstream.addr())), "the same endpoint");
}

#[test]
fn an_answer_that_does_not_hold_is_kept_for_a_second() {
    let upstream = Upstream::hello();
    let dns = serving(&[&upstream]);
    let begin = Instant::now();
    // Two questions for each look: the service, and the addresses of both families.
    let proxy = asking(&dns, &format!("srv:{SERVICE}"), 4).set("dns.refresh", "1h").start();
    eventually("it is asked again", || dns.asked() >= 9);
    assert!(begin.elapsed() >= Duration::from_secs(2), "three looks within {:?}", begin.elapsed());
    drop(proxy);
}

#[test]
fn more_addresses_than_are_used_are_told_of() {
    let dns = NameServer::start();
    let upstream = Upstream::hello();
    let addresses: Vec<_> =
        (0..300_u16).map(|n| Ipv4Addr::new(127, 0, (n >> 8) as u8, n as u8).into()).collect();
    dns.set_host(HOST, &addresses);
    dns.set_truncating(true);
    let proxy = asking(&dns, &format!("{HOST}:{}", upstream.addr().port()), 4).start();
    eventually("stderr says so", || {
        proxy
            .stderr()
            .iter()
            .any(|line| line.contains("the upstream has 300 addresses: 44 of them get no requests"))
    });
    assert_eq!(proxy.metric_sum("loadline_endpoints", &[]), 256.0);
}

/// Upstreams on one port of addresses of their own, as the pods behind a headless service have. All of 127.0.0.0/8 is this machine
/// on Linux; elsewhere there is only one.
fn pods<const N: usize>() -> Option<[Upstream; N]> {
    let hello = |addr| Upstream::start_at(addr, |exchange| exchange.respond(200, b"hello"));
    let address = |index: usize, port| (Ipv4Addr::new(127, 0, 0, 1 + index as u8), port).into();
    (0..100).find_map(|_| {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        let others: Result<Vec<_>, _> =
            (1..N).map(|index| TcpListener::bind::<SocketAddr>(address(index, port))).collect();
        drop((free, others.ok()?));
        Some(std::array::from_fn(|index| hello(address(index, port))))
    })
}

fn addresses<const N: usize>(upstreams: [&Upstream; N]) -> [IpAddr; N] {
    upstreams.map(|upstream| upstream.addr().ip())
}

#[test]
fn every_address_of_a_name_is_an_endpoint() {
    let Some([one, two]) = pods() else { return };
    let dns = NameServer::start();
    dns.set_host(HOST, &addresses([&one, &two]));
    let proxy = asking(&dns, &format!("{HOST}:{}", one.addr().port()), 4)
        .set("balance.policy", "round-robin")
        .start();
    (0..20).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    assert!(one.seen() > 5 && two.seen() > 5, "{} and {}", one.seen(), two.seen());
}

/// A deployment rolls: each pod's address is there before the old one's goes, and the old pod ends a moment after its address is
/// gone from DNS, without a word to the proxy.
#[test]
fn a_headless_service_rolls_under_load_and_no_request_is_lost() {
    let Some([one, two, three, four]) = pods() else { return };
    let (mut one, mut two) = (one, two);
    let dns = NameServer::start();
    dns.set_host(HOST, &addresses([&one, &two]));
    let proxy = asking(&dns, &format!("{HOST}:{}", one.addr().port()), 8)
        .set("workers", 2)
        .set("balance.slow_start", "0")
        .start();
    let stop = AtomicBool::new(false);
    let addr = proxy.addr();
    let lost: Vec<String> = thread::scope(|scope| {
        let _stopped = Stop(&stop);
        let load = scope.spawn(|| {
            parallel(4, |_| {
                let (mut client, mut lost) = (Client::connect(addr), Vec::new());
                while !stop.load(SeqCst) {
                    let answer = client.get("/");
                    if answer.status != 200 {
                        lost.push(format!("{answer:?}"));
                    }
                }
                lost
            })
            .concat()
        });
        eventually("both are used", || one.seen() > 50 && two.seen() > 50);
        dns.set_host(HOST, &addresses([&one, &two, &three]));
        eventually("the first new one is used", || three.seen() > 50);
        dns.set_host(HOST, &addresses([&two, &three]));
        eventually("nothing is left at the first", || one.open_connections() == 0);
        one.kill();
        dns.set_host(HOST, &addresses([&two, &three, &four]));
        eventually("the second new one is used", || four.seen() > 50);
        dns.set_host(HOST, &addresses([&three, &four]));
        // Before the proxy has heard of it: connections die, and the requests on them go elsewhere.
        two.kill();
        let (before, after) = (three.seen(), four.seen());
        eventually("both new ones carry on", || three.seen() > before + 50 && four.seen() > after + 50);
        stop.store(true, SeqCst);
        load.join().unwrap()
    });
    assert!(lost.is_empty(), "{} lost: {:?}", lost.len(), lost.first());
    proxy.wait_load(0, 0);
}
