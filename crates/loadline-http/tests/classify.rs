//! Path patterns and rules: tables, disguised paths, and a naive matcher beside the real one.

use loadline_core::Class;
use loadline_http::classify::{
    Condition, GlobProblem, PathGlob, RequestView, Rule, RuleError, RuleProblem, Rules, ambiguity,
};
use proptest::prelude::*;

fn glob(pattern: &str) -> PathGlob {
    PathGlob::parse(pattern).unwrap()
}

/// Pattern, paths it matches, paths it does not.
const GLOBS: &[(&str, &[&str], &[&str])] = &[
    ("/", &["/"], &["", "//", "/a", "*", "a"]),
    (
        "/health",
        &["/health"],
        &[
            "/healthcare",
            "/health/",
            "/Health",
            "/HEALTH",
            "//health",
            "/health/x",
            "/a/health",
            "/healt",
            "health",
            "/h%65alth",
            "/health;x",
            "/health?",
            "/./health",
        ],
    ),
    ("/health/", &["/health/"], &["/health", "/health/x", "/health//"]),
    (
        "/admin/*",
        &["/admin/", "/admin/a", "/admin/a/", "/admin/a/b/c"],
        &["/admin", "/administrator", "/Admin/a", "/x/admin/a"],
    ),
    (
        "/admin/**",
        &["/admin", "/admin/", "/admin/a", "/admin/a/b/c"],
        &["/administrator", "/adm", "/x/admin"],
    ),
    ("/*", &["/", "/a", "/a/b", "//"], &["", "*", "a"]),
    ("/**", &["/", "/a", "/a/b", "//"], &["", "*", "a"]),
    (
        "/users/*/orders",
        &["/users/7/orders", "/users/*/orders"],
        &["/users//orders", "/users/orders", "/users/7/8/orders", "/users/7/orders/", "/users/7/ordersx"],
    ),
    (
        "/users/*/orders/*",
        &["/users/7/orders/", "/users/7/orders/1/2"],
        &["/users/7/orders", "/users//orders/1"],
    ),
    ("/*/admin", &["/x/admin"], &["/admin", "//admin", "/x/y/admin", "/x/admin/"]),
    ("/v*/items", &["/v/items", "/v2/items", "/v-beta/items"], &["/v2/x/items", "/w/items", "/v2items"]),
    ("/img/*.png", &["/img/a.png", "/img/.png"], &["/img/a.PNG", "/img/a/b.png", "/img/a.png/", "/img/png"]),
    ("/a*a", &["/aa", "/aba", "/aaa"], &["/a", "/ab"]),
    (
        "/static/**/*.js",
        &["/static/a.js", "/static/x/y/a.js", "/static/x.js/a.js"],
        &["/static/a.css", "/static/a.js/x", "/a.js"],
    ),
    ("/a/**/b", &["/a/b", "/a/x/b", "/a/b/b", "/a/x/y/b"], &["/a", "/b", "/a/x", "/a/b/x", "/ab"]),
    ("/a/**/b/**/c", &["/a/b/c", "/a/x/b/y/z/c", "/a/b/b/c/c"], &["/a/c/b", "/a/b", "/a/c"]),
    ("/**/x/*/y", &["/x/1/y", "/x/x/1/y", "/x/x/y", "/q/x/1/x/2/y"], &["/x/y", "/x/1/2/y"]),
    ("/**/**", &["/", "/a/b"], &[""]),
    ("/a/%20b", &["/a/%20b"], &["/a/ b", "/a/+b"]),
];

#[test]
fn the_table_of_globs() {
    for (pattern, matching, others) in GLOBS {
        let glob = glob(pattern);
        assert_eq!(glob.to_string(), *pattern);
        for path in *matching {
            assert!(glob.matches(path.as_bytes()), "{pattern} should match {path}");
        }
        for path in *others {
            assert!(!glob.matches(path.as_bytes()), "{pattern} should not match {path}");
        }
    }
}

