//! A rejection sent before the body was read: whatever arrives late is the body, never a request.

use std::time::Duration;

use crate::support::{Client, Gate, Setup, Upstream};

/// Two requests that sit in the body: if it were read as requests, there would be two answers too many.
const PASSENGERS: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// How long a late body waits for the rejection. A proxy that reads bodies before it decides gives none until then.
const LATE: Duration = Duration::from_millis(150);

#[test]
fn length_with_the_body_at_once() {
    check(&head("Content-Length: LENGTH"), PASSENGERS.as_bytes(), false);
}

#[test]
fn length_with_the_body_late() {
    check(&head("Content-Length: LENGTH"), PASSENGERS.as_bytes(), true);
}

#[test]
fn chunked_at_once() {
    check(&head("Transfer-Encoding: chunked"), &chunk(PASSENGERS.as_bytes()), false);
}

#[test]
fn chunked_late() {
    check(&head("Transfer-Encoding: chunked"), &chunk(PASSENGERS.as_bytes()), true);
}

#[test]
fn expect_continue_and_the_body_sent_without_waiting() {
    check(&head("Content-Length: LENGTH\r\nExpect: 100-continue"), PASSENGERS.as_bytes(), true);
}

#[test]
fn larger_than_any_drain() {
    let body = PASSENGERS.repeat(4 * 1024 * 1024 / PASSENGERS.len());
    let head = head(&format!("Content-Length: {}", body.len()));
    check(&head, body.as_bytes(), false);
    check(&head, body.as_bytes(), true);
}

fn head(framing: &str) -> String {
    let framing = framing.replace("LENGTH", &PASSENGERS.len().to_string());
    format!("POST /rejected HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n")
}

fn chunk(body: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

/// Sends the request to a busy proxy without a queue, then a last request on the same connection, and counts answers.
fn check(head: &str, body: &[u8], late: bool) {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("queue.depth", 0).start();
    let mut busy = proxy.send_get("/busy");
    proxy.wait_load(1, 0);
    let mut client = proxy.connect();
    client.send(head);
    let mut statuses = Vec::new();
    if late {
        client.patience(LATE);
        statuses.extend(client.read_head_and_body().ok());
        client.patience(crate::support::PATIENCE);
    }
    // Either may fail when the proxy has closed.
    let _ = client.try_send(body);
    let _ = client.try_send("GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    statuses.extend(remaining(&mut client));
    let answers: Vec<_> = statuses.iter().filter(|status| **status != 100).collect();
    assert!(answers.len() <= 2, "the body was answered as requests: {statuses:?}");
    assert!(answers.iter().all(|status| **status == 503), "{statuses:?}");
    gate.open();
    assert_eq!(busy.read().status, 200);
    proxy.wait_load(0, 0);
    let targets: Vec<_> = upstream.requests().iter().map(|request| request.target()).collect();
    assert_eq!(targets, ["/busy"]);
}

fn remaining(client: &mut Client) -> Vec<u16> {
    let mut statuses = Vec::new();
    loop {
        match client.read_head_and_body() {
            Ok(status) => statuses.push(status),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("neither an answer nor a close after {statuses:?}")
            }
            Err(_) => return statuses,
        }
    }
}
