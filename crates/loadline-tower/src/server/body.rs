//! One body type for both answers: the service's own, and a rejection.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::PermitBody;

pin_project! {
    /// The body of a response: the service's, which holds the slot ([`PermitBody`]), or that of a rejection.
    #[derive(Debug)]
    pub struct ResponseBody<B: Body> {
        #[pin]
        kind: Kind<B, B::Data>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B, D> {
        Served { #[pin] body: PermitBody<B> },
        // `None` when it was sent, or when there is nothing to send.
        Rejected { data: Option<D> },
    }
}

impl<B: Body> ResponseBody<B> {
    pub(super) const fn served(body: PermitBody<B>) -> Self {
        Self { kind: Kind::Served { body } }
    }

    pub(super) fn rejected(data: B::Data) -> Self {
        Self { kind: Kind::Rejected { data: Some(data).filter(Buf::has_remaining) } }
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().kind.project() {
            KindProjection::Served { body } => body.poll_frame(context),
            KindProjection::Rejected { data } => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Served { body } => body.is_end_stream(),
            Kind::Rejected { data } => data.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Served { body } => body.size_hint(),
            Kind::Rejected { data } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.remaining() as u64))
            }
        }
    }
}
