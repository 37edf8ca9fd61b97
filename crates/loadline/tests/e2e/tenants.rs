//! Tenants: within a class each gets the same, whoever sends most; and nobody chooses whose share he takes by a header that
//! nobody vouches for.

use crate::support::{Client, Gate, Proxy, Setup, Upstream};

fn send(proxy: &Proxy, target: &str, headers: &str) -> Client {
    let mut client = proxy.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
    client
}

/// The order in which a single slot serves ten requests of one tenant and two of another, which came after them. `tenant` is
/// the header by which they differ.
fn order_of_service(setup: impl Fn(Setup) -> Setup, tenant: impl Fn(&str) -> String) -> Vec<String> {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy =
        setup(Setup::to(&upstream, 1).set("queue.discipline", "fifo").set("queue.timeout", "1m")).start();
    let mut clients = vec![send(&proxy, "/busy", &tenant("loud"))];
    proxy.wait_load(1, 0);
    let loud = (0..10).map(|_| ("/loud", tenant("loud")));
    let quiet = (0..2).map(|_| ("/quiet", tenant("quiet")));
    for (waiting, (target, headers)) in loud.chain(quiet).enumerate() {
        clients.push(send(&proxy, target, &headers));
        proxy.wait_load(1, waiting as u64 + 1);
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    upstream.requests()[1..].iter().map(|request| request.target()).collect()
}

#[track_caller]
fn assert_fair(order: &[String]) {
    let quiet: Vec<_> = (0..order.len()).filter(|place| order[*place] == "/quiet").collect();
    assert!(quiet.len() == 2 && quiet[0] <= 1 && quiet[1] <= 3, "not in turns: {order:?}");
}

fn by_header(name: &str) -> String {
    format!("X-Tenant: {name}\r\n")
}

fn by_address(name: &str) -> String {
    // One customer has many addresses of a /64.
    let host = if name == "loud" { "2001:db8:1::" } else { "2001:db8:2::" };
    format!("X-Forwarded-For: 192.0.2.1, {host}{:x}\r\n", name.len())
}

#[test]
fn ten_times_its_share_takes_nothing_from_the_other() {
    assert_fair(&order_of_service(|setup| setup.set("fairness.key", "header:x-tenant"), by_header));
    let trusted = |setup: Setup| setup.set("fairness.key", "client-ip").set("trust.proxies", "127.0.0.0/8");
    assert_fair(&order_of_service(trusted, by_address));
}

#[test]
fn without_a_key_or_a_trusted_hop_all_are_one() {
    let order = order_of_service(|setup| setup, by_header);
    assert!(order[10..].iter().all(|target| target == "/quiet"), "first come, first served: {order:?}");
    let untrusted = |setup: Setup| setup.set("fairness.key", "client-ip");
    let order = order_of_service(untrusted, by_address);
    assert!(
        order[10..].iter().all(|target| target == "/quiet"),
        "an untrusted client named itself: {order:?}"
    );
}

#[test]
fn a_reload_makes_them_share_while_they_wait() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let path = crate::support::scratch("tenants.toml");
    let config = |key: &str| {
        let text = format!(
            "upstream = \"{}\"\n[limit]\nconcurrency = 1\n[queue]\ndiscipline = \"fifo\"\n[fairness]\nkey = \"{key}\"\n",
            upstream.addr()
        );
        std::fs::write(&path, text).unwrap();
    };
    config("header:x-tenant");
    let proxy = Setup::bare().file(path.to_str().unwrap()).start();
    let mut clients = vec![send(&proxy, "/busy", &by_header("loud"))];
    proxy.wait_load(1, 0);
    for waiting in 0..4 {
        let target = if waiting < 3 { "/loud" } else { "/quiet" };
        clients.push(send(&proxy, target, &by_header(&target[1..])));
        proxy.wait_load(1, waiting + 1);
    }
    config("off");
    assert_eq!(proxy.admin_post("/-/reload").status, 200);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    let order: Vec<_> = upstream.requests().iter().map(|request| request.target()).collect();
    assert_eq!(order[4], "/quiet", "in order of arrival again: {order:?}");
    let _ = std::fs::remove_file(&path);
}

#[test]
fn a_tenant_that_fills_the_queue_is_refused_and_others_are_not() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1)
        .set("fairness.key", "header:x-tenant")
        .set("queue.discipline", "fifo")
        .set("queue.depth", 4)
        .start();
    let mut busy = send(&proxy, "/", &by_header("loud"));
    proxy.wait_load(1, 0);
    let mut loud: Vec<_> = (0..4)
        .map(|waiting| {
            let client = send(&proxy, "/", &by_header("loud"));
            proxy.wait_load(1, waiting + 1);
            client
        })
        .collect();
    let refused = send(&proxy, "/", &by_header("loud")).read();
    assert_eq!(refused.status, 503);
    assert!(["fairness", "queue_full"].contains(&refused.reason().as_str()), "{refused:?}");
    assert_eq!(proxy.metric_sum("loadline_tenants_active", &["priority=\"normal\""]), 1.0);
    let mut quiet = send(&proxy, "/quiet", &by_header("quiet"));
    // Somebody of the tenant with most of the queue gives way.
    proxy
        .wait_status("a fifth of them is rejected", |status| status.counters.shed == 2 && status.queued == 4);
    assert_eq!(proxy.metric_sum("loadline_tenants_active", &["priority=\"normal\""]), 2.0);
    gate.open();
    assert_eq!((busy.read().status, quiet.read().status), (200, 200));
    let statuses: Vec<_> = loud.iter_mut().map(|client| client.read().status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 1, "{statuses:?}");
}

#[test]
fn cohorts_take_the_place_of_equal_shares() {
    let cohorts = |setup: Setup| setup.set("fairness.key", "header:x-tenant").set("fairness.cohorts", "true");
    let order = order_of_service(cohorts, by_header);
    assert_eq!(order.len(), 12, "everybody is served in the end");
}
