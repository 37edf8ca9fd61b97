//! The apps that run on their own, over real sockets: every endpoint, every mistake in a parameter, every metric's name.

mod support;

use std::num::NonZeroU32;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadline_demo::{ApiSettings, HerdWork, Role};
use support::{Running, metric, unused_address, wait_for};

fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn settings(upstream: &str) -> ApiSettings {
    ApiSettings {
        upstream: upstream.to_owned(),
        max_in_flight: count(50),
        normal_in_flight: count(45),
        low_in_flight: count(35),
        breaker_failures: count(5),
        // Longer than a test: what opens stays open.
        breaker_open: Duration::from_secs(3_600),
    }
}

fn api(change: impl FnOnce(&mut ApiSettings)) -> (Running, Running) {
    let upstream = Running::start(Role::Upstream);
    let mut settings = settings(&upstream.url());
    change(&mut settings);
    (Running::start(Role::Api(settings)), upstream)
}

#[test]
fn every_endpoint_answers_what_it_should() {
    let (api, upstream) = api(|_| {});
    let dead = Running::start(Role::Api(settings(&format!("http://{}", unused_address()))));
    for (app, request, status, body) in [
        (&api, "GET /client?timeout_ms=10000", 200, "{\"ok\":true,\"ms\":50,\"timeout_ms\":10000}"),
        (
            &api,
            "GET /client?ms=1&timeout_ms=9999&priority=low",
            200,
            "{\"ok\":true,\"ms\":1,\"timeout_ms\":9999}",
        ),
        (&api, "GET /client?ms=2000&timeout_ms=20", 504, "{\"detail\":\"upstream timeout\"}"),
        (&api, "GET /client?ms=1&fail_rate=1&timeout_ms=9999", 502, "{\"detail\":\"upstream error\"}"),
        (&dead, "GET /client?timeout_ms=9999", 502, "{\"detail\":\"upstream transport error\"}"),
        (&api, "POST /client", 405, "{\"detail\":\"method not allowed\"}"),
        (
            &api,
            "POST /work?ms=1&fail_rate=0&queue_depth=50",
            200,
            "{\"status\":\"ok\",\"ms\":1,\"queue_depth\":50}",
        ),
        (&api, "POST /work?ms=1&fail_rate=0", 200, "{\"status\":\"ok\",\"ms\":1,\"queue_depth\":0}"),
        (&api, "POST /work?queue_depth=51", 429, "{\"detail\":\"load shed: queue depth too high\"}"),
        (
            &api,
            "POST /work?queue_depth=3&queue_limit=2",
            429,
            "{\"detail\":\"load shed: queue depth too high\"}",
        ),
        (&api, "POST /work?ms=1&fail_rate=1", 500, "{\"detail\":\"simulated failure\"}"),
        (&api, "GET /work", 405, "{\"detail\":\"method not allowed\"}"),
        (&api, "GET /healthz", 200, "{\"ok\":true}"),
        (&api, "GET /nowhere", 404, "{\"detail\":\"not found\"}"),
        (&upstream, "GET /upstream?ms=1", 200, "{\"ok\":true,\"ms\":1}"),
        (&upstream, "GET /upstream?ms=1&fail_rate=1.0", 503, "{\"detail\":\"upstream failure\"}"),
        (&upstream, "GET /healthz", 200, "{\"ok\":true}"),
        (&upstream, "GET /healthcheck", 200, "OK\n"),
        (&upstream, "GET /", 200, "Hello World!\n"),
        (&upstream, "GET /0.01", 200, "Hello World!\n"),
        (&upstream, "GET /61", 400, "that is too much\n"),
        (&upstream, "GET /nowhere", 404, "{\"detail\":\"not found\"}"),
    ] {
        let answer = app.ask(request);
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{request}");
        assert_eq!(answer.header("retry-after"), (status == 429).then_some("1"), "{request}");
    }
    assert!(api.ask("GET /").body.contains("GET  /client?ms=50"));
}

