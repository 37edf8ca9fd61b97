//! Settings that are watched and not obeyed: a dry run of the configured ones, and others beside them.

use serde_json::Value;

use crate::support::{Gate, Proxy, Setup, Upstream, eventually, scratch};

const RULES: &str = r#"[{ path = "/low/*", class = "low" }, { path = "/critical/*", class = "critical" }]"#;

fn status(proxy: &Proxy) -> Value {
    serde_json::from_slice(&proxy.admin("/api/v1/status").body).unwrap()
}

/// Offered, admitted and rejected by the settings that are not obeyed.
fn shadow(proxy: &Proxy) -> [u64; 3] {
    let status = status(proxy);
    ["offered", "admitted", "shed"].map(|name| status["shadow"][name].as_u64().unwrap())
}

#[test]
fn a_dry_run_rejects_nobody_and_counts_who_would_have_been() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 2)
        .set("dry_run", true)
        .set("priority.rules", RULES)
        .set("queue.depth", 1)
        .set("log.access", "json")
        .start();
    let mut clients: Vec<_> = (0..6)
        .map(|number| {
            let client = proxy.send_get(&format!("/{number}"));
            upstream.wait_in_service(number + 1);
            client
        })
        .collect();
    // Two have slots, one waits, three would have been rejected; all six are at the application.
    assert_eq!(shadow(&proxy), [6, 2, 3]);
    let now = status(&proxy);
    assert_eq!(
        (&now["dry_run"], &now["limit"], &now["in_flight"]),
        (&true.into(), &2.into(), &6.into()),
        "{now}"
    );
    assert_eq!((&now["shadow"]["in_flight"], &now["shadow"]["queued"]), (&2.into(), &1.into()));
    assert_eq!(now["retries"]["share"], 3, "of the limit that is meant, not of the open gate's");
    assert_eq!(now["shadow"]["live"], serde_json::json!({ "offered": 6, "admitted": 6, "shed": 0 }));
    let explained: Value = serde_json::from_slice(&proxy.admin("/api/v1/explain?path=/low/x").body).unwrap();
    assert_eq!((&explained["decision"], &explained["reason"]), (&"shed".into(), &"queue_full".into()));
    assert!(explained["text"].to_string().contains("dry run"), "{explained}");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    let full = ["priority=\"normal\"", "reason=\"queue_full\""];
    proxy.wait_metric("loadline_dry_run_shed_total", &full, 3.0);
    proxy.wait_metric("http_requests_shed_total", &[], 0.0);
    eventually("nothing is left over", || {
        let now = status(&proxy);
        now["shadow"]["in_flight"] == 0 && now["shadow"]["queued"] == 0 && now["in_flight"] == 0
    });
    let lines = proxy.wait_stdout(6);
    let would =
        lines.iter().filter(|line| line.contains("\"would_shed\"") && line.contains("\"queue_full\""));
    assert_eq!(would.count(), 3, "{lines:?}");
    assert!(proxy.stderr().iter().any(|line| line.contains("\"dry_run\"")), "the banner says so");
    eventually("told on stderr", || proxy.stderr().iter().any(|line| line.contains("DRY RUN")));
}

