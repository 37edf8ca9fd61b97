//! Runs against real servers on 127.0.0.1: what is sent, and what the report says about what came back.
//!
//! No test is about speed. Where time matters, bounds hold on a busy machine, too: it makes answers later, never earlier.

mod h2;
mod server;
mod stall;

use std::io::Read as _;
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::Duration;

use loadline_load::{Outcome, Plan, Report, Scenario, Silent, Snapshot, run};

use self::server::Server;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A plan for `url`, from the rest of a scenario.
fn plan(url: &str, rest: &str) -> Plan {
    let text = format!("url = \"{url}\"\n{rest}");
    Scenario::parse(&text).unwrap().plan().unwrap()
}

fn report(url: &str, rest: &str) -> Report {
    run(&plan(url, rest), &mut Silent).unwrap()
}

#[test]
fn every_request_of_the_plan_is_sent_and_counted_once() {
    let server = Server::answering(OK);
    let report = report(&server.url("/a?b=1"), "stages = [\"200ms@100\", \"100ms@500\"]");
    assert_eq!(report.total.offered, 70);
    assert_eq!(report.total.count(Outcome::Served), 70);
    assert_eq!((report.stages[0].group.offered, report.stages[1].group.offered), (20, 50));
    assert_eq!(report.statuses.get(&200), Some(&70));
    assert_eq!(report.series.points.iter().map(|point| point.offered).sum::<u64>(), 70);
    let requests = server.requests();
    assert_eq!(requests.len(), 70);
    assert!(requests.iter().all(|request| request.lines[0] == "GET /a?b=1 HTTP/1.1"));
    assert_eq!(report.connections, server.connections() as u64);
    assert!(report.complete && report.unfinished == 0);
}

#[test]
fn what_is_sent_is_what_the_scenario_says() {
    let server = Server::answering(OK);
    let rest = r#"
        stages = ["200ms@200"]
        headers = ["user-agent: test"]
        classes = { low = 1 }
        class_header = "x-class"
        tenants = { a = 1, b = 1 }
        deadline = "60s"
        deadline_header = "x-request-timeout-ms"
        [[target]]
        path = "/read"
        weight = 3
        [[target]]
        method = "POST"
        path = "/write"
        body = "{}"
        class = "critical"
        headers = ["content-type: application/json"]
    "#;
    let report = report(&server.url("/"), rest);
    let requests = server.requests();
    let (writes, reads): (Vec<_>, Vec<_>) =
        requests.iter().partition(|request| request.lines[0] == "POST /write HTTP/1.1");
    assert_eq!(reads.len() + writes.len(), 40);
    assert!(writes.len() >= 3 && reads.len() > writes.len(), "{} {}", reads.len(), writes.len());
    for request in &requests {
        assert_eq!(request.field("user-agent"), Some("test"));
        assert!(["a", "b"].contains(&request.field("x-tenant").unwrap()));
        let remaining: u64 = request.field("x-request-timeout-ms").unwrap().parse().unwrap();
        assert!((1..=60_000).contains(&remaining), "{remaining}");
    }
    assert!(reads.iter().all(|request| request.field("x-class") == Some("low") && request.body.is_empty()));
    assert!(
        writes.iter().all(|request| request.field("x-class") == Some("critical") && request.body == "{}")
    );
    assert_eq!(report.group("critical").unwrap().offered, writes.len() as u64);
    assert_eq!(report.group("/read").unwrap().offered, reads.len() as u64);
    assert_eq!(report.tenants.iter().map(|tenant| tenant.offered).sum::<u64>(), 40);
}

#[test]
fn each_kind_of_failure_is_told_apart() {
    let shed = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 23\r\n\r\n{\"reason\":\"queue_full\"}";
    let server = Server::start(move |request| {
        let path = request.lines[0].split(' ').nth(1).unwrap();
        match path {
            "/shed" => Some(shed.to_owned()),
            "/429" => Some("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n".to_owned()),
            "/500" => {
                Some("HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".to_owned())
            }
            "/404" => Some("HTTP/1.0 404 Not Found\r\nconnection: close\r\n\r\nnot here".to_owned()),
            "/garbage" => Some("hello\r\n".to_owned()),
            "/half" => Some("HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nha".to_owned()),
            "/drop" => None,
            _ => Some(OK.to_owned()),
        }
    });
    let paths = ["/", "/shed", "/429", "/500", "/404", "/garbage", "/half", "/drop"];
    let targets: String = paths.iter().map(|path| format!("[[target]]\npath = \"{path}\"\n")).collect();
    let report = report(&server.url("/"), &format!("stages = [\"400ms@500\"]\n{targets}"));
    let outcome_of = |path: &str| {
        let group = report.group(path).unwrap();
        let seen: Vec<Outcome> =
            Outcome::ALL.into_iter().filter(|outcome| group.count(*outcome) > 0).collect();
        assert!(group.offered > 0);
        seen
    };
    for (path, outcome) in paths.into_iter().zip([
        Outcome::Served,
        Outcome::Shed,
        Outcome::Shed,
        Outcome::ServerError,
        Outcome::ClientError,
        Outcome::Reset,
        Outcome::Reset,
        Outcome::Reset,
    ]) {
        assert_eq!(outcome_of(path), [outcome], "{path}");
    }
    let reasons = &report.total.shed_by_reason;
    assert!(reasons["queue_full"] > 0 && reasons["unspecified"] > 0, "{reasons:?}");
}

#[test]
fn no_server_is_refused_and_the_run_goes_on() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = report(&format!("http://{free}/"), "stages = [\"100ms@100\"]");
    assert_eq!(report.total.count(Outcome::Refused), 10);
    assert_eq!(report.total.goodput, 0.0);
    assert!(report.text().contains("100 %  first: Connection refused"), "{}", report.text());
}