#[test]
fn parameters_out_of_range_are_400_and_what_is_no_number_is_422() {
    let (api, upstream) = api(|_| {});
    for (app, method, path, name, range, bad) in [
        (&api, "GET", "/client", "ms", "1 and 5000", &["0", "5001", "-1"][..]),
        (&api, "GET", "/client", "timeout_ms", "1 and 10000", &["0", "10001", "99999999999999999999"]),
        (&api, "GET", "/client", "fail_rate", "0 and 1", &["-0.1", "1.1", "inf", "1e300"]),
        (&api, "POST", "/work", "ms", "1 and 2000", &["0", "2001"]),
        (&api, "POST", "/work", "fail_rate", "0 and 1", &["2", "-1"]),
        (&api, "POST", "/work", "queue_depth", "0 and 100000", &["-1", "100001"]),
        (&api, "POST", "/work", "queue_limit", "0 and 100000", &["-5"]),
        (&upstream, "GET", "/upstream", "ms", "1 and 5000", &["0", "5001"]),
        (&upstream, "GET", "/upstream", "fail_rate", "0 and 1", &["1.01"]),
    ] {
        for value in bad {
            let answer = app.ask(&format!("{method} {path}?{name}={value}"));
            let expected = format!("{{\"detail\":\"{name} must be between {range}\"}}");
            assert_eq!((answer.status, answer.body), (400, expected), "{path} {name}={value}");
        }
        for value in ["x", "", "nan", "NaN", "1x", "%31"] {
            let answer = app.ask(&format!("{method} {path}?{name}={value}"));
            assert_eq!(answer.status, 422, "{path} {name}={value}: {}", answer.body);
            assert!(answer.body.contains(&format!("{name} must be a")), "{}", answer.body);
        }
    }
    assert_eq!(api.ask("GET /client?priority=urgent").status, 422);
}

#[test]
fn beyond_the_cap_clients_get_429_and_the_counters_agree() {
    let (api, _upstream) = api(|settings| settings.max_in_flight = count(5));
    let statuses: Vec<u16> = thread::scope(|scope| {
        let ask = || api.ask("GET /client?ms=300&timeout_ms=10000").status;
        let calls: Vec<_> = (0..60).map(|_| scope.spawn(ask)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let page = api.ask("GET /metrics").body;
    for status in [200, 429] {
        let seen = statuses.iter().filter(|seen| **seen == status).count();
        assert!(seen > 0, "{statuses:?}");
        let series = format!("http_requests_total{{method=\"GET\",path=\"/client\",status=\"{status}\"}}");
        assert_eq!(metric(&page, &series), Some(seen as f64), "{page}");
    }
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert_eq!(metric(&page, "http_inflight_requests"), Some(1.0), "only the scrape itself");
}

#[test]
fn lower_priorities_are_shed_first() {
    let (api, _upstream) = api(|settings| {
        settings.max_in_flight = count(3);
        settings.normal_in_flight = count(2);
        settings.low_in_flight = count(1);
    });
    let long = "GET /client?ms=3000&timeout_ms=10000&priority=high";
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(api.ask(long).status, 200));
        // The scrape is one of those in flight.
        wait_for(|| metric(&api.ask("GET /metrics").body, "http_inflight_requests") == Some(2.0));
        assert_eq!(api.ask("GET /client?ms=1&timeout_ms=9999&priority=low").status, 429);
        assert_eq!(api.ask("GET /client?ms=1&timeout_ms=9999&priority=normal").status, 200);
        assert_eq!(api.ask("GET /client?ms=1&timeout_ms=9999").status, 200);
    });
}

#[test]
fn a_failing_upstream_opens_the_breaker_and_the_gauge_is_true_without_traffic() {
    let (api, upstream) = api(|settings| settings.breaker_open = Duration::from_millis(1_500));
    let failing = "GET /client?ms=1&fail_rate=1.0&timeout_ms=9999";
    for _ in 0..5 {
        assert_eq!(api.ask(failing).status, 502);
    }
    let refused = api.ask(failing);
    let page = api.ask("GET /metrics").body;
    // Unless this machine was so slow that the open time is over already.
    if refused.status == 503 && metric(&page, "circuit_breaker_state") == Some(1.0) {
        assert_eq!(refused.body, "{\"detail\":\"circuit breaker open\"}");
        assert!(["1", "2"].map(Some).contains(&refused.header("retry-after")));
        assert_eq!(metric(&page, "upstream_requests_total{result=\"breaker_open\"}"), Some(1.0), "{page}");
        let until = metric(&page, "circuit_breaker_open_until_epoch").unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(until > now - 60.0 && until < now + 3.0, "{until} {now}");
        assert!(!page.contains("upstream_request_duration_seconds_count{result=\"breaker_open\"}"));
    }
    // Nobody asks the upstream meanwhile.
    wait_for(|| metric(&api.ask("GET /metrics").body, "circuit_breaker_state") == Some(0.0));
    assert_eq!(api.ask("GET /client?ms=1&timeout_ms=9999").status, 200);
    assert_eq!(metric(&api.ask("GET /metrics").body, "circuit_breaker_open_until_epoch"), Some(0.0));
    let asked = upstream.ask("GET /metrics").body;
    assert_eq!(
        metric(&asked, "http_requests_total{method=\"GET\",path=\"/upstream\",status=\"200\"}"),
        Some(1.0),
        "{asked}"
    );
}

