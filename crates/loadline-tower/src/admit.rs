//! The way of one HTTP request through a gate to a service, as one future: the same for servers and clients.
//!
//! # The order: slot, readiness, call
//!
//! A slot is asked for when the service is *called*, never in `poll_ready`. Some servers (hyper before 1.0, for one) poll
//! readiness once per connection, before there is a request, so that a permit taken there is pinned by each idle keep-alive
//! connection. This is what happens to `tower::limit::ConcurrencyLimit`, and `LoadShed` around it does not help. So a limited
//! service is always ready.
//!
//! The inner service is asked whether it is ready only when the request has its slot, and the clone that was asked is the one
//! that is called. Nothing that the inner service reserves while it is polled is therefore pinned by a connection or by a
//! place in the queue either, and a service that is slow to become ready uses up slots, which is what makes the gate shed.
//! A request whose time was over before the service was ready is not begun.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Method, StatusCode};
use http_body::Body;
use loadline_core::{Class, Outcome, Reason, Rejection, Request};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use crate::{
    Attempt, Error, Gate, Observer, PermitBody, Waiting, client::Outgoing, deadlines::Time, slot::Slot,
};

pin_project! {
    /// Admits one request and then calls the service with it. Made by the services of this crate.
    ///
    /// Dropping it gives up the request wherever it is: in the queue, or with its slot in the service.
    // The fields are dropped in this order: what was reserved or is worked on is given back before the slot is.
    #[must_use = "a future does nothing unless awaited"]
    pub struct AdmitFuture<S, B>
    where
        S: Service<http::Request<B>>,
    {
        // Until it is called. `None` from the start if the request was rejected at the door.
        service: Option<S>,
        // Until the service is called with it. Beside the state, so that it does not move when that changes.
        request: Option<http::Request<B>>,
        #[pin]
        state: State<S::Future>,
        outgoing: Option<Arc<Outgoing>>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Shed { rejection: Option<Rejection> },
        Queued { waiting: Waiting, deadline: Option<Instant>, observer: Option<Arc<dyn Observer>> },
        // It has its slot and waits for the service.
        Readying { slot: Option<Slot> },
        // Again the order in which they are dropped.
        Working { #[pin] future: F, slot: Option<Slot>, kind: Kind },
    }
}

/// What the request was, as far as the end of its response depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Head,
    Connect,
    Other,
}

/// What a layer found out about a request before it asks for a slot.
pub(crate) struct Arrival {
    request: Request,
    /// Until when the result is worth something; the core's deadline is later by the tolerance.
    deadline: Option<Instant>,
    /// Why it is not even asked for.
    refused: Option<Reason>,
}

impl Arrival {
    /// Of a request whose headers say `time`.
    pub(crate) fn new(gate: &Gate, request: Request, time: &Time) -> Self {
        let refused = (time.too_old && request.class != Class::Bypass).then_some(Reason::QueueAge);
        let deadline = request.deadline.map(|deadline| gate.to_tokio(deadline));
        Self { request, deadline, refused }.within(gate, time.remaining, time.tolerance)
    }

    /// It may take no longer than `remaining`, part of which is only `tolerance`.
    pub(crate) fn within(mut self, gate: &Gate, remaining: Option<Duration>, tolerance: Duration) -> Self {
        let Some(remaining) = remaining else { return self };
        let at = gate.now() + remaining;
        if self.request.deadline.is_none_or(|deadline| at < deadline) {
            self.request = self.request.with_deadline(at);
            self.deadline = Some(gate.to_tokio(at).checked_sub(tolerance).unwrap_or_else(Instant::now));
        }
        self
    }

    /// It is not asked for, for this reason.
    pub(crate) const fn refused(mut self, reason: Reason) -> Self {
        self.refused = Some(reason);
        self
    }
}

impl<S, B> AdmitFuture<S, B>
where
    S: Service<http::Request<B>> + Clone,
{
    /// Asks for a slot now.
    pub(crate) fn new(
        gate: &Gate,
        arrival: &Arrival,
        observer: Option<&Arc<dyn Observer>>,
        outgoing: Option<&Arc<Outgoing>>,
        service: &S,
        request: http::Request<B>,
    ) -> Self {
        let attempt = match arrival.refused {
            Some(reason) => Attempt::Shed(gate.record_shed(arrival.request.class, reason)),
            None => gate.try_admit(arrival.request),
        };
        // After the decision: a rejection must not pay for a clone.
        let service = (!matches!(attempt, Attempt::Shed(_))).then(|| service.clone());
        let state = match attempt {
            Attempt::Shed(rejection) => shed(rejection, observer),
            Attempt::Queued(waiting) => {
                State::Queued { waiting, deadline: arrival.deadline, observer: observer.cloned() }
            }
            Attempt::Admitted(permit) => {
                State::Readying { slot: Some(Slot::new(permit, arrival.deadline, observer.cloned())) }
            }
        };
        Self { service, request: Some(request), state, outgoing: outgoing.cloned() }
    }
}

