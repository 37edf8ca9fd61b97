//! `/metrics` is what docs/metrics.md says, and no request can add to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Gate, Proxy, Setup, Upstream, scratch};

/// A metric as the page or the document has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

type Families = BTreeMap<String, Family>;

/// Adds what is on the page. A label counts when one sample has it.
fn read_page(page: &str, families: &mut Families) {
    let mut current = String::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            current = name.to_owned();
            families.get_mut(name).expect("HELP comes first").kind = kind.to_owned();
        } else if let Some((_, labels)) = line.split_once('{') {
            let labels = labels.split('"').step_by(2).filter_map(|text| text.strip_suffix('='));
            let labels =
                labels.map(|name| name.trim_start_matches(',').to_owned()).filter(|name| name != "le");
            families.get_mut(&current).expect("a sample follows its family").labels.extend(labels);
        }
    }
}

/// The rows of the document: what they say of a metric, and of its unit.
fn read_document() -> (Families, BTreeMap<String, String>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (mut families, mut units) = (Families::new(), BTreeMap::new());
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, help, question] = cells[..] else { panic!("not six columns: {row}") };
        assert!(!help.is_empty() && !question.is_empty(), "an empty column: {row}");
        let name = name.trim_matches('`').to_owned();
        let labels = labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        units.insert(name.clone(), unit.to_owned());
        let row = Family { kind: kind.to_owned(), labels, help: String::new() };
        assert!(families.insert(name.clone(), row).is_none(), "{name} stands there twice");
    }
    (families, units)
}

/// The page of a proxy that has met what gives a family its first sample.
fn busy_page(setup: Setup) -> String {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy =
        setup.set("upstream", upstream.addr()).set("limit.concurrency", 1).set("queue.depth", 0).start();
    let mut busy = proxy.send_get("/busy");
    upstream.wait_in_service(1);
    proxy.connect().send("NOT HTTP\r\n\r\n").read();
    proxy.wait_metric("loadline_requests_refused_total", &[], 1.0);
    gate.open();
    assert_eq!(busy.read().status, 200);
    proxy.wait_metric("http_requests_total", &[], 1.0);
    proxy.admin("/metrics").text()
}

#[test]
fn every_metric_is_in_the_document_and_every_row_is_on_the_page() {
    let shadow = scratch("metrics-shadow.toml");
    std::fs::write(&shadow, "[limit]\nconcurrency = 5\n").unwrap();
    let mut real = Families::new();
    read_page(&busy_page(Setup::bare().set("shadow", shadow.display())), &mut real);
    read_page(&busy_page(Setup::bare().set("dry_run", true)), &mut real);
    std::fs::remove_file(&shadow).unwrap();
    let (documented, units) = read_document();

    let mut wrong = Vec::new();
    let joined = |family: &Family| family.labels.iter().cloned().collect::<Vec<_>>().join(", ");
    for (name, family) in &real {
        let row = format!(
            "| `{name}` | {} | {} | UNIT | {} | WHICH QUESTION? |",
            family.kind,
            joined(family),
            family.help
        );
        match documented.get(name) {
            None => wrong.push(format!("add to docs/metrics.md:\n{row}")),
            Some(told) if (&told.kind, &told.labels) != (&family.kind, &family.labels) => {
                wrong.push(format!(
                    "docs/metrics.md says of {name}: {} by [{}]. It is {} by [{}].",
                    told.kind,
                    joined(told),
                    family.kind,
                    joined(family)
                ));
            }
            Some(_) => {}
        }
    }
    let gone = documented.keys().filter(|name| !real.contains_key(*name));
    wrong.extend(
        gone.map(|name| format!("remove from docs/metrics.md, for the page has no such metric: {name}")),
    );
    for (name, unit) in &units {
        let base = name.trim_end_matches("_total");
        for suffix in ["seconds", "bytes", "ratio"] {
            let agrees = unit.split(' ').next_back() == Some(suffix);
            if base.ends_with(&format!("_{suffix}")) && !agrees {
                wrong.push(format!(
                    "docs/metrics.md says that the unit of {name} is {unit}; its name says {suffix}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The series of a page: its lines that are no comments, without their values.
fn series(proxy: &Proxy) -> BTreeSet<String> {
    let page = proxy.admin("/metrics").text();
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').expect("a value").0.to_owned()).collect()
}

/// Numbers that look random, and are the same in each run (Knuth's MMIX generator).
fn numbers() -> impl FnMut() -> u64 {
    let mut state = 7_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

#[test]
fn a_thousand_random_requests_add_no_series() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1)
        .set("workers", 2)
        .set("fairness.key", "header:x-tenant")
        .set("priority.header", "x-class")
        .set("trust.proxies", "127.0.0.1")
        .start();
    assert!(series(&proxy).len() <= 400, "docs/metrics.md says so: {:#?}", series(&proxy));
    const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"];
    let mut client = proxy.connect();
    for method in METHODS {
        client.send(format!("{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")).read();
    }
    proxy.wait_metric("http_requests_total", &[], 7.0);
    let before = series(&proxy);
    let mut number = numbers();
    for _ in 0..1_000 {
        let method = match number() % 14 {
            known @ 0..7 => METHODS[known as usize].to_owned(),
            _ => format!("M{}", number()),
        };
        let head = format!(
            "{method} /{}/{}?q={} HTTP/1.1\r\nHost: h{}\r\nContent-Length: 0\r\nX-Tenant: {}\r\nX-Class: c{}\r\n\
             X-Header-{}: {}\r\nX-Respond-By: {}\r\ntraceparent: 00-{:032x}-{:016x}-01\r\nUser-Agent: {}\r\n\r\n",
            number(),
            number(),
            number(),
            number(),
            number(),
            number(),
            number(),
            number(),
            number(),
            number() + 1,
            number() + 1,
            number()
        );
        assert_eq!(client.send(&head).read().status, 200, "{head}");
    }
    proxy.wait_metric("http_requests_total", &[], 1_007.0);
    let after = series(&proxy);
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
}
