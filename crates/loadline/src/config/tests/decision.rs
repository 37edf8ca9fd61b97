//! Classes and deadlines: the list of rules in every notation, and mistakes in it with their places.

use loadline_core::Class;
use loadline_http::classify::{Condition, PathGlob, Rule};
use loadline_http::deadline::NaiveZone;

use super::super::settings::{Reserve, ShedAt};
use super::*;

fn all_conditions() -> Vec<Rule> {
    let header = |name: &str| Condition::HasHeader(name.to_owned());
    vec![
        Rule {
            conditions: vec![
                Condition::Path(PathGlob::parse("/admin/*").unwrap()),
                Condition::Method("GET".to_owned()),
                header("authorization"),
                Condition::HeaderEquals("x-plan".to_owned(), "gold: 1".to_owned()),
                Condition::HasQuery("page".to_owned()),
                Condition::QueryEquals("q".to_owned(), "a=b".to_owned()),
            ],
            class: Class::Critical,
        },
        Rule { conditions: vec![header("x-probe")], class: Class::Bypass },
    ]
}

const TOML: &str = r#"[[priority.rules]]
path = "/admin/*"
method = "GET"
has_header = "Authorization"
header = "X-Plan: gold: 1"
has_query = "page"
query = "q=a=b"
class = "critical"

[[priority.rules]]
has_header = "x-probe"
class = "bypass"
"#;
const JSON: &str = r#"[{"path": "/admin/*", "method": "GET", "has_header": "Authorization", "header": "X-Plan: gold: 1",
    "has_query": "page", "query": "q=a=b", "class": "critical"}, {"has_header": "x-probe", "class": "bypass"}]"#;
const INLINE: &str = r#"[{path="/admin/*",method="GET",has_header="Authorization",header="X-Plan: gold: 1",has_query="page",query="q=a=b",class="critical"},{has_header="x-probe",class="bypass"}]"#;

#[test]
fn every_notation_gives_the_same_rules() {
    let json = JSON.replace('\n', "");
    for given in [
        Given::app().toml(TOML),
        Given::app().file("x.json", &format!("{{\"priority\": {{\"rules\": {JSON}}}}}")),
        Given::app().toml(&format!("[priority]\nrules = {INLINE}\n")),
        Given::app().env("LOADLINE_PRIORITY_RULES", INLINE),
        Given::app().env("LOADLINE_PRIORITY_RULES", &json),
        Given::app().set(&format!("priority.rules={INLINE}")),
        Given::app().toml(TOML).set(&format!("priority.rules={json}")),
    ] {
        let loaded = given.good();
        assert_eq!(loaded.settings.priority.rules, all_conditions());
        let printed = render::effective(&loaded);
        assert_eq!(Given::default().toml(&printed).good().settings, loaded.settings, "{printed}");
    }
    let none = Given::app().toml(TOML).set("priority.rules=[]").good();
    assert_eq!(none.settings.priority.rules, []);
    let classifier =
        Given::app().toml(TOML).set("priority.default=low").good().settings.priority.classifier();
    assert_eq!(classifier.default_class(), Class::Low);
}

