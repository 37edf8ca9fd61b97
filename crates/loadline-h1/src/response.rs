//! Heads of responses, as a client reads them from the upstream (RFC 9112 sections 4 and 6.3).

use core::mem::MaybeUninit;

use crate::framing::{Framing, Version};
use crate::limits::{Limits, MAX_FIELDS};
use crate::refusal::{Refusal, RefusalKind};
use crate::request::{find, partial};
use crate::span::{Field, Span};
use crate::survey::Survey;
use crate::{Status, diagnose};

/// What the request was, as far as it decides how the response ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestKind {
    /// `HEAD`: no body, whatever the fields say.
    Head,
    /// A request that was forwarded with Upgrade: 101 may come.
    Upgrade,
    /// Any other.
    #[default]
    Other,
}

/// A parsed response head; see [`RequestHead`](crate::RequestHead) for how to use it.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The status code, 100 to 999. Interim responses (100 to 199 but 101) are followed by another head.
    pub status: u16,
    /// The version in the status line.
    pub version: Version,
    /// The reason phrase, possibly empty.
    pub reason: Span,
    /// All fields in order of arrival, hop-by-hop ones included.
    pub fields: Vec<Field>,
    /// How the body ends. [`Framing::None`] for interim responses, 101, 204, 304 and answers to `HEAD`.
    pub framing: Framing,
    /// Whether the connection may carry another request once the body was read to its end.
    pub keep_alive: bool,
    /// The protocol is switched (101): what follows the head is not HTTP.
    pub upgrade: bool,
    /// Bytes of the head in the buffer, the empty line included: the body begins there.
    pub len: usize,
}

impl ResponseHead {
    /// Parses the head that `buf` begins with.
    ///
    /// # Errors
    /// The first rule found broken, also while the head is still incomplete; the status is always 502.
    pub fn parse(&mut self, buf: &[u8], request: RequestKind, limits: &Limits) -> Result<Status, Refusal> {
        self.parse_head(buf, request, limits).map_err(Refusal::of_response)
    }

    /// Value of the first field called `name`, in any case. `buf` as in [`Span::of`].
    pub fn field<'b>(&self, buf: &'b [u8], name: &str) -> Option<&'b [u8]> {
        find(&self.fields, buf, name)
    }

    /// Name (as received) and value of every field, in order.
    pub fn iter<'b>(&self, buf: &'b [u8]) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        self.fields.iter().map(move |field| (field.name.of(buf), field.value.of(buf)))
    }

    /// Whether this is an interim response, which another response follows.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    fn parse_head(
        &mut self,
        buf: &[u8],
        request: RequestKind,
        limits: &Limits,
    ) -> Result<Status, RefusalKind> {
        let limit = limits.head_bytes.min(u32::MAX as usize);
        let window = &buf[..buf.len().min(limit)];
        // Only servers may skip empty lines before a message (RFC 9112 section 2.2).
        if let [b'\r' | b'\n', ..] = window {
            return Err(RefusalKind::StatusLine);
        }
        let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let lines = &mut lines[..limits.fields.min(MAX_FIELDS)];
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut response, window, lines) {
            Ok(httparse::Status::Complete(length)) => {
                self.len = length;
                self.take(&buf[..length], &response, request)?;
                Ok(Status::Complete)
            }
            Ok(httparse::Status::Partial) => partial(window, limit, RefusalKind::HeadTooLarge),
            Err(error) => Err(diagnose::response(window, error)),
        }
    }

    /// Checks and keeps what the token parser found in `head`.
    fn take(
        &mut self,
        head: &[u8],
        response: &httparse::Response<'_, '_>,
        request: RequestKind,
    ) -> Result<(), RefusalKind> {
        self.status = response.code.unwrap_or_default();
        if self.status < 100 {
            return Err(RefusalKind::StatusLine);
        }
        self.reason = reason(head, response.reason.unwrap_or_default());
        self.version = if response.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let survey = Survey::read(head, response.headers, &mut self.fields)?;
        let announced = survey.framing(head, self.version)?;
        self.keep_alive = survey.persists(self.version);
        self.upgrade = self.status == 101;
        self.framing = match self.status {
            101 if request != RequestKind::Upgrade || !survey.upgrade.is_present() => {
                return Err(RefusalKind::SwitchNotAsked);
            }
            100..=199 if announces_body(announced) => return Err(RefusalKind::InterimBody),
            100..=199 | 304 => Framing::None,
            204 => {
                // It must not announce a body (RFC 9110 section 8.6), but some servers do, and some of these send it.
                // We read none; so what comes next on this connection cannot be trusted.
                self.keep_alive &= !announces_body(announced);
                Framing::None
            }
            _ if request == RequestKind::Head => Framing::None,
            _ => announced.unwrap_or(Framing::Close),
        };
        self.keep_alive &= self.framing != Framing::Close && !self.upgrade;
        Ok(())
    }
}

fn announces_body(announced: Option<Framing>) -> bool {
    !matches!(announced, None | Some(Framing::Length(0)))
}

/// The reason phrase. `HTTP/1.x NNN` is 12 bytes, then a space if a phrase may follow; the token parser hands out an
/// empty phrase for one with bytes from 0x80 up, so its end is looked for in that case.
fn reason(head: &[u8], parsed: &str) -> Span {
    const START: usize = 13;
    if !parsed.is_empty() {
        return Span::locate(head, parsed.as_bytes());
    }
    match head[START - 1..].iter().position(|&b| b == b'\r' || b == b'\n') {
        Some(end) if end > 0 => Span::new(START, START - 1 + end),
        _ => Span::new(START - 1, START - 1),
    }
}
