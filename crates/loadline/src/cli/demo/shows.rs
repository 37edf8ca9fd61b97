//! The shows that put two ways beside each other: what is asked of whom, and what must come of it.
//!
//! All have one app: three workers, 100 ms a request, so 30 requests/s and no more. What must hold leaves room for a busy
//! machine; what is measured on an idle one is in `docs/demo.md`.

use std::time::Duration;

use loadline_load::{Deadline, DeadlineFormat, Plan, Retry, RetryPolicy, Stage, Url};

use super::duel::{Duel, Measure, Row, Way};

const WORKERS: u32 = 3;
const SERVICE_MS: u32 = 100;

/// How long clients wait: as long as most people's patience with a page that does nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Rows of a show whose stages are before, during and after.
const OVERLOAD: &[Row] = &[
    ("goodput.before", "served before, of what was asked", Measure::Goodput(0)),
    ("goodput", "served in the overload, of 30/s", Measure::Goodput(1)),
    ("goodput.after", "served after it, of what was asked", Measure::Goodput(2)),
    ("recovery", "recovered after", Measure::Recovery),
    ("wasted", "work for clients that had left", Measure::Wasted),
];

const WITHOUT: Way = Way { name: "without loadline", proxy: None, tells_deadline: false };
/// A queue that is shorter than the clients' patience, as it should be.
const QUEUE: &str = "queue.timeout=500ms";
const WITH: Way = Way { name: "with loadline", proxy: Some(&[QUEUE]), tells_deadline: false };

/// Twice what the app can do, for a while.
pub(super) fn overload(quick: bool, seed: u64) -> Duel {
    let stages = if quick { ["2s@20", "3s@60", "6s@20"] } else { ["5s@20", "8s@60", "17s@20"] };
    Duel {
        title: "loadline demo: one overload, met in two ways",
        intro: intro("queue 500 ms", &[&asked(stages), "Clients wait 1 s."]),
        workers: WORKERS,
        service_ms: SERVICE_MS,
        plan: plan(stages, seed),
        ways: [WITHOUT, WITH],
        rows: OVERLOAD,
        expect: &[
            "goodput.before>=95%",
            "goodput>=70%",
            "goodput.after>=90%",
            "recovery<=3s",
            "wasted<=10%",
            "without.goodput.after<=50%",
            "without.recovery>5s",
        ],
    }
}

/// Ten times what the app can do, for a moment, by clients that try again.
pub(super) fn flash_crowd(quick: bool, seed: u64) -> Duel {
    let stages = if quick { ["2s@20", "1s@300", "9s@20"] } else { ["5s@20", "2s@300", "18s@20"] };
    let retry = Retry {
        policy: RetryPolicy::Exponential,
        limit: 2,
        // Clients that do not care when they were told to come back.
        honour_retry_after: false,
        ..Retry::default()
    };
    Duel {
        title: "loadline demo flash-crowd: ten times too much at once",
        intro: intro("queue 500 ms", &[&asked(stages), "Clients wait 1 s, try 3 times."]),
        workers: WORKERS,
        service_ms: SERVICE_MS,
        plan: Plan { retry, ..plan(stages, seed) },
        ways: [WITHOUT, WITH],
        rows: OVERLOAD,
        expect: &[
            "goodput.before>=95%",
            "goodput>=50%",
            "goodput.after>=80%",
            "recovery<=6s",
            "wasted<=15%",
            "without.goodput.after<=50%",
        ],
    }
}

