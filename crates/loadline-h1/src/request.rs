//! Heads of requests, as a server reads them (RFC 9112 sections 2 to 7).

use core::mem::MaybeUninit;

use crate::framing::{Framing, Version};
use crate::limits::{Limits, MAX_FIELDS};
use crate::names::NameSet;
use crate::refusal::{Refusal, RefusalKind};
use crate::span::{Field, Span};
use crate::survey::{Single, Survey};
use crate::{Status, diagnose, target, text};

/// A parsed request head: places in the buffer it was parsed from, and what they mean.
///
/// Keep one and parse into it again and again: the list of fields is reused. Only after [`Status::Complete`] do the
/// members mean anything.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method, a token. Never `CONNECT` or `TRACE`.
    pub method: Span,
    /// The target as received.
    pub target: Span,
    /// The path without the query, also of an absolute-form target; `*` for `OPTIONS *`.
    pub path: Span,
    /// The query without `?`; empty if there is none.
    pub query: Span,
    /// The authority of an absolute-form target if there is one, else the value of Host; empty only in HTTP/1.0.
    pub host: Span,
    /// The version in the request line.
    pub version: Version,
    /// All fields in order of arrival, hop-by-hop ones included.
    pub fields: Vec<Field>,
    /// The names of these fields, and perhaps others.
    pub names: NameSet,
    /// How the body ends; never [`Framing::Close`].
    pub framing: Framing,
    /// Whether the client lets the connection persist after this exchange.
    pub keep_alive: bool,
    /// The client waits for 100 (Continue) before it sends the body (HTTP/1.1 with a body only).
    pub expect_continue: bool,
    /// Value of Upgrade if the client asks to switch protocols in a way that can be passed on: HTTP/1.1, named by
    /// Connection, one field, no body, not `h2c`. Set it to `None` to forward the request without the wish.
    pub upgrade: Option<Span>,
    /// Bytes of the head in the buffer, the empty line included: the body begins there.
    pub len: usize,
    /// The target from the path on, as it is forwarded; an empty path lacks its slash here.
    pub(crate) origin: Span,
    pub(crate) asterisk: bool,
    pub(crate) te_trailers: bool,
}

impl RequestHead {
    /// Parses the head that `buf` begins with. One or two empty lines before it are skipped and counted in `len`.
    ///
    /// # Errors
    /// The first rule found broken, also while the head is still incomplete. A prefix of a refused head may be refused
    /// for a different reason than the whole, but a prefix of an accepted head is never refused.
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<Status, Refusal> {
        self.parse_head(buf, limits).map_err(Refusal::of_request)
    }

    /// Value of the first field called `name`, in any case. `buf` as in [`Span::of`].
    #[inline]
    pub fn field<'b>(&self, buf: &'b [u8], name: &str) -> Option<&'b [u8]> {
        if self.names.meets(NameSet::of(name)) { find(&self.fields, buf, name) } else { None }
    }

    /// Name (as received) and value of every field, in order.
    pub fn iter<'b>(&self, buf: &'b [u8]) -> impl DoubleEndedIterator<Item = (&'b [u8], &'b [u8])> + Clone {
        self.fields.iter().map(move |field| (field.name.of(buf), field.value.of(buf)))
    }

    /// Whether this is a gRPC call: `Content-Type: application/grpc`, with or without `+format` and parameters.
    pub fn is_grpc(&self, buf: &[u8]) -> bool {
        const GRPC: &[u8] = b"application/grpc";
        self.field(buf, "content-type").is_some_and(|value| {
            value.len() >= GRPC.len()
                && value[..GRPC.len()].eq_ignore_ascii_case(GRPC)
                && matches!(value.get(GRPC.len()), None | Some(b'+' | b';' | b' ' | b'\t'))
        })
    }

    fn parse_head(&mut self, buf: &[u8], limits: &Limits) -> Result<Status, RefusalKind> {
        let limit = limits.head_bytes.min(u32::MAX as usize);
        let window = &buf[..buf.len().min(limit)];
        let Some(skipped) = leading_lines(window)? else {
            return partial(window, limit, RefusalKind::EmptyLines);
        };
        let text = &window[skipped..];

        let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let lines = &mut lines[..limits.fields.min(MAX_FIELDS)];
        match request.parse_with_uninit_headers(text, lines) {
            Ok(httparse::Status::Complete(length)) => {
                self.len = skipped + length;
                self.take(&buf[..self.len], &request, limits)?;
                Ok(Status::Complete)
            }
            Ok(httparse::Status::Partial) => {
                if target_so_far(text, &request) > limits.target_bytes {
                    return Err(RefusalKind::TargetTooLong);
                }
                let in_request_line = request.version.is_none();
                let kind =
                    if in_request_line { RefusalKind::TargetTooLong } else { RefusalKind::HeadTooLarge };
                partial(window, limit, kind)
            }
            Err(error) => Err(diagnose::request(text, error)),
        }
    }

    /// Checks and keeps what the token parser found in `head`.
    fn take(
        &mut self,
        head: &[u8],
        request: &httparse::Request<'_, '_>,
        limits: &Limits,
    ) -> Result<(), RefusalKind> {
        let method = request.method.unwrap_or_default().as_bytes();
        self.method = Span::locate(head, method);
        if method.eq_ignore_ascii_case(b"CONNECT") || method.eq_ignore_ascii_case(b"TRACE") {
            return Err(RefusalKind::MethodUnsupported);
        }
        self.target = Span::locate(head, request.path.unwrap_or_default().as_bytes());
        if self.target.len() > limits.target_bytes {
            return Err(RefusalKind::TargetTooLong);
        }
        let target = target::split(head, method, self.target)?;
        self.path = target.path;
        self.query = target.query;
        self.origin = target.origin;
        self.asterisk = target.asterisk;
        self.version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };

        let survey = Survey::read(head, request.headers, &mut self.fields)?;
        self.names = survey.names;
        self.host = match (survey.host, self.version) {
            (Single::Once(host), _) if target::is_authority(host.of(head)) => host,
            (Single::Once(_), _) => return Err(RefusalKind::HostInvalid),
            (Single::Repeated, _) => return Err(RefusalKind::HostRepeated),
            (Single::Absent, Version::Http11) => return Err(RefusalKind::HostMissing),
            (Single::Absent, Version::Http10) => Span::default(),
        };
        if let Some(authority) = target.authority {
            self.host = authority;
        }
        self.framing = survey.framing(head, self.version)?.unwrap_or(Framing::None);
        self.keep_alive = survey.persists(self.version);
        let has_body = !matches!(self.framing, Framing::None | Framing::Length(0));
        self.expect_continue =
            expects_continue(head, survey.expect)? && has_body && self.version == Version::Http11;
        self.upgrade = match survey.upgrade {
            Single::Once(value)
                if survey.upgrade_named
                    && self.version == Version::Http11
                    && !has_body
                    && is_forwardable_upgrade(value.of(head)) =>
            {
                Some(value)
            }
            _ => None,
        };
        self.te_trailers = survey.te_trailers && self.version == Version::Http11;
        Ok(())
    }
}

