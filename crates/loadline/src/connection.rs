//! One client connection, from accept to close: idle, a head, the pipeline, and again.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use loadline_h1::{Refusal, Status};
use tokio::time::Instant;

use crate::buffers::Scratch;
use crate::client::{Client, ClientIo, Peer, Slot};
use crate::exchange::Exchange;
use crate::live::Live;
use crate::observe;
use crate::pipeline::{self, After};
use crate::reply::{self, LocalError};
use crate::reuse::Reusable;
use crate::worker::Worker;

/// What an HTTP/2 client with prior knowledge says first (RFC 9113, 3.4).
pub(crate) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The preface and the header of the SETTINGS frame, which a client sends with it unasked (RFC 9113, section 3.4). Who has come so far
/// speaks HTTP/2, and may be silent until it has something to ask; who has not is as slow as one whose head does not end.
const HTTP2_OPENING: usize = HTTP2_PREFACE.len() + 9;

/// How long a connection beyond the limit may stay silent: the reserve is small, and a health check speaks at once.
pub(crate) const RESERVE_PATIENCE: Duration = Duration::from_secs(1);

/// A connection that turned out to speak HTTP/2: its stream, and what was read from it.
pub(crate) struct Http2<S> {
    pub(crate) io: S,
    pub(crate) peer: Peer,
    pub(crate) place: Place,
    pub(crate) read: Box<Scratch>,
}

/// What the connection is counted as.
pub(crate) struct Place {
    pub(crate) slot: Rc<Slot>,
    /// Beyond `max_connections`, within the reserve for health checks.
    pub(crate) over_limit: bool,
}

/// One client connection. Boxed, because it changes hands whenever it becomes active and idles again.
pub(crate) struct Connection<S> {
    client: Client<S>,
    place: Place,
    worker: Rc<Worker>,
    history: History,
}

impl<S: ClientIo> Connection<S> {
    /// One that was accepted just now.
    pub(crate) fn new(io: S, peer: Peer, place: Place, worker: Rc<Worker>) -> Box<Self> {
        let now = Instant::now();
        let history = History { accepted: now, idle_since: now, served: false };
        Box::new(Self { client: Client::new(io, peer), place, worker, history })
    }
}

/// Serves HTTP/1.1 on the connection until it is closed. Returns it if its client speaks HTTP/2.
///
/// While the connection idles, it and this future are all that it costs; what an active one needs is borrowed from the worker.
pub(crate) async fn serve<S: ClientIo + 'static>(mut connection: Box<Connection<S>>) -> Option<Http2<S>> {
    let mut now = connection.history.idle_since;
    loop {
        if !wait_readable(&mut connection, now).await {
            return None;
        }
        let worker = Rc::clone(&connection.worker);
        let mut active = take_active(&worker);
        active.begin(connection);
        let next;
        (connection, next) = poll_fn(|cx| active.poll(cx)).await;
        give_active(&worker, active);
        match next {
            Next::Idle(since) => now = since,
            Next::Closed => return None,
            Next::Http2(read) => {
                let Connection { client, place, .. } = *connection;
                return Some(Http2 { peer: client.peer, io: client.io, place, read });
            }
        }
    }
}

/// What one request needs to know of those before it.
struct History {
    accepted: Instant,
    /// When the connection was accepted, or the last request was done.
    idle_since: Instant,
    /// Whether it has carried a request.
    served: bool,
}

pub(crate) enum Next {
    /// It waits for the next request, since this moment.
    Idle(Instant),
    Closed,
    Http2(Box<Scratch>),
}

/// Where a connection is that is not idle, until it is handed back.
pub(crate) type Active<S> = Reusable<Box<Connection<S>>, (Box<Connection<S>>, Next)>;

/// [`Active`]s that are kept per worker: as many connections at once find one.
const ACTIVE_KEPT: usize = 256;

fn take_active<S: ClientIo + 'static>(worker: &Worker) -> Active<S> {
    let kept = S::active(worker).and_then(|kept| kept.borrow_mut().pop());
    kept.unwrap_or_else(|| Reusable::new(be_active))
}

fn give_active<S: ClientIo>(worker: &Worker, active: Active<S>) {
    if let Some(kept) = S::active(worker)
        && kept.borrow().len() < ACTIVE_KEPT
    {
        kept.borrow_mut().push(active);
    }
}

/// Serves requests as long as there are bytes of them, and hands the connection back.
async fn be_active<S: ClientIo>(mut connection: Box<Connection<S>>) -> (Box<Connection<S>>, Next) {
    let next = serve_requests(&mut connection).await;
    (connection, next)
}

