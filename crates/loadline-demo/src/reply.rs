//! Answers as these apps give them: a short text, a JSON object, a refusal with its reason.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// What every answer's body is: text that is at hand, filler, or the request's own body.
pub(crate) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    respond(status, TEXT, full(body))
}

/// A JSON document, as it is.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    respond(status, JSON, full(body))
}

/// What went wrong, as `{"detail":"…"}`; `detail` is one of our own texts, so that nothing needs escaping.
pub(crate) fn detail(status: StatusCode, detail: &str) -> Response<Body> {
    debug_assert!(!detail.contains(['"', '\\']), "a detail is plain text: {detail}");
    json(status, format!("{{\"detail\":\"{detail}\"}}"))
}

/// A body that is at hand.
pub(crate) fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Any body, of any kind.
pub(crate) fn respond(status: StatusCode, kind: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
