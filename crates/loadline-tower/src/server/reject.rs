//! How the caller learns that its request was not admitted.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use loadline_core::Rejection;
use loadline_http::rejection::{BodyFormat, Parts, RejectionView, StatusCodes, describe, parts};

use crate::grpc::is_grpc;

/// With a response: a status, `Retry-After`, `Proxy-Status` (RFC 9209) and a problem document (RFC 9457); for gRPC a response
/// of trailers only, `UNAVAILABLE` or `DEADLINE_EXCEEDED`. The service's error type stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsResponse {
    pub(super) codes: StatusCodes,
    pub(super) format: BodyFormat,
}

/// With [`Error::Shed`](crate::Error::Shed).
#[derive(Clone, Copy, Debug, Default)]
pub struct AsError;

/// What of a request decides about the form of its rejection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Protocol {
    head: bool,
    grpc: bool,
    /// 1 unless it is a retry.
    attempt: u32,
}

/// The longest that a client is told to stay away, in seconds: what the core says at most.
const LONGEST_RETRY_AFTER: u64 = 30;

impl Protocol {
    pub(super) fn of<B>(request: &http::Request<B>, attempt: u32) -> Self {
        Self { head: request.method() == Method::HEAD, grpc: is_grpc(request.headers()), attempt }
    }
}

impl AsResponse {
    pub(super) fn respond(&self, rejection: &Rejection, protocol: Protocol) -> http::Response<Bytes> {
        let description = describe(rejection.reason, &self.codes);
        let Parts { status, headers, body } = parts(&RejectionView {
            status: description.status,
            error: description.error,
            reason: description.reason,
            class: Some(rejection.class),
            retry_after: Some(whole_seconds(rejection)),
            attempt: Some(protocol.attempt.saturating_add(1)),
            remedy: rejection.remedy,
            proxy_error: description.proxy_error,
            head_request: protocol.head,
            grpc: protocol.grpc,
            format: self.format,
            ..RejectionView::default()
        });
        let mut response = http::Response::new(Bytes::from(body));
        response.headers_mut().reserve(headers.len());
        *response.status_mut() = StatusCode::from_u16(status).expect("made from a `StatusCode`, or our own");
        for (name, value) in headers {
            let value = HeaderValue::try_from(value).expect("printable ASCII, as every field of a rejection");
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
        response
    }
}

/// Rounded up: who comes back a moment early is rejected again.
fn whole_seconds(rejection: &Rejection) -> u32 {
    let seconds = rejection.retry_after.as_secs() + u64::from(rejection.retry_after.subsec_nanos() > 0);
    u32::try_from(seconds.clamp(1, LONGEST_RETRY_AFTER)).expect("at most 30")
}
