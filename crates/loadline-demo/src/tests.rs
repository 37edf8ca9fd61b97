//! The demo app over real sockets, one request per connection.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;

/// Bound on every wait; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

fn exchange(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(addr: SocketAddr, path: &str) -> String {
    exchange(addr, &format!("GET {path} HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n\r\n"))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn number(stats: &str, name: &str) -> u64 {
    let (_, rest) = stats.split_once(&format!("\"{name}\":")).unwrap();
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

fn wait_for(addr: SocketAddr, name: &str, wanted: u64) {
    let begin = std::time::Instant::now();
    while number(&get(addr, "/stats"), name) != wanted {
        assert!(begin.elapsed() < PATIENCE, "{name} never became {wanted}");
        std::thread::yield_now();
    }
}

#[test]
fn capacity_is_workers_over_service_time() {
    assert_eq!(capacity_per_second(HOME_SERVICE_TIME), 80.0);
    assert_eq!(capacity_per_second(SLOW_SERVICE_TIME), 8.0);
}

#[test]
fn every_route_answers() {
    let app = start().unwrap();
    let home = get(app.addr(), "/?from=test");
    assert!(home.starts_with("HTTP/1.1 200 OK\r\n"), "{home}");
    assert!(body(&home).contains("50ms of work: 80 requests/s"), "{home}");
    assert_eq!(body(&get(app.addr(), "/fast")), "Hello World!\n");
    assert_eq!(body(&get(app.addr(), "/0.001")), "Hello World!\n");
    assert_eq!(body(&get(app.addr(), "/healthcheck")), "OK\n");
    assert_eq!(body(&get(app.addr(), "/bytes/100000")).len(), 100_000);
    assert!(get(app.addr(), "/nowhere").starts_with("HTTP/1.1 404 "));
    assert!(get(app.addr(), "/61").starts_with("HTTP/1.1 400 "));
    assert!(get(app.addr(), "/echo").starts_with("HTTP/1.1 405 "));
}

#[test]
fn echo_returns_the_body() {
    let app = start().unwrap();
    let answer = exchange(
        app.addr(),
        "POST /echo HTTP/1.1\r\nhost: demo\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(body(&answer), "hello");
}

#[test]
fn no_more_than_the_workers_are_in_service() {
    let app = start().unwrap();
    let addr = app.addr();
    std::thread::scope(|scope| {
        for _ in 0..3 * WORKERS {
            scope.spawn(move || assert!(get(addr, "/").starts_with("HTTP/1.1 200 ")));
        }
    });
    let stats = get(addr, "/stats");
    assert_eq!(number(&stats, "peak"), WORKERS as u64, "{stats}");
    assert_eq!(number(&stats, "served"), 3 * WORKERS as u64, "{stats}");
    assert_eq!(number(&stats, "in_service"), 0, "{stats}");
}

#[test]
fn a_client_that_leaves_is_counted_as_abandoned() {
    let app = start().unwrap();
    let mut stream = TcpStream::connect(app.addr()).unwrap();
    stream.write_all(b"GET /0.1 HTTP/1.1\r\nhost: demo\r\n\r\n").unwrap();
    wait_for(app.addr(), "in_service", 1);
    drop(stream);
    wait_for(app.addr(), "abandoned", 1);
}

#[test]
fn dropping_it_closes_the_port() {
    let app = start().unwrap();
    let addr = app.addr();
    drop(app);
    assert!(TcpStream::connect(addr).is_err());
}
