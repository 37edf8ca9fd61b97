//! Spans in a build without the feature `otlp`: none, and nothing that could begin one. `config/rules.rs` warns of a setting that
//! asks for them.

use std::sync::Arc;
use std::time::Duration;

use loadline_http::trace_context::{TraceId, TraceParent};
use tokio::time::Instant;

use crate::buffers::Scratch;
use crate::config::settings::Trace;
use crate::exchange::Exchange;
use crate::live::Live;
use crate::shared::Shared;

/// Sends nothing.
#[derive(Debug)]
pub(crate) struct Spans;

/// There is none.
#[derive(Debug)]
pub(crate) enum OpenSpan {}

impl Spans {
    pub(crate) fn off() -> Self {
        Self
    }

    pub(crate) fn start(_: &Trace, _: Option<&Self>) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self))
    }

    pub(crate) fn begin(&self, _: Option<TraceParent>) -> Option<OpenSpan> {
        None
    }

    pub(crate) fn end(&self, _: &Shared, _: &Live, _: &Scratch, _: bool, _: &Exchange, _: Instant) {}

    pub(crate) fn flush(&self, _: Duration) {}

    pub(crate) fn counts(&self) -> [(&'static str, u64); 3] {
        [("exported", 0), ("dropped", 0), ("failed", 0)]
    }
}

impl OpenSpan {
    pub(crate) fn trace(&self) -> TraceId {
        match *self {}
    }

    pub(crate) fn for_children(&self) -> TraceParent {
        match *self {}
    }
}