async fn serve_requests<S: ClientIo>(connection: &mut Connection<S>) -> Next {
    let Connection { client, place, worker, history } = connection;
    let mut scratch = worker.scratches.take();
    loop {
        let live = worker.live();
        let began = Instant::now();
        let http2 = !history.served && live.settings.http.http2 && !client.peer.http2;
        let record = |done| Exchange::new(history.accepted, history.idle_since, began, done);
        let after = match read_head(client, &mut scratch, &live, began, http2).await {
            Head::Http2 => return Next::Http2(scratch),
            Head::Nothing => {
                worker.scratches.give(scratch);
                return Next::Idle(began);
            }
            Head::Closed => After::Close,
            Head::Bad(error) => {
                let mut exchange = record(Instant::now());
                exchange.failed(&error);
                reply::unreadable(&mut scratch, &live, &error);
                exchange.bytes_out = scratch.to_client.pending() as u64;
                let sent = client.flush(&mut scratch.to_client, live.settings.timeouts.client).await;
                observe::unreadable(worker, &live, &client.peer, &exchange);
                if sent.is_ok() { After::Linger } else { After::Close }
            }
            Head::Complete(done) => {
                let mut exchange = record(done);
                let over_limit = place.over_limit;
                let after =
                    pipeline::handle(client, &mut scratch, worker, &live, &mut exchange, over_limit).await;
                history.idle_since = observe::request(worker, &live, &client.peer, &scratch, &exchange);
                after
            }
        };
        history.served = true;
        let stays = after == After::Keep && !client.gone;
        if stays {
            scratch.inbox.drain(..scratch.head.len.min(scratch.inbox.len()));
            if !scratch.inbox.is_empty() {
                scratch.clear();
                continue;
            }
        } else if after == After::Linger {
            client.linger(&mut scratch).await;
        }
        worker.scratches.give(scratch);
        return if stays { Next::Idle(history.idle_since) } else { Next::Closed };
    }
}

/// Until when a silent connection is kept. A new connection gets less than one that has sent a request: it exists in
/// order to send one.
fn patience(live: &Live, place: &Place, history: &History) -> Instant {
    let timeouts = &live.settings.timeouts;
    history.idle_since
        + match (place.over_limit, history.served) {
            (true, _) => timeouts.header.min(RESERVE_PATIENCE),
            (false, false) => timeouts.header.min(timeouts.idle),
            (false, true) => timeouts.idle,
        }
}

/// Waits for the first byte of a request without holding a buffer. `now`: the clock has just been read.
async fn wait_readable<S: ClientIo>(connection: &mut Connection<S>, now: Instant) -> bool {
    let Connection { client, place, worker, history } = connection;
    let due = patience(&worker.live(), place, history);
    let mut now = Some(now);
    place.slot.idles(Some(history.idle_since));
    let readable = poll_fn(|cx| {
        // What has arrived is served even when the proxy drains: its client cannot know that yet.
        if client.io.poll_readable(cx).is_ready() {
            return Poll::Ready(true);
        }
        if place.slot.poll_closing(cx).is_ready() {
            return Poll::Ready(false);
        }
        let now = now.take().unwrap_or_else(Instant::now);
        ready!(client.watchdog.poll(cx, now, due));
        Poll::Ready(false)
    })
    .await;
    place.slot.idles(None);
    readable
}

enum Head {
    /// A request's head, complete at this moment.
    Complete(Instant),
    Bad(LocalError),
    Closed,
    Http2,
    /// It was no byte that woke us, as happens with new sockets: back to waiting without a buffer.
    Nothing,
}

async fn read_head<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    live: &Live,
    began: Instant,
    http2: bool,
) -> Head {
    let due = began + live.settings.timeouts.header;
    let (mut seen, mut reads) = (0, 0);
    poll_fn(|cx| {
        loop {
            let inbox = &mut scratch.inbox;
            if inbox.len() > seen {
                seen = inbox.len();
                reads += 1;
                if http2 && speaks_http2(inbox) {
                    if seen >= HTTP2_OPENING {
                        return Poll::Ready(Head::Http2);
                    }
                } else {
                    match scratch.head.parse(inbox, &live.limits) {
                        Ok(Status::Complete) => {
                            // Where one read made it, the clock need not be asked again.
                            return Poll::Ready(Head::Complete(if reads == 1 {
                                began
                            } else {
                                Instant::now()
                            }));
                        }
                        Ok(Status::Partial) => {}
                        Err(refusal) => return Poll::Ready(Head::Bad(refusal.into())),
                    }
                }
            }
            match client.poll_fill(cx, inbox) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Head::Closed),
                // A pipe within the process cannot tell whether it is readable: it waits here.
                Poll::Pending if inbox.is_empty() && !client.peer.http2 => return Poll::Ready(Head::Nothing),
                Poll::Pending => {
                    ready!(client.watchdog.poll(cx, Instant::now(), due));
                    return Poll::Ready(if inbox.is_empty() {
                        Head::Closed
                    } else {
                        Head::Bad(LocalError::request_timeout())
                    });
                }
            }
        }
    })
    .await
}

fn speaks_http2(received: &[u8]) -> bool {
    let known = received.len().min(HTTP2_PREFACE.len());
    received[..known] == HTTP2_PREFACE[..known] && known > 2
}

impl From<Refusal> for LocalError {
    fn from(refusal: Refusal) -> Self {
        Self::refused(&refusal)
    }
}
