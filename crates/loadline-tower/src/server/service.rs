//! The service: always ready, asks for a slot in `call`.

use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::Body;
use loadline_http::classify::{attempt, is_attempt_header};
use tower_service::Service;

use super::{AsError, AsResponse, ResponseBody, ResponseFuture};
use crate::{AdmitFuture, Classify, Error, PermitBody, admit::Arrival, deadlines::Time, entrance::Entrance};

/// A service behind a gate. Made by [`LoadlineLayer`](super::LoadlineLayer).
///
/// It is always ready. Readiness may be polled before there is a request, so nothing is taken for it; the inner service is
/// asked for its own when the request has a slot. It must be `Clone`, for each request is answered by a clone.
#[derive(Clone)]
pub struct LoadlineService<S, C, A> {
    pub(super) inner: S,
    pub(super) entrance: Entrance<C>,
    pub(super) answer: A,
}

impl<S, C, A> LoadlineService<S, C, A> {
    /// With the number of the attempt, 1 unless it is a retry.
    fn admit<B>(&self, request: http::Request<B>) -> (AdmitFuture<S, B>, u32)
    where
        S: Service<http::Request<B>> + Clone,
        C: Classify<B>,
    {
        let mut asked = self.entrance.classify.classify(&request);
        let (time, attempt) = self.heed(request.headers());
        asked.retry |= attempt > 1;
        let arrival = Arrival::new(&self.entrance.gate, asked, &time);
        (self.entrance.admit(&arrival, None, &self.inner, request), attempt)
    }

    /// Until when the client waits, and which attempt this is. Most requests say neither: one look at their names, no clock.
    fn heed(&self, headers: &HeaderMap) -> (Time, u32) {
        let says = |name: &HeaderName| {
            self.entrance.deadlines.heeds(name) || is_attempt_header(name.as_str().as_bytes())
        };
        if !headers.keys().any(says) {
            return (self.entrance.deadlines.unsaid(), 1);
        }
        let fields = headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        (self.entrance.read(headers), attempt(fields))
    }
}

impl<S, C, B, R> Service<http::Request<B>> for LoadlineService<S, C, AsResponse>
where
    S: Service<http::Request<B>, Response = http::Response<R>> + Clone,
    C: Classify<B>,
    R: Body<Data: From<Bytes>>,
{
    type Response = http::Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (admit, attempt) = self.admit(request);
        ResponseFuture::new(admit, self.answer, attempt)
    }
}

impl<S, C, B, R> Service<http::Request<B>> for LoadlineService<S, C, AsError>
where
    S: Service<http::Request<B>, Response = http::Response<R>> + Clone,
    C: Classify<B>,
    R: Body,
{
    type Response = http::Response<PermitBody<R>>;
    type Error = Error<S::Error>;
    type Future = AdmitFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.admit(request).0
    }
}

impl<S: fmt::Debug, C, A: fmt::Debug> fmt::Debug for LoadlineService<S, C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadlineService")
            .field("inner", &self.inner)
            .field("gate", &self.entrance.gate)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}
