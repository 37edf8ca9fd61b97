//! The support code against itself: a client that talks to the recording upstream without a proxy between them.

use std::time::Duration;

use crate::support::{Client, Framing, Gate, RefusedPort, Upstream, eventually, get, parallel};

#[test]
fn upstream_records_what_the_client_sends() {
    let upstream = Upstream::hello();
    let mut client = Client::connect(upstream.addr());
    let response = client.send("POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").read();
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    let response = client.get("/second");
    assert_eq!(response.framing, Framing::Length);
    let requests = upstream.requests();
    assert_eq!(requests[0].line(), "POST /a?b HTTP/1.1");
    assert_eq!(requests[0].body, b"abc");
    assert_eq!(requests[0].names(), ["Host", "Content-Length"]);
    assert_eq!(requests[1].target(), "/second");
    assert_eq!((requests[0].connection, requests[1].connection), (0, 0));
}

#[test]
fn chunked_bodies_and_trailers_both_ways() {
    let upstream = Upstream::start(|exchange| {
        exchange.read_body()?;
        exchange.finish(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n",
        )
    });
    let mut client = Client::connect(upstream.addr());
    let response = client
        .send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;ext\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 7\r\n\r\n")
        .read();
    assert_eq!(response.text(), "hello!");
    assert_eq!(response.trailers, [("X-T".to_owned(), "1".to_owned())]);
    let request = upstream.only_request();
    assert_eq!(request.body, b"abcde");
    assert_eq!(request.trailers, "X-Sum: 7\r\n");
}

#[test]
fn interim_responses_are_kept_apart() {
    let upstream =
        Upstream::raw("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest", true);
    let response = get(upstream.addr(), "/");
    assert_eq!(response.interim, [(103, vec![("Link".to_owned(), "</x>".to_owned())])]);
    assert_eq!((response.framing, response.text().as_str()), (Framing::Close, "rest"));
}

#[test]
fn peak_counts_requests_in_service() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let addr = upstream.addr();
    std::thread::scope(|scope| {
        scope.spawn(|| parallel(5, |_| get(addr, "/")));
        eventually("five in service", || upstream.in_service() == 5);
        gate.open();
    });
    assert_eq!((upstream.peak(), upstream.in_service()), (5, 0));
}

#[test]
fn killed_and_restarted_on_its_port() {
    let mut upstream = Upstream::hello();
    let addr = upstream.addr();
    let mut client = Client::connect(addr);
    client.get("/");
    upstream.kill();
    client.expect_close();
    assert!(Client::try_connect(addr).is_err());
    let upstream = Upstream::start_at(addr, |exchange| exchange.respond(204, b""));
    assert_eq!(get(upstream.addr(), "/").status, 204);
}

#[test]
fn a_reset_is_noticed_by_the_script() {
    let (tell, told) = std::sync::mpsc::channel();
    let upstream = Upstream::start(move |exchange| {
        tell.send(exchange.peer_closes()).unwrap();
        exchange.close();
        Ok(())
    });
    let mut client = Client::connect(upstream.addr());
    client.send_get("/");
    eventually("the request arrived", || upstream.seen() == 1);
    client.reset();
    assert!(told.recv_timeout(Duration::from_secs(10)).unwrap());
}

#[test]
fn refused_port_refuses() {
    let port = RefusedPort::new();
    assert!(Client::try_connect(port.addr()).is_err());
}