impl<S: Service<http::Request<B>>, B> AdmitFuture<S, B> {
    /// The request, unless the service was called with it: there for sure after a rejection.
    pub(crate) fn request(self: Pin<&Self>) -> Option<&http::Request<B>> {
        self.project_ref().request.as_ref()
    }
}

impl<S, B, R> Future for AdmitFuture<S, B>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    R: Body,
{
    type Output = Result<http::Response<PermitBody<R>>, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Shed { rejection } => {
                    let rejection = rejection.take().expect("not polled after it has resolved");
                    return Poll::Ready(Err(Error::Shed(rejection)));
                }
                StateProjection::Queued { waiting, deadline, observer } => {
                    match ready!(Pin::new(waiting).poll(context)) {
                        Ok(permit) => {
                            State::Readying { slot: Some(Slot::new(permit, *deadline, observer.take())) }
                        }
                        Err(rejection) => shed(rejection, observer.as_ref()),
                    }
                }
                StateProjection::Readying { slot } => {
                    let service = this.service.as_mut().expect("not polled after it has resolved");
                    let answer = ready!(service.poll_ready(context));
                    let slot = slot.take().expect("not polled after it has resolved");
                    if let Err(error) = answer {
                        slot.end(Outcome::Failed);
                        return Poll::Ready(Err(Error::Inner(error)));
                    }
                    let budget = slot.budget();
                    if budget.is_spent() && budget.class() != Class::Bypass {
                        slot.end(Outcome::Aborted);
                        let reason = Reason::DeadlineExpired;
                        let rejection = Rejection::new(reason, budget.class(), SOON);
                        return Poll::Ready(Err(Error::Shed(rejection)));
                    }
                    let mut request = this.request.take().expect("there until the service is called");
                    let kind = Kind::of(request.method());
                    if let Some(outgoing) = this.outgoing {
                        outgoing.sent(&mut request, &budget);
                    }
                    request.extensions_mut().insert(slot.admission());
                    let future = budget.enter(|| service.call(request));
                    *this.service = None;
                    State::Working { future, slot: Some(slot), kind }
                }
                StateProjection::Working { future, slot, kind } => {
                    let budget = slot.as_ref().expect("not polled after it has resolved").budget();
                    let answer = ready!(budget.enter(|| future.poll(context)));
                    let slot = slot.take().expect("just seen");
                    return Poll::Ready(match answer {
                        Ok(response) => {
                            if let Some(outgoing) = this.outgoing {
                                outgoing.answered(&response);
                            }
                            Ok(kind.answered(response, slot))
                        }
                        Err(error) => {
                            slot.end(Outcome::Failed);
                            Err(Error::Inner(error))
                        }
                    });
                }
            };
            this.state.set(next);
        }
    }
}

/// When to come back after a request that was too late: it was not for want of a slot, so as soon as can be said.
const SOON: Duration = Duration::from_secs(1);

fn shed<F>(rejection: Rejection, observer: Option<&Arc<dyn Observer>>) -> State<F> {
    if let Some(observer) = observer {
        observer.on_shed(&rejection);
    }
    State::Shed { rejection: Some(rejection) }
}

impl Kind {
    fn of(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }

    /// Hands the slot on to the body, and for an upgrade to the response as well.
    fn answered<R: Body>(self, mut response: http::Response<R>, slot: Slot) -> http::Response<PermitBody<R>> {
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS || (self == Self::Connect && status.is_success()) {
            response.extensions_mut().insert(slot.hold());
        }
        // Whoever sends or receives these drops the body unread, and is right to.
        if self == Self::Head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            slot.presume(Outcome::Completed);
        }
        response.map(|body| PermitBody::new(body, slot))
    }
}

impl<S, B> std::fmt::Debug for AdmitFuture<S, B>
where
    S: Service<http::Request<B>>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Shed { .. } => "shed",
            State::Queued { .. } => "queued",
            State::Readying { .. } => "readying",
            State::Working { .. } => "working",
        };
        f.debug_struct("AdmitFuture").field("state", &state).finish_non_exhaustive()
    }
}
