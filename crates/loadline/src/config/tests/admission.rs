//! Routes, fairness, retries, warm-up: every notation, and mistakes with their places.

use std::num::NonZeroU32;

use loadline_core::Class;
use loadline_http::classify::PathGlob;

use super::super::settings::{Codel, Cost, Fairness, FairnessKey, Retry, Route, Warmup};
use super::*;

fn all_keys() -> Vec<Route> {
    let glob = |pattern| PathGlob::parse(pattern).unwrap();
    let plain = Route {
        name: "search".to_owned(),
        paths: vec![glob("/search/**")],
        methods: vec![],
        concurrency: None,
        cost: Cost::Learned,
        class: None,
        timeout: None,
    };
    let full = Route {
        name: "export.v2".to_owned(),
        paths: vec![glob("/export/*"), glob("/v2/*/export")],
        methods: vec!["GET".to_owned(), "POST".to_owned()],
        concurrency: NonZeroU32::new(2),
        cost: Cost::Slots(NonZeroU32::new(3).unwrap()),
        class: Some(Class::Low),
        timeout: Some(Duration::from_secs(90)),
    };
    vec![plain, full]
}

const TOML: &str = r#"[[route]]
name = "search"
path = "/search/**"

[[route]]
name = "export.v2"
path = ["/export/*", "/v2/*/export"]
method = ["GET", "POST"]
concurrency = 2
cost = 3
class = "low"
timeout = "90s"
"#;
const JSON: &str = r#"[{"name": "search", "path": "/search/**", "cost": "learned"}, {"name": "export.v2", "path": ["/export/*", "/v2/*/export"], "method": ["GET", "POST"], "concurrency": 2.0, "cost": 3, "class": "low", "timeout": 90000}]"#;

#[test]
fn every_notation_gives_the_same_routes() {
    for given in [
        Given::app().toml(TOML),
        Given::app().file("x.json", &format!("{{\"route\": {JSON}}}")),
        Given::app().env("LOADLINE_ROUTE", JSON),
        Given::app().toml("[[route]]\nname = \"x\"\npath = \"/\"\n").set(&format!("route={JSON}")),
    ] {
        let loaded = given.good();
        assert_eq!(loaded.settings.route, all_keys());
        assert_eq!(loaded.warnings.len(), 0, "{:?}", loaded.warnings);
        let printed = render::effective(&loaded);
        assert_eq!(Given::default().toml(&printed).good().settings, loaded.settings, "{printed}");
    }
    assert_eq!(Given::app().toml(TOML).set("route=[]").good().settings.route, []);
}

#[test]
fn mistakes_in_routes_have_places() {
    for (route, column, message) in [
        ("path = \"/a\"", 10, "a route needs a name (such as name=\"search\")"),
        ("name = \"a\"", 10, "a route needs a path (such as path=\"/search/**\")"),
        ("name = \"a\", paht = \"/a\"", 24, "unknown key `paht` in a route; did you mean `path`?"),
        (
            "name = \"other\", path = \"/a\"",
            19,
            "name: \"other\" is not a name of at most 64 letters, digits, `_`, `-` and `.` (and other than other and healthcheck)",
        ),
        ("name = 3, path = \"/a\"", 19, "name: 3 is not a string"),
        ("name = \"a\", path = \"a\"", 32, "path: \"a\", byte 1: a path pattern begins with /"),
        ("name = \"a\", path = []", 31, "path: a list is not a string or a list of strings"),
        ("name = \"a\", path = [\"/a\", 3]", 31, "path: a list is not a string or a list of strings"),
        ("name = \"a\", path = \"/a\", method = \"G T\"", 46, "method: \"G T\" is not a method"),
        (
            "name = \"a\", path = \"/a\", concurrency = 0",
            51,
            "concurrency: 0 is not a whole number from 1 to 1000000",
        ),
        (
            "name = \"a\", path = \"/a\", cost = 0.5",
            44,
            "cost: 0.5 is not a whole number from 1 to 1000000 or \"learned\"",
        ),
        (
            "name = \"a\", path = \"/a\", class = \"hihg\"",
            45,
            "class: \"hihg\" is not critical, high, normal, low or bypass; did you mean `high`?",
        ),
        ("name = \"a\", path = \"/a\", timeout = 0", 47, "timeout: 0 is out of range: 1ms to 1d"),
        (
            "name = \"a\", path = \"/a\" }, { name = \"a\", path = \"/b\"",
            39,
            "two routes have the name \"a\"",
        ),
    ] {
        let file = format!("route = [{{ {route} }}]\n");
        let expected = format!("loadline.toml:1:{column}: route: {message}");
        assert_eq!(Given::app().toml(&file).errors(), expected, "{route}");
        let inline = Given::app().set(&format!("route=[{{ {route} }}]")).errors();
        let column = column - "route = ".len();
        assert_eq!(inline, format!("error: --set route: at character {column}: {message}"));
    }
    let error = Given::app().toml("[route]\nname = \"a\"\n").errors();
    assert_eq!(
        error,
        "loadline.toml:1:2: route: a table is not a list of routes (such as [{name=\"search\",path=\"/search/**\"}])"
    );
}

