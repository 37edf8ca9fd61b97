//! What the live page stands on: the stream, the history, the configuration, and how its files are sent.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Client, Gate, Proxy, Response, Setup, Upstream, eventually};

/// A reader of `/api/v1/stream`.
struct Reader {
    client: Client,
    head: Response,
}

impl Reader {
    fn new(proxy: &Proxy) -> Self {
        let mut client = Client::connect(proxy.admin_addr());
        let head = client.send_get("/api/v1/stream").read_head().unwrap();
        Self { client, head }
    }

    /// The next event: its name and its document.
    fn next(&mut self) -> (String, Value) {
        self.client.read_until(b"event: ").unwrap();
        let name = self.line();
        self.client.read_until(b"data: ").unwrap();
        let data = self.line();
        let document = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}"));
        (name, document)
    }

    /// The document of the next event of this name that satisfies `wanted`.
    fn wait(&mut self, wanted: &str, condition: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..200 {
            let (name, document) = self.next();
            if name == wanted && condition(&document) {
                return document;
            }
        }
        panic!("no such event: {wanted}");
    }

    fn line(&mut self) -> String {
        let line = self.client.read_until(b"\n").unwrap();
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }
}

fn document(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn the_stream_follows_the_state() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("queue.depth", 0).start();
    let mut reader = Reader::new(&proxy);
    assert_eq!(reader.head.status, 200);
    assert_eq!(reader.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(reader.head.header("cache-control"), Some("no-store"));
    let status = reader.wait("status", |status| status["state"] == "OK");
    assert_eq!(status["limit"], 1);
    let mut busy = proxy.send_get("/busy");
    reader.wait("status", |status| status["in_flight"] == 1);
    // Shedding is told for as long as it goes on.
    let shed = || assert_eq!(proxy.get("/").status, 503);
    shed();
    let status = reader.wait("status", |status| {
        shed();
        status["state"] == "SHEDDING"
    });
    assert!(status["classes"]["normal"]["shed_by_reason"]["concurrency"].as_u64() > Some(0));
    assert_eq!(status["classes"]["critical"]["shed_by_reason"]["concurrency"], 0);
    gate.open();
    assert_eq!(busy.read().status, 200);
    reader.wait("status", |status| status["state"] == "OK" && status["counters"]["completed"] == 1);
    let samples = reader.wait("samples", |_| true);
    assert!(samples[0]["time_ms"].is_u64(), "{samples}");
}

#[test]
fn percentiles_and_goodput_are_those_of_the_last_seconds() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let mut reader = Reader::new(&proxy);
    let status = reader.wait("status", |_| true);
    assert_eq!((&status["wait_ms"]["p99"], &status["service_ms"]["p50"]), (&Value::Null, &Value::Null));
    for _ in 0..5 {
        assert_eq!(proxy.get("/").status, 200);
    }
    let status = reader.wait("status", |status| status["rates_per_second"]["good"].as_f64() > Some(0.0));
    assert_eq!(status["wait_ms"]["p99"], 0.0, "nobody waited");
    assert!(status["service_ms"]["p50"].as_f64() > Some(0.0), "{status}");
}

#[test]
fn a_new_reader_is_told_the_history_first() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let history = || document(&proxy.admin("/api/v1/history"))["samples"].as_array().unwrap().clone();
    eventually("two samples are kept", || history().len() >= 2);
    let (name, samples) = Reader::new(&proxy).next();
    assert_eq!(name, "samples");
    assert!(samples.as_array().unwrap().len() >= 2, "{samples}");
    let first = history()[0]["time_ms"].clone();
    let after = document(&proxy.admin(&format!("/api/v1/history?after={first}")));
    assert!(after["samples"].as_array().unwrap().iter().all(|sample| sample["time_ms"] != first), "{after}");
    assert_eq!(proxy.admin("/api/v1/history?before=1").status, 400);
    assert_eq!(proxy.admin("/api/v1/history?after=yesterday").status, 400);
}

