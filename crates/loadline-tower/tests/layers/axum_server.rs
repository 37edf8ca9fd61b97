//! A real server on the loopback interface.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Extension, Request},
    response::Response,
    routing::get,
};
use hyper_util::rt::TokioIo;
use loadline_tower::{Admission, Gate, server::LoadlineLayer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use super::support::{assert_empty, limit};

/// Bound on every wait: generous, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Sends a request on a connection that stays open; the response with its body.
async fn ask(connection: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let mut buffer = [0; 4_096];
    loop {
        let read = timeout(PATIENCE, connection.read(&mut buffer)).await.expect("an answer in time").unwrap();
        assert!(read > 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.is_some_and(|length| body.len() == length.parse::<usize>().unwrap()) {
            return answer;
        }
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    timeout(PATIENCE, TcpStream::connect(address)).await.expect("connects in time").unwrap()
}

async fn until(gate: &Gate, in_flight: u32) {
    let reached = async {
        while gate.snapshot().in_flight != in_flight {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, reached).await.expect("reached in time");
}

#[tokio::test]
async fn a_hundred_idle_connections_pin_no_slot() {
    let gate = limit(2).no_queue().build();
    let router = Router::new()
        .route(
            "/",
            get(|Extension(admission): Extension<Admission>| async move { admission.class().as_str() }),
        )
        .layer(LoadlineLayer::new(gate.clone()));
    let address = serve(router).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        let mut connection = connect(address).await;
        assert!(ask(&mut connection, "/").await.starts_with("HTTP/1.1 200 OK"));
        idle.push(connection);
    }
    let mut connection = connect(address).await;
    assert!(ask(&mut connection, "/").await.ends_with("normal"));
    for connection in &mut idle {
        assert!(ask(connection, "/").await.starts_with("HTTP/1.1 200 OK"), "each of them still works");
    }
    assert_eq!(gate.snapshot().counters.total().admitted, 201);
    until(&gate, 0).await;
    assert_empty(&gate);
}

#[tokio::test]
async fn one_limit_holds_for_all_routes_and_a_rejected_connection_stays_usable() {
    let gate = limit(1).no_queue().build();
    let open = Arc::new(Semaphore::new(0));
    let wait = {
        let open = Arc::clone(&open);
        move || async move {
            open.acquire().await.unwrap().forget();
            "done"
        }
    };
    let router = Router::new()
        .route("/slow", get(wait))
        .route("/", get(|| async { "quick" }))
        .layer(LoadlineLayer::new(gate.clone()));
    let address = serve(router).await;
    let (mut one, mut two) = (connect(address).await, connect(address).await);

    let slow = tokio::spawn(async move { ask(&mut one, "/slow").await });
    until(&gate, 1).await;
    let rejected = ask(&mut two, "/").await;
    assert!(rejected.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{rejected}");
    assert!(rejected.contains("\r\nretry-after: ") && rejected.contains("\"reason\":\"concurrency\""));

    open.add_permits(1);
    assert!(slow.await.unwrap().ends_with("done"));
    until(&gate, 0).await;
    assert!(ask(&mut two, "/").await.ends_with("quick"));
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_slot() {
    let gate = limit(1).no_queue().build();
    let router = Router::new()
        .route("/", get(std::future::pending::<&'static str>))
        .layer(LoadlineLayer::new(gate.clone()));
    let mut connection = connect(serve(router).await).await;
    connection.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(&gate, 1).await;
    drop(connection);
    until(&gate, 0).await;
    assert_eq!(gate.snapshot().counters.total().aborted, 1);
}

#[tokio::test]
async fn a_response_to_head_is_complete_with_its_head() {
    let gate = limit(1).no_queue().build();
    let router = Router::new().route("/", get(|| async { "text" })).layer(LoadlineLayer::new(gate.clone()));
    let mut connection = connect(serve(router).await).await;
    connection.write_all(b"HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, connection.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(gate.snapshot().counters.total().completed, 1);
    assert_empty(&gate);
}

/// Reads what the upgraded connection brings until it is closed, and holds the slot meanwhile.
async fn upgrade(mut request: Request) -> Response {
    let hold = request.extensions().get::<Admission>().unwrap().hold();
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut connection = TokioIo::new(upgraded.await.unwrap());
        let _closed = tokio::io::copy(&mut connection, &mut tokio::io::sink()).await;
        drop(hold);
    });
    let response = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "test");
    response.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn an_upgraded_connection_holds_its_slot_until_it_is_closed() {
    let gate = limit(1).no_queue().build();
    let router = Router::new().route("/", get(upgrade)).layer(LoadlineLayer::new(gate.clone()));
    let address = serve(router).await;
    let mut upgraded = connect(address).await;
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: test\r\n\r\n";
    upgraded.write_all(request).await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, upgraded.read_exact(&mut answer)).await.expect("an answer in time").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");

    assert!(ask(&mut connect(address).await, "/").await.starts_with("HTTP/1.1 503 "), "its slot is taken");
    drop(upgraded);
    until(&gate, 0).await;
    assert_eq!(gate.snapshot().counters.total().completed, 1);
}