/// Twice too much, of which a tenth must not suffer.
pub(super) fn priorities(quick: bool, seed: u64) -> Duel {
    let stages = if quick { ["1s@20", "5s@60", "2s@20"] } else { ["3s@20", "12s@60", "5s@20"] };
    let classes = "critical=1,normal=4,low=5".parse().expect("the mix is well-formed");
    Duel {
        title: "loadline demo priorities: who goes without",
        intro: intro("queue 500 ms", &[&asked(stages), "1 of 10 critical, 5 low."]),
        workers: WORKERS,
        service_ms: SERVICE_MS,
        plan: Plan { classes, ..plan(stages, seed) },
        ways: [
            Way { name: "without classes", proxy: Some(&[QUEUE]), tells_deadline: false },
            Way {
                name: "with classes",
                proxy: Some(&[QUEUE, "priority.header=x-criticality", "trust.proxies=127.0.0.0/8"]),
                tells_deadline: false,
            },
        ],
        rows: &[
            ("critical", "critical requests served", Measure::Class("critical")),
            ("normal", "normal requests served", Measure::Class("normal")),
            ("low", "low requests served", Measure::Class("low")),
            ("goodput", "served in the overload, of 30/s", Measure::Goodput(1)),
            ("wasted", "work for clients that had left", Measure::Wasted),
        ],
        expect: &["critical>=95%", "goodput>=70%", "without.critical<=90%"],
    }
}

/// Answers are of use for half a second; loadline knows that, or it does not.
pub(super) fn deadlines(quick: bool, seed: u64) -> Duel {
    let stages = if quick { ["1s@20", "4s@60", "4s@20"] } else { ["3s@20", "10s@60", "7s@20"] };
    let deadline = Deadline {
        after: Duration::from_millis(500),
        header: Some("x-respond-by".to_owned()),
        format: DeadlineFormat::Rfc3339,
    };
    // First in, first out, as most queues are: so that what the deadline does is all there is to see.
    // One machine, one clock: no tolerance for another's.
    const FIFO: &[&str] = &["queue.discipline=fifo", "deadline.skew=0ms"];
    Duel {
        title: "loadline demo deadlines: answers that nobody wants any more",
        intro: intro("queue fifo", &[&asked(stages), "An answer is of use for 500 ms."]),
        workers: WORKERS,
        service_ms: SERVICE_MS,
        // They wait on, as gateways do: that an answer came is no sign that it was of use.
        plan: Plan { deadline: Some(deadline), timeout: Duration::from_secs(10), ..plan(stages, seed) },
        ways: [
            Way { name: "nobody tells the deadline", proxy: Some(FIFO), tells_deadline: false },
            Way { name: "X-Respond-By tells it", proxy: Some(FIFO), tells_deadline: true },
        ],
        rows: &[
            ("goodput.before", "in time before, of what was asked", Measure::Goodput(0)),
            ("goodput", "in time in the overload, of 30/s", Measure::Goodput(1)),
            ("goodput.after", "in time after it, of what was asked", Measure::Goodput(2)),
            ("late", "answers that came too late", Measure::Late),
            ("wasted", "work for answers that were too late", Measure::Wasted),
        ],
        expect: &["goodput>=50%", "goodput.after>=85%", "wasted<=30%", "without.goodput.after<=50%"],
    }
}

fn plan(stages: [&str; 3], seed: u64) -> Plan {
    let stages: Vec<Stage> =
        stages.iter().map(|stage| stage.parse().expect("a stage of ours is well-formed")).collect();
    // Where to is known once the parts run.
    let nowhere: Url = "http://127.0.0.1/".parse().expect("an address is a URL");
    Plan { timeout: PATIENCE, seed, ..Plan::new(nowhere, stages) }
}

fn intro(loadline: &str, more: &[&str]) -> Vec<String> {
    let app = format!(
        "App: {WORKERS} workers, {SERVICE_MS} ms each: {} requests/s. loadline: limit {WORKERS}, {loadline}.",
        WORKERS * 1_000 / SERVICE_MS
    );
    vec![app, more.join(" ")]
}

/// `Asked: 20/s for 5s, 60/s for 8s, 20/s for 17s.`
fn asked(stages: [&str; 3]) -> String {
    let part = |stage: &str| {
        let (time, rate) = stage.split_once('@').expect("a stage has a rate");
        format!("{rate}/s for {time}")
    };
    format!("Asked: {}.", stages.map(part).join(", "))
}
