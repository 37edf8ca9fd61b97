//! Reads a whole connection's bytes as a server would, message by message.

use loadline_h1::{BodyDecoder, Limits, Refusal, RequestHead, Status};

/// One request as understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub path: Vec<u8>,
    pub query: Vec<u8>,
    pub body: Vec<u8>,
    pub trailers: Vec<u8>,
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All bytes are used up, perhaps within a message.
    Input,
    /// The last message said that the connection does not persist.
    Close,
    /// Something was refused.
    Refused(Refusal),
}

/// Reads requests from `data`. `piece` says how many bytes each read yields (at least one is taken).
pub fn read_requests(data: &[u8], mut piece: impl FnMut() -> usize) -> (Vec<Message>, End) {
    let limits = Limits::default();
    let mut messages = Vec::new();
    let mut head = RequestHead::default();
    let mut rest = data;
    loop {
        let mut seen = 0;
        loop {
            seen = (seen + piece().max(1)).min(rest.len());
            match head.parse(&rest[..seen], &limits) {
                Ok(Status::Complete) => break,
                Ok(Status::Partial) if seen == rest.len() => return (messages, End::Input),
                Ok(Status::Partial) => {}
                Err(refusal) => return (messages, End::Refused(refusal)),
            }
        }
        let buf = rest;
        rest = &rest[head.len..];
        let mut body = Vec::new();
        let mut decoder = BodyDecoder::new(head.framing, &limits);
        while !decoder.is_done() {
            if rest.is_empty() {
                return (messages, End::Input);
            }
            let input = &rest[..piece().clamp(1, rest.len())];
            match decoder.decode(input) {
                Ok(decoded) => {
                    body.extend_from_slice(&input[decoded.data.clone()]);
                    assert!(decoded.consumed > 0, "no progress");
                    rest = &rest[decoded.consumed..];
                }
                Err(refusal) => return (messages, End::Refused(refusal)),
            }
        }
        messages.push(Message {
            method: head.method.of(buf).to_vec(),
            target: head.target.of(buf).to_vec(),
            path: head.path.of(buf).to_vec(),
            query: head.query.of(buf).to_vec(),
            body,
            trailers: decoder.trailers().to_vec(),
        });
        if !head.keep_alive {
            return (messages, End::Close);
        }
    }
}
