//! Reading bodies piece by piece (RFC 9112 sections 6.2, 6.3 and 7.1).

use core::ops::Range;

use crate::framing::Framing;
use crate::limits::Limits;
use crate::refusal::{Refusal, RefusalKind};
use crate::trailers::Trailers;

/// Most digits of a chunk size: 16 fill 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;

/// Finds the data of one body and its end in what is read from the connection.
///
/// How the input is cut into pieces makes no difference. Data is not copied; only trailers are kept.
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    state: State,
    extension_bytes_left: usize,
    trailers: Trailers,
    is_response: bool,
}

/// What one call found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that are dealt with; give the rest again.
    pub consumed: usize,
    /// Where in `input[..consumed]` body data lies; may be empty.
    pub data: Range<usize>,
    /// The body is over; what follows `consumed` is the next message.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    Close,
    /// In the digits of a chunk size.
    Size {
        size: u64,
        digits: u8,
    },
    /// In the extensions after a chunk size.
    Extension {
        size: u64,
    },
    /// Before the LF of the line that holds the chunk size.
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the beginning of the trailer section; most have no field and are over with one CRLF.
    TrailerStart,
    TrailerLines,
    LastLf,
    Done,
    Refused(RefusalKind),
}

impl BodyDecoder {
    /// For the body of a request: refusals say 400 or 431.
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { size: 0, digits: 0 },
            Framing::Close => State::Close,
        };
        Self {
            state,
            extension_bytes_left: limits.chunk_ext_bytes,
            trailers: Trailers::new(limits),
            is_response: false,
        }
    }

    /// For the body of a response: refusals say 502.
    pub fn for_response(framing: Framing, limits: &Limits) -> Self {
        Self { is_response: true, ..Self::new(framing, limits) }
    }

    /// Reads on. Each call returns at most one run of data: call again with what was not consumed until nothing is
    /// consumed or the body is done.
    ///
    /// # Errors
    /// A broken rule of chunked framing or a limit; the same again on every later call.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, Refusal> {
        match self.step(input) {
            Ok((consumed, data)) => Ok(Decoded { consumed, data, done: self.is_done() }),
            Err(kind) => {
                self.state = State::Refused(kind);
                Err(self.refusal(kind))
            }
        }
    }

    /// Whether the body was read to its end.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The connection ended. That is how [`Framing::Close`] ends.
    ///
    /// # Errors
    /// [`RefusalKind::Truncated`] if more should have come.
    pub fn on_eof(&mut self) -> Result<(), Refusal> {
        match self.state {
            State::Done => Ok(()),
            State::Close => {
                self.state = State::Done;
                Ok(())
            }
            State::Refused(kind) => Err(self.refusal(kind)),
            _ => {
                self.state = State::Refused(RefusalKind::Truncated);
                Err(self.refusal(RefusalKind::Truncated))
            }
        }
    }

    /// The trailers as whole lines `name: value\r\n`, names in lower case; empty before the end and if there are none.
    pub fn trailers(&self) -> &[u8] {
        self.trailers.encoded()
    }

    /// Bytes of data that are still to come, where Content-Length says so; `Some(0)` once done.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    fn refusal(&self, kind: RefusalKind) -> Refusal {
        if self.is_response { Refusal::of_response(kind) } else { Refusal::of_request(kind) }
    }

    fn step(&mut self, input: &[u8]) -> Result<(usize, Range<usize>), RefusalKind> {
        match self.state {
            State::Length(left) => {
                let taken = at_most(left, input.len());
                let left = left - taken as u64;
                self.state = if left == 0 { State::Done } else { State::Length(left) };
                Ok((taken, 0..taken))
            }
            State::Close => Ok((input.len(), 0..input.len())),
            State::Done => Ok((0, 0..0)),
            State::Refused(kind) => Err(kind),
            _ => self.step_chunked(input),
        }
    }

    /// Goes through framing up to and with the next run of data, or to the end of the input.
    fn step_chunked(&mut self, input: &[u8]) -> Result<(usize, Range<usize>), RefusalKind> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            match self.state {
                State::Data { left } => {
                    let taken = at_most(left, input.len() - at);
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                    return Ok((at + taken, at..at + taken));
                }
                State::TrailerLines => {
                    let (taken, complete) = self.trailers.push(&input[at..])?;
                    at += taken;
                    if complete {
                        self.state = State::Done;
                    }
                }
                _ => at += self.step_byte(input[at])?,
            }
        }
        Ok((at, at..at))
    }

    /// Deals with one byte of framing; says whether it was consumed (1) or belongs to the next state (0).
    fn step_byte(&mut self, byte: u8) -> Result<usize, RefusalKind> {
        self.state = match (self.state, byte) {
            (State::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == MAX_SIZE_DIGITS {
                    return Err(RefusalKind::ChunkSizeOverflow);
                }
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(RefusalKind::ChunkSize),
            (State::Size { size, .. }, b';') => {
                self.count_extension_byte()?;
                State::Extension { size }
            }
            (State::Size { size, .. } | State::Extension { size }, b'\r') => State::SizeLf { size },
            (State::Size { .. } | State::Extension { .. }, b'\n') => return Err(RefusalKind::BareLf),
            (State::Size { .. }, _) => return Err(RefusalKind::ChunkSize),
            (State::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.count_extension_byte()?;
                State::Extension { size }
            }
            (State::Extension { .. }, _) => return Err(RefusalKind::ChunkExtension),
            (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { size }, b'\n') => State::Data { left: size },
            (State::LastLf, b'\n') => State::Done,
            (State::SizeLf { .. } | State::LastLf, _) => return Err(RefusalKind::BareCr),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { size: 0, digits: 0 },
            (State::DataCr | State::DataLf, _) => return Err(RefusalKind::ChunkEnd),
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart, _) => {
                self.state = State::TrailerLines;
                return Ok(0);
            }
            // Handled by the callers; nothing to do with a byte of framing.
            (state, _) => state,
        };
        Ok(1)
    }

    /// Counted over the whole body: one byte per chunk adds up, too.
    fn count_extension_byte(&mut self) -> Result<(), RefusalKind> {
        self.extension_bytes_left =
            self.extension_bytes_left.checked_sub(1).ok_or(RefusalKind::ChunkExtensionsTooLarge)?;
        Ok(())
    }
}

fn at_most(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}
