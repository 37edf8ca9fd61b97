//! `loadline demo` as users type it: the shows, their exit codes, the apps as servers.
//!
//! What a show measures depends on the machine, so a test on a busy one asks only what holds on any: `.ci/demo.sh` runs all of
//! them in full length.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

const BINARY: &str = env!("CARGO_BIN_EXE_loadline");

fn demo(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(BINARY)
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .arg("demo")
        .args(args)
        .output()
        .unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// An app that serves until it is dropped.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(BINARY)
            .env_clear()
            .envs(environment.iter().copied())
            .arg("demo")
            .args(args)
            .args(["--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        Self { child, address }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn end(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_apps_serve_until_a_signal_and_end_well() {
    let mut upstream = Serving::start(&["upstream"], &[]);
    let url = format!("http://{}", upstream.address);
    let mut api = Serving::start(&["api"], &[("UPSTREAM_BASE_URL", &url), ("MAX_INFLIGHT", "7")]);
    assert!(api.get("/client?ms=1&timeout_ms=10000").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(api.get("/").contains("429 beyond 7 at once"));
    assert!(upstream.get("/").ends_with("Hello World!\n"));
    let mut app = Serving::start(&["app", "--workers", "3"], &[]);
    assert!(app.get("/").contains("3 workers"));
    let mut herd = Serving::start(&["herd", "--serve", "--with-load-shedding"], &[]);
    assert!(herd.get("/").ends_with("Computed something expensive"));
    for (app, signal) in [
        (&mut api, Signal::TERM),
        (&mut upstream, Signal::INT),
        (&mut app, Signal::TERM),
        (&mut herd, Signal::TERM),
    ] {
        assert_eq!(app.end(signal), Some(0));
    }
}

#[test]
fn a_show_measures_itself_writes_a_report_and_says_99_when_its_promise_is_broken() {
    let report = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("broken-promise.html");
    let report = report.to_str().unwrap();
    let (code, out, err) = demo(&["--quick", "--report", report, "--expect", "goodput > 120%"]);
    // A machine that is too busy says so instead.
    assert!(code == 99 || code == 1 && err.contains("too busy"), "{code}: {out}{err}");
    assert!(out.contains("without loadline") && out.contains("with loadline"), "{out}");
    assert!(out.contains("NOT HELD  goodput > 120%: "), "{out}");
    assert!(out.contains(&format!("seed 42   report {report}\n")), "{out}");
    // Plain lines where there is no terminal: no cursor is moved, nothing is coloured.
    assert!(err.contains("wait in the app  |  with loadline: ") && !err.contains('\x1b'), "{err}");
    let page = std::fs::read_to_string(report).unwrap();
    assert!(page.contains("<th>without loadline</th><th>with loadline</th>"));
    assert_eq!(page.matches("<svg").count(), 4);
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));
}

#[test]
fn the_breaker_walk_holds_its_promises() {
    let (code, out, err) = demo(&["breaker", "--quick"]);
    // A machine that is too busy to answer 99 of 100 requests within two seconds says so.
    assert!(code == 0 || code == 99 && out.contains(".ok>=99%"), "{out}{err}");
    assert!(err.contains("circuit_breaker_state 1;") && err.contains(" x 429"), "{err}");
    assert!(!out.contains("overload.miscounted"), "{out}");
}

#[test]
fn the_herd_is_shown_twice_with_signs_for_requests() {
    let (code, out, err) = demo(&["herd", "--quick"]);
    assert!(code == 0 || code == 1 && err.contains("too busy"), "{code}: {out}{err}");
    for text in ["without load shedding", "with load shedding", "thundering herd: 20", "normal levels: 20"] {
        assert!(err.contains(text), "{err}");
    }
    let signs = err.lines().filter_map(|line| line.strip_prefix("  ")?.split("  ").next());
    assert_eq!(signs.map(str::len).sum::<usize>(), 80, "{err}");
}

#[test]
fn ctrl_c_ends_a_show_and_its_parts() {
    let report = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("interrupted.html");
    // Of an earlier run of this test that failed.
    let _ = std::fs::remove_file(&report);
    let mut show = Command::new(BINARY)
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .args(["demo", "--report", "interrupted.html"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(show.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("with loadline: ")), "it is under way");
    kill_process(Pid::from_child(&show), Signal::INT).unwrap();
    assert_eq!(show.wait().unwrap().code(), Some(1));
    assert_eq!(lines.last().unwrap().unwrap(), "error: interrupted");
    assert!(!report.exists());
}

#[test]
fn mistakes_exit_2_before_anything_starts() {
    for (args, part) in [
        (&["--expect", "p99<1s"][..], "`p99` is not one of goodput.before, without.goodput.before"),
        (&["--expect", "goodput>5"], "not a share"),
        (&["--report", "/nowhere/x.html"], "cannot write /nowhere/x.html"),
        (&["breaker", "--expect", "x"], "there is no <"),
        (&["herd", "--with-load-shedding"], "--serve"),
        (&["app", "--listen", "8080"], "not an address with a port (try 127.0.0.1:8001)"),
        (&["--quick", "breaker"], "cannot be used with"),
        (&["nothing"], "unrecognized subcommand"),
    ] {
        let (code, out, err) = demo(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(part), "{args:?}: {err}");
    }
}
