//! Load reports: every form, what is no report, and any bytes at all.

use loadline_http::load_report::{metric, utilization};
use proptest::prelude::*;

#[test]
fn every_form_says_the_utilization() {
    for (report, expected) in [
        ("0.85", 0.85),
        (" 1 ", 1.0),
        ("1.5e-1", 0.15),
        ("TEXT cpu_utilization=0.3", 0.3),
        ("TEXT cpu_utilization=0.3,mem_utilization=0.8,application_utilization=0.9", 0.9),
        ("TEXT application_utilization = 1.25 , cpu_utilization = 0.3", 1.25),
        ("TEXT application_utilization=0,cpu_utilization=0.3", 0.3),
        (r#"JSON {"cpu_utilization": 0.3, "mem_utilization": 0.8}"#, 0.3),
        (r#"JSON {"named_metrics":{"a":1,"b":{}},"application_utilization":9e-1}"#, 0.9),
        (r#"{"rps": null, "x": "a\"b", "y": true, "cpu_utilization" : 0.5 }"#, 0.5),
        (r#"JSON {"cpu_utilization": 0.3, "cpu_utilization": 0.9}"#, 0.3),
    ] {
        assert_eq!(utilization(report.as_bytes()), Some(expected), "{report}");
    }
}

#[test]
fn a_named_metric_is_found_in_its_group_only() {
    let text = b"TEXT named_metrics.queue=12, queue=3, cpu_utilization=0.1";
    let json = br#"JSON {"utilization": {"queue": 7}, "named_metrics": {"queue": 12}, "queue": 3, "cpu_utilization": 0.1}"#;
    for report in [&text[..], json] {
        assert_eq!(metric(report, "named_metrics.queue"), Some(12.0));
        assert_eq!(metric(report, "queue"), Some(3.0));
        assert_eq!(metric(report, "named_metrics"), None);
        assert_eq!(metric(report, "named_metrics.que"), None);
        assert_eq!(metric(report, ""), None);
    }
}

#[test]
fn what_breaks_the_grammar_says_nothing() {
    for report in [
        "",
        "high",
        "-0.5",
        "+0.5",
        ".5",
        "5.",
        "nan",
        "inf",
        "1e400",
        "0x1",
        "0.5 0.6",
        "TEXT",
        "TEXT ",
        "TEXTcpu_utilization=0.3",
        "text cpu_utilization=0.3",
        "TEXT cpu_utilization",
        "TEXT cpu_utilization=0.3,",
        "TEXT cpu_utilization=0.3,broken",
        "TEXT cpu_utilization=0.3,x=-1",
        "TEXT cpu_utilization=",
        "JSON",
        "JSON []",
        "JSON {",
        r#"JSON {"cpu_utilization": 0.3"#,
        r#"JSON {"cpu_utilization": 0.3} x"#,
        r#"JSON {"cpu_utilization": -0.3}"#,
        r#"JSON {"cpu_utilization": "0.3"}"#,
        r#"JSON {"cpu_utilization": 0.3,}"#,
        r#"JSON {"cpu_utilization": 0.3, "x": [1]}"#,
        r#"JSON {"cpu_utilization" 0.3}"#,
        r#"JSON {'cpu_utilization': 0.3}"#,
        r#"JSON {"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}},"cpu_utilization":0.3}"#,
        "BIN CgkzMzMzMzPTPw==",
    ] {
        assert_eq!(utilization(report.as_bytes()), None, "{report}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(report in proptest::collection::vec(any::<u8>(), 0..80), name in ".{0,12}") {
        let _ = (utilization(&report), metric(&report, &name));
    }

    #[test]
    fn nothing_but_a_load_comes_out(report in "(TEXT |JSON )?[a-z_{}\":,=.0-9eE+-]{0,60}") {
        if let Some(load) = utilization(report.as_bytes()) {
            prop_assert!(load.is_finite() && load >= 0.0, "{}", load);
        }
    }

    #[test]
    fn both_notations_say_the_same(cpu in 0.0..2.0_f64, queue in 0.0..1e6_f64) {
        let text = format!("TEXT cpu_utilization={cpu},named_metrics.queue={queue}");
        let json = format!("JSON {{\"cpu_utilization\":{cpu},\"named_metrics\":{{\"queue\":{queue}}}}}");
        for report in [text, json] {
            prop_assert_eq!(utilization(report.as_bytes()), Some(cpu));
            prop_assert_eq!(metric(report.as_bytes(), "named_metrics.queue"), Some(queue));
        }
    }
}
