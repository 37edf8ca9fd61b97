//! The trials: who comes, what is set, and what is promised.

use std::time::Duration;

use super::Tally;
use loadline_sim::Random;

/// An overload, and the settings that are to help.
pub(super) struct Trial {
    pub(super) name: &'static str,
    /// What it shows.
    pub(super) about: &'static str,
    /// Workers of the app, and the limit.
    pub(super) slots: usize,
    pub(super) crowds: Vec<Crowd>,
    pub(super) with: Vec<&'static str>,
    pub(super) without: Vec<&'static str>,
    /// What must hold of the run with and the run without, in words, and whether it does.
    pub(super) promises: fn(with: &Tally, without: &Tally) -> Vec<(String, bool)>,
}

/// Requests of one kind.
pub(super) struct Crowd {
    pub(super) name: &'static str,
    /// Per second.
    pub(super) rate: f64,
    pub(super) request: Box<dyn Fn(&mut Random) -> Asked>,
}

/// What one request asks for.
pub(super) struct Asked {
    pub(super) path: &'static str,
    /// Of a worker's time.
    pub(super) work: Duration,
    /// When the client gives up.
    pub(super) patience: Duration,
    /// Further header lines.
    pub(super) fields: String,
}

/// Every trial.
pub(super) fn all() -> Vec<Trial> {
    vec![classes(), deadlines(), deadlines_oldest_first(), tenants(), costs()]
}

const SLOTS: usize = 8;
/// Of a request on average, where all are alike. One takes up to a tenth more or less than another: with equal times the
/// workers would keep for ever the rhythm in which they happened to begin.
const WORK: Duration = Duration::from_millis(50);
/// What the app then serves per second.
const CAPACITY: f64 = SLOTS as f64 / 0.05;
const PATIENCE: Duration = Duration::from_secs(1);

