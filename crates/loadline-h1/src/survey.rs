//! One pass over the field lines of a head, requests and responses alike: turns the token parser's slices into
//! offsets, and notes what decides framing, persistence and forwarding.

use crate::framing::{self, Framing, Version};
use crate::names::NameSet;
use crate::refusal::RefusalKind;
use crate::span::{Field, Role, Span};
use crate::text;

/// Most options in the Connection fields of one message. Each is compared with every field name, so this bounds the
/// work; real messages have three at most.
const MAX_CONNECTION_OPTIONS: u32 = 32;

/// What the field lines say. A `Single` that was seen twice remembers that, because what repetition means differs.
#[derive(Default)]
pub(crate) struct Survey {
    pub(crate) names: NameSet,
    pub(crate) host: Single,
    pub(crate) upgrade: Single,
    pub(crate) expect: Single,
    length: Single,
    coding: Single,
    /// `Connection: close`
    pub(crate) close: bool,
    /// `Connection: keep-alive`
    pub(crate) keep_alive: bool,
    /// `Connection: upgrade`
    pub(crate) upgrade_named: bool,
    /// `TE: trailers`
    pub(crate) te_trailers: bool,
    options: u32,
    nominates: bool,
}

/// A field that should appear at most once.
#[derive(Clone, Copy, Default)]
pub(crate) enum Single {
    #[default]
    Absent,
    Once(Span),
    Repeated,
}

impl Single {
    fn note(&mut self, value: Span) {
        *self = if matches!(self, Self::Absent) { Self::Once(value) } else { Self::Repeated };
    }

    pub(crate) fn is_present(self) -> bool {
        !matches!(self, Self::Absent)
    }
}

impl Survey {
    /// Replaces what `fields` holds by what the token parser found in `head`, which ends with the empty line.
    ///
    /// The token parser also takes LF alone for the end of a line. Every line begins where the one before it ended, so
    /// it is enough to look at the byte before the LF that precedes each name, and at the last four bytes.
    #[inline]
    pub(crate) fn read(
        head: &[u8],
        lines: &[httparse::Header<'_>],
        fields: &mut Vec<Field>,
    ) -> Result<Self, RefusalKind> {
        if !head.ends_with(b"\r\n\r\n") {
            return Err(RefusalKind::BareLf);
        }
        let mut survey = Self::default();
        let mut every_line_has_cr = true;
        fields.clear();
        fields.extend(lines.iter().map(|line| {
            let name = Span::locate(head, line.name.as_bytes());
            every_line_has_cr &= head[name.start() - 2] == b'\r';
            survey.names.insert(line.name.as_bytes());
            Field { name, value: Span::locate(head, line.value), role: Role::of(line.name.as_bytes()) }
        }));
        if !every_line_has_cr {
            return Err(RefusalKind::BareLf);
        }
        for field in fields.iter() {
            if !matches!(field.role, Role::EndToEnd | Role::HopByHop) {
                survey.note(field.role, field.value, field.value.of(head))?;
            }
        }
        if survey.nominates {
            strip_nominated(head, fields);
        }
        Ok(survey)
    }

    /// What Content-Length and Transfer-Encoding say; `None` where neither is there (RFC 9112 section 6.3).
    #[inline]
    pub(crate) fn framing(&self, head: &[u8], version: Version) -> Result<Option<Framing>, RefusalKind> {
        match (self.length, self.coding) {
            (Single::Absent, Single::Absent) => Ok(None),
            (Single::Once(value), Single::Absent) => {
                framing::content_length(value.of(head)).map(|length| Some(Framing::Length(length)))
            }
            (Single::Repeated, Single::Absent) => Err(RefusalKind::LengthRepeated),
            (Single::Once(_) | Single::Repeated, _) => Err(RefusalKind::LengthAndCoding),
            (Single::Absent, _) if version == Version::Http10 => Err(RefusalKind::CodingInHttp10),
            (Single::Absent, Single::Repeated) => Err(RefusalKind::CodingRepeated),
            (Single::Absent, Single::Once(value)) => {
                framing::transfer_coding(value.of(head)).map(|()| Some(Framing::Chunked))
            }
        }
    }

    /// Whether the sender lets the connection persist (RFC 9112 section 9.3).
    #[inline]
    pub(crate) fn persists(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    fn note(&mut self, role: Role, value: Span, bytes: &[u8]) -> Result<(), RefusalKind> {
        match role {
            Role::Host => self.host.note(value),
            Role::ContentLength => self.length.note(value),
            Role::TransferEncoding => self.coding.note(value),
            Role::Upgrade => self.upgrade.note(value),
            Role::Expect => self.expect.note(value),
            Role::Te => self.te_trailers |= text::elements(bytes).any(|e| text::is(e, b"trailers")),
            Role::Connection => self.note_connection(bytes)?,
            Role::EndToEnd | Role::HopByHop => {}
        }
        Ok(())
    }

    fn note_connection(&mut self, options: &[u8]) -> Result<(), RefusalKind> {
        // By far the most common value, spared the walk over a list.
        if text::is(options, b"keep-alive") {
            self.keep_alive = true;
            return Ok(());
        }
        for option in text::elements(options) {
            self.options += 1;
            if self.options > MAX_CONNECTION_OPTIONS {
                return Err(RefusalKind::ConnectionOptions);
            }
            if text::is(option, b"keep-alive") {
                self.keep_alive = true;
            } else if text::is(option, b"close") {
                self.close = true;
            } else if text::is(option, b"upgrade") {
                self.upgrade_named = true;
            } else {
                self.nominates = true;
            }
        }
        Ok(())
    }
}

/// Marks the fields that Connection names as hop-by-hop (RFC 9110 section 7.6.1), but for those that are never a
/// matter between neighbours: see [`never_nominated`].
fn strip_nominated(head: &[u8], fields: &mut [Field]) {
    for at in 0..fields.len() {
        if fields[at].role != Role::Connection {
            continue;
        }
        let options = fields[at].value.of(head);
        for option in text::elements(options).filter(|option| !never_nominated(option)) {
            for field in fields.iter_mut().filter(|f| f.role == Role::EndToEnd) {
                if field.name.of(head).eq_ignore_ascii_case(option) {
                    field.role = Role::HopByHop;
                }
            }
        }
    }
}

/// Fields that Connection cannot take away. RFC 9110 section 7.6.1 forbids to nominate what is meant for all
/// recipients; who does so anyway wants a proxy to hide credentials, the body's type, the client's address or a
/// trusted predecessor's mark from the application. The option is then ignored and the field stays.
fn never_nominated(option: &[u8]) -> bool {
    const NAMES: [&[u8]; 28] = [
        b"accept",
        b"age",
        b"authorization",
        b"cache-control",
        b"cookie",
        b"date",
        b"etag",
        b"expires",
        b"forwarded",
        b"grpc-timeout",
        b"last-modified",
        b"location",
        b"origin",
        b"proxy-authorization",
        b"range",
        b"referer",
        b"retry-after",
        b"set-cookie",
        b"trailer",
        b"traceparent",
        b"vary",
        b"via",
        b"www-authenticate",
        b"x-client-ip",
        b"x-real-ip",
        b"x-request-deadline",
        b"x-request-id",
        b"x-respond-by",
    ];
    const PREFIXES: [&[u8]; 6] =
        [b"access-control-", b"content-", b"if-", b"sec-", b"strict-", b"x-forwarded-"];
    NAMES.iter().any(|name| option.eq_ignore_ascii_case(name))
        || PREFIXES
            .iter()
            .any(|prefix| option.len() > prefix.len() && option[..prefix.len()].eq_ignore_ascii_case(prefix))
}
