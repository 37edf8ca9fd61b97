//! Strict HTTP/1.1 message framing without I/O, for both roles of a proxy.
