//! The layer that puts the cap around a client.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderName;
use loadline_http::deadline::DeadlineKind;
use tower_layer::Layer;

use super::{
    ClientService, Throttle,
    outgoing::{Outgoing, Propagate},
};
use crate::{Classify, Gate, Inherited, Observer, entrance::Entrance};

/// Puts a gate before a client. All clients made by one layer, or by layers with clones of one gate, share its limit.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put around a client"]
pub struct ClientLayer<C = Inherited> {
    entrance: Entrance<C>,
    propagate: Propagate,
    throttle: Option<Throttle>,
}

impl ClientLayer {
    /// Sends requests through this gate.
    pub fn new(gate: Gate) -> Self {
        let entrance = Entrance::new(gate, Inherited);
        Self { entrance, propagate: Propagate::ByProtocol, throttle: None }
    }
}

impl<C> ClientLayer<C> {
    /// Says of each call of which class it is, and if need be how much it costs: a closure that returns a
    /// [`Class`](crate::Class) or a [`Request`](crate::Request). Without, a call is of the class of the request that it is made
    /// for.
    ///
    /// ```
    /// use loadline_tower::{Class, Gate, Request, client::ClientLayer};
    ///
    /// # let gate = Gate::builder(std::num::NonZeroU32::MIN).build();
    /// let layer = ClientLayer::new(gate).classify(|call: &http::Request<String>| {
    ///     let searches = call.body().lines().count().max(1) as u32; // one piece of work there for each line
    ///     Request::new(Class::Normal).with_cost(searches.try_into().unwrap())
    /// });
    /// # let _ = layer;
    /// ```
    pub fn classify<B, F>(self, classify: F) -> ClientLayer<F>
    where
        F: Classify<B>,
    {
        let Self { entrance, propagate, throttle } = self;
        ClientLayer { entrance: entrance.classify(classify), propagate, throttle }
    }

    /// How long a call may take that says nothing of it in a header of its own, its time in the queue included. An earlier
    /// deadline of the request that it is made for counts in any case.
    pub fn default_budget(mut self, time: Duration) -> Self {
        self.entrance.deadlines = self.entrance.deadlines.default_budget(time);
        self
    }

    /// Tells the dependency the time that is left in this header, instead of the usual one.
    pub fn propagate_as(mut self, name: HeaderName, kind: DeadlineKind) -> Self {
        self.propagate = Propagate::As(name, kind);
        self
    }

    /// Does not tell the dependency how much time is left.
    pub fn no_propagation(mut self) -> Self {
        self.propagate = Propagate::Off;
        self
    }

    /// Keeps calls back while the dependency refuses most of them. They fail with [`Error::Shed`](crate::Error::Shed), whose
    /// reason is [`Overload`](crate::Reason::Overload), and the gate counts them.
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// Tells `observer` what becomes of each request. Several may be told.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.entrance.observe(observer);
        self
    }
}

impl<S, C: Clone> Layer<S> for ClientLayer<C> {
    type Service = ClientService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { entrance, propagate, throttle } = self.clone();
        ClientService { inner, entrance, outgoing: Arc::new(Outgoing { propagate, throttle }) }
    }
}

impl<C> fmt::Debug for ClientLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLayer")
            .field("gate", &self.entrance.gate)
            .field("propagate", &self.propagate)
            .field("throttle", &self.throttle)
            .finish_non_exhaustive()
    }
}
