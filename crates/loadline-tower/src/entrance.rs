//! What layers for servers and for clients have in common: the gate, and what a request is when it comes there.

use std::sync::Arc;

use tower_service::Service;

use crate::{
    AdmitFuture, Classify, Deadlines, Gate, Observer, admit::Arrival, client::Outgoing, deadlines::Time,
    observer,
};

/// A gate, and how requests are judged before it.
#[derive(Clone)]
pub(crate) struct Entrance<C> {
    pub(crate) gate: Gate,
    pub(crate) classify: C,
    pub(crate) deadlines: Deadlines,
    observer: Option<Arc<dyn Observer>>,
}

impl<C> Entrance<C> {
    /// With the usual deadlines, and nobody who is told.
    pub(crate) fn new(gate: Gate, classify: C) -> Self {
        Self { gate, classify, deadlines: Deadlines::default(), observer: None }
    }

    /// The same with other classes.
    pub(crate) fn classify<D>(self, classify: D) -> Entrance<D> {
        let Self { gate, classify: _, deadlines, observer } = self;
        Entrance { gate, classify, deadlines, observer }
    }

    /// Tells `observer` as well.
    pub(crate) fn observe(&mut self, observer: Arc<dyn Observer>) {
        self.observer = Some(observer::and(self.observer.take(), observer));
    }

    /// What the fields of a request say of its time.
    pub(crate) fn read(&self, fields: &http::HeaderMap) -> Time {
        self.deadlines.read(fields, self.observer.as_ref())
    }

    /// Asks for a slot now, and calls a clone of the service when there is one.
    pub(crate) fn admit<S, B>(
        &self,
        arrival: &Arrival,
        outgoing: Option<&Arc<Outgoing>>,
        service: &S,
        request: http::Request<B>,
    ) -> AdmitFuture<S, B>
    where
        S: Service<http::Request<B>> + Clone,
        C: Classify<B>,
    {
        AdmitFuture::new(&self.gate, arrival, self.observer.as_ref(), outgoing, service, request)
    }
}
