//! Rejections, byte for byte.

use loadline_core::{Class, Reason};
use loadline_http::rejection::{
    BodyFormat, Failure, Parts, RejectionView, StatusCodes, describe, parts, write_h1,
};
use proptest::prelude::*;

fn h1(view: &RejectionView<'_>) -> String {
    let mut out = Vec::new();
    write_h1(view, &mut out);
    String::from_utf8(out).unwrap()
}

fn html(status: u16) -> String {
    let response = h1(&RejectionView { status, format: BodyFormat::Html, ..RejectionView::default() });
    response.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn header<'p>(parts: &'p Parts, name: &str) -> Option<&'p str> {
    parts
        .headers
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| std::str::from_utf8(value).unwrap())
}

#[test]
fn a_full_queue_as_problem_json() {
    let view = RejectionView {
        class: Some(Class::Normal),
        retry_after: Some(3),
        details: "queue_full depth=100",
        ..RejectionView::default()
    };
    assert_eq!(
        h1(&view),
        concat!(
            "HTTP/1.1 503 Service Unavailable\r\n",
            "content-type: application/problem+json\r\n",
            "cache-control: no-store\r\n",
            "retry-after: 3\r\n",
            "proxy-status: loadline; error=connection_limit_reached; details=\"queue_full depth=100\"\r\n",
            "content-length: 175\r\n",
            "\r\n",
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"error":"The queue is full.","#,
            r#""reason":"queue_full","class":"normal","retry_after":3,"hint":"retry after 3 s"}"#,
            "\n"
        )
    );
}

#[test]
fn what_is_unknown_is_left_out() {
    let response = h1(&RejectionView::default());
    assert!(
        !response.contains("retry-after") && !response.contains("class") && !response.contains("retry_after")
    );
    assert!(response.contains("; details=\"queue_full\"\r\n"), "{response}");
}

#[test]
fn the_connection_stays_open_unless_told() {
    assert!(!h1(&RejectionView::default()).contains("connection:"));
    let http10 = RejectionView { http10: true, ..RejectionView::default() };
    assert!(h1(&http10).contains("\r\nconnection: keep-alive\r\n"));
    assert!(h1(&RejectionView { close: true, ..http10 }).contains("\r\nconnection: close\r\n"));
}

#[test]
fn head_gets_the_length_and_no_body() {
    let (get, head) =
        (RejectionView::default(), RejectionView { head_request: true, ..RejectionView::default() });
    let expected = h1(&get).split_once("\r\n\r\n").unwrap().0.to_owned() + "\r\n\r\n";
    assert_eq!(h1(&head), expected);
    assert_eq!(parts(&head).body, b"");
}

#[test]
fn pages_have_the_words_and_the_size_that_spillways_clients_know() {
    for (status, sentence, size) in [
        (503, "No server is available to handle this request.", 107),
        (504, "The server didn't respond in time.", 92),
        (502, "The server returned an invalid or incomplete response.", 107),
        (400, "Your browser sent an invalid request.", 90),
        (408, "Your browser didn't send a complete request in time.", 110),
        (413, "The request entity exceeds the maximum allowed.", 106),
        (429, "You have sent too many requests in a given amount of time.", 117),
        (500, "An internal server error occurred.", 97),
    ] {
        let body = html(status);
        assert!(
            body.contains(&format!("<h1>{status} ")) && body.contains(&format!("\n{sentence}\n")),
            "{body}"
        );
        assert_eq!(body.len(), size, "{body}");
    }
    for status in [414, 417, 419, 431, 501, 505, 599] {
        assert!((60..=150).contains(&html(status).len()), "{}", html(status));
    }
    let response = h1(&RejectionView { format: BodyFormat::Html, ..RejectionView::default() });
    assert!(response.contains("content-type: text/html\r\ncache-control: no-cache\r\n"), "{response}");
}

#[test]
fn text_is_one_line() {
    let response = h1(&RejectionView { format: BodyFormat::Text, ..RejectionView::default() });
    assert!(response.ends_with("\r\n\r\nThe queue is full. (queue_full)\n"), "{response}");
}

#[test]
fn grpc_gets_trailers_only() {
    let view = RejectionView { grpc: true, retry_after: Some(2), ..RejectionView::default() };
    assert_eq!(
        h1(&view),
        concat!(
            "HTTP/1.1 200 OK\r\n",
            "content-type: application/grpc\r\n",
            "grpc-status: 14\r\n",
            "grpc-message: The queue is full.\r\n",
            "retry-after: 2\r\n",
            "proxy-status: loadline; error=connection_limit_reached; details=\"queue_full\"\r\n",
            "content-length: 0\r\n",
            "\r\n"
        )
    );
    let h2 = parts(&view);
    assert_eq!((h2.status, h2.body.len(), header(&h2, "content-length")), (200, 0, None));

    let status_of = |status, reason| {
        let parts = parts(&RejectionView { grpc: true, status, reason, ..RejectionView::default() });
        header(&parts, "grpc-status").unwrap().to_owned()
    };
    assert_eq!(status_of(504, "deadline_expired"), "4");
    assert_eq!(status_of(419, "deadline_unreachable"), "4");
    assert_eq!(status_of(504, "upstream_timeout"), "4");
    assert_eq!(status_of(504, "upstream_connect_timeout"), "14");
    assert_eq!(status_of(429, "priority"), "14");
    assert_eq!(status_of(400, "bad_request"), "13");
    assert_eq!(status_of(502, "upstream_closed"), "14");

    let odd = parts(&RejectionView { grpc: true, error: "100 % naïve\n", ..RejectionView::default() });
    assert_eq!(header(&odd, "grpc-message"), Some("100 %25 na%C3%AFve%0A"));
}

