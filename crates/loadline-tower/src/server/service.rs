//! The service: always ready, asks for a slot in `call`.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use loadline_http::classify::attempt;
use tower_service::Service;

use super::{AsError, AsResponse, ResponseBody, ResponseFuture, reject::Protocol};
use crate::{AdmitFuture, Classify, Deadlines, Error, Gate, Observer, PermitBody, admit::Arrival};

/// A service behind a gate. Made by [`LoadlineLayer`](super::LoadlineLayer).
///
/// It is always ready. Readiness may be polled before there is a request, so nothing is taken for it; the inner service is
/// asked for its own when the request has a slot. It must be `Clone`, for each request is answered by a clone.
#[derive(Clone)]
pub struct LoadlineService<S, C, A> {
    pub(super) inner: S,
    pub(super) gate: Gate,
    pub(super) classify: C,
    pub(super) answer: A,
    pub(super) deadlines: Deadlines,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

impl<S, C, A> LoadlineService<S, C, A> {
    fn admit<B>(&self, request: http::Request<B>, attempt: u32) -> AdmitFuture<S, B>
    where
        S: Service<http::Request<B>> + Clone,
        C: Classify<B>,
    {
        let observer = self.observer.as_ref();
        let mut asked = self.classify.classify(&request);
        asked.retry |= attempt > 1;
        let time = self.deadlines.read(request.headers(), observer);
        let arrival = Arrival::new(&self.gate, asked, &time);
        AdmitFuture::new(&self.gate, &arrival, observer, None, &self.inner, request)
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
        let attempt = attempt_of(request.headers());
        let protocol = Protocol::of(&request, attempt);
        ResponseFuture::new(self.admit(request, attempt), self.answer, protocol)
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
        let attempt = attempt_of(request.headers());
        self.admit(request, attempt)
    }
}

/// By the attempt headers of clients; see [`attempt`].
fn attempt_of(headers: &HeaderMap) -> u32 {
    attempt(headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
}

impl<S: fmt::Debug, C, A: fmt::Debug> fmt::Debug for LoadlineService<S, C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadlineService")
            .field("inner", &self.inner)
            .field("gate", &self.gate)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}
