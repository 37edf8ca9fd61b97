//! `loadline load` as users type it: exit codes, where what is written, Ctrl-C.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_loadline");

fn load(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(BINARY).env_clear().arg("load").args(args).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// 0, or 1 on a machine that is too busy to send on time, which the program then says.
fn done(code: i32, err: &str) -> bool {
    code == 0 || code == 1 && err.contains("not valid")
}

#[test]
fn a_report_goes_where_it_is_wanted() {
    let app = loadline_demo::start().unwrap();
    let url = format!("http://{}/fast", app.addr());
    let (json, html) = (scratch("load.json"), scratch("load.html"));
    let (json, html) = (json.to_str().unwrap(), html.to_str().unwrap());
    let run = [&url, "--rate", "50/s", "--duration", "200ms", "--json", json, "--html", html];
    let (code, out, err) = load(&run);
    assert!(done(code, &err), "{code} {err}");
    assert!(
        out.starts_with("target      http://") && out.contains("served             10    100 %"),
        "{out}"
    );
    let before = loadline_load::Report::parse(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(before.total.offered, 10);

    let compared = [&url, "-r", "50", "-d", "200ms", "--compare", json, "--html", html, "--json", "-", "-q"];
    let (code, out, err) = load(&compared);
    assert!(done(code, &err), "{code} {err}");
    loadline_load::Report::parse(&out).unwrap();
    let page = std::fs::read_to_string(html).unwrap();
    assert!(page.contains("<th>before</th><th>after</th>") && page.matches("<svg").count() == 4);
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));
}

#[test]
fn an_expectation_that_does_not_hold_exits_99() {
    let app = loadline_demo::start().unwrap();
    let url = format!("http://{}/404/nothing/here", app.addr());
    let run = [&url, "-r", "50", "-d", "200ms", "-e", "goodput>95%", "-e", "timeout<1%", "-q"];
    let (code, _, err) = load(&run);
    assert!(code == 99 || done(code, &err) && code == 1, "{code} {err}");
    assert!(err.contains("NOT HELD  goodput>95%: 0.000%\n"), "{err}");
    assert!(err.contains("held      timeout<1%: 0.000%\n"), "{err}");
}

#[test]
fn mistakes_exit_2_before_anything_is_sent() {
    let file = scratch("scenario.toml");
    std::fs::write(&file, "url = \"http://127.0.0.1:9/\"\nraet = 5\n").unwrap();
    let file = file.to_str().unwrap();
    let url = "http://127.0.0.1:9/";
    for (args, part) in [
        (&[][..], "there is no URL"),
        (&["https://a/", "-r", "1", "-d", "1s"], "TLS is not supported"),
        (&[url], "there is no rate"),
        (&[url, "-r", "5", "--stage", "1s@5"], "cannot be used with"),
        (&[url, "-r", "5", "-d", "1 s"], "is not a duration"),
        (&["-f", file], "scenario.toml: TOML parse error at line 2"),
        (&["-f", "/nowhere.toml"], "/nowhere.toml: No such file"),
        (&[url, "-r", "5", "-d", "1s", "--json", "/nowhere/x.json"], "cannot write /nowhere/x.json"),
        (&[url, "-r", "5", "-d", "1s", "--html", "/dev/null", "--compare", file], "is no report"),
        (&[url, "-r", "5", "-d", "1s", "-e", "p98<1s"], "`p98` is not measured"),
        (&[url, "-r", "5", "-d", "1s", "--html", "-"], "`-` is for --json"),
        (&[url, "-r", "5", "-d", "1s", "--retries", "2"], "nothing is retried"),
        (&[url, "-r", "5", "-d", "10"], "no request is due in 10ms"),
    ] {
        let (code, out, err) = load(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(part), "{args:?}: {err}");
    }
}

#[test]
fn ctrl_c_ends_a_run_early_and_its_report_says_so() {
    let app = loadline_demo::start().unwrap();
    let url = format!("http://{}/fast", app.addr());
    let mut child = Command::new(BINARY)
        .env_clear()
        .args(["load", &url, "--rate", "20/s", "--duration", "1h"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first line of progress: it is under way.
    let mut progress = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    progress.read_line(&mut line).unwrap();
    assert!(line.contains("s/3600s  offered"), "{line}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("NOT VALID   the run was ended early"), "{out}");
}
