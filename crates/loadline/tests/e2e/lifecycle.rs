//! Start, stop and the signals between.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Client, Gate, H2, Proxy, Setup, Upstream, eventually};

/// Far below the drain's bound of these tests (10 s), with room for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn sigterm_finishes_what_is_in_flight_and_exits_0() {
    drains_on(Signal::TERM);
}

#[test]
fn sigint_does_too() {
    drains_on(Signal::INT);
}

#[test]
fn sigusr1_does_too_as_in_spillway() {
    drains_on(Signal::USR1);
}

fn drains_on(signal: Signal) {
    let gate = Gate::new();
    let upstream = Upstream::gated_where(&gate, |target| target != "/healthcheck");
    let mut proxy = Setup::to(&upstream, 2).start();
    let mut idle = proxy.connect();
    idle.get("/healthcheck");
    let mut clients: Vec<_> = (0..4).map(|index| proxy.send_get(&format!("/{index}"))).collect();
    proxy.wait_load(2, 2);
    proxy.signal(signal);
    eventually("not ready while draining", || proxy.admin("/readyz").status == 503);
    let begin = Instant::now();
    gate.open();
    let mut served = 0;
    for client in &mut clients {
        let response = client.read();
        // Those that waited are served or turned away, but never left without an answer.
        assert!(matches!(response.status, 200 | 503), "{response:?}");
        served += usize::from(response.status == 200);
        client.expect_close();
    }
    assert!(served >= 2, "those in flight are served");
    idle.expect_close();
    assert!(proxy.wait_exit().success());
    assert!(begin.elapsed() < AT_ONCE, "nothing was left, and yet it took {:?}", begin.elapsed());
    assert!(Client::try_connect(proxy.addr()).is_err(), "the port is closed");
}

#[test]
fn who_connected_before_the_end_is_answered() {
    let upstream = Upstream::hello();
    let mut proxy = Setup::to(&upstream, 64).start();
    // What arrives while the process stands still waits in the kernel, the signal as well as the connections.
    proxy.signal(Signal::STOP);
    let mut clients: Vec<_> = (0..32).map(|index| proxy.send_get(&format!("/{index}"))).collect();
    proxy.signal(Signal::TERM);
    proxy.signal(Signal::CONT);
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
        client.expect_close();
    }
    assert!(proxy.wait_exit().success());
}

#[test]
fn a_connection_that_never_spoke_does_not_hold_up_the_end() {
    let upstream = Upstream::hello();
    let mut proxy = Setup::to(&upstream, 1).start();
    let mut silent = proxy.connect();
    proxy.wait_status("it is connected", |status| status.connections.client == 1);
    let begin = Instant::now();
    proxy.signal(Signal::TERM);
    silent.expect_close();
    assert!(proxy.wait_exit().success());
    assert!(begin.elapsed() < AT_ONCE, "took {:?}", begin.elapsed());
}

#[test]
fn an_idle_http2_connection_does_not_either() {
    let upstream = Upstream::hello();
    let mut proxy = Setup::to(&upstream, 1).start();
    let h2 = H2::connect(proxy.addr());
    assert_eq!(h2.get("/").status, 200);
    let begin = Instant::now();
    proxy.signal(Signal::TERM);
    assert!(proxy.wait_exit().success());
    assert!(begin.elapsed() < AT_ONCE, "took {:?}", begin.elapsed());
}

/// In service or waiting: streams that have come are answered before their connection goes.
#[test]
fn http2_streams_under_way_are_answered_before_the_end() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let mut proxy = Setup::to(&upstream, 2).start();
    let h2 = H2::connect(proxy.addr());
    let streams: Vec<_> = (0..6).map(|_| h2.start("GET", "/", &[], b"")).collect();
    proxy.wait_load(2, 4);
    proxy.signal(Signal::TERM);
    proxy.wait_metric("loadline_draining", &[], 1.0);
    gate.open();
    for stream in streams {
        assert_eq!(h2.finish(stream).status, 200);
    }
    assert!(proxy.wait_exit().success());
    assert_eq!(upstream.seen(), 6);
}

#[test]
fn an_idle_proxy_exits_at_once() {
    let upstream = Upstream::hello();
    let mut proxy = Setup::to(&upstream, 1).start();
    let mut kept = proxy.connect();
    kept.get("/");
    let begin = Instant::now();
    proxy.signal(Signal::TERM);
    assert!(proxy.wait_exit().success());
    assert!(begin.elapsed() < AT_ONCE, "took {:?}", begin.elapsed());
}

#[test]
fn signals_are_heard_from_the_first_line_on() {
    let upstream = Upstream::hello();
    for _ in 0..5 {
        let mut proxy = Setup::to(&upstream, 1).start();
        proxy.signal(Signal::HUP);
        assert_eq!(proxy.get("/").status, 200);
        assert!(proxy.is_running(), "a reload ended it");
        let mut proxy = Setup::to(&upstream, 1).start();
        proxy.signal(Signal::TERM);
        let status = proxy.wait_exit();
        assert!(status.success(), "{status}");
    }
}

/// A log shipper that stands still stops neither the probes nor the end.
#[test]
fn a_full_stderr_stops_nothing() {
    // A pipe holds 64 KiB, and each of these lines has more than 64 bytes.
    const LINES: usize = 1_100;
    let upstream = Upstream::hello();
    let mut proxy = Setup::to(&upstream, 1).start();
    proxy.leave_stderr_alone();
    for _ in 0..LINES {
        assert_eq!(proxy.admin_post("/-/reload").status, 200);
    }
    assert_eq!(proxy.admin("/healthz").status, 200);
    assert_eq!(proxy.get("/").status, 200);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait_exit().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let mut proxy = Setup::to(&upstream, 1).start();
    let _busy = proxy.send_get("/never");
    proxy.wait_load(1, 0);
    proxy.signal(Signal::TERM);
    eventually("draining", || proxy.admin("/readyz").status == 503);
    let begin = Instant::now();
    proxy.signal(Signal::TERM);
    proxy.wait_exit();
    assert!(begin.elapsed() < AT_ONCE, "took {:?}", begin.elapsed());
}

