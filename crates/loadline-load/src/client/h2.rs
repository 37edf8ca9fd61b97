//! HTTP/2 without TLS, by prior knowledge (RFC 9113 section 3.3), through hyper.
//!
//! A connection carries a hundred requests at once; with more in flight there are more connections. A server that allows
//! fewer makes the rest wait, and that wait is in the latency.

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::sync::OnceCell;

use super::{Dialer, Failure, Outgoing, REASON_BYTES};
use crate::outcome::Answer;
use crate::plan::Plan;

/// Requests in flight per connection: what every server should allow (RFC 9113 section 6.5.2).
const STREAMS: usize = 100;

/// Flow-control window per stream and per connection: an answer is not held up by us.
const WINDOW: u32 = 1 << 20;

/// Open connections, full ones too.
pub(super) struct Pool {
    connections: RefCell<Vec<Rc<Connection>>>,
    /// Each target's request without the fields that differ from request to request.
    requests: Vec<Request<Full<Bytes>>>,
    streams: usize,
}

#[derive(Default)]
struct Connection {
    sender: OnceCell<SendRequest<Full<Bytes>>>,
    in_flight: Cell<usize>,
    /// No further request: it is broken, or was meant for one only.
    retired: Cell<bool>,
}

/// One request's place on a connection.
struct Place<'a>(&'a Pool, Rc<Connection>);

/// Spawns a connection's task on this thread.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl Pool {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            connections: RefCell::default(),
            requests: (0..plan.targets.len()).map(|target| request(plan, target)).collect(),
            streams: if plan.new_connections { 1 } else { STREAMS },
        }
    }

    pub(super) async fn exchange(&self, dialer: &Dialer, outgoing: &Outgoing<'_>) -> Result<Answer, Failure> {
        let Place(_, connection) = &self.place();
        let connected = connection.sender.get_or_try_init(|| connect(dialer)).await;
        let sender = connected.inspect_err(|_| connection.retired.set(true))?;
        connection.retired.set(connection.retired.get() || self.streams == 1);
        let result = Self::run(sender.clone(), self.compose(outgoing)).await;
        if result.is_err() && sender.is_closed() {
            connection.retired.set(true);
        }
        result
    }

    /// A place on a connection that has room, or on one that is yet to be opened.
    fn place(&self) -> Place<'_> {
        let mut connections = self.connections.borrow_mut();
        let usable = |connection: &&Rc<Connection>| {
            let closed = connection.sender.get().is_some_and(SendRequest::is_closed);
            !connection.retired.get() && !closed && connection.in_flight.get() < self.streams
        };
        let connection = connections.iter().find(usable).cloned().unwrap_or_else(|| {
            connections.push(Rc::default());
            Rc::clone(connections.last().expect("one was just pushed"))
        });
        connection.in_flight.set(connection.in_flight.get() + 1);
        Place(self, connection)
    }

    fn compose(&self, outgoing: &Outgoing<'_>) -> Request<Full<Bytes>> {
        let mut request = self.requests[outgoing.target].clone();
        outgoing.each_field(|name, value| {
            let field = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_bytes(value).ok());
            if let Some((name, value)) = field {
                request.headers_mut().append(name, value);
            }
        });
        request
    }

    async fn run(
        mut sender: SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Failure> {
        let response = sender.send_request(request).await.map_err(broken)?;
        let (parts, mut body) = response.into_parts();
        let mut start = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(broken)?;
            if let Some(data) = frame.data_ref().filter(|_| parts.status.as_u16() >= 400) {
                let room = REASON_BYTES.saturating_sub(start.len()).min(data.len());
                start.extend_from_slice(&data[..room]);
            }
        }
        let fields = parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        Ok(Answer::read(parts.status.as_u16(), fields, &start))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Self(pool, connection) = self;
        connection.in_flight.set(connection.in_flight.get() - 1);
        let over = connection.retired.get() || connection.sender.get().is_some_and(SendRequest::is_closed);
        if over && connection.in_flight.get() == 0 {
            pool.connections.borrow_mut().retain(|other| !Rc::ptr_eq(other, connection));
        }
    }
}

async fn connect(dialer: &Dialer) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TokioIo::new(dialer.connect().await?);
    let mut builder = http2::Builder::new(Here);
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let (sender, connection) = builder.handshake(stream).await.map_err(broken)?;
    tokio::task::spawn_local(async move {
        // Its end, good or bad, reaches every request on it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// The library's words, and those of its cause, which say more.
fn broken(error: hyper::Error) -> Failure {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Failure::Broken(format!("{error}{cause}").into())
}

/// The plan was checked, so that each part can be sent; what cannot is left out.
fn request(plan: &Plan, target: usize) -> Request<Full<Bytes>> {
    let target = &plan.targets[target];
    let host = target.headers.iter().find(|field| field.name == HOST.as_str());
    let authority = host.map_or(&plan.url.authority, |field| &field.value);
    let mut request = Request::new(Full::new(Bytes::from(target.body.clone())));
    *request.method_mut() = Method::from_bytes(target.method.as_bytes()).unwrap_or_default();
    *request.uri_mut() = format!("http://{authority}{}", target.path).parse().unwrap_or_default();
    for field in target.headers.iter().filter(|field| field.name != HOST.as_str()) {
        let pair =
            HeaderName::from_bytes(field.name.as_bytes()).ok().zip(HeaderValue::from_str(&field.value).ok());
        if let Some((name, value)) = pair {
            request.headers_mut().append(name, value);
        }
    }
    request
}
