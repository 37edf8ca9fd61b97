//! The operator's listener: metrics, health, status, and the few things that can be asked of a running proxy.
//!
//! Never subject to shedding: it has its own socket, its own runtime and no limit but a bound on connections. What
//! changes something is for the operator alone: from loopback, or with the token; and never for a web page that a
//! browser on this machine happens to show.

mod patient;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, ORIGIN, VARY,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::patient::Patient;
use crate::explain;
use crate::history;
use crate::metrics::{Format, render};
use crate::page;
use crate::recent;
use crate::shared::Shared;
use crate::status;
use crate::stream::{Events, READERS, Streams};

/// Connections served at once: scrapers, probes and a few people.
const CONNECTIONS: usize = 64;

/// Time for a request's head; probes and scrapers send theirs at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the readiness check may try to reach an upstream that has never answered.
const PROBE_PATIENCE: Duration = Duration::from_millis(500);

/// What the operator asks of the process; each is answered with what was done, or why not.
pub(crate) enum Command {
    Reload(oneshot::Sender<Result<String, String>>),
    Drain(oneshot::Sender<Result<String, String>>),
    Undrain(oneshot::Sender<Result<String, String>>),
}

/// Serves the admin address for ever.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    streams: Arc<Streams>,
    commands: mpsc::Sender<Command>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (shared, streams, commands) = (Arc::clone(&shared), Arc::clone(&streams), commands.clone());
        tokio::spawn(async move {
            let service = service_fn(async |request: Request<Incoming>| {
                if is_stream(&request) {
                    return Ok(stream_to(&streams, &shared));
                }
                answer(request, peer, &shared, &commands).await
            });
            // An error concerns this client alone, and it knows.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(Patient::new(stream)), service)
                .await;
            drop(place);
        });
    }
}

type Answer = Response<Either<Full<Bytes>, Events>>;

fn is_stream(request: &Request<Incoming>) -> bool {
    request.uri().path() == "/api/v1/stream" && request.method() == Method::GET
}

