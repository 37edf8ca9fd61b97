//! What is said to the service that is called, and what is learned from its answer.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use loadline_http::deadline::{DeadlineKind, write_remaining};

use super::Throttle;
use crate::{Budget, deadlines::wall_clock, grpc::is_grpc};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// A duration needs no clock that both sides share.
const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// The part of a client layer that goes with each call that is sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(super) propagate: Propagate,
    pub(super) throttle: Option<Throttle>,
}

/// How the service is told of the time that is left.
#[derive(Clone, Debug)]
pub(super) enum Propagate {
    /// `grpc-timeout` to gRPC, `X-Request-Timeout-Ms` else.
    ByProtocol,
    /// In this header.
    As(HeaderName, DeadlineKind),
    Off,
}

impl Outgoing {
    /// The call is made now.
    pub(crate) fn sent<B>(&self, request: &mut Request<B>, budget: &Budget) {
        if let Some(throttle) = &self.throttle {
            throttle.sent();
        }
        if let (Some(remaining), Some((name, kind))) =
            (budget.remaining(), self.propagate.header(request.headers()))
        {
            let mut value = Vec::with_capacity(32);
            let now = if kind == DeadlineKind::Instant { wall_clock() } else { 0 };
            write_remaining(kind, remaining, now, &mut value);
            let value = HeaderValue::try_from(value).expect("digits, letters and punctuation");
            request.headers_mut().insert(name, value);
        }
    }

    /// It was answered.
    pub(crate) fn answered<R>(&self, response: &Response<R>) {
        if let Some(throttle) = &self.throttle {
            throttle.answered(response.status(), response.headers());
        }
    }
}

impl Propagate {
    fn header(&self, headers: &HeaderMap) -> Option<(HeaderName, DeadlineKind)> {
        match self {
            Self::ByProtocol if is_grpc(headers) => Some((GRPC_TIMEOUT, DeadlineKind::GrpcTimeout)),
            Self::ByProtocol => Some((REQUEST_TIMEOUT, DeadlineKind::Milliseconds)),
            Self::As(name, kind) => Some((name.clone(), *kind)),
            Self::Off => None,
        }
    }
}