#[test]
fn the_drain_ends_at_its_bound() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let mut proxy = Setup::to(&upstream, 1).drain("300ms").start();
    let _busy = proxy.send_get("/never");
    proxy.wait_load(1, 0);
    let begin = Instant::now();
    proxy.signal(Signal::TERM);
    proxy.wait_exit();
    assert!(begin.elapsed() >= Duration::from_millis(290), "took {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(4), "took {:?}", begin.elapsed());
}

#[test]
fn who_still_waits_when_the_drain_ends_is_answered() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let setup = Setup::to(&upstream, 1).drain("2s").set("workers", 2);
    let mut proxy =
        setup.env("LOG_ADDRESS", "stdout").env("LOG_FORMAT", "%ST %ts %[loadline.reason]").start();
    let _busy = proxy.send_get("/never");
    proxy.wait_load(1, 0);
    let h2 = H2::connect(proxy.addr());
    let stream = h2.start("GET", "/", &[], b"");
    let mut clients: Vec<_> = (0..20).map(|index| proxy.send_get(&format!("/{index}"))).collect();
    proxy.wait_load(1, 21);
    let begin = Instant::now();
    proxy.signal(Signal::TERM);
    for client in &mut clients {
        let response = client.read();
        assert_eq!((response.status, response.reason()), (503, "draining".to_owned()));
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        client.expect_close();
    }
    assert_eq!(h2.finish(stream).status, 503);
    assert!(begin.elapsed() >= Duration::from_millis(1400), "it had time: {:?}", begin.elapsed());
    proxy.wait_exit();
    let logged = proxy.stdout();
    assert_eq!(logged.iter().filter(|line| *line == "503 sQ draining").count(), 21, "{logged:?}");
    let told = |line: &String| line.contains("the drain ends: rejected the 21 who still waited");
    assert!(proxy.stderr().iter().any(told), "{:?}", proxy.stderr());
}

#[test]
fn who_waits_when_a_second_signal_comes_is_answered_too() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let mut proxy = Setup::to(&upstream, 1).start();
    let mut busy = proxy.send_get("/never");
    proxy.wait_load(1, 0);
    let mut waiting = proxy.send_get("/waiting");
    proxy.wait_load(1, 1);
    proxy.signal(Signal::TERM);
    eventually("draining", || proxy.admin("/readyz").status == 503);
    let begin = Instant::now();
    proxy.signal(Signal::TERM);
    assert_eq!(waiting.read().reason(), "draining");
    assert!(busy.try_read().is_err(), "what was in service is given up");
    proxy.wait_exit();
    assert!(begin.elapsed() < AT_ONCE, "took {:?}", begin.elapsed());
}

#[test]
fn a_response_that_streams_while_draining_arrives_whole() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = Upstream::start(move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 1000005\r\n\r\nbegin")?;
        held.pass()?;
        exchange.finish(vec![b'x'; 1_000_000])
    });
    let mut proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.send_get("/");
    assert_eq!(client.read_head().unwrap().status, 200);
    proxy.signal(Signal::TERM);
    eventually("draining", || proxy.admin("/readyz").status == 503);
    gate.open();
    assert_eq!(client.read_exact(1_000_005).unwrap().len(), 1_000_005);
    assert!(proxy.wait_exit().success());
}

#[test]
fn the_banner_says_what_runs() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 3).start();
    let banner = proxy.stderr().join("\n");
    assert!(banner.contains(&upstream.addr().to_string()), "{banner}");
    for line in proxy.stderr() {
        let _: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("not a JSON line: {line}: {error}"));
    }
}

/// In an image without a zone database every name is unknown: local time would be UTC in silence.
#[test]
fn a_zone_that_is_not_known_is_told() {
    let upstream = Upstream::hello();
    let warned = |zone: &str| {
        let proxy = Setup::to(&upstream, 1).env("TZ", zone).start();
        proxy.stderr().iter().any(|line| line.contains("is no zone that is known here"))
    };
    assert!(warned("Nowhere/Atall"));
    assert!(!warned("CET-1CEST,M3.5.0,M10.5.0/3"), "a rule needs no database");
    assert!(!warned(""));
}

#[test]
fn started_under_the_name_spillway_it_takes_spillways_arguments() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).named("spillway").env("LOG_ADDRESS", "stdout").start();
    assert_eq!(proxy.get("/").status, 200);
    assert!(proxy.wait_stdout(1)[0].starts_with("app 200 0 0/"));
}

#[test]
fn drain_waits_until_nothing_is_in_service() {
    let drain = |proxy: &Proxy, wait: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_loadline"));
        command.args(["drain", "--wait", wait, "--admin", &proxy.admin_addr().to_string()]);
        command.output().expect("the binary can be started")
    };
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).start();
    let mut busy = proxy.send_get("/held");
    proxy.wait_load(1, 0);
    let output = drain(&proxy, "300ms");
    assert_eq!(output.status.code(), Some(1), "a request is in service: {output:?}");
    assert_eq!(proxy.admin("/readyz").status, 503);
    gate.open();
    assert_eq!(busy.read().status, 200);
    let output = drain(&proxy, "2s");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "drained: no request for 1 s\n");
}
