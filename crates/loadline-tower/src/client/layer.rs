//! The layer that puts the cap around a client.

use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::ClientService;
use crate::{Gate, Observer};

/// Puts a gate before a client. All clients made by one layer, or by layers with clones of one gate, share its limit.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put around a client"]
pub struct ClientLayer {
    gate: Gate,
    observer: Option<Arc<dyn Observer>>,
}

impl ClientLayer {
    /// Sends requests through this gate.
    pub const fn new(gate: Gate) -> Self {
        Self { gate, observer: None }
    }

    /// Tells `observer` what becomes of each request.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { gate, observer } = self.clone();
        ClientService { inner, gate, observer }
    }
}

impl fmt::Debug for ClientLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLayer").field("gate", &self.gate).finish_non_exhaustive()
    }
}
