//! HTTP/2 from clients, cleartext with prior knowledge.
//!
//! Each stream becomes one HTTP/1.1 exchange on a pipe inside the process, served by the same code as any other
//! connection: the same strict head, the same pipeline, the same log line, and nothing that only one of the two
//! protocols can do. What the translation costs is a copy; HTTP/2 itself is hyper's.

mod pace;
mod pipe;
mod request;
mod response;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::Instant;

use self::pace::Paced;
use self::pipe::Rewound;
use self::response::StreamBody;
use crate::buffers::BUFFER;
use crate::client::Peer;
use crate::connection::{self, Connection, Http2, Place, RESERVE_PATIENCE};
use crate::watchdog::Watchdog;
use crate::worker::Worker;

/// Streams that one client connection may have open, as its peers among proxies allow.
const STREAMS: u32 = 100;

/// Resets by the client that are tolerated before the connection is cut: a client that opens and resets streams in a
/// loop costs work and gets none done.
const RESETS: usize = 64;

/// How much larger than `http.max_header_bytes` a head may be before HTTP/2 itself refuses it, with a bare 431 that nobody counts. In
/// between, the codec refuses it, as it does everybody's. More than 1 also because HTTP/2 counts 32 bytes more for each field.
const HEAD_SLACK: u32 = 2;

/// Bytes that a stream's pipe holds in each direction. The rest of an answer waits on the proxy's side of it, where it is counted and
/// where a client that does not read is noticed. Half of it made large answers a third slower (debug build).
const PIPE: usize = 2 * BUFFER;

/// Bytes of one stream that are framed and not yet sent; with the usual 400 kB the streams of a connection that stands still would hold
/// 40 MB.
const UNSENT: usize = 4 * BUFFER;

/// Silence after which the client is asked whether it is still there.
const PING_AFTER: Duration = Duration::from_secs(30);

/// How long a client that was told to go may take to acknowledge it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves an HTTP/2 connection until it is closed, or until it idles while the proxy drains.
pub(crate) async fn serve(upgraded: Http2<TcpStream>, worker: Rc<Worker>) {
    let Http2 { io, peer, place: Place { slot, over_limit }, mut read } = upgraded;
    let io = Rewound::new(io, std::mem::take(&mut read.inbox));
    worker.scratches.give(read);
    let live = worker.live();
    let head_bytes = u32::try_from(live.limits.head_bytes).unwrap_or(u32::MAX);
    let streams = Rc::new(Streams::default());
    let service = {
        let (worker, streams) = (Rc::clone(&worker), Rc::clone(&streams));
        service_fn(move |request| {
            stream(request, peer, over_limit, Rc::clone(&worker), Streams::enter(&streams))
        })
    };
    let executor = Paced { patience: live.settings.timeouts.client };
    let mut builder = hyper::server::conn::http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_send_buf_size(UNSENT)
        .max_concurrent_streams(STREAMS)
        .max_local_error_reset_streams(RESETS)
        .max_pending_accept_reset_streams(RESETS)
        .max_header_list_size(head_bytes.saturating_mul(HEAD_SLACK))
        // What passes through gets nothing added.
        .auto_date_header(false)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(live.settings.timeouts.client);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
    let patience = live.settings.timeouts.idle;
    let patience = if over_limit { patience.min(RESERVE_PATIENCE) } else { patience };
    let mut told: Option<Instant> = None;
    let mut watchdog = Watchdog::default();
    // What ends it, an error of the client included, ends the connection and concerns nobody else.
    let _ = std::future::poll_fn(|cx| {
        if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        let now = Instant::now();
        slot.idles(streams.idle_since());
        if told.is_none() {
            let due = streams.idle_since().map(|since| since + patience);
            let idle = due.is_some_and(|due| watchdog.poll(cx, now, due).is_ready());
            if idle || worker.shared.is_draining() || slot.poll_closing(cx).is_ready() {
                told = Some(now);
                serving.as_mut().graceful_shutdown();
                if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
                    return Poll::Ready(ended);
                }
            }
        }
        // A client that does not acknowledge is not waited for.
        if let (Some(told), true) = (told, streams.idle_since().is_some()) {
            return watchdog.poll(cx, now, told + FAREWELL).map(|()| Ok(()));
        }
        Poll::Pending
    })
    .await;
}

/// Serves one stream.
async fn stream(
    request: Request<Incoming>,
    peer: Peer,
    over_limit: bool,
    worker: Rc<Worker>,
    active: Active,
) -> io::Result<Response<StreamBody>> {
    let (near, far) = tokio::io::duplex(PIPE);
    let place = Place { slot: Rc::default(), over_limit };
    let peer = Peer { http2: true, ..peer };
    spawn_local(connection::serve(Connection::new(far, peer, place, worker)));
    let (from_proxy, mut to_proxy) = tokio::io::split(near);
    let (parts, body) = request.into_parts();
    let kind = request::kind(&parts);
    let sending = spawn_local(async move { request::send(&parts, body, &mut to_proxy).await });
    // A reset stream drops the response or this future, and with it the request that is still under way.
    let upload = AbortOnDrop(sending.abort_handle());
    // Without an answer the stream is reset, as an HTTP/1.1 connection would be closed.
    response::receive(from_proxy, kind, Held { _upload: upload, _active: active })
        .await
        .ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
}

/// The streams of one connection: how many are open, or since when none is.
struct Streams {
    open: Cell<usize>,
    idle_since: Cell<Instant>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { open: Cell::new(0), idle_since: Cell::new(Instant::now()) }
    }
}

impl Streams {
    fn enter(streams: &Rc<Self>) -> Active {
        streams.open.set(streams.open.get() + 1);
        Active(Rc::clone(streams))
    }

    fn idle_since(&self) -> Option<Instant> {
        (self.open.get() == 0).then(|| self.idle_since.get())
    }
}

/// Counts one stream while it is open.
struct Active(Rc<Streams>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.idle_since.set(Instant::now());
    }
}

/// What lives as long as a stream's response.
pub(crate) struct Held {
    _upload: AbortOnDrop,
    _active: Active,
}

/// Ends the sending half when the receiving one is gone.
pub(crate) struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl crate::client::ClientIo for tokio::io::DuplexStream {
    fn active(_: &Worker) -> Option<&RefCell<Vec<connection::Active<Self>>>> {
        None
    }

    fn poll_readable(&self, _: &mut std::task::Context<'_>) -> Poll<()> {
        // Its only request is under way already.
        Poll::Ready(())
    }
}
