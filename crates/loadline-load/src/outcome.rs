//! What became of a request, and how an answer is recognised as a rejection.
//!
//! "Failed" is not one thing under overload: a rejection in a millisecond is a service that protects itself, a timeout is
//! one that does not. A rejection is recognised by its reason, in `Proxy-Status` (RFC 9209) or in the body; without a
//! reason, 429, 419 and a 503 with `Retry-After` count as rejections too.

use std::time::Duration;

use loadline_core::Reason;
use serde::{Deserialize, Serialize};

/// Unregistered, but what some servers answer when a deadline has passed.
const EXPIRED: u16 = 419;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered with 2xx or 3xx before its deadline (or there is none).
    Served,
    /// Answered with 2xx or 3xx, but after its deadline: of no use any more.
    Late,
    /// Rejected, to protect the service.
    Shed,
    /// 4xx that is no rejection: the plan asks for something wrong.
    ClientError,
    /// 5xx that is no rejection.
    ServerError,
    /// No complete answer within the client's timeout; the connection was closed.
    Timeout,
    /// No connection.
    Refused,
    /// The connection broke, or what came was no HTTP.
    Reset,
    /// Not sent, for want of room or connections on our own side: the run is not valid.
    NotSent,
}

impl Outcome {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, in the order of a plot's bands.
    pub const ALL: [Self; 9] = [
        Self::Served,
        Self::Late,
        Self::Shed,
        Self::ClientError,
        Self::ServerError,
        Self::Timeout,
        Self::Refused,
        Self::Reset,
        Self::NotSent,
    ];

    /// Its name in reports and expectations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Late => "late",
            Self::Shed => "shed",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::NotSent => "not_sent",
        }
    }

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Whether a client that retries at all tries again.
    pub(crate) fn is_retried(self) -> bool {
        matches!(self, Self::Shed | Self::ServerError | Self::Timeout | Self::Refused | Self::Reset)
    }
}

/// An answer, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Why it was rejected, if the answer says so.
    pub(crate) reason: Option<Reason>,
    pub(crate) retry_after: Option<Duration>,
}

impl Answer {
    /// Reads the fields that matter; `body` is the beginning of the body, at least for 4xx and 5xx.
    pub(crate) fn read<'a>(
        status: u16,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        body: &[u8],
    ) -> Self {
        let mut answer = Self { status, ..Self::default() };
        if status < 400 {
            return answer;
        }
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(b"proxy-status") {
                answer.reason = answer.reason.or_else(|| reason_in_details(value));
            } else if name.eq_ignore_ascii_case(b"retry-after") {
                answer.retry_after = seconds(value);
            }
        }
        answer.reason = answer.reason.or_else(|| reason_in_body(body));
        if status == EXPIRED {
            answer.reason = answer.reason.or(Some(Reason::DeadlineExpired));
        }
        answer
    }

    /// What it is to a client whose deadline has or has not passed.
    pub(crate) fn outcome(&self, late: bool) -> Outcome {
        match self.status {
            _ if self.reason.is_some() => Outcome::Shed,
            429 => Outcome::Shed,
            503 if self.retry_after.is_some() => Outcome::Shed,
            500.. => Outcome::ServerError,
            400.. => Outcome::ClientError,
            _ if late => Outcome::Late,
            _ => Outcome::Served,
        }
    }
}

/// `loadline; error=connection_limit_reached; details="queue_full depth=100"`: the first word of the details.
fn reason_in_details(value: &[u8]) -> Option<Reason> {
    let text = std::str::from_utf8(value).ok()?;
    let (_, details) = text.split_once("details=")?;
    let details = details.trim_start_matches('"');
    named(details.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next()?)
}

/// `"reason":"queue_full"` in a problem document, or `(queue_full)` at the end of a line of text.
fn reason_in_body(body: &[u8]) -> Option<Reason> {
    let text = String::from_utf8_lossy(body);
    let in_json = text.split_once("\"reason\"").and_then(|(_, rest)| {
        let value = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
        named(value.split('"').next()?)
    });
    in_json.or_else(|| named(text.trim_end().strip_suffix(')')?.rsplit('(').next()?))
}

fn named(word: &str) -> Option<Reason> {
    Reason::ALL.into_iter().find(|reason| reason.as_str() == word)
}

/// `Retry-After` in seconds. The other form, a date, is passed over: it is rounded to what seconds say better.
fn seconds(value: &[u8]) -> Option<Duration> {
    std::str::from_utf8(value).ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadline_http::rejection::{BodyFormat, RejectionView, parts};

    fn read(status: u16, fields: &[(&str, &str)], body: &str) -> Answer {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        Answer::read(status, fields, body.as_bytes())
    }

    #[test]
    fn our_own_rejections_are_recognised_in_every_form() {
        for format in [BodyFormat::ProblemJson, BodyFormat::Html, BodyFormat::Text] {
            let view = RejectionView { format, retry_after: Some(2), ..RejectionView::default() };
            let parts = parts(&view);
            let fields = parts.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
            let with_fields = Answer::read(parts.status, fields, &parts.body);
            assert_eq!(with_fields.reason, Some(Reason::QueueFull), "{format:?}");
            assert_eq!(with_fields.retry_after, Some(Duration::from_secs(2)));
            if format != BodyFormat::Html {
                assert_eq!(Answer::read(parts.status, [], &parts.body).reason, Some(Reason::QueueFull));
            }
        }
    }

    #[test]
    fn other_answers_by_their_status() {
        assert_eq!(read(200, &[], "").outcome(false), Outcome::Served);
        assert_eq!(read(302, &[], "").outcome(true), Outcome::Late);
        assert_eq!(read(404, &[], "").outcome(false), Outcome::ClientError);
        assert_eq!(read(429, &[], "").outcome(false), Outcome::Shed);
        assert_eq!(read(419, &[], "").reason, Some(Reason::DeadlineExpired));
        assert_eq!(read(503, &[], "down").outcome(false), Outcome::ServerError);
        assert_eq!(read(503, &[("Retry-After", "1")], "").outcome(false), Outcome::Shed);
        assert_eq!(
            read(502, &[("proxy-status", "x; details=\"upstream_closed\"")], "").outcome(false),
            Outcome::ServerError
        );
        assert_eq!(read(200, &[("proxy-status", "x; details=\"queue_full\"")], "").reason, None);
    }

    #[test]
    fn every_outcome_has_its_place() {
        assert!(Outcome::ALL.iter().enumerate().all(|(index, outcome)| outcome.index() == index));
    }
}
