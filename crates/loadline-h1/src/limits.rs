//! What a peer may make us hold. Every limit is a bound on memory or on work per message.

/// Most fields that a head may hold, whatever [`Limits::fields`] says: the token parser's table lives on the stack.
pub const MAX_FIELDS: usize = 256;

/// Bounds on one message. The defaults are what common servers use: larger ones mostly serve attackers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, from its first byte (leading empty lines included) to the empty line that ends it. Above: 431.
    pub head_bytes: usize,
    /// Bytes of the request target. Above: 414.
    pub target_bytes: usize,
    /// Fields in a head, and separately in a trailer section; at most 256 whatever is set. Above: 431.
    pub fields: usize,
    /// Bytes of all chunk extensions of one body. They carry nothing that anybody uses, so a body that spends more on
    /// them is an attempt to make us work for nothing. Above: 400.
    pub chunk_ext_bytes: usize,
    /// Bytes of a trailer section. Above: 431.
    pub trailer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            target_bytes: 8 * 1024,
            fields: 100,
            chunk_ext_bytes: 16 * 1024,
            trailer_bytes: 8 * 1024,
        }
    }
}
