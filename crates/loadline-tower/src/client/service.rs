//! The client behind a gate: always ready, asks for a slot in `call`.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http_body::Body;
use loadline_core::Class;
use tower_service::Service;

use crate::{AdmitFuture, Error, Gate, Observer, PermitBody};

/// A client behind a gate. Made by [`ClientLayer`](super::ClientLayer).
///
/// It is always ready, and waits for the client to become ready when the request has its slot: a client that has no
/// connection to spare uses up the limit instead of letting callers wait unseen. It must be `Clone`, for each request is
/// sent by a clone.
#[derive(Clone)]
pub struct ClientService<S> {
    pub(super) inner: S,
    pub(super) gate: Gate,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

impl<S, B, R> Service<http::Request<B>> for ClientService<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>> + Clone,
    R: Body,
{
    type Response = http::Response<PermitBody<R>>;
    type Error = Error<S::Error>;
    type Future = AdmitFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        AdmitFuture::new(&self.gate, Class::Normal, self.observer.as_ref(), &self.inner, request)
    }
}

impl<S: fmt::Debug> fmt::Debug for ClientService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientService")
            .field("inner", &self.inner)
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}
