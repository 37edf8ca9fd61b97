//! The one place that turns a decision or an error of ours into a response.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use loadline_core::{Class, Reason, Rejection, Remedy};
use loadline_h1::{Refusal, Version};
use loadline_http::rejection::{Description, Failure, RejectionView, describe, write_h1};

use crate::buffers::Scratch;
use crate::client::RequestBody;
use crate::config::settings::RetryAfter;
use crate::hold;
use crate::live::Live;

/// Of an unread request body, how much is read and dropped to keep a connection after a rejection. Beyond it, closing
/// is cheaper for both sides.
const DRAIN_AT_MOST: u64 = 64 * 1024;

/// A request that failed for another reason than being shed: what the client is told, and what the log says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalError {
    description: Description,
    /// HAProxy's two letters: who ended the exchange, in which phase.
    pub(crate) termination: [u8; 2],
    details: &'static str,
    /// Seconds after which coming back makes sense.
    retry_after: Option<u32>,
    /// The connection cannot be used after it: where the next request begins is not known.
    closes: bool,
}

impl LocalError {
    /// The deadline passed while the upstream worked on it.
    pub(crate) fn deadline(live: &Live) -> Self {
        let description = describe(Reason::DeadlineExpired, &live.status_codes);
        Self { description, termination: *b"sH", details: "", retry_after: None, closes: false }
    }

    /// It had a slot, but no endpoint is there to send it to any more.
    pub(crate) fn unavailable(live: &Live, reason: Reason, rest: Duration) -> Self {
        let description = describe(reason, &live.status_codes);
        let retry_after = Some(whole_seconds(rest));
        Self { description, termination: *b"SC", details: "", retry_after, closes: false }
    }

    pub(crate) fn upstream_refused() -> Self {
        Self::new(Failure::UpstreamRefused, *b"SC")
    }

    /// It was not even asked: there are no descriptors left to ask with, or no memory.
    pub(crate) fn exhausted() -> Self {
        Self::new(Failure::ProxyExhausted, *b"RC")
    }

    pub(crate) fn upstream_unresolved() -> Self {
        Self::new(Failure::UpstreamUnresolved, *b"SC")
    }

    pub(crate) fn connect_timeout() -> Self {
        Self::new(Failure::UpstreamConnectTimeout, *b"sC")
    }

    pub(crate) fn upstream_closed() -> Self {
        Self::new(Failure::UpstreamClosed, *b"SH")
    }

    /// `rule`: what of the response is not as it must be.
    pub(crate) fn upstream_invalid(rule: &'static str) -> Self {
        Self { details: rule, ..Self::new(Failure::UpstreamInvalid, *b"PH") }
    }

    pub(crate) fn upstream_timeout() -> Self {
        Self::new(Failure::UpstreamTimeout, *b"sH")
    }

    /// The request's head or body did not come in time.
    pub(crate) fn request_timeout() -> Self {
        Self::new(Failure::RequestTimeout, *b"cR")
    }

    /// The codec refused the request.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let failure = match refusal.status {
            413 => Failure::ContentTooLarge,
            414 => Failure::UriTooLong,
            417 => Failure::ExpectationFailed,
            431 => Failure::HeaderTooLarge,
            501 => Failure::NotImplemented,
            505 => Failure::VersionNotSupported,
            _ => Failure::BadRequest,
        };
        Self { details: refusal.kind.text(), ..Self::new(failure, *b"PR") }
    }

    fn new(failure: Failure, termination: [u8; 2]) -> Self {
        let description = failure.describe();
        let closes = description.status < 500
            || matches!(failure, Failure::NotImplemented | Failure::VersionNotSupported);
        Self { description, termination, details: "", retry_after: None, closes }
    }

    pub(crate) fn status(&self) -> u16 {
        self.description.status
    }

    pub(crate) fn reason(&self) -> &'static str {
        self.description.reason
    }

    /// Seconds after which coming back makes sense. Only who was turned away unasked is told them.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// Whether the connection has to close after it.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }
}

/// Rejections as they were written before, for the usual kind of request: under overload the same few answers are
/// sent over and over, and copying one costs a fraction of composing it.
///
/// In the order of their [`kind`]: looking one up is a few comparisons, where a hash map would hash first.
#[derive(Default)]
pub(crate) struct Rejections(Vec<(u64, Written)>);

/// What tells one usual answer from another, in one number; `None` for what is not usual. A budget is hardly ever the same
/// twice, and attempts are what clients say: made-up numbers would fill the room.
fn kind(rejection: &Rejection, retry_after: u32, attempt: Option<u32>) -> Option<u64> {
    let attempt = attempt.unwrap_or(0);
    let remedy = match rejection.remedy {
        None => 0,
        Some(Remedy::HigherClass(class)) => class.index() + 1,
        Some(_) => return None,
    };
    let parts = [rejection.reason.index(), rejection.class.index(), remedy, attempt as usize];
    let bytes = |high: u64, part: usize| high << 8 | part as u64;
    let high = parts.into_iter().fold(0, bytes);
    (attempt <= USUAL_ATTEMPTS).then_some(high << 32 | u64::from(retry_after))
}

/// Answers that are kept; with computed seconds there are fewer than that many.
const WRITTEN_AT_MOST: usize = 1024;

/// Attempts that are told apart in what is kept: hardly any client tries more often.
const USUAL_ATTEMPTS: u32 = 8;

/// Status and bytes of a whole response.
type Written = (u16, Box<[u8]>);

/// What a rejected client was told, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    /// Seconds.
    pub(crate) retry_after: u32,
}

