//! Routes: names in metrics and log, weights, classes and timeouts of their own, in place after a reload.

use std::fs;

use crate::support::{Gate, Setup, Upstream, scratch};

const ROUTES: &str = concat!(
    r#"[{ name = "search", path = "/search/**" }, "#,
    r#"{ name = "export", path = "/export/*", method = ["GET", "POST"], cost = 2, class = "low" }]"#
);

#[test]
fn a_route_is_a_label_and_everything_else_is_other() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 4).set("route", ROUTES).set("log.access", "json").start();
    for target in ["/search", "/search/a?q=1", "/searches", "/export/a", "/healthcheck"] {
        assert_eq!(proxy.get(target).status, 200);
    }
    assert_eq!(proxy.connect().send("DELETE /export/a HTTP/1.1\r\nHost: x\r\n\r\n").read().status, 200);
    let count = |path: &str, value| {
        proxy.wait_metric("http_requests_total", &[&format!("path=\"{path}\"")], value);
        proxy.wait_metric("http_request_duration_seconds_count", &[&format!("path=\"{path}\"")], value);
    };
    count("search", 2.0);
    count("export", 1.0);
    count("other", 2.0);
    count("healthcheck", 1.0);
    let lines = proxy.wait_stdout(6);
    for line in lines {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = match (line["method"].as_str().unwrap(), line["path"].as_str().unwrap()) {
            (_, "/search" | "/search/a") => Some("search"),
            ("GET", "/export/a") => Some("export"),
            _ => None,
        };
        assert_eq!(line["route"].as_str(), expected, "{line}");
    }
}

#[test]
fn a_heavy_request_takes_several_slots() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 3).set("route", ROUTES).start();
    let mut heavy = proxy.send_get("/export/a");
    proxy.wait_load(2, 0);
    let mut second = proxy.send_get("/export/b");
    proxy.wait_load(2, 1);
    let mut light = proxy.send_get("/search");
    proxy.wait_load(3, 1);
    upstream.wait_in_service(2);
    gate.open();
    for client in [&mut heavy, &mut second, &mut light] {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn a_routes_class_comes_before_the_rules_and_after_a_trusted_hop() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1)
        .set("route", r#"[{ name = "pay", path = "/pay/*", class = "high" }]"#)
        .set("priority.rules", r#"[{ path = "/pay/*", class = "low" }, { path = "/x/*", class = "low" }]"#)
        .set("priority.header", "x-class")
        .set("trust.proxies", "127.0.0.0/8")
        .set("queue.depth", 0)
        .start();
    let mut busy = proxy.send_get("/");
    proxy.wait_load(1, 0);
    let class = |target: &str, headers: &str| {
        let answer =
            proxy.connect().send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).read();
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        body["class"].as_str().unwrap().to_owned()
    };
    assert_eq!(class("/pay/a", ""), "high");
    assert_eq!(class("/pay/a", "X-Class: normal\r\n"), "normal");
    assert_eq!(class("/x/a", ""), "low");
    assert_eq!(class("/pay/../x", ""), "low", "a path in disguise is not raised");
    gate.open();
    assert_eq!(busy.read().status, 200);
}

#[test]
fn a_route_has_a_timeout_of_its_own() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let routes = r#"[{ name = "quick", path = "/quick", timeout = "50ms" }]"#;
    let proxy = Setup::to(&upstream, 2).set("route", routes).start();
    let mut slow = proxy.send_get("/slow");
    proxy.wait_load(1, 0);
    let late = proxy.get("/quick");
    assert_eq!((late.status, late.reason().as_str()), (504, "upstream_timeout"));
    gate.open();
    assert_eq!(slow.read().status, 200);
    proxy.wait_load(0, 0);
    assert!(proxy.metric_sum("loadline_wasted_seconds_total", &["cause=\"late\""]) > 0.04);
}

