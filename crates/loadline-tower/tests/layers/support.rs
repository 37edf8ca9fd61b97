//! What the tests of the layers share.

use std::{
    collections::VecDeque,
    io,
    num::NonZeroU32,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use loadline_tower::{Gate, GateBuilder};

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn limit(limit: u32) -> GateBuilder {
    Gate::builder(NonZeroU32::new(limit).unwrap())
}

/// A body of given frames. Like a real stream, it does not know that it has ended before it is asked once more.
#[derive(Debug, Default)]
pub(crate) struct Chunks(VecDeque<Result<Frame<Bytes>, io::Error>>);

impl Chunks {
    pub(crate) fn new(frames: impl IntoIterator<Item = Result<Frame<Bytes>, io::Error>>) -> Self {
        Self(frames.into_iter().collect())
    }
}

pub(crate) fn data(text: &'static str) -> Result<Frame<Bytes>, io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

pub(crate) fn trailers() -> Result<Frame<Bytes>, io::Error> {
    Ok(Frame::trailers(HeaderMap::new()))
}

pub(crate) fn broken() -> Result<Frame<Bytes>, io::Error> {
    Err(io::Error::other("broken"))
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(self.0.pop_front())
    }
}

pub(crate) fn ok(frames: impl IntoIterator<Item = Result<Frame<Bytes>, io::Error>>) -> Response<Chunks> {
    Response::new(Chunks::new(frames))
}

/// Nothing is in flight or waits, and each offered request ended as exactly one thing.
pub(crate) fn assert_empty(gate: &Gate) {
    let snapshot = gate.snapshot();
    let total = snapshot.counters.total();
    assert_eq!((snapshot.in_flight, snapshot.bypass_in_flight, snapshot.queued), (0, 0, 0));
    assert_eq!(total.offered, total.admitted + total.shed_total() + total.abandoned);
    assert_eq!(total.admitted, total.ended());
}

/// Completed, failed, aborted.
pub(crate) fn ended(gate: &Gate) -> [u64; 3] {
    let total = gate.snapshot().counters.total();
    [total.completed, total.failed, total.aborted]
}