fn stream_to(streams: &Streams, shared: &Arc<Shared>) -> Answer {
    match streams.subscribe(shared) {
        Some(events) => {
            let mut answer = with_type(StatusCode::OK, "text/event-stream", "");
            *answer.body_mut() = Either::Right(events);
            answer
        }
        None => text(StatusCode::SERVICE_UNAVAILABLE, format!("{READERS} are reading already\n")),
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    shared: &Arc<Shared>,
    commands: &mpsc::Sender<Command>,
) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(match path {
        "/-/reload" | "/-/drain" | "/-/undrain" if request.method() != Method::POST => not_allowed("POST"),
        "/-/reload" => command(&request, peer, shared, commands, Command::Reload).await,
        "/-/drain" => command(&request, peer, shared, commands, Command::Drain).await,
        "/-/undrain" => command(&request, peer, shared, commands, Command::Undrain).await,
        "/api/v1/stream" => not_allowed("GET"),
        "/" | "/metrics" | "/healthz" | "/livez" | "/readyz" if !reads => not_allowed("GET, HEAD"),
        "/api/v1/status" | "/api/v1/explain" | "/api/v1/recent" | "/api/v1/history" | "/api/v1/config"
            if !reads =>
        {
            not_allowed("GET, HEAD")
        }
        "/" => {
            let accept = request.headers().get(ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
            let mut answer =
                if page::is_wanted(accept) { file("/index.html") } else { text(StatusCode::OK, INDEX) };
            answer.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
            answer
        }
        "/metrics" => {
            let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
            let format = Format::from_accept(accept.unwrap_or_default());
            let page = render(shared, format);
            with_type(StatusCode::OK, format.content_type(), page)
        }
        "/healthz" | "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" => ready(shared).await,
        "/api/v1/status" => json(&status::json(shared)),
        "/api/v1/recent" => json(&recent::json(shared)),
        "/api/v1/config" => json(&shared.effective.load()),
        "/api/v1/history" => {
            or_bad_request(history::answer(shared, request.uri().query().unwrap_or_default()))
        }
        "/api/v1/explain" => {
            or_bad_request(explain::answer(shared, request.uri().query().unwrap_or_default()))
        }
        path if page::find(path).is_some() && !reads => not_allowed("GET, HEAD"),
        path if page::find(path).is_some() => file(path),
        _ => text(StatusCode::NOT_FOUND, "not found; see /\n"),
    })
}

const INDEX: &str = "loadline\n\n\
    GET  /metrics          Prometheus text, or OpenMetrics by Accept\n\
    GET  /healthz          200 while the process runs\n\
    GET  /readyz           503 while draining, or while no upstream was ever reached\n\
    GET  /api/v1/status    limit, queue, counters, rates as JSON\n\
    GET  /api/v1/explain   what would become of a request: ?path=/x&method=GET&class=high&deadline=500ms&header=name:value\n\
    GET  /                 the live page, for browsers\n\
    GET  /api/v1/stream    the status four times a second, as server-sent events\n\
    GET  /api/v1/history   the last five minutes, second by second; ?after=MILLISECONDS for what is new\n\
    GET  /api/v1/config    every setting that holds, and where it came from\n\
    GET  /api/v1/recent    what was decided lately, request by request\n\
    POST /-/reload         read the configuration again\n\
    POST /-/drain          close connections after their answer; /-/undrain takes it back\n";

/// Ready as long as traffic can be served. A proxy that sheds is ready: taking it out would move its load to others.
async fn ready(shared: &Shared) -> Answer {
    if shared.is_draining() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    let upstream = &shared.live().upstream;
    if upstream.ever_reached() || upstream.probe(PROBE_PATIENCE).await {
        text(StatusCode::OK, "ok\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "the upstream has not been reached yet\n")
    }
}

async fn command(
    request: &Request<Incoming>,
    peer: SocketAddr,
    shared: &Shared,
    commands: &mpsc::Sender<Command>,
    make: fn(oneshot::Sender<Result<String, String>>) -> Command,
) -> Answer {
    if let Err(why) = may_command(request, peer, shared) {
        return text(StatusCode::FORBIDDEN, why);
    }
    let (reply, done) = oneshot::channel();
    if commands.send(make(reply)).await.is_err() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the process is ending\n");
    }
    match done.await {
        Ok(Ok(said)) => text(StatusCode::OK, said),
        Ok(Err(said)) => text(StatusCode::BAD_REQUEST, said),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the process is ending\n"),
    }
}

/// Whether this client may change something.
fn may_command(request: &Request<Incoming>, peer: SocketAddr, shared: &Shared) -> Result<(), &'static str> {
    let headers = request.headers();
    if let Some(token) = &shared.live().settings.admin.token {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        if same(given.as_bytes(), token.expose().as_bytes()) {
            return Ok(());
        }
    }
    if !peer.ip().to_canonical().is_loopback() {
        return Err("only from this machine, or with the token of admin.token\n");
    }
    // A page in a browser on this machine is on loopback too. Browsers say where a request comes from, and a name
    // that resolves to loopback shows in Host.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") || !is_loopback_name(host) {
        return Err("not from a web page\n");
    }
    Ok(())
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok()
}

/// Compares in a time that depends on the lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// A part of the live page. A browser may run and load what comes from here, and nothing else.
fn file(path: &str) -> Answer {
    let Some(file) = page::find(path) else { return text(StatusCode::NOT_FOUND, "not found; see /\n") };
    let mut answer = with_type(StatusCode::OK, file.content_type, file.content);
    for (name, value) in page::HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn or_bad_request(answer: Result<serde_json::Value, String>) -> Answer {
    match answer {
        Ok(document) => json(&document),
        Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    }
}

fn json(document: &serde_json::Value) -> Answer {
    with_type(StatusCode::OK, "application/json", format!("{document:#}\n"))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", body)
}

fn not_allowed(allow: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("use {allow}\n"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for name in ["127.0.0.1:8001", "[::1]:8001", "localhost", "LOCALHOST:1"] {
            assert!(is_loopback_name(name), "{name}");
        }
        for name in ["", "evil.example", "evil.example:8001", "localhost.evil.example"] {
            assert!(!is_loopback_name(name), "{name}");
        }
    }

    #[test]
    fn tokens_compare_whole() {
        assert!(same(b"secret", b"secret"));
        assert!(!same(b"secret", b"secreT") && !same(b"secret", b"secre") && !same(b"", b"s"));
    }
}
