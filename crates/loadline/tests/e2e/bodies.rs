//! Message bodies in both directions: every framing, trailers, and streams larger than any buffer.

use std::thread;

use crate::support::{Framing, Setup, Upstream};

const MIB: usize = 1 << 20;

/// Growth of the process that streaming tens of MiB may cost: buffers of a few connections and the allocator's slack.
const FLAT: u64 = 16 * MIB as u64;

#[test]
fn chunked_upload() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n").send("10;name=value\r\n0123456789abcdef\r\n").send("0\r\n\r\n");
    assert_eq!(client.read().status, 200);
    assert_eq!(client.get("/after").status, 200);
    let request = &upstream.requests()[0];
    assert_eq!(request.body, b"abc0123456789abcdef");
    let lengths = [request.header("content-length"), request.header("transfer-encoding")];
    assert_eq!(lengths.iter().flatten().count(), 1, "exactly one framing: {}", request.text());
}

#[test]
fn request_trailers() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let response = proxy
        .connect()
        .send(
            "POST / HTTP/1.1\r\nHost: x\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n",
        )
        .read();
    assert_eq!(response.status, 200);
    let request = upstream.only_request();
    assert_eq!(request.body, b"abc");
    assert_eq!(request.trailers.to_lowercase(), "x-sum: 42\r\n");
}

#[test]
fn response_trailers() {
    let upstream = Upstream::raw(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n",
        false,
    );
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!((response.framing, response.text().as_str()), (Framing::Chunked, "abc"));
        let trailers: Vec<_> =
            response.trailers.iter().map(|(name, value)| format!("{name}: {value}").to_lowercase()).collect();
        assert_eq!(trailers, ["x-sum: 42"]);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_response_that_ends_with_its_connection() {
    let upstream = Upstream::raw("HTTP/1.1 200 OK\r\n\r\nuntil the end", true);
    let proxy = Setup::to(&upstream, 1).start();
    for _ in 0..3 {
        assert_eq!(proxy.get("/").text(), "until the end");
    }
    proxy.wait_load(0, 0);
}

#[test]
fn an_empty_body_is_not_no_body() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    client.send("POST /empty HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").read();
    client.send("POST /chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").read();
    client.send("POST /none HTTP/1.1\r\nHost: x\r\n\r\n").read();
    let requests = upstream.requests();
    assert_eq!(requests[0].header("content-length").as_deref(), Some("0"));
    assert_eq!(requests[1].body_length, 0);
    assert_eq!(requests.len(), 3);
}

#[test]
fn a_large_upload_streams_in_flat_memory() {
    const LENGTH: usize = 32 * MIB;
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    proxy.get("/warm-up");
    let before = proxy.peak_resident();
    let mut client = proxy.connect();
    client.send(format!("PUT /big HTTP/1.1\r\nHost: x\r\nContent-Length: {LENGTH}\r\n\r\n"));
    let part = pattern(MIB);
    for _ in 0..LENGTH / MIB {
        client.send(&part);
    }
    assert_eq!(client.read().status, 200);
    let request = upstream.requests().pop().unwrap();
    assert_eq!(request.body_length, LENGTH as u64);
    assert!(request.body == part, "the first MiB arrived altered");
    let grown = proxy.peak_resident() - before;
    assert!(grown < FLAT, "grew by {grown} bytes");
}

#[test]
fn a_large_download_streams_in_flat_memory() {
    const LENGTH: usize = 32 * MIB;
    let upstream = Upstream::start(|exchange| {
        let part = pattern(MIB);
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"))?;
        for _ in 1..LENGTH / MIB {
            exchange.send(&part)?;
        }
        exchange.finish(&part)
    });
    let proxy = Setup::to(&upstream, 1).start();
    let before = proxy.peak_resident();
    let mut client = proxy.send_get("/big");
    assert_eq!(client.read_head().unwrap().status, 200);
    let part = pattern(MIB);
    for _ in 0..LENGTH / MIB {
        assert!(client.read_exact(MIB).unwrap() == part, "the body arrived altered");
    }
    assert_eq!(client.get("/again").body.len(), LENGTH, "the connection is still in step");
    let grown = proxy.peak_resident() - before;
    assert!(grown < FLAT, "grew by {grown} bytes");
}

#[test]
fn a_large_chunked_download_arrives_whole() {
    let upstream = Upstream::start(|exchange| {
        let part = pattern(100_000);
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for _ in 0..50 {
            exchange.send(format!("{:x}\r\n", part.len()))?;
            exchange.send(&part)?;
            exchange.send("\r\n")?;
        }
        exchange.finish("0\r\n\r\n")
    });
    let proxy = Setup::to(&upstream, 1).start();
    let response = proxy.get("/");
    assert!(response.body == pattern(100_000).repeat(50));
}

#[test]
fn both_directions_stream_at_once() {
    // Answers while it reads: what a proxy that reads the whole request first, or writes it first, cannot do.
    let upstream = Upstream::start(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nready\r\n")?;
        let length = exchange.read_body()?.len();
        exchange.finish(format!("{:x}\r\n{}\r\n0\r\n\r\n", length.to_string().len(), length))
    });
    let proxy = Setup::to(&upstream, 1).set("buffer.request", "1KiB").start();
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n").send(pattern(50_000));
    assert_eq!(client.read_head().expect("the answer begins before the request ends").status, 200);
    client.send(pattern(50_000));
    let rest = client.read_until(b"0\r\n\r\n").unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("100000"), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn a_body_in_small_pieces_arrives_whole() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n");
    for piece in pattern(2000).chunks(10) {
        client.send(piece);
        thread::yield_now();
    }
    assert_eq!(client.read().status, 200);
    assert!(upstream.only_request().body == pattern(2000));
}

/// Bytes of which no two neighbours' worth repeats within a buffer's length.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}