#[test]
fn a_client_that_loses_patience_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (closed, all_closed) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(3) {
            let closed = closed.clone();
            // It reads and never answers: the client's end of the connection is all that can end it.
            std::thread::spawn(move || closed.send(stream.unwrap().read_to_end(&mut Vec::new()).is_ok()));
        }
    });
    let report = report(&url, "stages = [\"30ms@100\"]\ntimeout = \"50ms\"");
    assert_eq!(report.total.count(Outcome::Timeout), 3);
    assert!(report.total.all_latency.p50_ms >= 50.0 && report.total.latency.count == 0);
    for _ in 0..3 {
        all_closed.recv_timeout(Duration::from_secs(20)).unwrap();
    }
}

#[test]
fn an_answer_after_the_deadline_is_late_and_a_passed_deadline_is_not_retried() {
    let server = Server::answering(OK);
    // Shorter than an answer takes on any machine.
    let late = report(&server.url("/"), "stages = [\"30ms@100\"]\ndeadline = \"1us\"");
    assert_eq!(late.total.count(Outcome::Late), 3);
    assert_eq!(late.total.goodput, 0.0);

    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let retries = "stages = [\"30ms@100\"]\ndeadline = \"1us\"\nretry = { policy = \"immediate\" }";
    let report = report(&format!("http://{refused}/"), retries);
    assert_eq!(report.attempts, 3);
}

#[test]
fn retries_are_marked_counted_and_end() {
    let server = Server::start(|request| match request.field("x-retry-attempt") {
        Some("3") => Some(OK.to_owned()),
        _ => Some("HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n".to_owned()),
    });
    let rest = "stages = [\"100ms@100\"]\nretry = { policy = \"exponential\", base = \"1ms\" }";
    let served = report(&server.url("/"), rest);
    assert_eq!((served.total.count(Outcome::Served), served.attempts), (10, 30));
    assert_eq!(served.statuses.get(&503), Some(&20));

    let rest = "stages = [\"100ms@100\"]\nretry = { policy = \"immediate\", limit = 1 }";
    let shed = report(&server.url("/"), rest);
    assert_eq!((shed.total.count(Outcome::Shed), shed.attempts), (10, 20));
}

#[test]
fn a_kept_connection_that_the_server_closed_meanwhile_is_no_failure() {
    // Every answer promises to keep the connection, and every second one breaks the promise.
    let server = Server::start(|request| (request.number % 2 == 0).then(|| OK.to_owned()));
    let report = report(&server.url("/"), "stages = [\"1s@20\"]");
    let served = report.total.count(Outcome::Served);
    assert_eq!(served + report.total.count(Outcome::Reset), 20);
    assert!(report.resent > 0 && served > report.resent, "{} {served}", report.resent);
}

#[test]
fn new_connections_are_one_per_request() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    let report = report(&server.url("/"), "stages = [\"100ms@100\"]\nnew_connections = true");
    assert_eq!((report.total.count(Outcome::Served), server.connections()), (10, 10));
    assert!(server.requests().iter().all(|request| request.field("connection") == Some("close")));
}

#[test]
fn what_has_no_room_is_not_sent_and_the_run_is_not_valid() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let report = report(&url, "stages = [\"50ms@100\"]\nmax_in_flight = 2\ntimeout = \"5s\"");
    assert_eq!((report.total.count(Outcome::NotSent), report.total.count(Outcome::Timeout)), (3, 2));
    assert!(!report.valid);
    assert!(report.problems.iter().any(|problem| problem.contains("3 requests were not sent because 2")));
}

#[test]
fn a_run_that_is_ended_early_reports_what_was_over_by_then() {
    let server = Server::answering(OK);
    let plan = plan(&server.url("/"), "stages = [\"1h@50\"]");
    let mut last = 0;
    let mut progress = |now: &Snapshot<'_>| {
        last = now.count(Outcome::Served);
        assert_eq!(now.ticks.iter().map(|tick| u64::from(tick.offered)).sum::<u64>(), now.offered);
        if last >= 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let report = run(&plan, &mut progress).unwrap();
    assert!(!report.complete && !report.valid);
    assert!(report.total.count(Outcome::Served) >= last && report.total.offered < 10_000);
    assert!(report.offered_per_s < 500.0, "{}", report.offered_per_s);
}

#[test]
fn the_last_that_is_shown_of_a_run_is_all_of_it() {
    let server = Server::answering(OK);
    let mut last = (0, 0);
    let mut progress = |now: &Snapshot<'_>| {
        last = (now.in_flight, now.count(Outcome::Served));
        ControlFlow::Continue(())
    };
    run(&plan(&server.url("/"), "stages = [\"30ms@100\"]"), &mut progress).unwrap();
    assert_eq!(last, (0, 3));
}

#[test]
fn an_unknown_host_is_an_error_that_names_it() {
    let plan = plan("http://host.invalid/", "stages = [\"1s@1\"]");
    let error = run(&plan, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("cannot find `host.invalid`"), "{error}");
}

#[test]
fn a_retry_after_beyond_all_clocks_is_given_up() {
    let never = "HTTP/1.1 503 No\r\nretry-after: 18446744073709551615\r\ncontent-length: 0\r\n\r\n";
    let server = Server::answering(never);
    let report = report(&server.url("/"), "stages = [\"100ms@50\"]\nretry = { policy = \"exponential\" }");
    assert_eq!(report.total.count(Outcome::Shed), 5);
    assert_eq!(server.requests().len(), 5);
}
