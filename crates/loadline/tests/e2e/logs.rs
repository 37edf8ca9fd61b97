//! The access log: Spillway's line to the letter, HAProxy's language, and no line that a client could forge.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::support::{Gate, PATIENCE, Proxy, RefusedPort, Setup, Upstream, eventually};

fn hello_logged_as(format: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).env("LOG_ADDRESS", "stdout").env("LOG_FORMAT", format).start();
    (upstream, proxy)
}

/// `app 503 1 702/-1` in parts.
#[track_caller]
fn parts(line: &str) -> (String, u16, u64, i64, i64) {
    let parse = || {
        let mut words = line.split(' ');
        let (backend, status, depth) = (words.next()?, words.next()?, words.next()?);
        let (queue, response) = words.next()?.split_once('/')?;
        if words.next().is_some() {
            return None;
        }
        Some((
            backend.to_owned(),
            status.parse().ok()?,
            depth.parse().ok()?,
            queue.parse().ok()?,
            response.parse().ok()?,
        ))
    };
    parse().unwrap_or_else(|| panic!("not Spillway's line: {line:?}"))
}

#[test]
fn spillways_line() {
    let gate = Gate::new();
    let upstream = Upstream::gated_at_held(&gate);
    let proxy = Setup::to(&upstream, 1).env("LOG_ADDRESS", "stdout").env("QUEUE_TIMEOUT", "200").start();
    let mut lines = 0;
    let mut next = || {
        lines += 1;
        parts(&proxy.wait_stdout(lines)[lines - 1])
    };
    assert_eq!(proxy.get("/").status, 200);
    let (backend, status, depth, queue, response) = next();
    assert_eq!((backend.as_str(), status, depth, queue), ("app", 200, 0, 0));
    assert!((0..2000).contains(&response));

    assert_eq!(proxy.get("/healthcheck").status, 200);
    let (backend, status, ..) = next();
    assert_eq!((backend.as_str(), status), ("healthcheck", 200));

    let mut busy = proxy.send_get("/held");
    proxy.wait_load(1, 0);
    assert_eq!(proxy.get("/").status, 503);
    let (backend, status, depth, queue, response) = next();
    assert_eq!((backend.as_str(), status, depth, response), ("app", 503, 1, -1));
    assert!((195..2000).contains(&queue), "{queue}");

    gate.open();
    assert_eq!(busy.read().status, 200);
    let (_, status, depth, queue, response) = next();
    assert_eq!((status, depth, queue), (200, 0, 0));
    assert!(response >= 195, "from connect to headers: {response}");

    assert_eq!(proxy.connect().send("GARBAGE\r\n\r\n").read().status, 400);
    let (backend, status, _, queue, response) = next();
    assert_eq!((backend.as_str(), status, queue, response), ("http", 400, -1, -1));
}

#[test]
fn queue_positions() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 2).env("LOG_ADDRESS", "stdout").env("LOG_FORMAT", "%ST %bq %HU").start();
    let mut clients = Vec::new();
    for index in 0..6 {
        clients.push(proxy.send_get(&format!("/{index}")));
        proxy.wait_load(2.min(index + 1), (index + 1).saturating_sub(2));
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    let mut lines = proxy.wait_stdout(6);
    lines.sort_by_key(|line| line.chars().last());
    assert_eq!(lines, ["200 0 /0", "200 0 /1", "200 1 /2", "200 2 /3", "200 3 /4", "200 4 /5"]);
}

#[test]
fn a_server_timeout_and_an_error() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).env("LOG_ADDRESS", "stdout").env("SERVER_TIMEOUT", "100").start();
    assert_eq!(proxy.get("/").status, 504);
    assert_eq!(proxy.wait_stdout(1), ["app 504 0 0/-1"]);
    gate.open();
}

#[test]
fn haproxys_language() {
    let (_upstream, proxy) = hello_logged_as("%b %f %s %ST %HM %HP %HU %HQ %HV %ts %{+Q}r 100%% %ci %hr end");
    proxy.get("/path?query=1");
    assert_eq!(
        proxy.wait_stdout(1),
        [
            "app http main 200 GET /path /path?query=1 ?query=1 HTTP/1.1 -- \"GET /path?query=1 HTTP/1.1\" 100% 127.0.0.1 end"
        ]
    );
}

