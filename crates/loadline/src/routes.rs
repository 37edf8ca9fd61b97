//! Which `[[route]]` a request belongs to.
//!
//! Asked once per request, before anything else is decided: the route says what the request costs, which class it has, how
//! long the upstream may take, and under which name it is counted. The first route whose path and method match is the one;
//! paths are compared as they were received, by whole segments.
//!
//! The admission core learns service times by number, so a number must mean the same route for as long as the process
//! runs: a name keeps the number that it was given first, over any number of reloads, even if it is gone in between.
//! Numbers are never given to another name.
//!
//! Out of scope: paths in disguise. A client that writes `/%73earch` for `/search` belongs to no route; what must hold for it
//! as well belongs into the limit.

use std::sync::Arc;
use std::time::Duration;

use loadline_core::{Class, RouteCost, RouteId, RouteSettings};
use loadline_http::classify::{PathGlob, ambiguity};

use crate::config::settings::{Cost, Route as Configured};

/// The label of requests that belong to no route.
const OTHER: &str = "other";

/// One route, ready for use.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) id: RouteId,
    paths: Vec<PathGlob>,
    methods: Vec<String>,
    class: Option<Class>,
    settings: RouteSettings,
    /// Longest time for the upstream, if it differs from `timeouts.upstream`.
    pub(crate) timeout: Option<Duration>,
}

/// The routes in force, and every name that was ever in force.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    routes: Arc<[Route]>,
    /// By [`RouteId::index`]; the first is [`OTHER`].
    names: Arc<[String]>,
}

impl Routes {
    /// `earlier`: the routes that these replace, whose names keep their numbers.
    pub(crate) fn new(configured: &[Configured], earlier: Option<&Self>) -> Self {
        let mut names = earlier.map_or_else(|| vec![OTHER.to_owned()], |earlier| earlier.names.to_vec());
        let routes = configured.iter().map(|route| Route {
            id: number(&mut names, &route.name),
            paths: route.paths.clone(),
            methods: route.methods.clone(),
            class: route.class,
            settings: RouteSettings::new(
                route.concurrency,
                match route.cost {
                    Cost::Learned => RouteCost::Learned,
                    Cost::Slots(slots) => RouteCost::Fixed(slots),
                },
            ),
            timeout: route.timeout,
        });
        let routes = routes.collect();
        Self { routes, names: names.into() }
    }

    /// The route of a request.
    pub(crate) fn of(&self, method: &[u8], path: &[u8]) -> Option<&Route> {
        self.routes.iter().find(|route| route.matches(method, path))
    }

    /// The name by which a route is counted, of the present ones or an earlier one.
    pub(crate) fn name(&self, id: RouteId) -> &str {
        self.names.get(id.index()).map_or(OTHER, String::as_str)
    }

    /// What the core has to know of them, by number.
    pub(crate) fn settings(&self) -> Vec<RouteSettings> {
        let highest = self.routes.iter().map(|route| route.id.index()).max();
        let mut settings = vec![RouteSettings::default(); highest.map_or(0, |highest| highest + 1)];
        for route in &*self.routes {
            settings[route.id.index()] = route.settings;
        }
        // Past the last number a route is nothing but OTHER, which has no settings.
        if let Some(other) = settings.first_mut() {
            *other = RouteSettings::default();
        }
        settings
    }

    /// Number and name of the routes in force.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RouteId, &str)> {
        self.routes.iter().map(|route| (route.id, self.name(route.id)))
    }
}

impl Route {
    /// The class that it gives to a request for `path`, of which `default` is the class otherwise. None to a path that may be
    /// read as another one and would be raised: see [`ambiguity`].
    pub(crate) fn class(&self, path: &[u8], default: Class) -> Option<Class> {
        let raises = |class: Class| class == Class::Bypass || class.index() < default.index();
        self.class.filter(|class| !raises(*class) || ambiguity(path).is_none())
    }

    fn matches(&self, method: &[u8], path: &[u8]) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|known| known.as_bytes() == method))
            && self.paths.iter().any(|glob| glob.matches(path))
    }
}

/// The number of a name; a new one if it has none yet. Past the last number everything is [`OTHER`].
fn number(names: &mut Vec<String>, name: &str) -> RouteId {
    let index = names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    u16::try_from(index).map_or(RouteId::OTHER, RouteId::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, path: &str) -> Configured {
        Configured {
            name: name.to_owned(),
            paths: vec![PathGlob::parse(path).unwrap()],
            methods: Vec::new(),
            concurrency: None,
            cost: Cost::Learned,
            class: None,
            timeout: None,
        }
    }

    fn of(routes: &Routes, method: &str, path: &str) -> String {
        let id = routes.of(method.as_bytes(), path.as_bytes()).map_or(RouteId::OTHER, |route| route.id);
        routes.name(id).to_owned()
    }

    #[test]
    fn the_first_that_matches_counts() {
        let upload =
            Configured { methods: vec!["POST".into(), "PUT".into()], ..route("upload", "/files/**") };
        let routes = Routes::new(&[upload, route("files", "/files/**"), route("all", "/f*/**")], None);
        assert_eq!(of(&routes, "PUT", "/files/a"), "upload");
        assert_eq!(of(&routes, "GET", "/files/a"), "files");
        assert_eq!(of(&routes, "put", "/files"), "files");
        assert_eq!(of(&routes, "GET", "/filesystem"), "all");
        assert_eq!(of(&routes, "GET", "/"), "other");
    }

    #[test]
    fn a_name_keeps_its_number_and_a_number_its_name() {
        let first = Routes::new(&[route("a", "/a"), route("b", "/b")], None);
        let second = Routes::new(&[route("c", "/c"), route("b", "/x")], Some(&first));
        let third = Routes::new(&[route("a", "/y")], Some(&second));
        let numbers = |routes: &Routes| {
            routes.iter().map(|(id, name)| (id.index(), name.to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&first), [(1, "a".to_owned()), (2, "b".to_owned())]);
        assert_eq!(numbers(&second), [(3, "c".to_owned()), (2, "b".to_owned())]);
        assert_eq!(numbers(&third), [(1, "a".to_owned())]);
        assert_eq!(third.name(RouteId::new(3)), "c", "what was counted under it keeps its name");
        assert_eq!(third.name(RouteId::new(9)), "other");
    }

    #[test]
    fn a_disguised_path_is_lowered_but_not_raised() {
        let class = |class, path: &str, default| {
            let route = Configured { class: Some(class), ..route("x", "/x/**") };
            let routes = Routes::new(&[route], None);
            routes.of(b"GET", path.as_bytes()).and_then(|route| route.class(path.as_bytes(), default))
        };
        assert_eq!(class(Class::High, "/x/a", Class::Normal), Some(Class::High));
        assert_eq!(class(Class::High, "/x/../a", Class::Normal), None);
        assert_eq!(class(Class::Low, "/x/../a", Class::Normal), Some(Class::Low));
        assert_eq!(class(Class::Bypass, "/x//a", Class::Normal), None);
        assert_eq!(class(Class::Normal, "/x//a", Class::Low), None);
    }
}