#[test]
fn every_reason_is_described() {
    let defaults = StatusCodes::default();
    for reason in Reason::ALL {
        let told = describe(reason, &defaults);
        let about_deadline = matches!(reason, Reason::DeadlineExpired | Reason::DeadlineUnreachable);
        assert_eq!(told.status, if about_deadline { 504 } else { 503 }, "{reason}");
        assert_eq!(told.reason, reason.as_str());
        assert!(told.error.ends_with('.') && told.error.len() < 60, "{}", told.error);
    }
    let told = |reason| describe(reason, &defaults).proxy_error;
    assert_eq!(told(Reason::QueueFull), "connection_limit_reached");
    assert_eq!(told(Reason::BreakerOpen), "destination_unavailable");
    assert_eq!(told(Reason::NoEndpoint), "destination_unavailable");
    assert_eq!(told(Reason::DeadlineExpired), "http_response_timeout");
}

#[test]
fn other_status_codes_can_be_chosen() {
    let codes = StatusCodes { shed: 429, deadline: 419 };
    let shed = describe(Reason::Priority, &codes);
    assert_eq!((shed.status, shed.proxy_error), (429, "http_request_error"));
    let response = h1(&RejectionView {
        status: shed.status,
        error: shed.error,
        reason: shed.reason,
        proxy_error: shed.proxy_error,
        ..RejectionView::default()
    });
    assert!(response.starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
    assert!(response.contains(
        "proxy-status: loadline; error=http_request_error; status-code=429; details=\"priority\"\r\n"
    ));
    let deadline = describe(Reason::DeadlineExpired, &codes);
    assert_eq!((deadline.status, deadline.proxy_error), (419, "http_response_timeout"));
}

#[test]
fn failures_are_described() {
    for (failure, status, reason, proxy_error) in [
        (Failure::BadRequest, 400, "bad_request", "http_request_error"),
        (Failure::RequestTimeout, 408, "request_timeout", "http_request_error"),
        (Failure::HeaderTooLarge, 431, "header_too_large", "http_request_error"),
        (Failure::UpstreamRefused, 503, "upstream_refused", "connection_refused"),
        (Failure::ProxyExhausted, 503, "proxy_exhausted", "proxy_internal_error"),
        (Failure::UpstreamConnectTimeout, 503, "upstream_connect_timeout", "connection_timeout"),
        (Failure::UpstreamTimeout, 504, "upstream_timeout", "connection_read_timeout"),
        (Failure::UpstreamClosed, 502, "upstream_closed", "connection_terminated"),
        (Failure::UpstreamInvalid, 502, "upstream_invalid", "http_protocol_error"),
        (Failure::Internal, 500, "internal", "proxy_internal_error"),
    ] {
        let told = failure.describe();
        assert_eq!((told.status, told.reason, told.proxy_error), (status, reason, proxy_error));
        assert_eq!(failure.as_str(), reason);
    }
}

fn view<'a>(error: &'a str, reason: &'a str, flags: [bool; 4], format: BodyFormat) -> RejectionView<'a> {
    let [close, head_request, grpc, http10] = flags;
    let (class, retry_after) = (Some(Class::Low), Some(7));
    RejectionView {
        error,
        reason,
        details: reason,
        close,
        head_request,
        grpc,
        http10,
        format,
        class,
        retry_after,
        ..RejectionView::default()
    }
}

fn format() -> impl Strategy<Value = BodyFormat> {
    prop::sample::select(vec![BodyFormat::ProblemJson, BodyFormat::Html, BodyFormat::Text])
}

proptest! {
    #[test]
    fn no_text_breaks_the_head(
        error in any::<String>(), reason in any::<String>(), flags in any::<[bool; 4]>(), format in format(),
    ) {
        let view = view(&error, &reason, flags, format);
        let response = h1(&view);
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        for line in head.split("\r\n").skip(1) {
            prop_assert!(line.split_once(": ").is_some(), "{line}");
            prop_assert!(!line.chars().any(char::is_control), "{}", line.escape_debug());
        }
        let length: usize = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        prop_assert_eq!(body.len(), if view.head_request { 0 } else { length });
    }

    #[test]
    fn both_protocols_say_the_same(flags in any::<[bool; 4]>(), format in format()) {
        let view = view("Sorry.", "queue_full", flags, format);
        let (parts, response) = (parts(&view), h1(&view));
        let status = format!("HTTP/1.1 {} ", parts.status);
        prop_assert!(response.starts_with(&status));
        for (name, value) in &parts.headers {
            let line = format!("\r\n{name}: {}\r\n", std::str::from_utf8(value).unwrap());
            prop_assert!(response.contains(&line), "{line} in {response}");
        }
        prop_assert!(response.as_bytes().ends_with(&parts.body));
    }
}
