//! How the caller learns that its request was not admitted.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use loadline_core::Rejection;
use loadline_http::rejection::{BodyFormat, Parts, RejectionView, StatusCodes, describe, parts};

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
}

/// The longest that a client is told to stay away, in seconds: what the core says at most.
const LONGEST_RETRY_AFTER: u64 = 30;

impl Protocol {
    pub(super) fn of<B>(request: &http::Request<B>) -> Self {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        Self {
            head: request.method() == Method::HEAD,
            grpc: content_type.is_some_and(|value| is_grpc(value.as_bytes())),
        }
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
            remedy: rejection.remedy,
            proxy_error: description.proxy_error,
            head_request: protocol.head,
            grpc: protocol.grpc,
            format: self.format,
            ..RejectionView::default()
        });
        let mut response = http::Response::new(Bytes::from(body));
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

/// `application/grpc`, with or without `+format` and parameters; not `application/grpc-web`, which reads HTTP statuses.
fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    content_type.split_at_checked(GRPC.len()).is_some_and(|(kind, rest)| {
        kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_from_its_neighbours() {
        for yes in ["application/grpc", "application/grpc+proto", "Application/gRPC;q=1"] {
            assert!(is_grpc(yes.as_bytes()), "{yes}");
        }
        for no in ["application/grpc-web", "application/grpcx", "application/json", "application/", ""] {
            assert!(!is_grpc(no.as_bytes()), "{no}");
        }
    }
}