#[test]
fn mistakes_in_rules_have_places() {
    for (rules, place, message) in [
        ("pth = \"/a\", class = \"low\"", 12, "unknown key `pth` in a rule; did you mean `path`?"),
        ("path = \"/a\"", 10, "a rule needs a class (such as class=\"high\")"),
        (
            "class = \"low\"",
            10,
            "a rule needs a condition; the class of all other requests is priority.default",
        ),
        ("", 10, "a rule needs a class (such as class=\"high\")"),
        (
            "path = \"/a\", class = \"lwo\"",
            33,
            "class: \"lwo\" is not critical, high, normal, low or bypass; did you mean `low`?",
        ),
        ("path = 3, class = \"low\"", 19, "path: 3 is not a string"),
        ("path.x = \"/a\", class = \"low\"", 12, "path: a table is not a string"),
        (
            "path = \"/a/{id}\", class = \"low\"",
            23,
            "path: \"/a/{id}\", byte 4: not a sign that a path pattern can hold",
        ),
        ("path = \"a\", class = \"low\"", 20, "path: \"a\", byte 1: a path pattern begins with /"),
        ("method = \"GE T\", class = \"low\"", 21, "method: \"GE T\" is not a method"),
        (
            "header = \"x-plan\", class = \"low\"",
            21,
            "header: \"x-plan\" is not \"name: value\" (for any value: has_header)",
        ),
        ("has_header = \"a b\", class = \"low\"", 25, "has_header: \"a b\" is not a lower-case header name"),
        (
            "query = \"page\", class = \"low\"",
            20,
            "query: \"page\" is not \"name=value\" (for any value: has_query)",
        ),
        (
            "has_query = \"a=b\", class = \"low\"",
            24,
            "has_query: \"a=b\" is not the name of a query parameter",
        ),
    ] {
        let list = format!("[{{ {rules} }}]");
        let in_file = Given::app().toml(&format!("[priority]\nrules = {list}\n")).errors();
        assert_eq!(in_file, format!("loadline.toml:2:{place}: priority.rules: {message}"), "{rules}");
        let inline = Given::app().env("LOADLINE_PRIORITY_RULES", &list).errors();
        let place = place - "rules = ".len();
        assert_eq!(inline, format!("error: LOADLINE_PRIORITY_RULES: at character {place}: {message}"));
    }
}

