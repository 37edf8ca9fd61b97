//! Which trace a request belongs to: its client's, and the span of ours if one is sent.
//!
//! `traceparent` and `tracestate` are passed on as they came, valid or not, unless a span of ours stands between the client's
//! and the application's: then the application is told of ours.

use loadline_h1::RequestHead;
use loadline_http::trace_context::{TraceId, TraceParent};

use crate::buffers::Scratch;
use crate::spans::{OpenSpan, Spans};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// A request's place in a trace.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// What the client said, if it is valid.
    parent: Option<TraceParent>,
    /// The span that will be sent for this request.
    pub(crate) span: Option<OpenSpan>,
}

impl Trace {
    /// The trace of the request in `scratch`.
    pub(crate) fn of(scratch: &Scratch, spans: &Spans) -> Self {
        let parent = parent(&scratch.head, &scratch.inbox);
        Self { parent, span: spans.begin(parent) }
    }

    /// The trace's id, for the log.
    pub(crate) fn id(&self) -> Option<TraceId> {
        self.span.as_ref().map(OpenSpan::trace).or_else(|| self.parent.map(|parent| parent.trace))
    }

    /// The trace's id if somebody records the trace: one that can be looked up later.
    pub(crate) fn recorded(&self) -> Option<TraceId> {
        self.id().filter(|_| self.span.is_some() || self.parent.is_some_and(|parent| parent.is_sampled()))
    }

    /// Writes the line that tells the application whose child its own span is, and returns the names of the headers that it
    /// replaces. Nothing of both unless there is a span of ours.
    pub(crate) fn forward(&self, out: &mut Vec<u8>) -> &'static [&'static str] {
        let Some(span) = &self.span else { return &[] };
        out.extend_from_slice(format!("{TRACEPARENT}: {}\r\n", span.for_children()).as_bytes());
        // What others noted about a trace is of no use to the next one (section 3.3 of the specification).
        if self.parent.is_some() { &[TRACEPARENT] } else { &[TRACEPARENT, TRACESTATE] }
    }
}

/// The client's trace, unless it names none, or more than one.
fn parent(head: &RequestHead, bytes: &[u8]) -> Option<TraceParent> {
    let value = head.field(bytes, TRACEPARENT)?;
    let named = |(field, _): &(&[u8], &[u8])| field.eq_ignore_ascii_case(TRACEPARENT.as_bytes());
    TraceParent::parse(value).filter(|_| head.iter(bytes).filter(named).count() == 1)
}
