//! Every request is counted once, whatever became of it, and nothing is left over.

use std::thread;
use std::time::Duration;

use crate::support::{Setup, Upstream, parallel};

const CLIENTS: usize = 16;
const REQUESTS_EACH: usize = 640;

/// Longer than the proxy waits, so that its clients get 504 and leave ghosts.
const TOO_LONG: Duration = Duration::from_millis(150);

fn application() -> Upstream {
    Upstream::start(|exchange| match exchange.target() {
        "/500" => exchange.respond(500, b"broken"),
        "/close" => {
            exchange.read_body()?;
            exchange.close();
            Ok(())
        }
        "/garbage" => {
            exchange.finish("garbage\r\n\r\n")?;
            exchange.close();
            Ok(())
        }
        "/late" => {
            thread::sleep(TOO_LONG);
            exchange.respond(200, b"too late")
        }
        "/slow" => {
            thread::sleep(Duration::from_millis(3));
            exchange.respond(200, b"hello")
        }
        _ => exchange.respond(200, b"hello"),
    })
}

#[test]
fn ten_thousand_mixed_outcomes() {
    let upstream = application();
    let proxy = Setup::to(&upstream, 8)
        .set("workers", 2)
        .set("timeouts.upstream", "80ms")
        .set("limit.abandon_timeout", "5s")
        .set("queue.timeout", "150ms")
        .set("queue.depth", 12)
        .start();
    let statuses: Vec<u16> = parallel(CLIENTS, |client| {
        let mut connection = proxy.connect();
        (0..REQUESTS_EACH)
            .filter_map(|index| {
                let target = match (client * 31 + index * 7) % 50 {
                    0..=4 => "/500",
                    5 | 6 => "/close",
                    7 => "/garbage",
                    8 => "/late",
                    9..=24 => "/slow",
                    25..=29 => {
                        // Leaves at once: wherever the request is by then.
                        let leaving = proxy.send_get("/slow");
                        if index % 2 == 0 {
                            leaving.reset();
                        }
                        return None;
                    }
                    _ => "/ok",
                };
                connection.send_get(target);
                let response = connection.read();
                if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                    connection = proxy.connect();
                }
                Some(response.status)
            })
            .collect::<Vec<_>>()
    })
    .concat();
    for status in &statuses {
        assert!(matches!(status, 200 | 500 | 502 | 503 | 504), "{status}");
    }
    for status in [200, 500, 502, 504] {
        assert!(statuses.contains(&status), "no {status} among the answers");
    }
    proxy.wait_load(0, 0);
    let status = proxy.status();
    let counters = status.counters;
    assert_eq!(counters.offered, counters.admitted + counters.shed + counters.abandoned, "{counters:?}");
    let ends = counters.completed + counters.failed + counters.timed_out + counters.aborted;
    assert_eq!(counters.admitted, ends, "{counters:?}");
    // Those that left at once may have been turned away before they were gone.
    let left = (CLIENTS * REQUESTS_EACH - statuses.len()) as u64;
    let told = statuses.iter().filter(|status| **status == 503).count() as u64;
    assert!((told..=told + left).contains(&counters.shed), "{told} told, {left} left: {counters:?}");
    assert!(counters.offered >= statuses.len() as u64, "{counters:?}");
    assert_eq!(proxy.metric_sum("loadline_needless_sheds_total", &[]), 0.0);
    assert!(counters.offered <= (CLIENTS * REQUESTS_EACH) as u64, "{counters:?}");
    assert!(upstream.peak() <= 8, "peak {}", upstream.peak());
}

#[test]
fn the_metrics_page_tells_the_same() {
    let upstream = application();
    let proxy = Setup::to(&upstream, 2).start();
    for target in ["/ok", "/ok", "/500", "/close"] {
        proxy.get(target);
    }
    proxy.wait_load(0, 0);
    let counters = proxy.status().counters;
    assert_eq!((counters.offered, counters.admitted, counters.shed), (4, 4, 0));
    proxy.wait_metric("http_requests_total", &[], 4.0);
    assert_eq!(proxy.metric_sum("http_inflight_requests", &[]), 0.0);
    assert_eq!(proxy.metric_sum("loadline_doomed_started_total", &[]), 0.0);
}