#[test]
fn readers_are_bounded_and_places_come_back() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let mut readers: Vec<_> = (0..32).map(|_| Reader::new(&proxy)).collect();
    assert!(readers.iter().all(|reader| reader.head.status == 200));
    assert_eq!(proxy.admin("/api/v1/stream").status, 503, "one too many");
    assert_eq!(proxy.admin("/healthz").status, 200, "there is room for others");
    readers.pop();
    eventually("the place of one who left is free", || Reader::new(&proxy).head.status == 200);
    readers[0].wait("status", |_| true);
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let asleep: Vec<_> = (0..16)
        .map(|_| {
            let mut client = Client::connect_narrow(proxy.admin_addr(), 1024);
            client.send_get("/api/v1/stream");
            client
        })
        .collect();
    let mut reader = Reader::new(&proxy);
    for _ in 0..8 {
        reader.wait("status", |_| true);
        assert_eq!(proxy.get("/").status, 200);
        assert_eq!(proxy.status().state, "OK");
    }
    drop(asleep);
}

#[test]
fn the_stream_ends_with_the_process() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let mut proxy = Setup::to(&upstream, 1).start();
    let mut reader = Reader::new(&proxy);
    reader.wait("status", |_| true);
    let mut busy = proxy.send_get("/busy");
    proxy.wait_load(1, 0);
    proxy.signal(Signal::TERM);
    reader.wait("status", |status| status["state"] == "DRAINING");
    gate.open();
    assert_eq!(busy.read().status, 200);
    reader.wait("end", |_| true);
    let rest = reader.client.read_to_close().unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "a whole answer: {:?}", String::from_utf8_lossy(&rest));
    assert!(proxy.wait_exit().success());
}

#[test]
fn the_configuration_is_told_with_its_origins_and_without_secrets() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 3)
        .set("admin.token", "correct-horse-battery")
        .env("LOADLINE_QUEUE_TIMEOUT", "700ms")
        .start();
    let answer = proxy.admin("/api/v1/config");
    assert!(!answer.text().contains("horse"), "{}", answer.text());
    let config = document(&answer);
    let setting = |name: &str| {
        let settings = config["settings"].as_array().unwrap();
        settings.iter().find(|setting| setting["name"] == name).unwrap().clone()
    };
    assert_eq!(
        (&setting("limit.concurrency")["value"], &setting("limit.concurrency")["origin"]),
        (&"3".into(), &"argument".into())
    );
    assert_eq!(setting("queue.timeout")["value"], "\"700ms\"");
    assert_eq!(setting("queue.timeout")["origin"], "environment LOADLINE_QUEUE_TIMEOUT");
    assert_eq!(
        (&setting("queue.depth")["set"], &setting("queue.depth")["origin"]),
        (&false.into(), &"default".into())
    );
    assert_eq!(setting("admin.token")["value"], "\"(hidden)\"");
    let listen = setting("listen")["value"].to_string();
    assert!(listen.contains(&proxy.addr().port().to_string()), "where it really listens: {listen}");
}

#[test]
fn the_page_is_for_browsers_and_runs_nothing_from_elsewhere() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let browser = |path: &str| {
        let mut client = Client::connect(proxy.admin_addr());
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*;q=0.8\r\n\r\n"))
            .read()
    };
    let page = browser("/");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"),
        "{policy}"
    );
    let html = page.text();
    for (attribute, kind) in
        [("src=\"", "text/javascript"), ("stylesheet\" href=\"", "text/css"), ("icon\" href=\"", "image/svg")]
    {
        let at = html.find(attribute).unwrap_or_else(|| panic!("no {attribute}")) + attribute.len();
        let name = html[at..].split('"').next().unwrap();
        let file = proxy.admin(&format!("/{name}"));
        assert_eq!(file.status, 200, "{name}");
        assert!(file.header("content-type").unwrap().starts_with(kind), "{file:?}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(proxy.admin_post(&format!("/{name}")).status, 405);
    }
    let list = proxy.admin("/");
    assert_eq!(list.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(list.text().contains("/api/v1/stream"), "{}", list.text());
    assert_eq!(list.header("vary"), Some("accept"));
}

#[test]
fn a_path_with_markup_stays_text() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let path = "/%3Cimg%20src=x%20onerror=alert(1)%3E/</script><b>";
    proxy.connect().send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).read();
    eventually("it was recorded", || {
        let answer = proxy.admin("/api/v1/recent");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        !document(&answer)["decisions"].as_array().unwrap().is_empty()
    });
}