#[test]
fn every_wrong_rule_is_named_at_once() {
    let toml = "[[priority.rules]]\npath = \"/é\"\nclass = \"low\"\n\n[[priority.rules]]\nclas = \"low\"\n\n[[priority.rules]]\n";
    let expected = "\
loadline.toml:2:10: priority.rules: path: \"/é\", byte 2: not a sign that a path pattern can hold
loadline.toml:6:1: priority.rules: unknown key `clas` in a rule; did you mean `class`?
loadline.toml:8:1: priority.rules: a rule needs a class (such as class=\"high\")
3 errors";
    assert_eq!(Given::app().toml(toml).errors(), expected);
    let json = "{\"priority\": {\"rules\": [\n  {\"path\": \"/a\", \"path\": \"/b\", \"class\": \"low\"},\n  {\"has_query\": \"\", \"class\": \"low\"}]}}";
    let expected = "\
x.json:2:18: priority.rules: key `path` is given twice
x.json:3:17: priority.rules: has_query: \"\" is not the name of a query parameter
2 errors";
    assert_eq!(Given::app().file("x.json", json).errors(), expected);
}

#[test]
fn what_is_no_list_of_rules_is_refused() {
    let expected = "is not a list of rules (such as [{path=\"/admin/*\",class=\"critical\"}])";
    for (file, place, what) in [
        ("[priority]\nrules = \"x\"\n", "2:9", "\"x\""),
        ("[priority]\nrules = 3\n", "2:9", "3"),
        ("[priority.rules]\npath = \"/a\"\n", "1:11", "a table"),
    ] {
        assert_eq!(
            Given::app().toml(file).errors(),
            format!("loadline.toml:{place}: priority.rules: {what} {expected}")
        );
    }
    let error = Given::app().toml("[priority]\nrules = [\"/a\"]\n").errors();
    assert!(error.starts_with("loadline.toml:2:9: priority.rules: rule 1 is \"/a\", not a table"), "{error}");
    for text in ["[{path=}]", "[{\"path\": }]", "[", "x", "[{path=\"/a\",class=\"low\"}], [", "[]\\u{0}"] {
        let error = Given::app().set(&format!("priority.rules={text}")).errors();
        assert!(error.starts_with("error: --set priority.rules: at character "), "{text}: {error}");
    }
}

#[test]
fn a_control_character_in_a_rule_is_refused() {
    let error =
        Given::app().toml("[priority]\nrules = [{ header = \"a: b\\nc\", class = \"low\" }]\n").errors();
    assert_eq!(
        error,
        "loadline.toml:2:9: priority.rules: the value holds a control character ('\\n' at position 5)"
    );
}

#[test]
fn thresholds_are_a_table_of_their_own() {
    let expected = ShedAt { high: Some(95), normal: Some(80), low: Some(60) };
    for given in [
        Given::app().toml("[priority]\nshed_at = { high = 0.95, normal = 0.80, low = 0.6 }\n"),
        Given::app().toml("[priority.shed_at]\nhigh = 0.95\nnormal = 0.8\nlow = 0.60\n"),
        Given::app()
            .file("x.json", r#"{"priority": {"shed_at": {"high": 0.95, "normal": 0.8, "low": 0.6}}}"#),
        Given::app()
            .set("priority.shed_at.high=0.95")
            .set("priority.shed_at.normal=.8")
            .env("LOADLINE_PRIORITY_SHED_AT_LOW", "0.6"),
    ] {
        let loaded = given.good();
        assert_eq!((loaded.settings.priority.shed_at, loaded.warnings.len()), (expected, 0));
    }
    for (file, expected) in [
        ("[priority]\nshed_at = 0.5\n", "2:1: `priority.shed_at` is a table: write [priority.shed_at]"),
        (
            "[priority.shed_at]\nlwo = 0.5\n",
            "2:1: unknown key `lwo` in [priority.shed_at]; did you mean `low`?",
        ),
        ("[priority]\nshed_at = { critical = 0.5 }\n", "2:13: unknown key `critical` in [priority.shed_at]"),
    ] {
        let error = Given::app().toml(file).errors();
        assert!(error.starts_with(&format!("loadline.toml:{expected}")), "{error}");
    }
    let odd = Given::app().set("priority.shed_at.normal=0.5").set("priority.shed_at.low=0.6").good();
    assert_eq!(odd.warnings, ["priority.shed_at.normal refuses normal before low is refused"]);
}

#[test]
fn a_class_header_needs_somebody_to_believe() {
    let header = || Given::app().set("priority.header=X-Class");
    assert_eq!(
        header().good().warnings,
        ["priority.header has no effect: trust.proxies is empty, so nobody is believed"]
    );
    let loaded = header().set("trust.proxies=10.0.0.0/8").good();
    assert_eq!(loaded.warnings.len(), 0);
    assert_eq!(loaded.settings.priority.header.unwrap().name, "x-class");
    assert_eq!(header().set("priority.header=none").good().settings.priority.header, None);
}

#[test]
fn values_of_priority_and_deadline_are_read() {
    let toml = "[priority]\ndefault = \"low\"\naging = \"none\"\nreserve = 3\n[deadline]\nheaders = [\"X-Respond-By\"]\nzone = \"utc\"\n\
        skew = 0\nmax = \"30s\"\npredict = false\nmax_queue_age = \"none\"\ndefault_budget = \"10s\"\npropagate = false\n";
    let Settings { priority, deadline, .. } = Given::app().toml(toml).good().settings;
    assert_eq!((priority.default, priority.aging, priority.reserve), (Class::Low, None, Reserve::Slots(3)));
    assert_eq!(deadline.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x-respond-by"]);
    assert_eq!((deadline.zone, deadline.skew), (NaiveZone::Utc, Duration::ZERO));
    assert_eq!(
        (deadline.max, deadline.default_budget),
        (Duration::from_secs(30), Some(Duration::from_secs(10)))
    );
    assert_eq!((deadline.predict, deadline.propagate, deadline.max_queue_age), (false, false, None));
    let known = Settings::default().deadline;
    assert_eq!(known.headers.len(), 8);
    let _ = (known.reader(), deadline.reader());
}

#[test]
fn no_deadline_header_may_be_read() {
    for given in [
        Given::app().toml("[deadline]\nheaders = []\n"),
        Given::app().set("deadline.headers="),
        Given::app().env("LOADLINE_DEADLINE_HEADERS", "off"),
    ] {
        assert_eq!(given.good().settings.deadline.headers, []);
    }
}
