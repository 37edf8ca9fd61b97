//! The client behind a gate: always ready, asks for a slot in `call`.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body::Body;
use loadline_core::Reason;
use tower_service::Service;

use super::{Outgoing, Throttle};
use crate::{
    AdmitFuture, Budget, Classify, Error, Inherited, PermitBody, admit::Arrival, entrance::Entrance,
};

/// A client behind a gate. Made by [`ClientLayer`](super::ClientLayer).
///
/// It is always ready, and waits for the client to become ready when the request has its slot: a client that has no
/// connection to spare uses up the limit instead of letting callers wait unseen. It must be `Clone`, for each request is
/// sent by a clone.
#[derive(Clone)]
pub struct ClientService<S, C = Inherited> {
    pub(super) inner: S,
    pub(super) entrance: Entrance<C>,
    pub(super) outgoing: Arc<Outgoing>,
}

impl<S, C, B, R> Service<http::Request<B>> for ClientService<S, C>
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
        let gate = &self.entrance.gate;
        let asked = self.entrance.classify.classify(&request);
        let time = self.entrance.read(request.headers());
        let inherited = Budget::current().and_then(|budget| budget.remaining());
        let mut arrival = Arrival::new(gate, asked, &time).within(gate, inherited, Duration::ZERO);
        if self.outgoing.throttle.as_ref().is_some_and(Throttle::keeps_back) {
            arrival = arrival.refused(Reason::Overload);
        }
        self.entrance.admit(&arrival, Some(&self.outgoing), &self.inner, request)
    }
}

impl<S: fmt::Debug, C> fmt::Debug for ClientService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientService")
            .field("inner", &self.inner)
            .field("gate", &self.entrance.gate)
            .finish_non_exhaustive()
    }
}