#[test]
fn names_of_routes_are_fit_for_labels() {
    let name =
        |name: &str| Given::app().set(&format!("route=[{{name=\"{name}\",path=\"/\"}}]")).load().is_ok();
    for good in ["a", "Api_v2.search-all", "0", "others", &"x".repeat(64)] {
        assert!(name(good), "{good}");
    }
    for bad in ["", "-a", ".a", "a b", "a/b", "é", "a{b}", "healthcheck", "other", &"x".repeat(65)] {
        assert!(!name(bad), "{bad}");
    }
}

#[test]
fn what_a_route_cannot_have_is_doubted() {
    let warnings =
        |extra: &str| Given::app().set(&format!("route=[{{name=\"a\",path=\"/\",{extra}}}]")).good().warnings;
    assert_eq!(warnings("concurrency=4"), ["the concurrency of route a is more than limit.concurrency (3)"]);
    assert_eq!(warnings("cost=4"), ["a request of route a takes all slots: limit.concurrency is 3"]);
    assert_eq!(warnings("concurrency=3,cost=3").len(), 0);
}

#[test]
fn the_other_settings_of_admission_are_read() {
    let toml = "[queue]\nmax_bytes = \"8MiB\"\ncodel = { target = \"20ms\", interval = 300 }\n[fairness]\nkey = \"header:X-Tenant\"\n\
        cohorts = true\n[retry]\ndetect = false\ntoken = false\n[warmup]\nfrom = 0.5\nover = \"1m\"\n";
    let loaded = Given::app().toml(toml).good();
    let Settings { queue, fairness, retry, warmup, .. } = loaded.settings;
    assert_eq!(queue.max_bytes, Some(8 << 20));
    let millis = Duration::from_millis;
    assert_eq!(queue.codel, Codel { target: millis(20), interval: millis(300) });
    assert_eq!(fairness, Fairness { key: FairnessKey::Header("x-tenant".to_owned()), cohorts: true });
    assert_eq!(retry, Retry { detect: false, token: false });
    assert_eq!(warmup, Warmup { from: 50, over: Some(Duration::from_secs(60)) });
    assert_eq!(loaded.warnings.len(), 0);

    for (set, expected) in [
        (
            "fairness.key=ip",
            "fairness.key: \"ip\" is not \"off\", \"client-ip\" or \"header:\" and the name of a header",
        ),
        ("warmup.from=0", "warmup.from: 0 is not a share from 0.01 to 1.0 in steps of 0.01 (try 0.95)"),
        ("warmup.over=0", "warmup.over: 0 is out of range: 1ms to 1d or \"none\""),
        ("retry.detect=yes", "retry.detect: \"yes\" is not true or false"),
        ("queue.codel.target=0", "queue.codel.target: 0 is out of range: 1ms to 1d"),
    ] {
        assert_eq!(Given::app().set(set).errors(), format!("error: --set {expected}"));
    }
    let idle = Given::app().set("fairness.cohorts=true").good().warnings;
    assert_eq!(idle, ["fairness.cohorts has no effect: fairness.key is off"]);
}
