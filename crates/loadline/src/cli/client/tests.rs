//! The client against scripted servers on the loopback: what each kind of answer, and each kind of silence, becomes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// A server for one connection: reads a request's head, answers `answer` and closes. Returns the request it saw.
fn serve(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            seen.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(seen).unwrap()
    });
    (address, server)
}

fn get(answer: &'static str) -> Result<String, String> {
    let (address, server) = serve(answer);
    let got = Admin::new(address, None)
        .get("/x")
        .map_err(|error| error.to_string().replace(&address.to_string(), "HOST"));
    server.join().unwrap();
    got
}

#[test]
fn bodies_by_length_by_chunks_and_by_close() {
    assert_eq!(get("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap(), "hi");
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
    assert_eq!(get(chunked).unwrap(), "abc0123456789");
    assert_eq!(get("HTTP/1.1 200 OK\r\n\r\nuntil the end").unwrap(), "until the end");
    assert_eq!(get("HTTP/1.1 204 No Content\r\n\r\n").unwrap(), "");
}

#[test]
fn failures_are_told_with_the_servers_words() {
    let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 15\r\n\r\n loopback\x1b only\n";
    assert_eq!(get(refused), Err("http://HOST/x answered 403: loopback only".to_owned()));
    assert_eq!(
        get("HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n"),
        Err("http://HOST/x answered 503".to_owned())
    );
}

#[test]
fn broken_answers_are_errors() {
    let incomplete = Err("http://HOST/x: the answer is not complete HTTP".to_owned());
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab",
    ] {
        assert_eq!(get(answer), incomplete, "{answer:?}");
    }
}

#[test]
fn the_request_is_plain_and_carries_the_token() {
    let (address, server) = serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    Admin::new(address, Some(Secret::new("correct-horse"))).post("/-/reload").unwrap();
    let expected = format!(
        "POST /-/reload HTTP/1.1\r\nhost: {address}\r\nuser-agent: loadline/{}\r\nconnection: close\r\n\
         authorization: Bearer correct-horse\r\ncontent-length: 0\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(server.join().unwrap(), expected);
}

#[test]
fn nobody_there_is_said_so() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Admin::new(free, None).get("/x").unwrap_err().to_string();
    assert_eq!(error, format!("http://{free}/x: nothing listens there (is loadline running?)"));
}

#[test]
fn silence_ends_at_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/up", listener.local_addr().unwrap());
    let error = healthcheck(&url, Duration::from_millis(50)).unwrap_err().to_string();
    assert_eq!(error, format!("{url}: no answer in time"));
}

#[test]
fn health_is_any_2xx() {
    let (address, server) = serve("HTTP/1.1 204 No Content\r\n\r\n");
    healthcheck(&format!("http://{address}/up?full"), Duration::from_secs(5)).unwrap();
    assert!(server.join().unwrap().starts_with("GET /up?full HTTP/1.1\r\n"));
}

#[test]
fn only_plain_urls_are_asked() {
    for url in [
        "",
        "https://app/",
        "http://",
        "http:///x",
        "http://a@b/",
        "http://a b/",
        "http://a/\r\nx: y",
        "app:80",
    ] {
        let error = healthcheck(url, Duration::from_secs(1)).unwrap_err().to_string();
        assert!(error.ends_with("is not a URL to check (try http://127.0.0.1:8000/healthcheck)"), "{error}");
    }
}

#[test]
fn an_unspecified_address_means_this_machine() {
    assert_eq!(Admin::new("0.0.0.0:1".parse().unwrap(), None).url("/"), "http://127.0.0.1:1/");
    assert_eq!(Admin::new("[::]:1".parse().unwrap(), None).url("/"), "http://[::1]:1/");
}
