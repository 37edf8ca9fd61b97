//! Reload: atomic, in place, and without losing what waits.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::support::{Gate, Proxy, Setup, Upstream, eventually, scratch};

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let file = Self(scratch(name));
        file.write(content);
        file
    }

    /// Replaces the content in one step, as editors and configuration management do.
    fn write(&self, content: &str) {
        let next = self.0.with_extension("next");
        fs::write(&next, content).unwrap();
        fs::rename(&next, &self.0).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn config(upstream: &Upstream, concurrency: &str, depth: usize) -> String {
    format!(
        "upstream = \"http://{}\"\n[limit]\nconcurrency = {concurrency}\n[queue]\ndepth = {depth}\n",
        upstream.addr()
    )
}

fn start(file: &File) -> Proxy {
    Setup::bare().file(file.path()).start()
}

#[test]
fn sighup_raises_the_limit_and_the_waiting_are_served() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let file = File::new("raise.toml", &config(&upstream, "1", 10));
    let proxy = start(&file);
    let mut clients: Vec<_> = (0..4).map(|_| proxy.send_get("/")).collect();
    proxy.wait_load(1, 3);
    file.write(&config(&upstream, "3", 10));
    proxy.signal(Signal::HUP);
    proxy.wait_load(3, 1);
    assert_eq!(proxy.status().limit, 3);
    upstream.wait_in_service(3);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(upstream.peak(), 3);
}

#[test]
fn a_lowered_limit_lets_the_surplus_finish() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let file = File::new("lower.toml", &config(&upstream, "3", 10));
    let proxy = start(&file);
    let mut clients: Vec<_> = (0..6).map(|_| proxy.send_get("/")).collect();
    proxy.wait_load(3, 3);
    file.write(&config(&upstream, "1", 10));
    proxy.signal(Signal::HUP);
    proxy.wait_status("the limit is 1", |status| status.limit == 1);
    gate.let_through(2);
    proxy.wait_load(1, 3);
    gate.let_through(1);
    proxy.wait_load(1, 2);
    upstream.wait_in_service(1);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn changed_content_reloads_by_itself() {
    let upstream = Upstream::hello();
    let file = File::new("watched.toml", &config(&upstream, "1", 10));
    let proxy = start(&file);
    file.write(&config(&upstream, "7", 10));
    proxy.wait_status("the limit follows the file", |status| status.limit == 7);
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn reload_by_request_and_a_bad_file_changes_nothing() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let file = File::new("bad.toml", &config(&upstream, "2", 10));
    let proxy = start(&file);
    let mut clients: Vec<_> = (0..4).map(|_| proxy.send_get("/")).collect();
    proxy.wait_load(2, 2);
    for bad in ["0", "-1", "\"abc\"", "["] {
        file.write(&config(&upstream, bad, 10));
        let answer = proxy.admin_post("/-/reload");
        assert!((400..600).contains(&answer.status), "{bad}: {answer:?}");
        assert!(answer.text().contains("concurrency") || answer.text().contains("toml"), "{}", answer.text());
    }
    assert_eq!(proxy.status().limit, 2);
    proxy.wait_load(2, 2);
    file.write(&config(&upstream, "4", 10));
    let answer = proxy.admin_post("/-/reload");
    assert!((200..300).contains(&answer.status), "{answer:?}");
    proxy.wait_load(4, 0);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn a_bad_file_is_reported_on_sighup() {
    let upstream = Upstream::hello();
    let file = File::new("report.toml", &config(&upstream, "2", 10));
    let proxy = start(&file);
    let before = proxy.stderr().len();
    file.write(&config(&upstream, "0", 10));
    proxy.signal(Signal::HUP);
    eventually("the refusal is on stderr", || {
        proxy.stderr()[before..].iter().any(|line| line.contains("limit.concurrency"))
    });
    assert_eq!(proxy.status().limit, 2);
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn the_queue_is_resized_in_place() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let file = File::new("depth.toml", &config(&upstream, "1", 5));
    let proxy = start(&file);
    let mut clients: Vec<_> = (0..4).map(|_| proxy.send_get("/")).collect();
    proxy.wait_load(1, 3);
    file.write(&config(&upstream, "1", 1));
    assert!((200..300).contains(&proxy.admin_post("/-/reload").status));
    // What waits already is not lost; newcomers meet the new bound.
    assert_eq!(proxy.get("/").status, 503);
    proxy.wait_load(1, 3);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn twenty_reloads_under_load_lose_nothing() {
    let upstream = Upstream::hello();
    let file = File::new("many.toml", &config(&upstream, "4", 100));
    let proxy = start(&file);
    std::thread::scope(|scope| {
        let load: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = proxy.connect();
                    (0..200).filter(|_| client.get("/").status != 200).count()
                })
            })
            .collect();
        for round in 0..20 {
            file.write(&config(&upstream, &(4 + round % 3).to_string(), 100));
            assert!((200..300).contains(&proxy.admin_post("/-/reload").status));
        }
        let failed: usize = load.into_iter().map(|client| client.join().unwrap()).sum();
        assert_eq!(failed, 0);
    });
}

