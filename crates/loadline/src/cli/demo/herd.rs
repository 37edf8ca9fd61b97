//! A thundering herd and what it leaves behind: the same closed-loop load test against a server that looks at deadlines and one that
//! does not.
//!
//! 40 requests by 10 clients at once, then 40 by 2. A client waits for 500 ms and says so in `X-Respond-By`. The server can do
//! eight requests a second; two clients never ask for more. What fails in the second phase fails because of the first.
//!
//! The server sleeps for its 50 to 200 ms, so that what it can do is not a matter of what else this machine does. What is left
//! of that, threads that are woken late, is measured: where it is more than the figures bear, nothing is promised.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::Walked;
use super::children::Part;
use super::figures::{Figure, Unit};
use super::punctual::Punctuality;
use crate::banner::colour_is_welcome;

/// How long a client waits.
const PATIENCE: Duration = Duration::from_millis(500);

/// How late a thread may be woken. In the second phase a request waits at most for the other client's, 200 ms, and takes as long:
/// 100 ms are left of its client's patience. Some six wake-ups lie on its way there and back.
const LATEST_WAKE: Duration = Duration::from_millis(15);

/// Requests of a phase.
const REQUESTS: u32 = 40;

/// Requests of a phase in a quick show.
const QUICK_REQUESTS: u32 = 20;

/// Phases by name and number of clients.
const PHASES: [(&str, u32); 2] = [("thundering herd", 10), ("normal levels", 2)];

/// What can be expected of it.
pub(super) const KNOWN: [(&str, Unit); 4] = [
    ("herd.failed", Unit::Count),
    ("normal.failed", Unit::Count),
    ("without.herd.failed", Unit::Count),
    ("without.normal.failed", Unit::Count),
];

/// What must hold. Of 40; the original's own run without shedding failed 21 times.
pub(super) const EXPECT: [&str; 2] = ["normal.failed=0", "without.normal.failed>=10"];

/// The same with half of the requests, and so half of the backlog.
pub(super) const QUICK_EXPECT: [&str; 2] = ["normal.failed<=2", "without.normal.failed>=3"];

/// Runs both; `None` if it was interrupted.
pub(super) fn show(quick: bool, seed: u64, interrupted: &AtomicBool) -> Result<Option<Walked>, String> {
    let requests = if quick { QUICK_REQUESTS } else { REQUESTS };
    let seed = seed.to_string();
    let mut figures = Vec::new();
    let screen = Screen::new();
    let punctuality = Punctuality::watch();
    for (prefix, flag, words) in [
        ("without.", None, "without load shedding"),
        ("", Some("--with-load-shedding"), "with load shedding"),
    ] {
        let mut arguments = vec!["herd", "--serve", "--sleep", "--seed", &seed];
        arguments.extend(flag);
        let server = Part::app(&arguments, &[])?;
        screen.say(&format!(
            "== A server {words}: one worker, 50 to 200 ms a request; clients wait for 500 ms\n"
        ));
        for ((phase, clients), key) in PHASES.into_iter().zip(["herd", "normal"]) {
            screen.say(&format!("{phase}: {requests} requests by {clients} clients\n  "));
            let failed = ask(&server, requests, clients, &screen, interrupted);
            if interrupted.load(Ordering::Relaxed) {
                screen.say("\n");
                return Ok(None);
            }
            screen.say(&format!("  {failed} of {requests} failed\n"));
            figures.push(Figure {
                name: format!("{prefix}{key}.failed"),
                unit: Unit::Count,
                value: failed.into(),
            });
        }
    }
    let late = punctuality.worst();
    let busy = (late > LATEST_WAKE).then(|| {
        format!(
            "it woke a thread {} ms late, and {} ms spoil these figures",
            late.as_millis(),
            LATEST_WAKE.as_millis()
        )
    });
    Ok(Some(Walked { figures, busy }))
}

/// Sends so many requests, each client one after the other, and counts those that failed in whatever way.
fn ask(server: &Part, requests: u32, clients: u32, screen: &Screen, interrupted: &AtomicBool) -> u32 {
    let left = AtomicU32::new(requests);
    let failed = AtomicU32::new(0);
    let client = || {
        let next = |left: u32| left.checked_sub(1);
        while !interrupted.load(Ordering::Relaxed)
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
        {
            let deadline = Timestamp::try_from(SystemTime::now() + PATIENCE);
            let deadline = deadline.expect("half a second from now is a date").to_string();
            let answer = server.ask("GET", "/", Some(("x-respond-by", &deadline)), PATIENCE);
            let good = answer.is_ok_and(|answer| answer.status == 200);
            failed.fetch_add(u32::from(!good), Ordering::Relaxed);
            screen.dot(good);
        }
    };
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(client);
        }
    });
    failed.into_inner()
}

/// Standard error, where a sign stands for a request.
struct Screen {
    colour: bool,
    lock: Mutex<()>,
}

impl Screen {
    fn new() -> Self {
        Self { colour: colour_is_welcome(), lock: Mutex::new(()) }
    }

    fn dot(&self, good: bool) {
        self.say(match (good, self.colour) {
            (true, true) => "\x1b[32m.\x1b[0m",
            (false, true) => "\x1b[31mX\x1b[0m",
            (true, false) => ".",
            (false, false) => "X",
        });
    }

    fn say(&self, text: &str) {
        let _one_at_a_time = self.lock.lock();
        // A terminal that is gone is no reason to end the show.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}