#[test]
fn termination_states() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |exchange| match exchange.target() {
        "/close" => {
            exchange.close();
            Ok(())
        }
        "/garbage" => {
            exchange.finish("garbage\r\n\r\n")?;
            exchange.close();
            Ok(())
        }
        "/held" => {
            held.pass()?;
            exchange.respond(200, b"hello")
        }
        _ => exchange.respond(200, b"hello"),
    });
    let proxy = Setup::to(&upstream, 1)
        .env("LOG_ADDRESS", "stdout")
        .env("LOG_FORMAT", "%ST %tsc")
        .set("queue.depth", 1)
        .set("queue.timeout", "100ms")
        .start();
    let mut lines = 0;
    let mut next = || {
        lines += 1;
        proxy.wait_stdout(lines)[lines - 1].clone()
    };
    proxy.get("/");
    assert_eq!(next(), "200 ----");
    proxy.get("/close");
    assert_eq!(next(), "502 SH--");
    proxy.get("/garbage");
    assert_eq!(next(), "502 PH--");
    proxy.connect().send("GARBAGE\r\n\r\n").read();
    assert_eq!(next(), "400 PR--");
    let mut busy = proxy.send_get("/held");
    proxy.wait_load(1, 0);
    assert_eq!(proxy.get("/").status, 503);
    assert_eq!(next(), "503 sQ--");
    gate.open();
    busy.read();
    assert_eq!(next(), "200 ----");
}

#[test]
fn a_refused_connection_was_asked_for_twice() {
    let port = RefusedPort::new();
    let proxy = Setup::new(&port.addr().to_string(), "1")
        .env("LOG_ADDRESS", "stdout")
        .env("LOG_FORMAT", "%ST %tsc %rc")
        .start();
    assert_eq!(proxy.get("/").status, 503);
    assert_eq!(proxy.wait_stdout(1), ["503 SC-- 1"]);
}

#[test]
fn a_policy_shed_and_a_client_that_left_the_queue() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1)
        .env("LOG_ADDRESS", "stdout")
        .env("LOG_FORMAT", "%bq %ST %tsc")
        .set("queue.depth", 1)
        .start();
    let mut busy = proxy.send_get("/busy");
    proxy.wait_load(1, 0);
    let leaving = proxy.send_get("/leaving");
    proxy.wait_load(1, 1);
    assert_eq!(proxy.get("/").status, 503);
    assert_eq!(proxy.wait_stdout(1)[0], "0 503 PQ--");
    drop(leaving);
    assert_eq!(proxy.wait_stdout(2)[1], "1 -1 CQ--", "its place in the queue when it left");
    gate.open();
    assert_eq!(busy.read().status, 200);
}

#[test]
fn escapes_of_the_quoting_layer() {
    let (_upstream, proxy) = hello_logged_as(r#"{\"status\":%ST,\"uri\":%{+Q}HU}"#);
    proxy.get("/x");
    assert_eq!(proxy.wait_stdout(1), [r#"{"status":200,"uri":"/x"}"#]);
}

#[test]
fn json_by_keyword() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).set("log.access", "json").set("log.address", "stdout").start();
    proxy.get("/x\"y");
    let line = proxy.wait_stdout(1).remove(0);
    let value: serde_json::Value =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(value.to_string().contains("200"), "{line}");
    let document = include_str!("../../../../docs/life-of-a-request.md");
    let (_, fields) =
        document.split_once("| field | what it is |").expect("the document has a table of fields");
    for name in value.as_object().expect("an object").keys() {
        assert!(fields.contains(&format!("`{name}`")), "{name} is not in docs/life-of-a-request.md");
    }
}

/// A body that comes late is the client's time: nobody is to look for a slow connect, and the deadline has come nearer.
#[test]
fn waiting_for_a_body_is_not_connecting() {
    const BODY_TAKES: Duration = Duration::from_secs(2);
    let (_upstream, proxy) = hello_logged_as("%HU %Tw %Tc");
    let begun = Instant::now();
    let mut client = proxy.connect();
    client.send(
        "POST /late HTTP/1.1\r\nHost: x\r\nX-Request-Timeout-Ms: 60000\r\nContent-Length: 5\r\n\r\nhell",
    );
    eventually("the body is late", || begun.elapsed() > BODY_TAKES);
    assert_eq!(client.send("o").read().status, 200);
    let line = &proxy.wait_stdout(1)[0];
    let mut words = line.split(' ');
    assert_eq!((words.next(), words.next()), (Some("/late"), Some("0")), "{line}");
    let connect: u128 = words.next().and_then(|word| word.parse().ok()).unwrap_or(u128::MAX);
    assert!(connect < BODY_TAKES.as_millis() / 2, "{line}");
    let recent: serde_json::Value = serde_json::from_slice(&proxy.admin("/api/v1/recent").body).unwrap();
    let left = find_integer(&recent, "deadline_left_ms").expect("the decision is there");
    assert!(left < 59_000, "{left}");
}

/// The first number of this name anywhere in `document`.
fn find_integer(document: &serde_json::Value, name: &str) -> Option<i64> {
    match document {
        serde_json::Value::Object(members) => members
            .get(name)
            .and_then(serde_json::Value::as_i64)
            .or_else(|| members.values().find_map(|value| find_integer(value, name))),
        serde_json::Value::Array(values) => values.iter().find_map(|value| find_integer(value, name)),
        _ => None,
    }
}

#[test]
fn nothing_is_logged_unless_asked_for() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    for _ in 0..10 {
        proxy.get("/");
    }
    assert!(proxy.stdout().is_empty(), "{:?}", proxy.stdout());
}

