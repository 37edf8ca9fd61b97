//! One table from the reason of a rejection to what the client is told.

use loadline_core::Reason;

/// RFC 9209 section 2.3.27: a 4xx generated on the client's behalf. Carries `status-code`.
pub(super) const REQUEST_ERROR: &str = "http_request_error";
const CONNECTION_LIMIT_REACHED: &str = "connection_limit_reached";
const DESTINATION_UNAVAILABLE: &str = "destination_unavailable";
const RESPONSE_TIMEOUT: &str = "http_response_timeout";
const REQUEST_DENIED: &str = "http_request_denied";

const TOO_MANY_REQUESTS: u16 = 429;

/// The status codes an operator can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusCodes {
    /// For a shed request: 503 or 429 (`response.status`).
    pub shed: u16,
    /// For a passed or unreachable deadline: 504 or 419 (`response.deadline_status`).
    pub deadline: u16,
}

/// What a client is told about a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Status code.
    pub status: u16,
    /// One short sentence for humans.
    pub error: &'static str,
    /// The reason's name, from the closed list.
    pub reason: &'static str,
    /// Error type of RFC 9209 section 2.3.
    pub proxy_error: &'static str,
}

/// What went wrong with a request that was not shed: the request itself, or the exchange with the upstream. Others may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// Malformed request: 400.
    BadRequest,
    /// The head or body did not arrive in time: 408.
    RequestTimeout,
    /// The body exceeds what is accepted: 413.
    ContentTooLarge,
    /// The request target is too long: 414.
    UriTooLong,
    /// `Expect` asks for something else than `100-continue`: 417.
    ExpectationFailed,
    /// The head exceeds what is accepted: 431.
    HeaderTooLarge,
    /// A defect of loadline: 500.
    Internal,
    /// A transfer coding or method that loadline does not implement: 501.
    NotImplemented,
    /// A major version other than 1 on an HTTP/1 connection: 505.
    VersionNotSupported,
    /// No upstream accepted a connection: 503, for nothing was begun and a retry is safe.
    UpstreamRefused,
    /// There was no file descriptor or memory left to connect to an upstream with: 503, likewise.
    ProxyExhausted,
    /// The upstream's address could not be resolved: 503, likewise.
    UpstreamUnresolved,
    /// No connection within the connect timeout: 503, likewise.
    UpstreamConnectTimeout,
    /// The upstream accepted the request and sent no response head in time: 504.
    UpstreamTimeout,
    /// The upstream closed its connection before the response was complete: 502.
    UpstreamClosed,
    /// The upstream's response is no valid HTTP: 502.
    UpstreamInvalid,
}

/// What to tell a client whose request was shed for `reason`.
pub fn describe(reason: Reason, codes: &StatusCodes) -> Description {
    let (deadline, error, proxy_error) = match reason {
        Reason::QueueFull => (false, "The queue is full.", CONNECTION_LIMIT_REACHED),
        Reason::QueueTimeout => (false, "No slot became free in time.", CONNECTION_LIMIT_REACHED),
        Reason::Concurrency => (false, "The concurrency limit is reached.", CONNECTION_LIMIT_REACHED),
        Reason::Priority => {
            (false, "Only more important requests are admitted now.", CONNECTION_LIMIT_REACHED)
        }
        Reason::Codel => (false, "The queue has been too long for too long.", CONNECTION_LIMIT_REACHED),
        Reason::Fairness => (false, "Your share of the service is used up.", REQUEST_DENIED),
        Reason::DeadlineExpired => (true, "The request's deadline has passed.", RESPONSE_TIMEOUT),
        Reason::DeadlineUnreachable => (true, "The request's deadline cannot be met.", RESPONSE_TIMEOUT),
        Reason::QueueAge => {
            (false, "The request waited too long before it arrived.", CONNECTION_LIMIT_REACHED)
        }
        Reason::Overload => (false, "The service is overloaded.", CONNECTION_LIMIT_REACHED),
        Reason::BreakerOpen => {
            (false, "The service is failing and is given time to recover.", DESTINATION_UNAVAILABLE)
        }
        Reason::NoEndpoint => (false, "No server is available.", DESTINATION_UNAVAILABLE),
        Reason::ConnectionLimit => (false, "Too many connections are open.", CONNECTION_LIMIT_REACHED),
        Reason::Draining => (false, "The service is shutting down.", REQUEST_DENIED),
    };
    let status = if deadline { codes.deadline } else { codes.shed };
    let proxy_error = if status == TOO_MANY_REQUESTS { REQUEST_ERROR } else { proxy_error };
    Description { status, error, reason: reason.as_str(), proxy_error }
}

impl Default for StatusCodes {
    fn default() -> Self {
        Self { shed: 503, deadline: 504 }
    }
}

impl Failure {
    /// The name that stands where a shed request has its reason.
    pub fn as_str(self) -> &'static str {
        self.describe().reason
    }

    /// What to tell the client.
    pub fn describe(self) -> Description {
        let (status, reason, error, proxy_error) = match self {
            Self::BadRequest => (400, "bad_request", "The request is malformed.", REQUEST_ERROR),
            Self::RequestTimeout => {
                (408, "request_timeout", "The request did not arrive in time.", REQUEST_ERROR)
            }
            Self::ContentTooLarge => {
                (413, "content_too_large", "The request body is too large.", REQUEST_ERROR)
            }
            Self::UriTooLong => (414, "uri_too_long", "The request target is too long.", REQUEST_ERROR),
            Self::ExpectationFailed => {
                (417, "expectation_failed", "The expectation cannot be met.", REQUEST_ERROR)
            }
            Self::HeaderTooLarge => {
                (431, "header_too_large", "The request head is too large.", REQUEST_ERROR)
            }
            Self::Internal => (500, "internal", "The proxy failed.", "proxy_internal_error"),
            Self::NotImplemented => {
                (501, "not_implemented", "The request uses an unsupported feature.", "http_request_denied")
            }
            Self::VersionNotSupported => {
                (505, "version_not_supported", "This HTTP version is not supported.", "http_request_denied")
            }
            Self::UpstreamRefused => {
                (503, "upstream_refused", "The server refused the connection.", "connection_refused")
            }
            Self::ProxyExhausted => (
                503,
                "proxy_exhausted",
                "The proxy has no file descriptor or memory left to ask the server with.",
                "proxy_internal_error",
            ),
            Self::UpstreamUnresolved => {
                (503, "upstream_unresolved", "The server's name is unknown.", "dns_error")
            }
            Self::UpstreamConnectTimeout => {
                (503, "upstream_connect_timeout", "The server did not accept in time.", "connection_timeout")
            }
            Self::UpstreamTimeout => {
                (504, "upstream_timeout", "The server did not respond in time.", "connection_read_timeout")
            }
            Self::UpstreamClosed => (
                502,
                "upstream_closed",
                "The server closed the connection too early.",
                "connection_terminated",
            ),
            Self::UpstreamInvalid => {
                (502, "upstream_invalid", "The server's response is not valid HTTP.", "http_protocol_error")
            }
        };
        Description { status, error, reason, proxy_error }
    }
}

/// Whether a reason or failure is a matter of time, which gRPC calls `DEADLINE_EXCEEDED`.
pub(super) fn is_about_time(reason: &str) -> bool {
    matches!(reason, "deadline_expired" | "deadline_unreachable" | "upstream_timeout")
}

/// The reason phrase of a status line.
pub(super) fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        419 => "Deadline Passed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        200 => "OK",
        _ => "Error",
    }
}
