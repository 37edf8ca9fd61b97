//! The test that tells open loops from closed ones: a server that stalls for a second in the middle of a run.
//!
//! At 100/s a stall of 1 s hits the hundred requests that are due in it: they wait 1 s, 0.99 s, …, 0.01 s. In a run of three
//! seconds that is a third of all, so a quarter of all requests waits for 250 ms or more and one in ten for 700 ms or
//! more. A client that waits for its answer before it asks again sends one request into the stall, and reports one slow
//! answer among hundreds.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::server::Server;
use crate::{OK, report};

const STALL: Duration = Duration::from_secs(1);

/// Serves one request at a time, and holds the one that comes after `after` for the length of the stall.
struct Stalling {
    first: Option<Instant>,
    stalled: bool,
}

fn stalling_server(after: Duration) -> Server {
    let state = Mutex::new(Stalling { first: None, stalled: false });
    Server::start(move |_| {
        let mut state: MutexGuard<'_, Stalling> = state.lock().unwrap();
        let first = *state.first.get_or_insert_with(Instant::now);
        if first.elapsed() >= after && !state.stalled {
            state.stalled = true;
            // The stall itself; everybody else waits at the lock.
            std::thread::sleep(STALL);
        }
        Some(OK.to_owned())
    })
}

#[test]
fn a_stall_shows_in_the_percentiles() {
    let server = stalling_server(STALL);
    let report = report(&server.url("/"), "stages = [\"3s@100\"]");
    let latency = report.total.latency;
    assert_eq!(latency.count, 300);
    assert!(latency.p75_ms >= 200.0, "{latency:?}");
    assert!(latency.p90_ms >= 650.0, "{latency:?}");
    assert!(latency.max_ms >= 950.0, "{latency:?}");
    // It shows where it was: among the requests that were due during it.
    let is_slow = |point: &&loadline_load::Point| point.p99_ms.is_some_and(|p99| p99 >= 500.0);
    let first = report.series.points.iter().find(is_slow).unwrap();
    assert!(first.at_s >= 0.9, "{first:?}");
    assert!(report.series.points.iter().filter(is_slow).count() >= 3, "{:?}", report.series);
}

/// What it is measured against: the same server and the same stall, asked by a client that waits for its answers. It sends
/// as fast as it is answered, up to as many requests as the open loop.
#[test]
fn a_closed_loop_hides_the_same_stall() {
    use std::io::{Read as _, Write as _};
    let server = stalling_server(Duration::ZERO);
    let address = server.url("").replace("http://", "");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut latencies: Vec<Duration> = (0..300)
        .map(|_| {
            let begun = Instant::now();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            stream.read_exact(&mut vec![0; OK.len()]).unwrap();
            begun.elapsed()
        })
        .collect();
    latencies.sort();
    let stalled = latencies.iter().filter(|latency| **latency >= Duration::from_millis(650)).count();
    assert!((1..=3).contains(&stalled), "one answer, not a hundred: {stalled}");
}
