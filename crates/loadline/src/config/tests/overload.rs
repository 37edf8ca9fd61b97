//! Overload signals: values, words for none, and mistakes.

use std::time::Duration;

use super::super::settings::Levels;
use super::*;

#[test]
fn signals_are_off_unless_they_have_a_threshold() {
    let overload = Given::app().good().settings.overload;
    assert!(!overload.lag.is_on() && !overload.cpu_pressure.is_on() && !overload.upstream.levels.is_on());
    let toml = "[overload.lag]\nmoderate = \"100ms\"\nsevere = 200\n[overload.cpu_pressure]\nsevere = 0.5\n\
        [overload.upstream]\nheader = \"X-Load\"\nmetric = \"named_metrics.queue\"\nmoderate = 0.85\n";
    let loaded = Given::app().toml(toml).good();
    let overload = &loaded.settings.overload;
    let ms = Duration::from_millis;
    assert_eq!(overload.lag, Levels { moderate: Some(ms(100)), severe: Some(ms(200)) });
    assert_eq!(overload.cpu_pressure, Levels { moderate: None, severe: Some(50) });
    assert_eq!(overload.upstream.header, "x-load");
    assert_eq!(overload.upstream.metric.as_deref(), Some("named_metrics.queue"));
    let printed = render::effective(&loaded);
    assert_eq!(Given::default().toml(&printed).good().settings, loaded.settings, "{printed}");
    let off =
        Given::app().toml(toml).set("overload.lag.moderate=off").set("overload.upstream.metric=utilization");
    let off = off.good().settings.overload;
    assert_eq!((off.lag.moderate, off.upstream.metric), (None, None));
}

#[test]
fn mistakes_are_named() {
    for (set, message) in [
        ("overload.lag.moderate=0", "0 is out of range: 1ms to 10s or \"off\""),
        ("overload.lag.severe=soon", "\"soon\" is not a duration (try \"5s\", \"500ms\", 5000) or \"off\""),
        (
            "overload.cpu_pressure.severe=40",
            "40 is not a share from 0.01 to 1.0 in steps of 0.01 (try 0.95) or \"off\"",
        ),
        ("overload.upstream.header=a b", "\"a b\" is not the name of a header"),
        (
            "overload.upstream.metric=a=b",
            "\"a=b\" is not the name of a metric (such as named_metrics.queue) or \"utilization\"",
        ),
    ] {
        let key = set.split('=').next().unwrap();
        assert_eq!(Given::app().set(set).errors(), format!("error: --set {key}: {message}"), "{set}");
    }
    for key in ["lag", "cpu_pressure", "memory_pressure", "io_pressure", "cgroup_memory", "upstream"] {
        let [low, high] = if key == "lag" { ["100ms", "101ms"] } else { ["0.5", "0.51"] };
        let set = |level, value| format!("overload.{key}.{level}={value}");
        let wrong = Given::app().set(&set("severe", low)).set(&set("moderate", high)).errors();
        let expected = format!("error: --set overload.{key}.severe: is less than the threshold of moderate");
        assert_eq!(wrong, expected);
        Given::app().set(&set("severe", low)).set(&set("moderate", low)).good();
    }
    let table = Given::app().toml("[overload]\nlag = \"100ms\"\n").errors();
    assert_eq!(
        table,
        "loadline.toml:2:1: `overload.lag` is a table: write [overload.lag] and its keys below"
    );
}