#[test]
fn patterns_are_refused_with_the_place() {
    for (pattern, at, problem) in [
        ("", 0, GlobProblem::NoSlash),
        ("*", 0, GlobProblem::NoSlash),
        ("admin/*", 0, GlobProblem::NoSlash),
        ("/a?b", 2, GlobProblem::Sign),
        ("/users/{id}", 7, GlobProblem::Sign),
        ("/a/[0-9]", 3, GlobProblem::Sign),
        ("/^a$", 1, GlobProblem::Sign),
        ("/a b", 2, GlobProblem::Sign),
        ("/a#b", 2, GlobProblem::Sign),
        ("/müller", 2, GlobProblem::Sign),
        ("/a\n", 2, GlobProblem::Sign),
        ("//a", 1, GlobProblem::Ambiguous),
        ("/a/../b", 5, GlobProblem::Ambiguous),
        ("/a;b", 2, GlobProblem::Ambiguous),
        ("/a\\b", 2, GlobProblem::Ambiguous),
        ("/a/%2e", 3, GlobProblem::Ambiguous),
        ("/a/%zz", 3, GlobProblem::Ambiguous),
        ("/a*b*", 4, GlobProblem::SecondStar),
        ("/x/a**", 5, GlobProblem::SecondStar),
        ("/x/**a", 4, GlobProblem::SecondStar),
        ("/***", 2, GlobProblem::SecondStar),
    ] {
        let error = PathGlob::parse(pattern).unwrap_err();
        assert_eq!((error.at, error.problem), (at, problem), "{pattern}");
        assert!(error.to_string().contains(&format!("byte {}", at + 1)));
    }
}

/// A request for tables: method, target, fields.
fn class(rules: &Rules, method: &str, target: &str, fields: &[(&str, &str)]) -> (Class, Option<usize>) {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let header =
        |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes());
    let view = RequestView {
        method: method.as_bytes(),
        path: path.as_bytes(),
        query: query.map(str::as_bytes),
        header: &header,
    };
    rules.class(&view)
}

fn path(pattern: &str, class: Class) -> Rule {
    Rule { conditions: vec![Condition::Path(glob(pattern))], class }
}

/// The rules of the documentation's example.
fn shop() -> Rules {
    let text = str::to_owned;
    let rules = vec![
        path("/health", Class::Bypass),
        path("/admin/*", Class::Critical),
        Rule {
            conditions: vec![Condition::Path(glob("/api/checkout/**")), Condition::Method(text("POST"))],
            class: Class::High,
        },
        Rule { conditions: vec![Condition::QueryEquals(text("export"), text("full"))], class: Class::Low },
        Rule { conditions: vec![Condition::HasQuery(text("debug"))], class: Class::Low },
        Rule { conditions: vec![Condition::HeaderEquals(text("x-kind"), text("batch"))], class: Class::Low },
        Rule { conditions: vec![Condition::HasHeader(text("authorization"))], class: Class::High },
        path("/**/*.map", Class::Low),
    ];
    Rules::new(rules, Class::Normal).unwrap()
}

#[test]
fn the_first_rule_whose_conditions_all_hold_decides() {
    let auth = &[("authorization", "")][..];
    for (method, target, fields, expected) in [
        ("GET", "/", &[][..], (Class::Normal, None)),
        ("GET", "/health", &[], (Class::Bypass, Some(0))),
        ("HEAD", "/health?x=1", &[], (Class::Bypass, Some(0))),
        ("GET", "/healthcare-shop", &[], (Class::Normal, None)),
        ("GET", "/admin/users", &[], (Class::Critical, Some(1))),
        ("GET", "/admin", &[], (Class::Normal, None)),
        ("POST", "/api/checkout", &[], (Class::High, Some(2))),
        ("POST", "/api/checkout/pay?export=full", &[], (Class::High, Some(2))),
        ("GET", "/api/checkout?export=full", &[], (Class::Low, Some(3))),
        ("post", "/api/checkout", &[], (Class::Normal, None)),
        ("GET", "/x?a=1&export=full&b", &[], (Class::Low, Some(3))),
        ("GET", "/x?export=ful&export=full", &[], (Class::Low, Some(3))),
        ("GET", "/x?export=full2", &[], (Class::Normal, None)),
        ("GET", "/x?exportfull", &[], (Class::Normal, None)),
        ("GET", "/x?export=f%75ll", &[], (Class::Normal, None)),
        ("GET", "/x?debug", &[], (Class::Low, Some(4))),
        ("GET", "/x?debug=", &[], (Class::Low, Some(4))),
        ("GET", "/x?a&debug=1=2", &[], (Class::Low, Some(4))),
        ("GET", "/x?", &[], (Class::Normal, None)),
        ("GET", "/x?&&=&debugger", &[], (Class::Normal, None)),
        ("GET", "/x", &[("x-kind", "batch")], (Class::Low, Some(5))),
        ("GET", "/x", &[("x-kind", "Batch")], (Class::Normal, None)),
        ("GET", "/x", auth, (Class::High, Some(6))),
        ("GET", "/js/app.map", auth, (Class::High, Some(6))),
        ("GET", "/js/app.map", &[], (Class::Low, Some(7))),
        ("OPTIONS", "*", &[], (Class::Normal, None)),
    ] {
        assert_eq!(class(&shop(), method, target, fields), expected, "{method} {target} {fields:?}");
    }
}

