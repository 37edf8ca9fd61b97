//! Where spans go.

use super::*;

#[test]
fn a_collector_is_an_address_and_a_share_is_a_number() {
    let trace = Given::app().good().settings.trace;
    assert_eq!((trace.endpoint, trace.sample), (None, 0.01));
    let toml = "[trace]\nendpoint = \"http://collector:4318\"\nsample = 1\n";
    let loaded = Given::app().toml(toml).good();
    let trace = &loaded.settings.trace;
    let endpoint = trace.endpoint.as_ref().unwrap();
    assert_eq!((endpoint.host(), endpoint.port_u16(), endpoint.path()), (Some("collector"), Some(4318), "/"));
    assert_eq!(trace.sample, 1.0);
    let printed = render::effective(&loaded);
    assert_eq!(Given::default().toml(&printed).good().settings, loaded.settings, "{printed}");
    let warned = loaded.warnings.iter().any(|warning| warning.starts_with("trace.endpoint"));
    assert_eq!(warned, !cfg!(feature = "otlp"), "{:?}", loaded.warnings);
    assert_eq!(Given::app().toml(toml).set("trace.endpoint=none").good().settings.trace.endpoint, None);
}

#[test]
fn mistakes_are_named() {
    for (set, message) in [
        ("trace.sample=2", "2 is not a number from 0 to 1 (try 0.01)"),
        ("trace.sample=often", "\"often\" is not a number from 0 to 1 (try 0.01)"),
        ("trace.endpoint=https://collector", "\"https://collector\" is not the address of a collector"),
        ("trace.endpoint=collector:4318", "\"collector:4318\" is not the address of a collector"),
        ("trace.endpoint=http://me:secret@collector", "is not the address of a collector"),
    ] {
        let errors = Given::app().set(set).errors();
        assert!(errors.contains(message), "{set}: {errors}");
    }
}
