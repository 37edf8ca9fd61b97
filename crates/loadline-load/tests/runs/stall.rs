//! The tests that tell open loops from closed ones: a server that stalls while a hundred requests come to an open loop.
//!
//! At 100/s that is a second. The requests that are due in it wait 1 s, 0.99 s, …, 0.01 s. In a run of three seconds they are a
//! third of all, so a quarter of all requests waits for 250 ms or more and one in ten for 700 ms or more. A client that waits
//! for its answer before it asks again sends one request into the stall, and reports one slow answer among hundreds.
//!
//! The stall ends with a number of requests and not with a time: on a slow machine it is longer, never shorter.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::server::Server;
use crate::{OK, report};

/// Requests of the open loop that come during the stall.
const DURING: usize = 100;

/// Bound on every wait; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where requests wait until the stall is over.
#[derive(Default)]
struct Stall {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    over: bool,
    /// Requests that found the server stalled, of the open loop and of the closed one.
    open: usize,
    closed: usize,
}

impl Stall {
    /// Waits, and says whether the stall ended in time.
    fn wait_until(&self, condition: impl Fn(&State) -> bool) -> bool {
        let state = self.state.lock().unwrap();
        !self.changed.wait_timeout_while(state, PATIENCE, |state| !condition(state)).unwrap().1.timed_out()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

#[test]
fn a_stall_shows_in_the_percentiles() {
    let stall = Stall::default();
    // The second hundred of three.
    let server = Server::start(move |request| {
        if request.number >= 2 * DURING {
            stall.change(|state| state.over = true);
        } else if request.number >= DURING {
            assert!(stall.wait_until(|state| state.over));
        }
        Some(OK.to_owned())
    });
    let report = report(&server.url("/"), "stages = [\"3s@100\"]\ntimeout = \"60s\"");
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

#[test]
fn a_closed_loop_beside_it_hides_the_same_stall() {
    let stall = Arc::new(Stall::default());
    let stalled = Arc::clone(&stall);
    // From the first request on, until the last of the open loop has come.
    let server = Server::start(move |request| {
        let is_open = request.lines[0].contains("/open");
        stalled.change(|state| {
            if !state.over {
                state.open += usize::from(is_open);
                state.closed += usize::from(!is_open);
                state.over = state.open == DURING;
            }
        });
        assert!(stalled.wait_until(|state| state.over));
        Some(OK.to_owned())
    });
    let mut stream = TcpStream::connect(server.url("").replace("http://", "")).unwrap();
    let closed = std::thread::spawn(move || {
        for _ in 0..300 {
            stream.write_all(b"GET /closed HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            stream.read_exact(&mut vec![0; OK.len()]).unwrap();
        }
    });
    assert!(stall.wait_until(|state| state.closed > 0));
    let report = report(&server.url("/open"), "stages = [\"1s@100\"]\ntimeout = \"60s\"");
    closed.join().unwrap();
    assert!(report.total.latency.p50_ms >= 450.0, "{:?}", report.total.latency);
    let state = stall.state.lock().unwrap();
    assert_eq!((state.open, state.closed), (DURING, 1), "all of them, and one of three hundred");
}