fn plain(path: &'static str, work: Duration, random: &mut Random) -> Asked {
    let work = work.mul_f64(0.9 + 0.2 * random.unit());
    Asked { path, work, patience: PATIENCE, fields: String::new() }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// Three times what the app can do, of four classes.
fn classes() -> Trial {
    let crowd = |name, path, share: f64| Crowd {
        name,
        rate: 3.0 * CAPACITY * share,
        request: Box::new(move |random| plain(path, WORK, random)),
    };
    Trial {
        name: "classes",
        about: "3 times the capacity; 5 / 15 / 40 / 40 % critical / high / normal / low.",
        slots: SLOTS,
        crowds: vec![
            crowd("critical", "/critical/", 0.05),
            crowd("high", "/high/", 0.15),
            crowd("normal", "/normal/", 0.40),
            crowd("low", "/low/", 0.40),
        ],
        with: vec![
            r#"priority.rules=[{path="/critical/**",class="critical"},{path="/high/**",class="high"},{path="/low/**",class="low"}]"#,
        ],
        without: vec![],
        promises: |with, without| {
            let [critical, high, ..] = &with.crowds[..] else { return Vec::new() };
            let refused = critical.offered - critical.served;
            let p99 = critical.p99();
            // A limit that is looked for stands above the number of workers, and what is above waits in the app.
            let times = if with.auto { 3 } else { 2 };
            let kept = with.goodput() / without.goodput();
            vec![
                (format!("critical: nobody refused or late, here {refused}"), refused == 0),
                (format!("critical: p99 within {times} service times, here {p99:.1?}"), p99 <= times * WORK),
                (format!("high: at least 99 % served, here {}", percent(high.share())), high.share() >= 0.99),
                (format!("goodput at least 97 % of that without, here {}", percent(kept)), kept >= 0.97),
            ]
        },
    }
}

/// Twice what the app can do, from clients that wait for different times and say so.
fn deadlines() -> Trial {
    Trial {
        name: "deadlines",
        about: "Twice the capacity; clients wait for 100 ms to 2 s, and say so.",
        slots: SLOTS,
        crowds: vec![hurried()],
        with: vec![],
        without: vec!["deadline.headers="],
        promises: |with, without| {
            let kept = with.goodput() / without.goodput();
            let mut promises = nothing_wasted(with);
            // Without deadlines `adaptive` learns how long clients wait, and wastes next to nothing either.
            promises.push((format!("no less goodput than without, here {}", percent(kept)), kept >= 0.99));
            promises
        },
    }
}

/// The same before a queue that serves the oldest first, whatever its clients do.
fn deadlines_oldest_first() -> Trial {
    Trial {
        name: "deadlines-fifo",
        about: "The same with `queue.discipline = \"fifo\"`.",
        slots: SLOTS,
        crowds: vec![hurried()],
        with: vec!["queue.discipline=fifo"],
        without: vec!["queue.discipline=fifo", "deadline.headers="],
        promises: |with, without| {
            let gained = with.goodput() / without.goodput();
            let mut promises = nothing_wasted(with);
            promises.push((format!("more goodput than without, here {gained:.2} times"), gained > 1.0));
            promises
        },
    }
}

/// Twice what the app can do, from clients that say how long they wait.
fn hurried() -> Crowd {
    Crowd {
        name: "100 ms to 2 s",
        rate: 2.0 * CAPACITY,
        request: Box::new(|random| {
            // Evenly spread over the logarithm: as many between 100 and 200 ms as between 1 and 2 s.
            let patience = Duration::from_secs_f64(0.1 * 20_f64.powf(random.unit()));
            let fields = format!("X-Request-Timeout-Ms: {}\r\n", patience.as_millis());
            Asked { patience, fields, ..plain("/", WORK, random) }
        }),
    }
}

fn nothing_wasted(with: &Tally) -> Vec<(String, bool)> {
    let (wasted, doomed) = (with.wasted(), with.doomed_started);
    vec![
        (format!("under 1 % of the app's work wasted, here {}", percent(wasted)), wasted < 0.01),
        (format!("nothing started against its deadline, here {doomed}"), doomed == 0),
    ]
}

/// Ten tenants that the app can serve, of which one then sends ten times as much.
fn tenants() -> Trial {
    /// Of the capacity, per tenant: together 70 %.
    const SHARE: f64 = 0.07;
    let quiet = Crowd {
        name: "nine others",
        rate: 9.0 * SHARE * CAPACITY,
        request: Box::new(|random| {
            let tenant = (random.unit() * 9.0) as u32;
            Asked { fields: format!("X-Tenant: t{tenant}\r\n"), ..plain("/", WORK, random) }
        }),
    };
    let greedy = Crowd {
        name: "one tenant",
        rate: 10.0 * SHARE * CAPACITY,
        request: Box::new(|random| Asked {
            fields: "X-Tenant: greedy\r\n".to_owned(),
            ..plain("/", WORK, random)
        }),
    };
    Trial {
        name: "tenants",
        about: "Ten tenants of 7 % of the capacity each, of which one sends ten times as much.",
        slots: SLOTS,
        crowds: vec![quiet, greedy],
        with: vec!["fairness.key=header:x-tenant"],
        without: vec![],
        promises: |with, _| {
            let [quiet, greedy] = &with.crowds[..] else { return Vec::new() };
            // Without the greedy tenant the app has more than enough for everybody.
            vec![
                (
                    format!("at least 99 % of the others served, here {}", percent(quiet.share())),
                    quiet.share() >= 0.99,
                ),
                // 37 % of the capacity is left, and it asks for 70 %.
                (
                    format!("the one gets what is left, here {}", percent(greedy.share())),
                    greedy.share() >= 0.45,
                ),
            ]
        },
    }
}

/// Twice what the app can do, of two kinds of requests that differ ten times in work.
fn costs() -> Trial {
    const CHEAP: Duration = Duration::from_millis(10);
    const DEAR: Duration = Duration::from_millis(100);
    /// Requests per second that make twice the capacity: four cheap ones to a dear one.
    const RATE: f64 = 2.0 * SLOTS as f64 / (0.8 * 0.01 + 0.2 * 0.1);
    let crowd = |name, path, share: f64, work| Crowd {
        name,
        rate: RATE * share,
        request: Box::new(move |random| plain(path, work, random)),
    };
    Trial {
        name: "costs",
        about: "Twice the capacity; four requests of 10 ms to one of 100 ms.",
        slots: SLOTS,
        crowds: vec![crowd("10 ms", "/cheap", 0.8, CHEAP), crowd("100 ms", "/dear", 0.2, DEAR)],
        with: vec![r#"route=[{name="cheap",path="/cheap"},{name="dear",path="/dear"}]"#],
        without: vec![],
        promises: |with, without| {
            let dear = with.crowds[1].share();
            let answers = with.served() as f64 / without.served().max(1) as f64;
            vec![
                (
                    format!("at least 1.4 times the answers of not knowing the cost, here {answers:.2}"),
                    answers >= 1.4,
                ),
                (format!("at least 20 % of the dear ones served, here {}", percent(dear)), dear >= 0.20),
            ]
        },
    }
}