/// Writes the answer to a shed request. `written`: what was written under the same settings; `attempt`: what a retry should
/// say of itself.
pub(crate) fn rejection(
    scratch: &mut Scratch,
    live: &Live,
    written: Option<&RefCell<Rejections>>,
    rejection: &Rejection,
    attempt: Option<u32>,
    close: bool,
) -> Told {
    let retry_after = retry_after(live, rejection);
    let told = |status| Told { status, retry_after };
    let timed = live.settings.response.server_timing;
    let compose = |scratch: &mut Scratch| {
        scratch.to_client.clear();
        let description = describe(rejection.reason, &live.status_codes);
        let view = RejectionView {
            class: Some(rejection.class),
            retry_after: Some(retry_after),
            attempt,
            remedy: rejection.remedy,
            queued: timed.then_some(rejection.waited),
            ..view(&description, live)
        };
        write(scratch, view, close);
        description.status
    };
    let Scratch { head, inbox, .. } = scratch;
    // A wait is hardly ever the same twice.
    let usual = !close
        && !timed
        && head.version == Version::Http11
        && head.method.of(inbox) != b"HEAD"
        && !head.is_grpc(inbox);
    let kind = usual.then(|| kind(rejection, retry_after, attempt)).flatten();
    let Some((written, kind)) = written.zip(kind) else { return told(compose(scratch)) };
    let written = &mut written.borrow_mut().0;
    match written.binary_search_by_key(&kind, |(known, _)| *known) {
        Ok(at) => {
            let (status, bytes) = &written[at].1;
            scratch.to_client.clear();
            scratch.to_client.bytes.extend_from_slice(bytes);
            told(*status)
        }
        Err(at) => {
            let status = compose(scratch);
            if written.len() < WRITTEN_AT_MOST {
                written.insert(at, (kind, (status, scratch.to_client.bytes.as_slice().into())));
            }
            told(status)
        }
    }
}

/// Writes the answer to a request that failed, behind the interim responses that are not yet sent: the client may
/// have the first half of one. Who had a slot and yet was turned away unasked is told what a shed one is: its `class`, and what
/// a retry should say of itself.
pub(crate) fn local_error(
    scratch: &mut Scratch,
    live: &Live,
    error: &LocalError,
    class: Class,
    attempt: Option<u32>,
    close: bool,
) {
    let unasked = error.retry_after.is_some();
    let view = RejectionView {
        details: error.details,
        class: unasked.then_some(class),
        retry_after: error.retry_after,
        attempt: attempt.filter(|_| unasked),
        ..view(&error.description, live)
    };
    write(scratch, view, close);
}

/// Writes the answer to what could not be read as a request; the connection ends with it.
pub(crate) fn unreadable(scratch: &mut Scratch, live: &Live, error: &LocalError) {
    let view = RejectionView { details: error.details, close: true, ..view(&error.description, live) };
    scratch.to_client.clear();
    write_h1(&view, &mut scratch.to_client.bytes);
}

/// Writes the answer to a connection that is one too many.
pub(crate) fn connection_limit(live: &Live, out: &mut Vec<u8>) {
    let description = describe(Reason::ConnectionLimit, &live.status_codes);
    let view = RejectionView {
        class: Some(Class::Normal),
        retry_after: Some(1),
        close: true,
        ..view(&description, live)
    };
    write_h1(&view, out);
}

/// Whether the connection has to close after an answer of ours: the client asked for it, or more of its request is
/// still to come than is worth reading. What is not read to its end is never followed by another request.
pub(crate) fn must_close(scratch: &Scratch, body: &RequestBody) -> bool {
    let Scratch { head, inbox, .. } = scratch;
    !head.keep_alive
        || head.upgrade.is_some() && inbox.len() > head.len
        || !body.done()
            && (hold::expects_continue(head, inbox)
                || body.remaining().is_none_or(|remaining| remaining > DRAIN_AT_MOST))
}

fn view<'a>(description: &Description, live: &Live) -> RejectionView<'a> {
    RejectionView {
        status: description.status,
        error: description.error,
        reason: description.reason,
        proxy_error: if live.settings.response.proxy_status { description.proxy_error } else { "" },
        format: live.body_format,
        ..RejectionView::default()
    }
}

fn write(scratch: &mut Scratch, view: RejectionView<'_>, close: bool) {
    let Scratch { head, inbox, to_client, .. } = scratch;
    let view = RejectionView {
        close,
        head_request: head.method.of(inbox) == b"HEAD",
        grpc: head.is_grpc(inbox),
        http10: head.version == Version::Http10,
        ..view
    };
    write_h1(&view, &mut to_client.bytes);
}

/// Whole seconds, rounded up: a client must not come back early.
fn retry_after(live: &Live, rejection: &Rejection) -> u32 {
    match live.settings.response.retry_after {
        // When a breaker lets the next request through is known, whatever is said otherwise.
        _ if rejection.reason == Reason::BreakerOpen => whole_seconds(rejection.retry_after),
        RetryAfter::Auto => whole_seconds(rejection.retry_after).min(30),
        // Up to a quarter longer, so that clients that were rejected together do not return together.
        RetryAfter::Seconds(seconds) => seconds + draw() % (seconds / 4 + 1),
    }
}

/// Rounded up, at least 1: 0 would mean at once.
fn whole_seconds(span: Duration) -> u32 {
    let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
}

/// A random number, a new one each time.
fn draw() -> u32 {
    thread_local! {
        static SOURCE: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
    }
    SOURCE.with(|(keys, drawn)| keys.hash_one(drawn.replace(drawn.get() + 1)) as u32)
}
