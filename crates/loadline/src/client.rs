//! The client's side of a connection: bytes in, bytes out, and whether the client is still there.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use loadline_h1::{
    BodyDecoder, Framing, Limits, Refusal, RequestHead, encode_chunk_header, encode_last_chunk,
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::buffers::{BUFFER, Outbox, Scratch, poll_read_into};
use crate::connection::Active;
use crate::keepalive;
use crate::watchdog::Watchdog;
use crate::worker::Worker;

/// What a client connection can do beyond reading and writing.
pub(crate) trait ClientIo: AsyncRead + AsyncWrite + Unpin + Sized {
    /// Ready when a read would not wait, as far as is known without a buffer: lets an idle connection hold none.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether nothing but the end is left to be read. Costs a system call.
    fn is_at_end(&self) -> bool {
        false
    }

    /// A response follows that the client's rate will be judged by: what the client takes is to be seen soon, not only
    /// when a large part of the kernel's buffer has drained.
    fn show_progress(&self) {}

    /// The answer ends with the connection and is not complete: closing it in the usual way would say that it is.
    fn end_with_reset(&self) {}

    /// From now on silence means nothing: see [`keepalive`].
    fn probe(&self) {}

    /// Where a worker keeps what such connections need while they are active; `None` for those that are so only once.
    fn active(worker: &Worker) -> Option<&RefCell<Vec<Active<Self>>>>;
}

/// Bytes that the kernel holds unsent before it lets us wait, once progress is to be seen: enough to keep a fast
/// client busy, and what one at 32 kB/s takes within the usual `buffer.grace`.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;

impl ClientIo for TcpStream {
    fn active(worker: &Worker) -> Option<&RefCell<Vec<Active<Self>>>> {
        Some(&worker.active)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_read_ready(cx).map(|_| ())
    }

    fn is_at_end(&self) -> bool {
        matches!(SockRef::from(self).peek(&mut [MaybeUninit::uninit()]), Ok(0))
    }

    fn end_with_reset(&self) {
        // Where it fails, the client takes a part for the whole, as before.
        let _ = self.set_zero_linger();
    }

    fn probe(&self) {
        keepalive::probe(self);
    }

    #[cfg(target_os = "linux")]
    fn show_progress(&self) {
        // Without it progress is only seen in larger steps.
        let _ = SockRef::from(self).set_tcp_notsent_lowat(UNSENT);
    }
}

/// The two ends of a client connection, and how it speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The client's address.
    pub(crate) client: SocketAddr,
    /// Our address, as the client reached it.
    pub(crate) local: SocketAddr,
    /// Whether this is one stream of an HTTP/2 connection.
    pub(crate) http2: bool,
}

/// One client connection while it is served.
pub(crate) struct Client<S> {
    pub(crate) io: S,
    pub(crate) peer: Peer,
    pub(crate) watchdog: Watchdog,
    /// The client has closed, or at least half-closed, its side. As for every proxy that watches for it, a closed
    /// sending side counts as gone: a client that still waits does not close.
    pub(crate) gone: bool,
    /// Whether the kernel was never asked for the end of what the client sends.
    unasked: bool,
}

/// Why a request body could not be read to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The client left.
    Gone,
    /// The framing is broken; nothing after this point can be trusted.
    Refused(Refusal),
}

impl<S: ClientIo> Client<S> {
    pub(crate) fn new(io: S, peer: Peer) -> Self {
        Self { io, peer, watchdog: Watchdog::default(), gone: false, unasked: true }
    }