/// The first field called `name`.
pub(crate) fn find<'b>(fields: &[Field], buf: &'b [u8], name: &str) -> Option<&'b [u8]> {
    let found = fields.iter().find(|field| {
        field.name.len() == name.len() && field.name.of(buf).eq_ignore_ascii_case(name.as_bytes())
    });
    found.map(|field| field.value.of(buf))
}

/// An incomplete head that fills the limit can only become too large.
pub(crate) fn partial(window: &[u8], limit: usize, kind: RefusalKind) -> Result<Status, RefusalKind> {
    if window.len() >= limit { Err(kind) } else { Ok(Status::Partial) }
}

/// Bytes of empty lines before the request line: RFC 9112 section 2.2 wants robustness against clients that send one
/// after a body. `None` where more bytes are needed.
fn leading_lines(window: &[u8]) -> Result<Option<usize>, RefusalKind> {
    const MOST: usize = 2;
    let mut at = 0;
    loop {
        match &window[at..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r' | b'\n', ..] if at == MOST * 2 => return Err(RefusalKind::EmptyLines),
            [b'\r', b'\n', ..] => at += 2,
            [b'\r', ..] => return Err(RefusalKind::BareCr),
            [b'\n', ..] => return Err(RefusalKind::BareLf),
            _ => return Ok(Some(at)),
        }
    }
}

/// Bytes of the target in an incomplete head. Before the token parser has seen its end, all after the first space.
fn target_so_far(text: &[u8], request: &httparse::Request<'_, '_>) -> usize {
    match request.path {
        Some(path) => path.len(),
        None => text.iter().position(|&b| b == b' ').map_or(0, |space| text.len() - space - 1),
    }
}

/// RFC 9110 section 10.1.1: 417 for any other expectation.
fn expects_continue(head: &[u8], expect: Single) -> Result<bool, RefusalKind> {
    match expect {
        Single::Absent => Ok(false),
        Single::Once(value) if value.of(head).eq_ignore_ascii_case(b"100-continue") => Ok(true),
        Single::Once(_) | Single::Repeated => Err(RefusalKind::Expectation),
    }
}

/// `h2c` would switch the upstream connection to HTTP/2 behind our back, so such a wish is ignored as a whole, as
/// RFC 9110 section 7.8 allows; so is an empty or malformed one.
fn is_forwardable_upgrade(value: &[u8]) -> bool {
    text::elements(value).all(|protocol| {
        let mut parts = protocol.splitn(2, |&b| b == b'/');
        let name = parts.next().unwrap_or_default();
        text::is_token(name) && parts.next().is_none_or(text::is_token) && !name.eq_ignore_ascii_case(b"h2c")
    })
}
