//! One classification, very often: for instruction counts.
//!
//! ```text
//! cargo build --release -p loadline-http --example class_loop
//! valgrind --tool=callgrind target/release/examples/class_loop none 20000
//! ```
//!
//! Divide the difference of two runs' `Ir` by the difference of their rounds. Ten rules; `none` meets none of them,
//! `first` the first, `last` the last, `raised` one that raises the class, so that the path is looked at closely. `cohort`
//! and `attempt` are the other questions asked of a request.

use std::hint::black_box;

use loadline_core::Class;
use loadline_http::classify::{Condition, PathGlob, RequestView, Rule, Rules, attempt, cohort};

/// 2026-11-20T15:27:23.726505710Z
const NOW: i64 = 1_795_188_443_726_505_710;

const FIELDS: [(&str, &str); 8] = [
    ("host", "www.example.com"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    ("accept", "*/*"),
    ("referer", "https://www.example.com/"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9"),
    ("authorisation", "no such field"),
    ("cookie", "session=3f1b2c9e7a5d4c1f; theme=dark"),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let case = arguments.next().unwrap_or_else(|| "none".to_owned());
    let rounds: u32 = arguments.next().map_or(100_000, |text| text.parse().expect("a number"));

    let fields = || black_box(&FIELDS).iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let (path, query) = match case.as_str() {
        "none" => ("/api/v1/items/42", Some("full=1&page=3")),
        "first" => ("/health", None),
        "raised" => ("/admin/users/42/details", None),
        "last" => ("/assets/js/app/main.map", None),
        "cohort" => {
            return (0..rounds)
                .for_each(|_| _ = black_box(cohort(7, black_box(b"203.0.113.7"), black_box(NOW))));
        }
        "attempt" => return (0..rounds).for_each(|_| _ = black_box(attempt(fields()))),
        other => panic!("unknown case {other}"),
    };
    let rules = rules();
    let header = |name: &str| fields().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value);
    for _ in 0..rounds {
        let request = RequestView {
            method: b"GET",
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
            header: &header,
        };
        black_box(rules.class(black_box(&request)));
    }
}

fn rules() -> Rules {
    let path = |pattern| Condition::Path(PathGlob::parse(pattern).expect("a valid pattern"));
    let text = str::to_owned;
    let rules = [
        (path("/health"), Class::Bypass),
        (path("/ready"), Class::Bypass),
        (path("/admin/*"), Class::Critical),
        (path("/api/v1/checkout/**"), Class::High),
        (path("/api/*/payment/*"), Class::High),
        (Condition::Method(text("DELETE")), Class::High),
        (Condition::HasHeader(text("authorization")), Class::High),
        (Condition::QueryEquals(text("export"), text("full")), Class::Low),
        (Condition::HasQuery(text("debug")), Class::Low),
        (path("/**/*.map"), Class::Low),
    ];
    let rules = rules.into_iter().map(|(condition, class)| Rule { conditions: vec![condition], class });
    Rules::new(rules.collect(), Class::Normal).expect("valid rules")
}