    /// Reads once into `inbox`. `Ready(false)` when the client has closed.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, inbox: &mut Vec<u8>) -> Poll<bool> {
        if self.gone {
            return Poll::Ready(false);
        }
        let got = ready!(poll_read_into(&mut self.io, cx, inbox, BUFFER / 4));
        self.gone = !matches!(got, Ok(n) if n > 0);
        Poll::Ready(!self.gone)
    }

    /// Ready when the client has left. What it sends meanwhile (pipelined requests) is kept, up to a bound, after
    /// which the client is no longer watched: it is evidently there.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>, inbox: &mut Vec<u8>) -> Poll<()> {
        while inbox.len() < 4 * BUFFER {
            if !ready!(self.poll_fill(cx, inbox)) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Whether the client has left already: while we, or the kernel's queue before us, kept it waiting.
    pub(crate) async fn has_left(&mut self, inbox: &mut Vec<u8>) -> bool {
        // Of a new socket the runtime has heard nothing but that it may be read.
        self.gone |= std::mem::take(&mut self.unasked) && self.io.is_at_end();
        poll_fn(|cx| Poll::Ready(self.poll_gone(cx, inbox).is_ready())).await
    }

    /// Moves body bytes from the client to `out`, framed for forwarding. Ready when something was moved or the body
    /// is complete (`Ok(true)`).
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut RequestBody,
        inbox: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<bool, BodyError>> {
        loop {
            if body.take(inbox, out).map_err(BodyError::Refused)? {
                return Poll::Ready(Ok(body.done()));
            }
            if !ready!(self.poll_fill(cx, inbox)) {
                return Poll::Ready(Err(BodyError::Gone));
            }
        }
    }

    /// Writes all of `out`, within `patience` of silence from the client.
    pub(crate) async fn flush(&mut self, out: &mut Outbox, patience: Duration) -> io::Result<()> {
        let mut deadline: Option<Instant> = None;
        poll_fn(|cx| {
            while out.pending() > 0 {
                match out.poll_write(&mut self.io, cx) {
                    Poll::Ready(Ok(_)) => deadline = None,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        let now = Instant::now();
                        let at = *deadline.get_or_insert(now + patience);
                        ready!(self.watchdog.poll(cx, now, at));
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                }
            }
            out.clear();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Closes in a way that lets the client read our last answer: a close with unread bytes in our socket would
    /// reset the connection and may destroy the answer under way. So the sending side is closed, and what still
    /// arrives is dropped, for a bounded time and amount.
    pub(crate) async fn linger(&mut self, scratch: &mut Scratch) {
        const PATIENCE: Duration = Duration::from_secs(1);
        const MOST: usize = 1024 * 1024;
        let until = Instant::now() + PATIENCE;
        let drain = async {
            if self.io.shutdown().await.is_err() {
                return;
            }
            let mut dropped = 0;
            while dropped < MOST {
                scratch.inbox.clear();
                if !poll_fn(|cx| self.poll_fill(cx, &mut scratch.inbox)).await {
                    return;
                }
                dropped += scratch.inbox.len();
            }
        };
        let _ = tokio::time::timeout_at(until, drain).await;
    }
}

/// A request body on its way: where its bytes begin in the inbox, and its framing.
pub(crate) struct RequestBody {
    decoder: BodyDecoder,
    /// The body's bytes follow the head, which stays where it is.
    start: usize,
    chunked: bool,
    /// Body bytes moved so far, framing not counted.
    pub(crate) bytes: u64,
    ended: bool,
}

impl RequestBody {
    /// The body that follows `head`.
    pub(crate) fn of(head: &RequestHead, limits: &Limits) -> Self {
        let decoder = BodyDecoder::new(head.framing, limits);
        let ended = decoder.is_done();
        Self { decoder, start: head.len, chunked: head.framing == Framing::Chunked, bytes: 0, ended }
    }

    /// Whether the whole body was taken.
    pub(crate) fn done(&self) -> bool {
        self.ended
    }

    /// Body bytes still to come, where the framing tells.
    pub(crate) fn remaining(&self) -> Option<u64> {
        if self.ended { Some(0) } else { self.decoder.remaining() }
    }

    /// Moves what has arrived. `true` when something was moved or the body is complete.
    fn take(&mut self, inbox: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        let mut at = self.start;
        let before = self.bytes;
        while !self.ended {
            let step = self.decoder.decode(&inbox[at..])?;
            let data = &inbox[at..][step.data.clone()];
            if !data.is_empty() {
                if self.chunked {
                    encode_chunk_header(out, data.len());
                }
                out.extend_from_slice(data);
                if self.chunked {
                    out.extend_from_slice(b"\r\n");
                }
                self.bytes += data.len() as u64;
            }
            at += step.consumed;
            if step.done {
                self.ended = true;
                if self.chunked {
                    encode_last_chunk(out, self.decoder.trailers());
                }
            }
            if step.consumed == 0 {
                break;
            }
        }
        inbox.drain(self.start..at);
        Ok(self.ended || self.bytes > before)
    }
}

/// One connection as its worker sees it: whether it idles, and how to tell it that it is to go.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    waiting: RefCell<Option<Waker>>,
    closing: Cell<bool>,
    idle_since: Cell<Option<Instant>>,
}

impl Slot {
    /// Ready when the connection is to close instead of waiting for another request; otherwise notes whom to wake.
    pub(crate) fn poll_closing(&self, cx: &Context<'_>) -> Poll<()> {
        if self.closing.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Notes since when the connection idles, if it does.
    pub(crate) fn idles(&self, since: Option<Instant>) {
        self.idle_since.set(since);
    }

    /// Since when it has been idle; `None` when it is not, or is to go anyway.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.idle_since.get().filter(|_| !self.closing.get())
    }

    /// Closes the connection as soon as it idles.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}
