//! The response of an admitted request, or the answer to one that was not.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{AsResponse, ResponseBody, reject::Protocol};
use crate::{AdmitFuture, Error};

pin_project! {
    /// The future of a [`LoadlineService`](super::LoadlineService) that answers rejections itself.
    #[must_use = "a future does nothing unless awaited"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<http::Request<B>>,
    {
        #[pin]
        admit: AdmitFuture<S, B>,
        answer: AsResponse,
        // 1 unless it is a retry.
        attempt: u32,
    }
}

impl<S: Service<http::Request<B>>, B> ResponseFuture<S, B> {
    pub(super) const fn new(admit: AdmitFuture<S, B>, answer: AsResponse, attempt: u32) -> Self {
        Self { admit, answer, attempt }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    R: Body<Data: From<Bytes>>,
{
    type Output = Result<http::Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        Poll::Ready(match ready!(this.admit.as_mut().poll(context)) {
            Ok(response) => Ok(response.map(ResponseBody::served)),
            Err(Error::Shed(rejection)) => {
                let request = this.admit.as_ref().request().expect("the service was not called with it");
                let response = this.answer.respond(&rejection, Protocol::of(request, *this.attempt));
                Ok(response.map(|body| ResponseBody::rejected(body.into())))
            }
            Err(Error::Inner(error)) => Err(error),
        })
    }
}

impl<S: Service<http::Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("admit", &self.admit).finish_non_exhaustive()
    }
}
