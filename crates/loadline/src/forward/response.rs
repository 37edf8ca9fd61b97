//! Reading a response from the upstream: the part that a served client and an abandoned exchange have in common.

use loadline_h1::{BodyDecoder, Framing, Limits, Refusal, RequestKind, ResponseHead, Status};

/// How far the upstream's response has been read.
pub(crate) enum Phase {
    /// Waiting for, or in the middle of, the final head.
    Head,
    /// In the body.
    Body(BodyDecoder),
    /// The exchange with the upstream is over.
    Ended,
}

impl Phase {
    /// Looks for a head at the start of `received`. `None`: more bytes are needed. A complete one (which may be an
    /// interim one) is left in `head`, its bytes still in `received`.
    pub(crate) fn parse_head(
        head: &mut ResponseHead,
        received: &[u8],
        kind: RequestKind,
        limits: &Limits,
    ) -> Result<bool, Refusal> {
        Ok(matches!(head.parse(received, kind, limits)?, Status::Complete))
    }

    /// The phase that follows a final `head`.
    pub(crate) fn after(head: &ResponseHead, limits: &Limits) -> Self {
        match head.framing {
            Framing::None | Framing::Length(0) => Self::Ended,
            framing => Self::Body(BodyDecoder::for_response(framing, limits)),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }
}
