//! The proxy's HTTP/1.1 answer as an HTTP/2 response.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONNECTION, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::{HeaderMap, Response, StatusCode};
use loadline_h1::{BodyDecoder, Framing, Limits, RequestKind, ResponseHead, Status};
use tokio::io::{DuplexStream, ReadHalf};

use super::Held;
use super::pace::Pace;
use crate::buffers::{BUFFER, poll_read_into};

/// Reads the final head; its body follows as it comes. `None`: the connection closed without an answer.
pub(crate) async fn receive(
    mut io: ReadHalf<DuplexStream>,
    kind: RequestKind,
    held: Held,
) -> Option<Response<StreamBody>> {
    // Our own words: what the upstream may say was judged when it was read.
    let limits =
        Limits { head_bytes: usize::MAX, fields: usize::MAX, trailer_bytes: usize::MAX, ..Limits::default() };
    let mut received = Vec::new();
    let mut head = ResponseHead::default();
    let complete = poll_fn(|cx| {
        loop {
            match head.parse(&received, kind, &limits) {
                Ok(Status::Complete) if head.is_interim() => {
                    received.drain(..head.len);
                    continue;
                }
                Ok(Status::Complete) => return Poll::Ready(true),
                Ok(Status::Partial) => {}
                Err(_) => return Poll::Ready(false),
            }
            match ready!(poll_read_into(&mut io, cx, &mut received, BUFFER / 4)) {
                Ok(n) if n > 0 => {}
                _ => return Poll::Ready(false),
            }
        }
    })
    .await;
    let status = StatusCode::from_u16(head.status).ok().filter(|_| complete)?;
    let pace = Pace::of_stream();
    pace.offered();
    let mut response = Response::new(StreamBody {
        pace,
        state: match head.framing {
            Framing::None | Framing::Length(0) => State::Ended,
            framing => State::Body(BodyDecoder::for_response(framing, &limits)),
        },
        io,
        received: received.split_off(head.len),
        _held: held,
    });
    *response.status_mut() = status;
    *response.headers_mut() = fields(head.iter(&received));
    Some(response)
}

fn fields<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            && ![CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(&name)
            && name.as_str() != "keep-alive"
        {
            headers.append(name, value);
        }
    }
    headers
}

/// The body of a response, decoded as it is asked for.
pub(crate) struct StreamBody {
    state: State,
    io: ReadHalf<DuplexStream>,
    received: Vec<u8>,
    pace: Rc<Pace>,
    _held: Held,
}

enum State {
    Body(BodyDecoder),
    /// All data was passed on.
    Trailers(HeaderMap),
    Ended,
    Broken,
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        this.pace.taken();
        loop {
            let decoder = match &mut this.state {
                State::Trailers(trailers) => {
                    let trailers = std::mem::take(trailers);
                    this.state = State::Ended;
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                State::Ended => return Poll::Ready(None),
                State::Broken => return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
                State::Body(decoder) => decoder,
            };
            let Ok(step) = decoder.decode(&this.received) else {
                this.state = State::Broken;
                continue;
            };
            let data = Bytes::copy_from_slice(&this.received[step.data.clone()]);
            this.received.drain(..step.consumed);
            let (moved, done) = (step.consumed > 0, step.done);
            if done {
                let trailers = fields(lines(decoder.trailers()));
                this.state = if trailers.is_empty() { State::Ended } else { State::Trailers(trailers) };
            }
            if !data.is_empty() {
                this.pace.offered();
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if moved || done {
                continue;
            }
            let State::Body(decoder) = &mut this.state else { continue };
            let read = ready!(poll_read_into(&mut this.io, cx, &mut this.received, BUFFER / 4));
            if !matches!(read, Ok(n) if n > 0) {
                let complete = decoder.on_eof().is_ok();
                this.state = if complete { State::Ended } else { State::Broken };
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Body(decoder) => decoder.remaining().map_or_else(SizeHint::default, SizeHint::with_exact),
            State::Ended => SizeHint::with_exact(0),
            State::Trailers(_) | State::Broken => SizeHint::default(),
        }
    }
}

/// The decoder's trailers, which it has validated: `name: value` and a line end each.
fn lines(trailers: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    trailers.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r")?;
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}
