//! A limit that nobody gave: how it begins, what it says of itself, that it rises when that helps, and that a reload keeps it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Gate, Proxy, Setup, Upstream, eventually, scratch};

fn limiter(proxy: &Proxy) -> Value {
    let status: Value = serde_json::from_str(&proxy.admin("/api/v1/status").text()).unwrap();
    status["limiter"].clone()
}

#[test]
fn it_begins_where_it_is_told_and_says_what_it_is() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy =
        Setup::new(&upstream.addr().to_string(), "auto").set("limit.start", 2).set("limit.max", 50).start();
    let mut clients: Vec<_> = (0..5).map(|_| proxy.send_get("/")).collect();
    proxy.wait_load(2, 3);
    upstream.wait_in_service(2);
    let limiter = limiter(&proxy);
    assert_eq!((&limiter["algorithm"], &limiter["limit"]), (&"auto".into(), &2.into()), "{limiter}");
    assert_eq!(
        (&limiter["min"], &limiter["max"], &limiter["changes"]),
        (&1.into(), &50.into(), &Value::Array(vec![]))
    );
    let told = |setting: &str| proxy.stderr().iter().any(|line| line.contains(setting));
    assert!(told("\"key\":\"limit.concurrency\",\"value\":\"auto\""));
    assert!(told("\"key\":\"limit.start\",\"value\":2") && told("\"key\":\"limit.max\",\"value\":50"));
    proxy.wait_metric("loadline_concurrency_limit", &[], 2.0);
    proxy.wait_metric("loadline_concurrency_limit_max", &[], 50.0);
    proxy.wait_metric("loadline_limit_changes_total", &["direction=\"up\""], 0.0);
    let explained = proxy.admin("/api/v1/explain?path=/").text();
    assert!(explained.contains("The limit is 2, found by auto, and has not changed yet."), "{explained}");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn the_other_laws_have_their_names() {
    let upstream = Upstream::hello();
    for law in ["aimd", "vegas", "gradient2"] {
        let proxy = Setup::new(&upstream.addr().to_string(), "auto").set("limit.algorithm", law).start();
        assert_eq!(proxy.get("/").status, 200);
        assert_eq!(limiter(&proxy)["algorithm"], law);
    }
}

#[test]
fn bounds_that_contradict_each_other_are_refused() {
    let setup = Setup::new("127.0.0.1:1", "auto").set("limit.min", 9).set("limit.max", 5);
    let (code, text) = setup.refuse();
    assert_eq!(code, 2);
    assert!(text.contains("limit.min: 9 is more than limit.max (5)"), "{text}");
}

/// Twelve clients, one request each at a time, before an app that could serve all of them at once.
#[test]
fn it_rises_when_that_gives_more_and_a_reload_keeps_what_was_learned() {
    let upstream = Upstream::delayed(Duration::from_millis(10));
    let path = scratch("auto.toml");
    let write = |depth: u32| {
        let text = format!(
            "upstream = \"{}\"\n[limit]\nconcurrency = \"auto\"\nstart = 2\n[queue]\ndepth = {depth}\ntimeout = \"60s\"\n",
            upstream.addr()
        );
        std::fs::write(&path, text).unwrap();
    };
    write(100);
    let proxy = Setup::bare().file(path.to_str().unwrap()).start();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let mut client = proxy.connect();
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/").status, 200);
                }
            });
        }
        let risen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("the limit rises", || limiter(&proxy)["raised"].as_u64() > Some(0));
        }));
        done.store(true, Ordering::Relaxed);
        risen.unwrap();
    });
    proxy.wait_load(0, 0);
    let learned = limiter(&proxy);
    assert!(learned["limit"].as_u64() > Some(2), "{learned}");
    assert_eq!(
        learned["changes"].as_array().unwrap().last().unwrap()["why"],
        "a higher limit gave more throughput"
    );
    write(101);
    assert!((200..300).contains(&proxy.admin_post("/-/reload").status));
    proxy.wait_metric("loadline_queue_capacity", &[], 101.0);
    assert_eq!(limiter(&proxy)["limit"], learned["limit"]);
    std::fs::remove_file(&path).unwrap();
}