#[test]
fn metrics_have_the_names_that_dashboards_read_and_no_request_makes_a_series() {
    let (api, _upstream) = api(|_| {});
    assert_eq!(api.ask("GET /client?ms=1&timeout_ms=9999").status, 200);
    assert_eq!(api.ask("POST /work?ms=1&fail_rate=0").status, 200);
    for path in ["/a", "/b?c=d", "/client/", "/healthz2"] {
        assert_eq!(api.ask(&format!("GET {path}")).status, 404);
    }
    let answer = api.ask("GET /metrics");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    let page = answer.body;
    for (name, kind) in [
        ("http_requests_total", "counter"),
        ("http_request_duration_seconds", "histogram"),
        ("http_inflight_requests", "gauge"),
        ("upstream_requests_total", "counter"),
        ("upstream_request_duration_seconds", "histogram"),
        ("circuit_breaker_state", "gauge"),
        ("circuit_breaker_open_until_epoch", "gauge"),
        ("work_items_total", "counter"),
        ("work_queue_depth", "gauge"),
        ("process_cpu_seconds_total", "counter"),
    ] {
        assert!(page.contains(&format!("# TYPE {name} {kind}\n")), "{name}: {page}");
    }
    for (series, value) in [
        ("http_requests_total{method=\"GET\",path=\"other\",status=\"404\"}", 4.0),
        ("http_request_duration_seconds_bucket{method=\"GET\",path=\"/client\",le=\"+Inf\"}", 1.0),
        ("upstream_requests_total{result=\"ok\"}", 1.0),
        ("upstream_requests_total{result=\"timeout\"}", 0.0),
        ("upstream_requests_total{result=\"breaker_open\"}", 0.0),
        ("upstream_request_duration_seconds_count{result=\"ok\"}", 1.0),
        ("work_items_total{outcome=\"ok\"}", 1.0),
        ("work_items_total{outcome=\"shed\"}", 0.0),
        ("circuit_breaker_state", 0.0),
    ] {
        assert_eq!(metric(&page, series), Some(value), "{series}: {page}");
    }
}

#[test]
fn health_is_answered_while_every_thread_computes() {
    let upstream = Running::start(Role::Upstream);
    thread::scope(|scope| {
        let long: Vec<_> =
            (0..44).map(|_| scope.spawn(|| upstream.ask("GET /upstream?ms=4000").status)).collect();
        // As many as may compute at once, one that waits for its turn, and the one that asks. Not all of them: on a busy machine
        // the first may be done before the last has begun.
        let in_flight = || metric(&upstream.ask("GET /metrics").body, "http_inflight_requests");
        wait_for(|| in_flight() >= Some(42.0));
        assert_eq!(upstream.ask("GET /healthz").status, 200);
        assert!(long.iter().any(|call| !call.is_finished()), "it did not wait for its turn behind them");
    });
}

#[test]
fn the_herd_server_drops_what_cannot_be_in_time() {
    let in_an_hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600;
    let late = format!("GET / x-respond-by:{}", in_an_hour - 700);
    let early = format!("GET / x-respond-by:{in_an_hour}");
    for work in [HerdWork::Compute, HerdWork::Sleep] {
        let herd = |with_load_shedding| Running::start(Role::Herd { with_load_shedding, work, seed: 1 });
        let server = herd(true);
        let dropped = server.ask(&late);
        assert_eq!((dropped.status, dropped.body.as_str()), (419, "Request expired before processing"));
        for request in [early.as_str(), "GET /", "GET / x-respond-by:garbage"] {
            let served = server.ask(request);
            assert_eq!(
                (served.status, served.body.as_str()),
                (200, "Computed something expensive"),
                "{request}"
            );
        }
        assert_eq!(herd(false).ask(&late).status, 200);
    }
}

#[test]
fn an_app_that_is_told_to_stop_finishes_its_answers() {
    let mut upstream = Running::start(Role::Upstream);
    let address = upstream.address();
    let answer = thread::spawn(move || support::ask(address, "GET /1"));
    wait_for(|| metric(&upstream.ask("GET /metrics").body, "http_inflight_requests") == Some(2.0));
    upstream.stop();
    assert_eq!(answer.join().unwrap().status, 200);
    assert!(std::net::TcpStream::connect(address).is_err());
}
