use super::*;
use crate::recovery::Recovery;

fn group(name: &str, served: u64, shed: u64) -> Group {
    let outcomes = [(Outcome::Served, served), (Outcome::Shed, shed)].into_iter().collect();
    let latency =
        Latency { count: served, p50_ms: 10.0, p99_ms: 900.0, max_ms: 1_500.0, ..Latency::default() };
    let offered = served + shed;
    Group {
        name: name.into(),
        offered,
        outcomes,
        shed_by_reason: [("queue_full".to_owned(), shed)].into_iter().collect(),
        goodput: served as f64 / offered as f64,
        latency,
        ..Group::default()
    }
}

fn report() -> Report {
    let mut report = crate::report::tests::empty();
    report.total = group("", 960, 40);
    report.goodput_per_s = 96.0;
    report.classes = vec![group("critical", 100, 0)];
    report.recovery = Some(Recovery { from_s: 5.0, seconds: Some(3.0) });
    report
}

fn verdict(text: &str) -> Verdict {
    text.parse::<Expectation>().unwrap().verdict(&report())
}

#[test]
fn expectations_are_held_against_the_run() {
    for text in [
        "p99<1s",
        "p50 <= 10ms",
        "max>1s",
        "goodput>95%",
        "success>=96%",
        "goodput>95/s",
        "shed<5%",
        "shed.queue_full<=4%",
        "shed.codel<=0%",
        "critical.success>=99.9%",
        "critical.p99<1s",
        "recovery<5s",
        "late_starts<1%",
        "timeout<=0%",
    ] {
        let verdict = verdict(text);
        assert!(verdict.held, "{}", verdict.text);
    }
    for text in ["p99<900ms", "goodput>96%", "shed<4%", "recovery<3s", "shed.p99<1s", "nobody.shed<5%"] {
        let verdict = verdict(text);
        assert!(!verdict.held, "{}", verdict.text);
    }
}

#[test]
fn a_recovery_that_never_came_is_longer_than_any() {
    let mut report = report();
    report.recovery = Some(Recovery { from_s: 5.0, seconds: None });
    let verdict = "recovery<1000d".parse::<Expectation>().unwrap().verdict(&report);
    assert!(!verdict.held && verdict.text.contains("not within the run"));
}

#[test]
fn mistakes_say_what_is_wrong_and_what_instead() {
    for (text, part) in [
        ("p99", "no <"),
        ("p98<1s", "`p98` is not measured"),
        ("p99<5", "is not a duration, share or rate"),
        ("p99<5%", "not what `p99` is measured in"),
        ("goodput>1s", "not what `goodput`"),
        ("critical.goodput>5/s", "not what"),
        ("critical.recovery<5s", "not measured"),
        ("shed<120%", "not a duration, share or rate"),
    ] {
        let error = text.parse::<Expectation>().unwrap_err();
        assert!(error.contains(part) && error.contains("try 'p99<1s'"), "{error}");
    }
}