#[test]
fn a_disguised_path_gets_no_more_than_the_default() {
    let auth = &[("authorization", "x")][..];
    for target in [
        "/admin/../export",
        "/admin/..",
        "/admin/./x",
        "/admin//x",
        "//admin/x",
        "/admin/%2e%2e/export",
        "/admin/.%2e/export",
        "/admin/%2E./x",
        "/admin/..%2fexport",
        "/admin/..%5cexport",
        "/admin/..\\export",
        "/admin/..;/export",
        "/admin/;/export",
        "/admin/x;y=/../..",
        "/admin/%252e%252e/x",
        "/admin/%00",
        "/admin/%",
        "/admin/%2",
        "/admin/%c0%ae%c0%ae/x",
        "/admin/\u{1}",
        "/admin/x%2Fy",
    ] {
        assert_eq!(class(&shop(), "GET", target, &[]), (Class::Normal, None), "{target}");
        assert_eq!(class(&shop(), "GET", target, auth), (Class::Normal, None), "{target}");
        let lowered = format!("{target}?debug");
        assert_eq!(class(&shop(), "GET", &lowered, auth), (Class::Low, Some(4)), "{lowered}");
    }
    for target in ["/%61dmin/x", "/admin%2fx", "/ADMIN/x", "/admin\u{2215}x", "/\u{ff41}dmin/x"] {
        assert_eq!(class(&shop(), "GET", target, &[]), (Class::Normal, None), "{target}");
    }
}

#[test]
fn what_raises_depends_on_the_default() {
    for (default, raised) in
        [(Class::Low, true), (Class::Normal, false), (Class::High, false), (Class::Critical, false)]
    {
        let rules = Rules::new(vec![path("/a/*", Class::Normal)], default).unwrap();
        let expected = if raised { (default, None) } else { (Class::Normal, Some(0)) };
        assert_eq!(class(&rules, "GET", "/a/../b", &[]), expected);
        assert_eq!(class(&rules, "GET", "/a/b", &[]), (Class::Normal, Some(0)));
    }
    let rules = Rules::new(vec![path("/a/*", Class::Bypass)], Class::Critical).unwrap();
    assert_eq!(class(&rules, "GET", "/a/../b", &[]), (Class::Critical, None));
}

#[test]
fn rules_that_cannot_be_used() {
    let with = |condition| {
        Rules::new(
            vec![path("/", Class::High), Rule { conditions: vec![condition], class: Class::Low }],
            Class::Normal,
        )
        .map(|_| ())
    };
    let text = str::to_owned;
    let second = |problem| Err(RuleError { rule: Some(1), problem });
    assert_eq!(with(Condition::Method(text("P OST"))), second(RuleProblem::Method(text("P OST"))));
    assert_eq!(with(Condition::Method(text(""))), second(RuleProblem::Method(text(""))));
    for name in ["", "Authorization", "x y", "x:"] {
        assert_eq!(with(Condition::HasHeader(text(name))), second(RuleProblem::Header(text(name))));
        assert_eq!(
            with(Condition::HeaderEquals(text(name), text("1"))),
            second(RuleProblem::Header(text(name)))
        );
    }
    for name in ["", "a=b", "a&b", "a#"] {
        assert_eq!(with(Condition::HasQuery(text(name))), second(RuleProblem::Query(text(name))));
        assert_eq!(
            with(Condition::QueryEquals(text(name), text("1"))),
            second(RuleProblem::Query(text(name)))
        );
    }
    let empty = Rules::new(vec![Rule { conditions: vec![], class: Class::Low }], Class::Normal).unwrap_err();
    assert_eq!(empty.to_string(), "rule 1: no condition");
    let bypass = Rules::new(vec![], Class::Bypass).unwrap_err();
    assert_eq!(bypass.to_string(), "the default class cannot be bypass");
}

