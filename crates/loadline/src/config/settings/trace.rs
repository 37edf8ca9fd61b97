//! `[trace]`: spans for a collector of traces.

use hyper::Uri;

/// `[trace]`. What is passed on of a client's trace does not depend on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Where spans go: `http://host[:port][/path]`. Default none, which sends nothing.
    pub endpoint: Option<Uri>,
    /// Share of the requests without a trace of their client's that begin one, 0 to 1. Default 0.01.
    pub sample: f64,
}

impl Default for Trace {
    fn default() -> Self {
        // One in a hundred shows every minute of a busy service, and costs a collector little.
        Self { endpoint: None, sample: 0.01 }
    }
}