#[test]
fn a_client_cannot_forge_a_line() {
    let (upstream, proxy) = hello_logged_as("LINE %ST %{+Q}HU %{+Q}r");
    let attempts: [&[u8]; 7] = [
        b"GET /a\nLINE 200 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a\rLINE HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a\x1b[2J HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /%0aLINE%20200 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /quote\"#end HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xc3\xa4\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    for attempt in attempts {
        let mut client = proxy.connect();
        client.send(attempt);
        let status = client.read().status;
        assert!(matches!(status, 200 | 400 | 505), "{status}: {:?}", String::from_utf8_lossy(attempt));
    }
    let lines = proxy.wait_stdout(attempts.len());
    assert_eq!(lines.len(), attempts.len(), "{lines:?}");
    for line in &lines {
        assert!(
            ["LINE 200 \"/", "LINE 400 ", "LINE 505 "].iter().any(|begin| line.starts_with(begin)),
            "{line:?}"
        );
        assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
        assert_eq!(line.matches('"').count() % 2, 0, "{line:?}");
        assert!(!line.contains("\"#end"), "{line:?}");
    }
    assert!(upstream.seen() <= 3);
}

#[test]
fn syslog_over_udp() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).env("LOG_ADDRESS", &socket.local_addr().unwrap().to_string()).start();
    proxy.get("/");
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).expect("a datagram");
    let datagram = String::from_utf8(buffer[..length].to_vec()).unwrap();
    // RFC 5424: facility local0, severity info, version 1.
    assert!(datagram.starts_with("<134>1 20"), "{datagram:?}");
    assert!(datagram.trim_end().rsplit_once("app 200 0 0/").is_some(), "{datagram:?}");
    assert_eq!(datagram.matches('\n').count(), usize::from(datagram.ends_with('\n')), "{datagram:?}");
    assert!(proxy.stdout().is_empty());
}

#[test]
fn syslog_in_haproxys_old_form() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1)
        .env("LOG_ADDRESS", &socket.local_addr().unwrap().to_string())
        .env("LOG_FORMAT", "%ST")
        .set("log.syslog_format", "local")
        .start();
    proxy.get("/");
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).expect("a datagram");
    let datagram = String::from_utf8(buffer[..length].to_vec()).unwrap();
    assert!(datagram.starts_with("<134>") && !datagram.starts_with("<134>1 "), "{datagram:?}");
    assert!(datagram.trim_end().ends_with("]: 200"), "{datagram:?}");
}

#[test]
fn a_dead_target_blocks_nobody() {
    let port = RefusedPort::new();
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).env("LOG_ADDRESS", &format!("tcp@{}", port.addr())).start();
    let mut client = proxy.connect();
    for _ in 0..200 {
        assert_eq!(client.get("/").status, 200);
    }
}
