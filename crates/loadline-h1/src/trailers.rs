//! The trailer section of a chunked body (RFC 9112 section 7.1.2, RFC 9110 section 6.5).

use crate::limits::{Limits, MAX_FIELDS};
use crate::refusal::RefusalKind;
use crate::{diagnose, text};

/// Collects a trailer section line by line, and checks and re-encodes it when it is whole.
#[derive(Clone, Debug)]
pub(crate) struct Trailers {
    received: Vec<u8>,
    encoded: Vec<u8>,
    /// Where in `received` the current line begins.
    line: usize,
    lines: usize,
    max_bytes: usize,
    max_fields: usize,
}

impl Trailers {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            received: Vec::new(),
            encoded: Vec::new(),
            line: 0,
            lines: 0,
            max_bytes: limits.trailer_bytes,
            max_fields: limits.fields.min(MAX_FIELDS),
        }
    }

    /// Whole lines `name: value\r\n`; empty until the section is complete.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Takes bytes up to the end of one line. Returns how many, and whether that line was the empty one.
    pub(crate) fn push(&mut self, input: &[u8]) -> Result<(usize, bool), RefusalKind> {
        let line_end = input.iter().position(|&b| b == b'\n').map(|at| at + 1);
        let taken = line_end.unwrap_or(input.len());
        if self.received.len() + taken > self.max_bytes {
            return Err(RefusalKind::TrailersTooLarge);
        }
        self.received.extend_from_slice(&input[..taken]);
        if line_end.is_none() {
            return Ok((taken, false));
        }
        let line = &self.received[self.line..];
        if !line.ends_with(b"\r\n") {
            return Err(RefusalKind::BareLf);
        }
        let is_last = line.len() == 2;
        self.line = self.received.len();
        if is_last {
            self.encode()?;
        } else {
            self.lines += 1;
            if self.lines > self.max_fields {
                return Err(RefusalKind::TooManyFields);
            }
        }
        Ok((taken, is_last))
    }

    fn encode(&mut self) -> Result<(), RefusalKind> {
        let mut fields = vec![httparse::EMPTY_HEADER; self.lines];
        match httparse::parse_headers(&self.received, &mut fields) {
            Ok(httparse::Status::Complete(_)) => {}
            // The empty line has been seen, so the parser cannot want more.
            Ok(httparse::Status::Partial) => return Err(RefusalKind::FieldName),
            Err(error) => return Err(diagnose::field_lines(&self.received, error)),
        }
        self.encoded.reserve(self.received.len() + self.lines);
        for field in &fields {
            if is_forbidden(field.name.as_bytes()) {
                self.encoded.clear();
                return Err(RefusalKind::TrailerForbidden);
            }
            let at = self.encoded.len();
            self.encoded.extend_from_slice(field.name.as_bytes());
            text::lower_start(&mut self.encoded[at..], field.name.len());
            self.encoded.extend_from_slice(b": ");
            self.encoded.extend_from_slice(field.value);
            self.encoded.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}

/// Fields that a recipient who merges trailers into the header would act on: framing, routing, request modifiers,
/// authentication, content format (RFC 9110 section 6.5.1), and those between two neighbours.
fn is_forbidden(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 33] = [
        b"age",
        b"authorization",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-location",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expect",
        b"expires",
        b"forwarded",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"location",
        b"max-forwards",
        b"pragma",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"vary",
        b"warning",
        b"www-authenticate",
    ];
    NAMES.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
        || (name.len() > 3 && name[..3].eq_ignore_ascii_case(b"if-"))
}
