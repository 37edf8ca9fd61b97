//! Holding a request's body before admission.
//!
//! A limiter that grants the slot before the body is in is switched off by a few dozen sockets that send one byte a
//! second. So the body is read first, up to `buffer.request` and within `timeouts.body`; what is larger streams after
//! admission, with a minimum rate. Streaming calls (gRPC) and upgrades have no end to wait for and pass at once.

use std::future::poll_fn;
use std::task::{Poll, ready};

use loadline_h1::RequestHead;
use tokio::time::Instant;

use crate::buffers::{BUFFER, Charge, Scratch};
use crate::client::{BodyError, Client, ClientIo, Peer, RequestBody};
use crate::live::Live;
use crate::reply::LocalError;
use crate::worker::Worker;

/// What became of the body.
pub(crate) enum Held {
    /// The request may ask for a slot: its body is here, or it is one that streams. The charge covers what is held
    /// and is kept as long as that.
    Ready(Charge),
    /// The client left.
    Gone,
    /// The body cannot be had.
    Failed(LocalError),
}

/// Reads the body as far as it is to be held, into `scratch.held`.
pub(crate) async fn body<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    worker: &Worker,
    live: &Live,
    body: &mut RequestBody,
) -> Held {
    let mut charge = Charge::new(&worker.shared.budget);
    scratch.held.clear();
    if body.done() || streams(scratch, &client.peer) {
        return Held::Ready(charge);
    }
    let most = live.settings.buffer.request;
    let fits = body.remaining().is_none_or(|length| length <= most);
    if expects_continue(&scratch.head, &scratch.inbox) {
        // A large upload is asked for only once it has a slot: that is what its client offers to wait for.
        if !fits {
            return Held::Ready(charge);
        }
        if ask_for_body(client, scratch, live).await.is_err() {
            return Held::Gone;
        }
    }
    let due = Instant::now() + live.settings.timeouts.body;
    let stopped = poll_fn(|cx| {
        loop {
            let Scratch { inbox, held, .. } = scratch;
            if body.done() || body.bytes >= most || !charge.cover(held.len() + BUFFER) {
                return Poll::Ready(None);
            }
            match client.poll_body(cx, body, inbox, held) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(BodyError::Gone)) => return Poll::Ready(Some(Held::Gone)),
                Poll::Ready(Err(BodyError::Refused(refusal))) => {
                    return Poll::Ready(Some(Held::Failed(refusal.into())));
                }
                Poll::Pending => {
                    ready!(client.watchdog.poll(cx, Instant::now(), due));
                    return Poll::Ready(Some(Held::Failed(LocalError::request_timeout())));
                }
            }
        }
    })
    .await;
    stopped.unwrap_or(Held::Ready(charge))
}

/// Whether the request's body may last as long as the call: gRPC. That is HTTP/2 by definition; over HTTP/1.1 its name
/// would only be a way to a slot before the body.
pub(crate) fn streams(scratch: &Scratch, peer: &Peer) -> bool {
    peer.http2 && scratch.head.is_grpc(&scratch.inbox)
}

/// Whether the client waits for `100 Continue` and has not begun to send all the same.
pub(crate) fn expects_continue(head: &RequestHead, inbox: &[u8]) -> bool {
    head.expect_continue && inbox.len() <= head.len
}

/// Tells the client to send its body.
pub(crate) async fn ask_for_body<S: ClientIo>(
    client: &mut Client<S>,
    scratch: &mut Scratch,
    live: &Live,
) -> std::io::Result<()> {
    scratch.to_client.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    client.flush(&mut scratch.to_client, live.settings.timeouts.client).await
}
