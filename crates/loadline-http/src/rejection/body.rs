//! The body of a rejection in each format.

use super::describe::phrase;
use super::{BodyFormat, RejectionView, hint};
use crate::escape::push_json_string;

pub(super) fn content_type(format: BodyFormat) -> &'static [u8] {
    match format {
        BodyFormat::ProblemJson => b"application/problem+json",
        BodyFormat::Html => b"text/html",
        BodyFormat::Text => b"text/plain; charset=utf-8",
    }
}

/// A rejection describes one moment: no cache may keep it. `html` says it in HAProxy's words.
pub(super) fn cache_control(format: BodyFormat) -> &'static [u8] {
    match format {
        BodyFormat::Html => b"no-cache",
        BodyFormat::ProblemJson | BodyFormat::Text => b"no-store",
    }
}

pub(super) fn push(view: &RejectionView<'_>, out: &mut Vec<u8>) {
    match view.format {
        BodyFormat::ProblemJson => push_problem(view, out),
        BodyFormat::Html => push_html(view.status, out),
        BodyFormat::Text => {
            out.extend_from_slice(view.error.as_bytes());
            out.extend_from_slice(b" (");
            out.extend_from_slice(view.reason.as_bytes());
            out.extend_from_slice(b")\n");
        }
    }
}

/// RFC 9457. The type is `about:blank`, for which the title is the status's phrase (section 4.2.1).
fn push_problem(view: &RejectionView<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"about:blank\",\"title\":\"");
    out.extend_from_slice(phrase(view.status).as_bytes());
    out.extend_from_slice(b"\",\"status\":");
    out.extend_from_slice(itoa::Buffer::new().format(view.status).as_bytes());
    out.extend_from_slice(b",\"error\":");
    push_json_string(out, view.error.as_bytes());
    out.extend_from_slice(b",\"reason\":");
    push_json_string(out, view.reason.as_bytes());
    if let Some(class) = view.class {
        out.extend_from_slice(b",\"class\":\"");
        out.extend_from_slice(class.as_str().as_bytes());
        out.push(b'"');
    }
    if let Some(seconds) = view.retry_after {
        out.extend_from_slice(b",\"retry_after\":");
        out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
    }
    if view.remedy.is_some() || view.retry_after.is_some() {
        out.extend_from_slice(b",\"hint\":\"");
        hint::push(view.remedy, view.retry_after, out);
        out.push(b'"');
    }
    out.extend_from_slice(b"}\n");
}

fn push_html(status: u16, out: &mut Vec<u8>) {
    let (title, sentence) = html_words(status);
    out.extend_from_slice(b"<html><body><h1>");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(title.as_bytes());
    out.extend_from_slice(b"</h1>\n");
    out.extend_from_slice(sentence.as_bytes());
    out.extend_from_slice(b"\n</body></html>\n");
}

/// Heading and sentence of a page. Those of 400, 502, 503 and 504 are what Spillway's clients have always seen.
fn html_words(status: u16) -> (&'static str, &'static str) {
    match status {
        400 => ("Bad request", "Your browser sent an invalid request."),
        408 => ("Request Time-out", "Your browser didn't send a complete request in time."),
        413 => ("Payload Too Large", "The request entity exceeds the maximum allowed."),
        414 => (phrase(status), "The request address exceeds the maximum allowed."),
        417 => (phrase(status), "The request's expectation cannot be met."),
        419 => (phrase(status), "The request's deadline has passed."),
        429 => (phrase(status), "You have sent too many requests in a given amount of time."),
        431 => (phrase(status), "The request headers exceed the maximum allowed."),
        500 => (phrase(status), "An internal server error occurred."),
        501 => {
            (phrase(status), "The server does not support the functionality required to fulfill the request.")
        }
        502 => (phrase(status), "The server returned an invalid or incomplete response."),
        503 => (phrase(status), "No server is available to handle this request."),
        504 => ("Gateway Time-out", "The server didn't respond in time."),
        505 => (phrase(status), "This HTTP version is not supported."),
        _ => (phrase(status), "The request cannot be answered."),
    }
}
