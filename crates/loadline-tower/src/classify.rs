//! What a request is: its class, and whatever else admission goes by.

use std::{collections::hash_map::RandomState, hash::BuildHasher, sync::Arc};

use loadline_core::{Class, Request, RouteId, TenantId};
use loadline_http::classify::{RequestView, Rules};

use crate::Budget;

/// Says what a request is. Any closure from `&http::Request<B>` to a [`Class`] or to a whole [`Request`] does.
///
/// A class is a privilege: derive it from what a client cannot choose freely. Deadlines and retries are read from the headers
/// by the layer; they need not be said here.
pub trait Classify<B> {
    /// Called once, before admission.
    fn classify(&self, request: &http::Request<B>) -> Request;
}

impl<B, F, T> Classify<B> for F
where
    F: Fn(&http::Request<B>) -> T,
    T: Into<Request>,
{
    fn classify(&self, request: &http::Request<B>) -> Request {
        self(request).into()
    }
}

/// Every request is [`Class::Normal`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AllNormal;

impl<B> Classify<B> for AllNormal {
    fn classify(&self, _: &http::Request<B>) -> Request {
        Request::new(Class::Normal)
    }
}

/// A call is of the class of the request that it is made for, or [`Class::Normal`] outside of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inherited;

impl<B> Classify<B> for Inherited {
    fn classify(&self, _: &http::Request<B>) -> Request {
        Request::new(Budget::current().map_or(Class::Normal, |budget| inherited(budget.class())))
    }
}

/// The class of what is asked of somebody else. A health check passes its own service's limit by, not a dependency's.
pub(crate) const fn inherited(class: Class) -> Class {
    match class {
        Class::Bypass => Class::Critical,
        other => other,
    }
}

/// By rules over path, method, headers and query: see [`loadline_http::classify`]. The path is that of the URI as it is when
/// the layer sees it; where axum nests routers, what is left of it.
#[derive(Clone, Debug)]
pub struct ByRules(Arc<Rules>);

impl From<Rules> for ByRules {
    fn from(rules: Rules) -> Self {
        Self(Arc::new(rules))
    }
}

impl<B> Classify<B> for ByRules {
    fn classify(&self, request: &http::Request<B>) -> Request {
        let headers = request.headers();
        let view = RequestView {
            method: request.method().as_str().as_bytes(),
            path: request.uri().path().as_bytes(),
            query: request.uri().query().map(str::as_bytes),
            header: &|name| headers.get(name).map(http::HeaderValue::as_bytes),
        };
        Request::new(self.0.class(&view).0)
    }
}

/// Numbers for the routes of a service, so that service times are predicted for each: a search takes longer than a status.
///
/// The list is closed. What it does not name shares [`RouteId::OTHER`], so that no client can make memory grow.
///
/// ```
/// use axum::extract::{MatchedPath, Request};
/// use loadline_tower::{Class, Gate, Routes, server::LoadlineLayer};
///
/// # let gate = Gate::builder(std::num::NonZeroU32::MIN).build();
/// let routes = Routes::new(["/users/{id}", "/search"]);
/// let layer = LoadlineLayer::new(gate).classify(move |request: &Request| {
///     let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
///     let described = loadline_tower::Request::new(Class::Normal).with_route(routes.id(route));
///     match route {
///         "/search" => described.with_cost(3.try_into().unwrap()), // as much work as three others
///         _ => described,
///     }
/// });
/// # let _: axum::Router = axum::Router::new().layer(layer);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Sorted.
    names: Vec<(Box<str>, RouteId)>,
}

impl Routes {
    /// These routes, by whatever name the service knows them. Beyond 65,535 they share [`RouteId::OTHER`].
    pub fn new<N: Into<Box<str>>>(names: impl IntoIterator<Item = N>) -> Self {
        let numbered = names.into_iter().map(Into::into).zip(1..=u16::MAX);
        let mut names: Vec<_> = numbered.map(|(name, number)| (name, RouteId::new(number))).collect();
        names.sort_by(|one, other| one.0.cmp(&other.0));
        Self { names }
    }

    /// The number of a route.
    #[must_use]
    pub fn id(&self, name: &str) -> RouteId {
        let found = self.names.binary_search_by(|(known, _)| (**known).cmp(name));
        found.map_or(RouteId::OTHER, |position| self.names[position].1)
    }
}

/// Names for tenants, made of whatever tells them apart: an account, an API key, an address.
///
/// The hash has a key of its own in each process, so that nobody can choose a name that shares somebody else's slots.
///
/// ```
/// use axum::extract::Request;
/// use loadline_tower::{Class, Gate, Tenants, server::LoadlineLayer};
///
/// let gate = Gate::builder(std::num::NonZeroU32::MIN).fair().build();
/// let tenants = Tenants::new();
/// let layer = LoadlineLayer::new(gate).classify(move |request: &Request| {
///     // Verified before, by a layer outside of this one.
///     let account = request.headers().get("x-account").map_or(&b""[..], |value| value.as_bytes());
///     loadline_tower::Request::new(Class::Normal).with_tenant(tenants.id(account))
/// });
/// # let _: axum::Router = axum::Router::new().layer(layer);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tenants(RandomState);

impl Tenants {
    /// With a new key.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The name of the tenant that has this key.
    #[must_use]
    pub fn id(&self, key: &[u8]) -> TenantId {
        TenantId::new(self.0.hash_one(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_numbered_from_one_in_the_order_given() {
        let routes = Routes::new(["/b", "/a"]);
        assert_eq!([routes.id("/b"), routes.id("/a")], [RouteId::new(1), RouteId::new(2)]);
        assert_eq!([routes.id(""), routes.id("/c")], [RouteId::OTHER; 2]);
    }
}