#[test]
fn in_a_dry_run_no_deadline_age_or_signal_rejects() {
    let upstream =
        Upstream::start(|exchange| exchange.respond_with(200, "Endpoint-Load-Metrics: 0.99\r\n", b"hello"));
    let proxy = Setup::to(&upstream, 2)
        .set("dry_run", true)
        .set("trust.proxies", "127.0.0.0/8")
        .set("overload.upstream.severe", "0.9")
        .start();
    let send = |headers: &str| {
        proxy.connect().send(format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).read().status
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let passed = (now - 30).to_string();
    assert_eq!(send(&format!("X-Request-Deadline: {passed}\r\n")), 200, "passed");
    assert_eq!(send("X-Queue-Time-Seconds: 60\r\n"), 200, "too old");
    eventually("overload", || status(&proxy)["overload"]["level"] == "severe");
    assert_eq!(send(""), 200);
    for reason in ["deadline_expired", "queue_age", "overload"] {
        proxy.wait_metric("loadline_dry_run_shed_total", &[&format!("reason=\"{reason}\"")], 1.0);
    }
    let request = &upstream.requests()[0];
    assert_eq!(request.header("x-request-deadline").as_deref(), Some(passed.as_str()), "as it came");
}

#[test]
fn a_shadow_is_counted_and_not_obeyed() {
    let path = scratch("shadow.toml");
    std::fs::write(&path, "[limit]\nconcurrency = 1\n[queue]\ndepth = 0\n[bypass]\npath = [\"/probe\"]\n")
        .unwrap();
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 3).set("shadow", path.display()).start();
    let mut clients: Vec<_> = ["/a", "/b", "/probe"].map(|target| proxy.send_get(target)).into();
    proxy.wait_load(3, 0);
    assert_eq!(shadow(&proxy), [3, 2, 1], "one slot, and the file's own health check");
    let mut waiting = proxy.send_get("/c");
    proxy.wait_load(3, 1);
    assert_eq!(shadow(&proxy), [4, 2, 2]);
    gate.open();
    for client in clients.iter_mut().chain([&mut waiting]) {
        assert_eq!(client.read().status, 200);
    }
    proxy.wait_metric("loadline_shadow_active", &[], 0.0);
    assert_eq!(proxy.metric_sum("loadline_shadow_shed_total", &["reason=\"concurrency\""]), 2.0);
    assert_eq!(proxy.metric_sum("http_requests_shed_total", &[]), 0.0);
    assert_eq!(status(&proxy)["dry_run"], false);
}

#[test]
fn what_the_real_limit_rejects_a_larger_one_would_have_let_in() {
    let path = scratch("larger.toml");
    std::fs::write(&path, "limit.concurrency = 2\n").unwrap();
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("shadow", path.display()).set("queue.depth", 0).start();
    let mut busy = proxy.send_get("/a");
    proxy.wait_load(1, 0);
    assert_eq!(proxy.get("/b").status, 503);
    assert_eq!(shadow(&proxy), [2, 2, 0]);
    gate.open();
    assert_eq!(busy.read().status, 200);
}

#[test]
fn a_reload_ends_a_dry_run_and_begins_one() {
    let path = scratch("toggled.toml");
    let write = |dry_run: bool| {
        std::fs::write(&path, format!("dry_run = {dry_run}\n[queue]\ndepth = 0\n")).unwrap();
    };
    write(true);
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).file(&path.display().to_string()).start();
    let mut clients = vec![proxy.send_get("/a"), proxy.send_get("/b")];
    upstream.wait_in_service(2);
    write(false);
    assert_eq!(proxy.admin_post("/-/reload").status, 200);
    assert_eq!(proxy.get("/c").status, 503, "the limit holds again, and both before it are counted");
    assert_eq!(status(&proxy)["shadow"], Value::Null);
    write(true);
    assert_eq!(proxy.admin_post("/-/reload").status, 200);
    clients.push(proxy.send_get("/d"));
    upstream.wait_in_service(3);
    assert_eq!(shadow(&proxy), [1, 1, 0], "it begins anew");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    proxy.wait_status("all slots are free", |status| status.in_flight == 0);
}

/// A reload of the shadow's file numbered its routes anew, and what was in flight counted for another route.
#[test]
fn routes_of_a_shadow_keep_what_is_in_flight_over_a_reload() {
    const SLOW: &str = "[[route]]\nname = \"slow\"\npath = \"/slow\"\nconcurrency = 1\n";
    let path = scratch("shadow-routes.toml");
    let write = |before: &str| std::fs::write(&path, format!("queue.depth = 0\n{before}{SLOW}")).unwrap();
    write("");
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 5).set("shadow", path.display()).start();
    let mut clients = vec![proxy.send_get("/slow")];
    upstream.wait_in_service(1);
    write("[[route]]\nname = \"new\"\npath = \"/new\"\n");
    assert_eq!(proxy.admin_post("/-/reload").status, 200);
    clients.push(proxy.send_get("/slow"));
    upstream.wait_in_service(2);
    assert_eq!(shadow(&proxy), [2, 1, 1], "one is at the route already");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
}