/// The documentation's words as directly as possible: a pattern is a list of segments, tried in every way.
fn naive(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=path.len()).any(|taken| naive(rest, &path[taken..])),
        (["*"], [_, ..]) => true,
        (["*", rest @ ..], [first, others @ ..]) => !first.is_empty() && naive(rest, others),
        ([segment, rest @ ..], [first, others @ ..]) => {
            let same = match segment.split_once('*') {
                Some((before, after)) => (before.len()..=first.len())
                    .any(|at| first[..at].starts_with(before) && &first[at..] == after),
                None => segment == first,
            };
            same && naive(rest, others)
        }
        _ => false,
    }
}

fn segments(alphabet: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(alphabet), 1..most)
        .prop_map(|segments| format!("/{}", segments.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_glob_equals_the_naive_reading(
        pattern in segments(&["a", "b", "ab", "*", "**", "a*", "*b", "a*b"], 7),
        path in segments(&["a", "b", "ab", "aab", "abb", "", "c"], 8),
    ) {
        let expected = naive(&pattern[1..].split('/').collect::<Vec<_>>(), &path[1..].split('/').collect::<Vec<_>>());
        prop_assert_eq!(glob(&pattern).matches(path.as_bytes()), expected);
    }

    /// Decoding as often as one likes, and resolving dots and slashes, leaves the segments of an unambiguous path alone.
    #[test]
    fn an_unambiguous_path_survives_normalisation(path in "/([a-c./%25eEfF;\\\\]|%2e|%2f|%41|%20){0,12}") {
        if ambiguity(path.as_bytes()).is_some() {
            return Ok(());
        }
        let mut decoded = path.clone().into_bytes();
        for _ in 0..3 {
            decoded = decode(&decoded);
        }
        let count = |path: &[u8]| path.iter().filter(|byte| **byte == b'/').count();
        prop_assert_eq!(count(&decoded), count(path.as_bytes()));
        let text = String::from_utf8_lossy(&decoded).into_owned();
        prop_assert!(text.split('/').all(|segment| segment != "." && segment != ".."));
        prop_assert!(!text.contains("//") && !text.contains('\\') && !text.contains(';'), "{}", text);
    }
}

proptest! {
    #[test]
    fn any_pattern_and_path_are_survived(pattern in "\\PC{0,30}", near in "/[a/*%.;]{0,20}", path in proptest::collection::vec(any::<u8>(), 0..60)) {
        for pattern in [pattern, near] {
            match PathGlob::parse(&pattern) {
                Ok(glob) => prop_assert!(!glob.matches(&path) || path.starts_with(b"/")),
                Err(error) => prop_assert!(error.at <= pattern.len()),
            }
        }
        prop_assert!(ambiguity(&path).is_none_or(|at| at <= path.len()));
    }

    /// However it is disguised, a path below `/admin/` that resolves to another place is not raised.
    #[test]
    fn a_path_that_leaves_its_prefix_is_ambiguous(
        inside in "[a-z]{0,5}",
        up in proptest::sample::select(vec!["..", ".%2e", "%2e.", "%2E%2e", "..;", "..;a=b", "%252e%252e"]),
        slash in proptest::sample::select(vec!["/", "%2f", "%2F", "\\", "%5c", "//"]),
        outside in "[a-z]{1,5}",
    ) {
        let path = format!("/admin/{inside}{slash}{up}{slash}{up}{slash}{outside}");
        prop_assert_eq!(class(&shop(), "GET", &path, &[("authorization", "x")]), (Class::Normal, None));
    }
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let [first, others @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[3..] } else { others };
    }
    out
}
