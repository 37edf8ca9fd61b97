//! A response body of a given length that is never in memory at once.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Bytes per frame: large enough to keep a fast reader busy, small beside any buffer limit.
const FRAME: usize = 16 * 1024;

static FRAME_BYTES: [u8; FRAME] = [b'.'; FRAME];

/// The dots that `/bytes/<n>` sends.
#[derive(Debug)]
pub(crate) struct Filler {
    left: u64,
}

impl Filler {
    /// A body of `length` bytes.
    pub(crate) fn new(length: u64) -> Self {
        Self { left: length }
    }
}

impl Body for Filler {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.left).map_or(FRAME, |left| left.min(FRAME));
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&FRAME_BYTES[..length])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn is_as_long_as_it_says() {
        for length in [0, 1, FRAME as u64, 3 * FRAME as u64 + 7] {
            let body = Filler::new(length);
            assert_eq!(body.size_hint().exact(), Some(length));
            let bytes = body.collect().await.unwrap().to_bytes();
            assert_eq!(bytes.len() as u64, length);
        }
    }
}