#[test]
fn what_decides_beside_the_limit_changes_in_place() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let with = |extra: &str| format!("{}{extra}", config(&upstream, "10", 0));
    // So long that it stays at its beginning while this test runs.
    let warming = "[warmup]\nfrom = 0.1\nover = \"1d\"\n";
    let file =
        File::new("decides.toml", &with(&format!("{warming}[retry]\ntoken = false\ndetect = false\n")));
    let proxy = start(&file);
    let reload = |extra: &str| {
        file.write(&with(extra));
        assert_eq!(proxy.admin_post("/-/reload").status, 200, "{extra}");
    };
    let effective = || proxy.metric_sum("loadline_effective_limit", &[]);
    assert_eq!(effective(), 1.0);
    reload(&warming.replace("0.1", "0.2"));
    assert_eq!(effective(), 2.0);
    reload(warming);
    assert_eq!(effective(), 1.0);
    let mut busy = proxy.send_get("/");
    proxy.wait_load(1, 0);
    let rejected = proxy.get("/");
    assert_eq!((rejected.status, rejected.header("x-retry-attempt")), (503, Some("2")));
    reload("[retry]\ntoken = false\n");
    assert_eq!(effective(), 10.0);
    reload(&format!("{warming}[retry]\ntoken = false\n"));
    assert_eq!(effective(), 10.0, "what is warm stays so");
    let mut others: Vec<_> = (0..9).map(|_| proxy.send_get("/")).collect();
    proxy.wait_load(10, 0);
    let rejected = proxy.get("/");
    assert_eq!((rejected.status, rejected.header("x-retry-attempt")), (503, None));
    gate.open();
    assert_eq!(busy.read().status, 200);
    for client in &mut others {
        assert_eq!(client.read().status, 200);
    }
    for bad in ["[warmup]\nfrom = 2.0\n", "[fairness]\nkey = \"ip\"\n", "[queue.codel]\ntarget = \"0s\"\n"] {
        file.write(&format!("upstream = \"{}\"\n[limit]\nconcurrency = 10\n{bad}", upstream.addr()));
        assert_eq!(proxy.admin_post("/-/reload").status, 400, "{bad}");
    }
}

#[test]
fn an_ignored_header_is_counted_under_its_name_whatever_the_settings_say_later() {
    let upstream = Upstream::hello();
    let config = |headers: &str| format!("{}[deadline]\nheaders = [{headers}]\n", config(&upstream, "1", 10));
    let file = File::new("headers.toml", &config("\"x-request-timeout-ms\", \"x-respond-by\""));
    let proxy = start(&file);
    let ask = |header: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{header}: nonsense\r\n\r\n");
        assert_eq!(proxy.connect().send(request).read().status, 200);
    };
    let count = "loadline_headers_invalid_total";
    ask("x-request-timeout-ms");
    proxy.wait_metric(count, &["header=\"x-request-timeout-ms\""], 1.0);
    file.write(&config("\"x-respond-by\""));
    assert_eq!(proxy.admin_post("/-/reload").status, 200);
    assert_eq!(proxy.metric_sum(count, &["header=\"x-respond-by\""]), 0.0, "it was another header");
    ask("x-respond-by");
    proxy.wait_metric(count, &["header=\"x-respond-by\""], 1.0);
    assert_eq!(proxy.metric_sum(count, &["header=\"x-request-timeout-ms\""]), 1.0);
}
