//! Why a message was refused: one kind per rule, so that logs, metrics and tests can tell the rules apart.

use core::fmt;

/// A refused message. The connection it came on cannot be used further, because where the next message begins is
/// unknown or not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer with: for requests 400, 414, 417, 431, 501 or 505; for responses always 502.
    pub status: u16,
    /// The rule that was broken.
    pub kind: RefusalKind,
}

impl Refusal {
    pub(crate) fn of_request(kind: RefusalKind) -> Self {
        Self { status: kind.request_status(), kind }
    }

    pub(crate) fn of_response(kind: RefusalKind) -> Self {
        Self { status: 502, kind }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.text())
    }
}

impl core::error::Error for Refusal {}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Declares the kinds with, for each, the status a client gets and the text that says what was wrong.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident = $status:literal, $text:literal;)+) => {
        /// The rule that a refused message broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum RefusalKind {
            $($(#[$doc])+ $kind,)+
        }

        impl RefusalKind {
            /// What was wrong, as a short phrase without the offending bytes (safe to log and to send).
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$kind => $text,)+
                }
            }

            fn request_status(self) -> u16 {
                match self {
                    $(Self::$kind => $status,)+
                }
            }
        }
    };
}

kinds! {
    /// More than two empty lines before the request line (RFC 9112 section 2.2 allows "at least one").
    EmptyLines = 400, "too many empty lines before the request line";
    /// The method is not a token (RFC 9110 section 9.1).
    Method = 400, "malformed method";
    /// `CONNECT` and `TRACE`: this is neither a tunnel nor a mirror.
    MethodUnsupported = 501, "method not supported here";
    /// The target is empty, or holds a control byte, a space, `#`, DEL or a byte above 0x7e (RFC 9112 section 3.2).
    Target = 400, "malformed request target";
    /// Neither origin-form nor absolute-form with `http` or `https`, nor `*` with `OPTIONS` (RFC 9112 section 3.2).
    TargetForm = 400, "unsupported form of request target";
    /// The target is longer than the limit.
    TargetTooLong = 414, "request target too long";
    /// The start line does not name an HTTP version where it must.
    Version = 400, "malformed HTTP version";
    /// An HTTP version other than 1.0 and 1.1, or none at all as in HTTP/0.9.
    VersionUnsupported = 505, "HTTP version not supported";
    /// The status line is not `HTTP/1.x SP 3DIGIT [SP reason]` (RFC 9112 section 4).
    StatusLine = 400, "malformed status line";
    /// The head is larger than the limit.
    HeadTooLarge = 431, "head too large";
    /// The head has more fields than the limit.
    TooManyFields = 431, "too many header fields";
    /// A line ends in LF alone (RFC 9112 section 2.2 would let us accept it; other parsers do not agree).
    BareLf = 400, "line ends without carriage return";
    /// CR that is not followed by LF (RFC 9112 section 2.2).
    BareCr = 400, "carriage return without line feed";
    /// A field line begins with white space: obsolete line folding (RFC 9112 section 5.2).
    Folded = 400, "folded header field";
    /// A field line without a name.
    FieldNameEmpty = 400, "header field without a name";
    /// A field name that is not a token (RFC 9110 section 5.1), or a line without a colon.
    FieldName = 400, "malformed header field name";
    /// White space between field name and colon (RFC 9112 section 5.1).
    SpaceBeforeColon = 400, "white space before colon";
    /// A control byte in a field value (RFC 9110 section 5.5).
    FieldValue = 400, "control byte in header field value";
    /// More connection options than anybody needs.
    ConnectionOptions = 400, "too many connection options";
    /// An HTTP/1.1 request without Host (RFC 9112 section 3.2).
    HostMissing = 400, "no Host";
    /// More than one Host (RFC 9112 section 3.2).
    HostRepeated = 400, "more than one Host";
    /// Host, or the authority of the target, is not `host[:port]` (RFC 9110 section 7.2).
    HostInvalid = 400, "malformed Host";
    /// Content-Length is not a decimal number below 2^63 (RFC 9112 section 6.3).
    LengthInvalid = 400, "malformed Content-Length";
    /// More than one Content-Length, even if equal (RFC 9112 section 6.3 lets us refuse).
    LengthRepeated = 400, "more than one Content-Length";
    /// Content-Length and Transfer-Encoding in one message (RFC 9112 section 6.3).
    LengthAndCoding = 400, "both Content-Length and Transfer-Encoding";
    /// Transfer-Encoding is empty or not a list of tokens (RFC 9112 section 6.1).
    CodingMalformed = 400, "malformed Transfer-Encoding";
    /// More than one Transfer-Encoding field, or `chunked` twice (RFC 9112 section 7).
    CodingRepeated = 400, "repeated transfer coding";
    /// A transfer coding other than `chunked` (RFC 9112 section 6.1: 501).
    CodingUnknown = 501, "unknown transfer coding";
    /// Transfer-Encoding in an HTTP/1.0 message (RFC 9112 section 6.1: faulty framing).
    CodingInHttp10 = 400, "Transfer-Encoding in HTTP/1.0";
    /// An expectation other than `100-continue` (RFC 9110 section 10.1.1).
    Expectation = 417, "unknown expectation";
    /// 101 that nobody asked for, or without Upgrade (RFC 9110 section 15.2.2).
    SwitchNotAsked = 400, "unexpected switch of protocols";
    /// An interim response that announces a body (RFC 9110 section 8.6, RFC 9112 section 6.1).
    InterimBody = 400, "interim response with a body";
    /// A chunk size that is empty, not hexadecimal or has white space around it (RFC 9112 section 7.1).
    ChunkSize = 400, "malformed chunk size";
    /// A chunk size of more than 16 digits.
    ChunkSizeOverflow = 400, "chunk size too large";
    /// A control byte in a chunk extension (RFC 9112 section 7.1.1).
    ChunkExtension = 400, "malformed chunk extension";
    /// The chunk extensions of this body are larger than the limit.
    ChunkExtensionsTooLarge = 400, "chunk extensions too large";
    /// Chunk data that is not followed by CRLF (RFC 9112 section 7.1).
    ChunkEnd = 400, "chunk data not followed by CRLF";
    /// A trailer field that may not appear there (RFC 9110 section 6.5.1).
    TrailerForbidden = 400, "field not allowed in trailers";
    /// The trailer section is larger than the limit.
    TrailersTooLarge = 431, "trailers too large";
    /// The connection ended before the message did.
    Truncated = 400, "message cut short";
}
