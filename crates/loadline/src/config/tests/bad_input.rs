//! What is no configuration at all, or is one that somebody has mistyped: each is told what, where and what instead.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A path of this test's own, with this content.
fn written(name: &str, content: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("loadline-bad-{}-{name}", std::process::id()));
    fs::write(&path, content).unwrap();
    path
}

/// What is said of a file with this content, its path left out; the file is gone afterwards.
fn said(name: &str, content: &[u8]) -> String {
    let path = written(name, content);
    let sources = Sources { file: Some(path.clone()), ..Given::app().sources };
    let errors = load(&sources).expect_err("must be refused").to_string();
    fs::remove_file(&path).unwrap();
    errors.replace(&path.display().to_string(), "FILE")
}

#[test]
fn what_is_no_text_is_told_as_that() {
    for (content, expected) in [
        (&b"max_connections = 10\n# caf\xe9\n"[..], "line 2 is not UTF-8; save it as text in UTF-8"),
        (&b"\x7fELF\xff"[..], "line 1 is not UTF-8; save it as text in UTF-8"),
        (&b"\xff\xfeu\0p\0"[..], "it is UTF-16; save it as text in UTF-8"),
    ] {
        assert_eq!(said("binary.toml", content), format!("error: cannot read FILE: {expected}"));
    }
}

#[test]
fn what_has_no_end_is_not_read_to_its_end() {
    let huge = "# a comment\n".repeat(100_000);
    let expected = "error: cannot read FILE: it is larger than 1 MiB, the most that is read";
    assert_eq!(said("huge.toml", huge.as_bytes()), expected);
    let sources = Sources { file: Some("/dev/zero".into()), ..Given::app().sources };
    let errors = load(&sources).unwrap_err().to_string();
    assert_eq!(errors, expected.replace("FILE", "/dev/zero"));
}

#[test]
fn a_directory_is_no_file() {
    let directory = std::env::temp_dir();
    let sources = Sources { file: Some(directory.clone()), ..Given::app().sources };
    assert_eq!(
        load(&sources).unwrap_err().to_string(),
        format!("error: cannot read {}: it is a directory; name a file in it", directory.display())
    );
}

#[test]
fn a_pipe_that_nobody_has_opened_is_not_waited_for() {
    let path = std::env::temp_dir().join(format!("loadline-bad-{}-pipe", std::process::id()));
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let sources = Sources { file: Some(path.clone()), ..Given::app().sources };
    let errors = load(&sources).unwrap_err().to_string();
    fs::remove_file(&path).unwrap();
    let expected = "it is a named pipe; a configuration is a regular file, or /dev/stdin";
    assert_eq!(errors, format!("error: cannot read {}: {expected}", path.display()));
}

#[test]
fn of_very_many_mistakes_the_first_are_told() {
    let toml = (0..40_000).map(|n| format!("concurrensy{n} = 1\n")).collect::<String>();
    let json = format!("{{{}\"a\": 1}}", "\"limt\": 1, ".repeat(60_000));
    let routes = "[[route]]\nnam = 1\n".repeat(40_000);
    for (name, text, count) in
        [("many.toml", toml, 40_000), ("many.json", json, 60_001), ("routes.toml", routes, 40_000)]
    {
        let said = said(name, text.as_bytes());
        assert!(said.ends_with(&format!("\n{count} errors, the first 100 of them above")), "{name}");
        assert!(said.starts_with("FILE:1:") || said.starts_with("FILE:2:"), "{name}");
        assert_eq!(said.lines().count(), 101, "{name}");
    }
}

#[test]
fn another_notation_is_named() {
    assert_eq!(
        said("app.yaml", b"upstream: app:8080\nlimit:\n  concurrency: 3\n"),
        "error: FILE: a configuration is written in TOML, or in JSON if the file's name ends in .json; not in YAML"
    );
    assert_eq!(
        said("app.conf", b"{\"limit\": {\"concurrency\": 3}}"),
        "error: FILE: this is JSON, and read as such if the file's name ends in .json"
    );
}

#[test]
fn a_pipe_is_read_once_and_not_watched() {
    assert_eq!(fingerprint_of("/dev/null".as_ref()), None);
    let path = written("watched.toml", b"max_connections = 10\n");
    let loaded = load(&Sources { file: Some(path.clone()), ..Given::app().sources }).unwrap();
    assert_eq!(fingerprint_of(&path), loaded.fingerprint);
    fs::remove_file(&path).unwrap();
    assert_eq!(fingerprint_of(&path), None);
}

#[test]
fn a_misspelt_variable_is_named_beside_what_is_missing() {
    let mut given = Given::default().env("LOADLINE_LIMIT_CONCURENCY", "3");
    given.sources.upstream = Some("app:8080".to_owned());
    let errors = given.errors();
    let warning = "warning: unknown variable LOADLINE_LIMIT_CONCURENCY is ignored; did you mean `LOADLINE_LIMIT_CONCURRENCY`?";
    assert!(
        errors.starts_with(&format!("{warning}\nerror: the concurrency argument is missing")),
        "{errors}"
    );
    let far = Given::app().env("LOADLINE_FOO", "1").good().warnings;
    assert_eq!(far, ["unknown variable LOADLINE_FOO is ignored"], "nothing is close to it");
}

#[test]
fn a_flag_that_names_no_key_is_told_what_would() {
    for (flag, expected) in [
        ("limit=3", "--set limit=3: `limit` is a table: name a key of it (such as limit.concurrency)"),
        ("=3", "--set =3: expected key=value (try --set queue.timeout=2s)"),
        (
            "priority.shed_at=80",
            "--set priority.shed_at=80: `priority.shed_at` is a table: name a key of it (such as priority.shed_at.high)",
        ),
        (
            "limit.concurency=3",
            "--set limit.concurency=3: unknown key `limit.concurency`; did you mean `limit.concurrency`?",
        ),
    ] {
        assert_eq!(Given::app().set(flag).errors(), format!("error: {expected}"));
    }
}

#[test]
fn requests_do_not_go_to_the_admin_address() {
    for upstream in ["127.0.0.1:8001", "localhost:8001"] {
        let errors = Given::default().arguments(upstream, "3").errors();
        let why =
            "loadline's own admin address, which takes orders from this machine; clients would give them";
        assert_eq!(errors, format!("error: the upstream argument: {upstream} is {why}"));
    }
    let elsewhere = Given::default().arguments("127.0.0.1:8001", "3").set("admin.listen=127.0.0.1:9001");
    assert_eq!(elsewhere.good().warnings.len(), 0);
}
