//! Where the application may live, and what happens while it is not there.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{RefusedPort, Setup, Upstream, eventually, scratch};

/// An answer without waiting for anything takes milliseconds; the bound leaves room for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn refused_fails_at_once_and_recovers() {
    let port = RefusedPort::new();
    let proxy = Setup::new(&port.addr().to_string(), "1").start();
    for _ in 0..5 {
        let begin = Instant::now();
        let response = proxy.get("/");
        assert!(matches!(response.status, 502 | 503), "{response:?}");
        assert!(begin.elapsed() < AT_ONCE, "took {:?}", begin.elapsed());
    }
    proxy.wait_load(0, 0);
    let addr = port.addr();
    drop(port);
    let upstream = Upstream::start_at(addr, |exchange| exchange.respond(200, b"back"));
    eventually("the application is found again", || proxy.get("/").status == 200);
    assert_eq!(upstream.addr(), addr);
}

#[test]
fn an_unresolvable_name_does_not_stop_the_start() {
    let proxy = Setup::new("does-not-exist.invalid:80", "1").start();
    let response = proxy.get("/");
    assert!(matches!(response.status, 502 | 503), "{response:?}");
    assert_eq!(proxy.admin("/healthz").status, 200);
    assert_eq!(proxy.admin("/readyz").status, 503, "no upstream was ever reachable");
    proxy.wait_load(0, 0);
}

#[test]
fn a_name_is_resolved() {
    let upstream = Upstream::hello();
    let proxy = Setup::new(&format!("localhost:{}", upstream.addr().port()), "1").start();
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn an_url_with_a_scheme() {
    let upstream = Upstream::hello();
    let proxy = Setup::new(&format!("http://{}", upstream.addr()), "1").start();
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(upstream.only_request().header("host").as_deref(), Some("test.example"));
}

#[test]
fn ipv6_in_brackets() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return; // A machine without IPv6 cannot show it.
    };
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            answer_once(stream);
        }
    });
    let proxy = Setup::new(&format!("[::1]:{port}"), "1").start();
    assert_eq!(proxy.get("/").text(), "hello");
}

#[test]
fn a_unix_socket() {
    let path = scratch("upstream.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            answer_once(stream);
        }
    });
    let proxy = Setup::new(&format!("unix:{}", path.display()), "1").start();
    assert_eq!(proxy.get("/").text(), "hello");
}

fn answer_once(mut stream: impl Read + Write) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.extend(byte);
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

#[test]
fn without_arguments_a_demo_app_is_there() {
    let proxy = Setup::bare().start();
    let page = proxy.get("/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("demo app"), "{}", page.text());
    assert_eq!(proxy.get("/healthcheck").text(), "OK\n");
    let echo =
        proxy.connect().send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello").read();
    assert_eq!(echo.text(), "hello");
}
