//! A batch of spans as OTLP writes it in JSON (`ExportTraceServiceRequest`, opentelemetry-proto 1.x): ids as hexadecimal digits,
//! 64-bit numbers as strings, names in lowerCamelCase.
//!
//! `http.*`, `url.*`, `network.*` and `error.type` are the semantic conventions' names for a server's span; ours begin with
//! `loadline.`. Neither query nor headers nor addresses are told.

use std::time::Duration;

use serde_json::{Value, json};

use super::{OpenSpan, Span};
use crate::exchange::Gone;

/// `SPAN_KIND_SERVER`.
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// The request's body.
pub(super) fn batch(spans: &[Span], hostname: &str) -> Vec<u8> {
    let resource = [
        text("service.name", "loadline"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("host.name", hostname),
        integer("process.pid", i64::from(std::process::id())),
    ];
    let document = json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{
            "scope": { "name": "loadline", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }] });
    document.to_string().into_bytes()
}

fn span(span: &Span) -> Value {
    let OpenSpan { trace, id, parent } = &span.open;
    let name = span
        .route
        .as_ref()
        .map_or_else(|| span.method.to_owned(), |route| format!("{} {route}", span.method));
    let failed = span.status >= 500;
    let mut document = json!({
        "traceId": trace.to_string(),
        "spanId": id.to_string(),
        "name": name,
        "kind": SERVER,
        "startTimeUnixNano": span.start.to_string(),
        "endTimeUnixNano": span.end.to_string(),
        "attributes": attributes(span, failed),
        "status": if failed { json!({ "code": ERROR }) } else { json!({}) },
    });
    if let Some(parent) = parent {
        document["parentSpanId"] = parent.to_string().into();
    }
    document
}

fn attributes(span: &Span, failed: bool) -> Vec<Value> {
    let mut attributes = vec![
        text("http.request.method", span.method),
        text("url.path", &span.path),
        text("network.protocol.version", if span.http2 { "2" } else { "1.1" }),
        text("loadline.class", span.class.as_str()),
        integer("loadline.attempt", span.attempt.into()),
        integer("loadline.queue_position", span.position.into()),
        integer("loadline.limit", span.limit.into()),
        integer("loadline.in_flight", span.in_flight.into()),
    ];
    let status = (span.status > 0).then(|| integer("http.response.status_code", span.status.into()));
    let decision = (!span.decision.is_empty()).then(|| text("loadline.decision", span.decision));
    attributes.extend(
        [
            status,
            decision,
            failed.then(|| text("error.type", span.reason.unwrap_or("upstream_status"))),
            span.reason.map(|reason| text("loadline.reason", reason)),
            span.route.as_deref().map(|route| text("loadline.route", route)),
            span.gone.map(|gone| text("loadline.client_left", Gone::as_str(gone))),
            span.wait.map(|wait| millis("loadline.wait_ms", wait)),
            span.service.map(|service| millis("loadline.service_ms", service)),
            span.deadline_left_ms.map(|left| integer("loadline.deadline_left_ms", left)),
        ]
        .into_iter()
        .flatten(),
    );
    attributes
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn integer(key: &str, value: i64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn millis(key: &str, value: Duration) -> Value {
    json!({ "key": key, "value": { "doubleValue": (value.as_secs_f64() * 1e6).round() / 1e3 } })
}
