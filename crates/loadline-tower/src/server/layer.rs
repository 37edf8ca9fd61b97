//! The builder, and the layer that puts the service around another.

use std::{fmt, sync::Arc};

use http::StatusCode;
use loadline_http::{
    classify::Rules,
    rejection::{BodyFormat, StatusCodes},
};
use tower_layer::Layer;

use super::{AsError, AsResponse, LoadlineService};
use crate::{AllNormal, ByRules, Classify, Deadlines, Gate, Observer, entrance::Entrance};

/// Puts a gate before a service.
///
/// All services made by one layer, or by layers with clones of one gate, share its limit and its queue. In axum,
/// `Router::layer` makes one service for each route: the limit is nevertheless the limit of all of them.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct LoadlineLayer<C = AllNormal, A = AsResponse> {
    entrance: Entrance<C>,
    answer: A,
}

impl LoadlineLayer {
    /// Admits requests through this gate, all with class `normal` and the deadlines that their headers name, and answers those
    /// that it rejects with a response.
    pub fn new(gate: Gate) -> Self {
        Self { entrance: Entrance::new(gate, AllNormal), answer: AsResponse::default() }
    }
}

impl<C, A> LoadlineLayer<C, A> {
    /// Classifies each request with a closure that returns its class, or, with a cost and a route, a whole
    /// [`Request`](crate::Request); or with another [`Classify`]. Name the request's type in the closure, as here axum's:
    ///
    /// ```
    /// use axum::extract::Request;
    /// use loadline_tower::{Class, Gate, server::LoadlineLayer};
    ///
    /// # let gate = Gate::builder(std::num::NonZeroU32::MIN).build();
    /// let layer = LoadlineLayer::new(gate).classify(|request: &Request| match request.uri().path() {
    ///     "/healthz" => Class::Bypass, // not queued, not counted, a small cap of its own
    ///     "/checkout" => Class::High,
    ///     _ => Class::Normal,
    /// });
    /// # let _: axum::Router = axum::Router::new().layer(layer);
    /// ```
    pub fn classify<B, F>(self, classify: F) -> LoadlineLayer<F, A>
    where
        F: Classify<B>,
    {
        LoadlineLayer { entrance: self.entrance.classify(classify), answer: self.answer }
    }

    /// Classifies each request by rules, as the proxy does.
    ///
    /// ```
    /// use loadline_tower::{Class, Gate, server::LoadlineLayer};
    /// use loadline_tower::loadline_http::classify::{Condition, PathGlob, Rule, Rules};
    ///
    /// # let gate = Gate::builder(std::num::NonZeroU32::MIN).build();
    /// let checkout = Rule { conditions: vec![Condition::Path(PathGlob::parse("/checkout/*")?)], class: Class::High };
    /// let layer = LoadlineLayer::new(gate).rules(Rules::new(vec![checkout], Class::Normal)?);
    /// # let _: axum::Router = axum::Router::new().layer(layer);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rules(self, rules: Rules) -> LoadlineLayer<ByRules, A> {
        LoadlineLayer { entrance: self.entrance.classify(ByRules::from(rules)), answer: self.answer }
    }

    /// Which deadlines are heeded, and what those get that name none.
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.entrance.deadlines = deadlines;
        self
    }

    /// Tells `observer` what becomes of each request. Several may be told.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.entrance.observe(observer);
        self
    }

    /// Rejections become [`Error::Shed`](crate::Error::Shed), for stacks that turn errors into responses themselves.
    pub fn shed_as_error(self) -> LoadlineLayer<C, AsError> {
        LoadlineLayer { entrance: self.entrance, answer: AsError }
    }
}

impl<C> LoadlineLayer<C, AsResponse> {
    /// The status of rejections: `shed` in general (503 unless said otherwise; 429 is usual too), `deadline` if it was about
    /// the request's deadline (504). gRPC requests get gRPC's own status instead.
    ///
    /// # Errors
    /// If one of them is no client or server error: a rejection must not look like an answer.
    pub fn status(mut self, shed: StatusCode, deadline: StatusCode) -> Result<Self, NoErrorStatus> {
        for status in [shed, deadline] {
            if !status.is_client_error() && !status.is_server_error() {
                return Err(NoErrorStatus(status));
            }
        }
        self.answer.codes = StatusCodes { shed: shed.as_u16(), deadline: deadline.as_u16() };
        Ok(self)
    }

    /// What the body of a rejection is written in; problem+json unless said otherwise.
    pub fn body_format(mut self, format: BodyFormat) -> Self {
        self.answer.format = format;
        self
    }
}

/// A status for rejections that is no 4xx or 5xx.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoErrorStatus(pub StatusCode);

impl fmt::Display for NoErrorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no 4xx or 5xx, and a rejection must not look like an answer", self.0)
    }
}

impl std::error::Error for NoErrorStatus {}

impl<S, C: Clone, A: Clone> Layer<S> for LoadlineLayer<C, A> {
    type Service = LoadlineService<S, C, A>;

    fn layer(&self, inner: S) -> Self::Service {
        LoadlineService { inner, entrance: self.entrance.clone(), answer: self.answer.clone() }
    }
}

impl<C, A: fmt::Debug> fmt::Debug for LoadlineLayer<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadlineLayer")
            .field("gate", &self.entrance.gate)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}