#[test]
fn a_reload_renames_nothing_that_was_counted() {
    let upstream = Upstream::hello();
    let path = scratch("routes.toml");
    let config = |routes: &str| {
        fs::write(
            &path,
            format!("upstream = \"{}\"\nroute = {routes}\n[limit]\nconcurrency = 2\n", upstream.addr()),
        )
        .unwrap();
    };
    config(r#"[{ name = "a", path = "/a" }, { name = "b", path = "/b" }]"#);
    let proxy = Setup::bare().file(path.to_str().unwrap()).start();
    for target in ["/a", "/b", "/b", "/c"] {
        assert_eq!(proxy.get(target).status, 200);
    }
    let count =
        |path: &str, value| proxy.wait_metric("http_requests_total", &[&format!("path=\"{path}\"")], value);
    count("other", 1.0);
    config(r#"[{ name = "c", path = "/c" }, { name = "b", path = "/a" }]"#);
    assert_eq!(proxy.admin_post("/-/reload").status, 200);
    for target in ["/a", "/b", "/c"] {
        assert_eq!(proxy.get(target).status, 200);
    }
    count("other", 2.0);
    count("a", 1.0);
    count("b", 3.0);
    count("c", 1.0);
    config("[{ name = \"c\" }]");
    let refused = proxy.admin_post("/-/reload");
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("a route needs a path"), "{}", refused.text());
    let _ = fs::remove_file(&path);
}

#[test]
fn time_for_a_client_that_left_is_wasted() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).start();
    let leaving = proxy.send_get("/");
    upstream.wait_in_service(1);
    leaving.reset();
    proxy.wait_status("it runs unseen", |status| status.abandoned_exchanges == 1);
    assert_eq!(proxy.metric_sum("loadline_wasted_seconds_total", &[]), 0.0, "counted once, at its end");
    gate.open();
    proxy.wait_load(0, 0);
    let wasted = proxy.metric_sum("loadline_wasted_seconds_total", &["cause=\"client_gone\""]);
    assert!(wasted > 0.0 && wasted < 10.0, "{wasted}");
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(proxy.metric_sum("loadline_wasted_seconds_total", &[]), wasted);
}

#[test]
fn a_route_at_its_limit_does_not_block_the_others() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let routes = r#"[{ name = "export", path = "/export/*", concurrency = 1 }]"#;
    let proxy = Setup::to(&upstream, 3).set("route", routes).set("queue.discipline", "fifo").start();
    let mut exports: Vec<_> = (0..3).map(|_| proxy.send_get("/export/a")).collect();
    proxy.wait_load(1, 2);
    let mut others: Vec<_> = (0..2).map(|_| proxy.send_get("/")).collect();
    proxy.wait_load(3, 2);
    assert_eq!(proxy.metric_sum("loadline_route_active", &["path=\"export\""]), 1.0);
    assert_eq!(proxy.metric_sum("loadline_route_active", &["path=\"other\""]), 2.0);
    gate.open();
    for client in exports.iter_mut().chain(&mut others) {
        assert_eq!(client.read().status, 200);
    }
    let at_once = upstream.peak();
    assert!(at_once <= 3, "{at_once}");
    let status: serde_json::Value = serde_json::from_slice(&proxy.admin("/api/v1/status").body).unwrap();
    assert!(status["routes"]["export"]["predicted_service_ms"].as_f64().is_some(), "{status}");
}

#[test]
fn a_routes_limit_is_lifted_in_place() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let path = scratch("route-limit.toml");
    let config = |extra: &str| {
        let text = format!(
            "upstream = \"{}\"\nroute = [{{ name = \"export\", path = \"/export/*\"{extra} }}]\n[limit]\nconcurrency = 3\n",
            upstream.addr()
        );
        fs::write(&path, text).unwrap();
    };
    config(", concurrency = 1");
    let proxy = Setup::bare().file(path.to_str().unwrap()).start();
    let mut exports: Vec<_> = (0..3).map(|_| proxy.send_get("/export/a")).collect();
    proxy.wait_load(1, 2);
    config("");
    assert_eq!(proxy.admin_post("/-/reload").status, 200);
    proxy.wait_load(3, 0);
    gate.open();
    for client in &mut exports {
        assert_eq!(client.read().status, 200);
    }
    let _ = fs::remove_file(&path);
}
