//! Wrong settings: exit 2, a message that names the culprit, and nothing ever taken for "no limit".

use std::fs;

use crate::support::{Setup, scratch};

/// Starts with this setup, expects exit 2 and each of these words on stderr.
#[track_caller]
fn refused(setup: Setup, words: &[&str]) {
    let (code, stderr) = setup.refuse();
    assert_eq!(code, 2, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in:\n{stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

fn good() -> Setup {
    Setup::new("127.0.0.1:9", "3").set("listen", "127.0.0.1:0").set("admin.listen", "127.0.0.1:0")
}

#[test]
fn wrong_concurrency() {
    for value in ["abc", "0", "3.5", "3x", "", "99999999999999999999", "unlimited?"] {
        refused(Setup::new("127.0.0.1:9", value), &["concurrency"]);
    }
    refused(Setup::new("127.0.0.1:9", "3").set("limit.concurrency", "-1"), &["limit.concurrency", "-1"]);
}

#[test]
fn a_negative_concurrency_argument() {
    let (code, stderr) = Setup::new("127.0.0.1:9", "-1").refuse();
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("-1"), "{stderr}");
}

#[test]
fn wrong_times() {
    for value in ["5 sec", "abc", "-1", "1.5", "5x", "99999999999999999999"] {
        refused(good().env("QUEUE_TIMEOUT", value), &["QUEUE_TIMEOUT"]);
        refused(good().set("queue.timeout", value), &["queue.timeout"]);
    }
    // An empty variable counts as unset, as in Spillway; an empty setting is a mistake.
    refused(good().set("queue.timeout", ""), &["queue.timeout"]);
    refused(good().env("SERVER_TIMEOUT", "5 sec"), &["SERVER_TIMEOUT", "5 sec"]);
}

#[test]
fn wrong_numbers() {
    for value in ["abc", "0", "-1", "2e3"] {
        refused(good().env("MAX_CONNECTIONS", value), &["MAX_CONNECTIONS", value]);
    }
    for value in ["abc", "65536", "-1"] {
        refused(Setup::new("127.0.0.1:9", "3").env("PORT", value), &["PORT", value]);
    }
    refused(good().set("workers", -1), &["workers", "-1"]);
    refused(good().set("bypass.concurrency", 0), &["bypass.concurrency"]);
}

#[test]
fn wrong_words() {
    refused(good().set("limit.on_abort", "never"), &["limit.on_abort", "never", "finish"]);
    refused(good().set("queue.discipline", "fifi"), &["queue.discipline", "fifi", "fifo"]);
    refused(good().set("response.status", 200), &["response.status", "200"]);
    refused(good().set("response.format", "xml"), &["response.format", "xml"]);
}

#[test]
fn unknown_settings_with_a_hint() {
    refused(good().set("queue.timeuot", "1s"), &["queue.timeuot", "queue.timeout"]);
    refused(good().set("nonsense", "1"), &["nonsense"]);
}

#[test]
fn a_newline_in_a_variable() {
    for name in ["QUEUE_TIMEOUT", "SERVER_TIMEOUT", "MAX_CONNECTIONS", "HEALTHCHECK_PATH", "LOG_ADDRESS"] {
        refused(good().env(name, "1000\n  maxconn 5"), &[name]);
    }
}

#[test]
fn health_paths_that_spillway_would_have_pasted_into_its_configuration() {
    for value in ["-m beg /h", "healthcheck", "/a b"] {
        refused(good().env("HEALTHCHECK_PATH", value), &["HEALTHCHECK_PATH"]);
    }
}

#[test]
fn wrong_log_formats() {
    for (format, culprit) in [("%zz", "zz"), ("%ST %", "%"), ("%{+Q", "{"), ("%[nope]", "nope")] {
        refused(good().env("LOG_ADDRESS", "stdout").env("LOG_FORMAT", format), &["LOG_FORMAT", culprit]);
    }
}

#[test]
fn missing_arguments() {
    let (code, stderr) = Setup::bare().set("upstream", "127.0.0.1:9").refuse();
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.to_lowercase().contains("concurrency"), "{stderr}");
}

#[test]
fn wrong_upstreams() {
    for value in ["host:99999", "https//x", "http://", "a b:80", "[::1", ":::"] {
        refused(Setup::new(value, "3"), &[value]);
    }
}

#[test]
fn a_file_is_named_with_line_and_key() {
    let path = scratch("wrong.toml");
    let name = path.to_str().unwrap().to_owned();
    fs::write(&path, "upstream = \"http://127.0.0.1:9\"\n[limit]\nconcurrency = 0\n").unwrap();
    refused(Setup::bare().file(&name), &["wrong.toml:3:", "concurrency"]);
    fs::write(&path, "upstream = \"http://127.0.0.1:9\"\n[limit]\nconcurency = 3\n").unwrap();
    refused(Setup::bare().file(&name), &["wrong.toml:3:", "concurency", "concurrency"]);
    fs::write(&path, "upstream = \n").unwrap();
    refused(Setup::bare().file(&name), &["wrong.toml:1:"]);
    fs::remove_file(&path).unwrap();
    refused(Setup::bare().file(&name), &["wrong.toml"]);
}
