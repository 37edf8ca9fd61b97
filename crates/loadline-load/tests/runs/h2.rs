//! The same over HTTP/2.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use loadline_load::Outcome;

use crate::report;

/// A server that speaks HTTP/2 only, on a thread that ends with the test's process, and the connections it has seen.
fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&connections);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                seen.fetch_add(1, Ordering::SeqCst);
                let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                tokio::spawn(serve);
            }
        });
    });
    (address, connections)
}

async fn answer(request: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/never" {
        std::future::pending::<()>().await;
    }
    let marked =
        request.headers().contains_key("grpc-timeout") && request.headers()["x-criticality"] == "low";
    let mut response = Response::new(Full::new(Bytes::from("{\"reason\":\"codel\"}")));
    if request.uri().path() == "/shed" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    } else if !marked || request.uri().authority().is_none() {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

#[test]
fn requests_share_connections_and_say_the_same() {
    let (address, connections) = server();
    let rest = r#"
        protocol = "h2"
        stages = ["200ms@200"]
        classes = { low = 1 }
        deadline = "60s"
        deadline_header = "grpc-timeout"
        [[target]]
        path = "/ok"
        [[target]]
        path = "/shed"
        [[target]]
        method = "POST"
        path = "/post"
        body = "x"
    "#;
    let report = report(&format!("http://{address}/"), rest);
    for (path, outcome) in [("/ok", Outcome::Served), ("/shed", Outcome::Shed), ("/post", Outcome::Served)] {
        let group = report.group(path).unwrap();
        assert_eq!(group.count(outcome), group.offered, "{path}: {:?}", group.outcomes);
    }
    assert_eq!(report.group("/shed").unwrap().shed_by_reason["codel"], report.total.count(Outcome::Shed));
    // Forty requests never need a second one.
    assert_eq!((report.connections, connections.load(Ordering::SeqCst)), (1, 1));
}

#[test]
fn patience_ends_for_a_request_and_not_for_its_connection() {
    let (address, connections) = server();
    let rest = "protocol = \"h2\"\nstages = [\"100ms@100\"]\ntimeout = \"50ms\"";
    let report = report(&format!("http://{address}/never"), rest);
    assert_eq!(report.total.count(Outcome::Timeout), 10);
    assert!(connections.load(Ordering::SeqCst) <= 10);
}

#[test]
fn a_connection_for_each_request() {
    let (address, connections) = server();
    let rest = "protocol = \"h2\"\nstages = [\"100ms@100\"]\nnew_connections = true";
    let report = report(&format!("http://{address}/shed"), rest);
    assert_eq!((report.total.count(Outcome::Shed), connections.load(Ordering::SeqCst)), (10, 10));
}

#[test]
fn a_server_of_another_protocol_is_no_answer() {
    let server = crate::Server::answering(crate::OK);
    let report = report(&server.url("/"), "protocol = \"h2\"\nstages = [\"50ms@100\"]");
    assert_eq!(report.total.count(Outcome::Reset), 5, "{:?}", report.total.outcomes);
}
