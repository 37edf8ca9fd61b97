//! The engine: the same run for the same seed, nobody lost, and queueing theory's numbers.

use loadline_sim::{PolicySpec, Run, Scenario, run};

const SECOND: u64 = 1_000_000_000;

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text, &[]).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn under(scenario: &Scenario, policy: &str, seed: u64) -> Run {
    run(scenario, &scenario.policy(policy).unwrap(), seed)
}

const CROWD: &str = r#"
    name = "crowd"
    duration = "8s"
    [backend]
    [[backend.stage]]
    kind = "cpu"
    cores = 4
    work = { exponential = "10ms" }
    [[backend.stage]]
    name = "db"
    kind = "delay"
    work = { lognormal = "20ms", cv = 1.0 }
    [[backend.change]]
    at = "5s"
    stage = "db"
    slower = 3
    [[clients]]
    name = "public"
    stages = [{ for = "2s", rate = "0.5x" }, { for = "3s", rate = "4x" }, { for = "3s", rate = "0.7x" }]
    timeout = "500ms"
    class = { critical = 0.1, normal = 0.6, low = 0.3 }
    retry = { max = 2, pause = "50ms", doubling = true, jitter = 0.5 }
    [[clients]]
    name = "users"
    users = 20
    think = { exponential = "200ms" }
    deadline = { from = "100ms", to = "2s" }
    tenants = 3
"#;

#[test]
fn the_same_seed_is_the_same_run_and_another_seed_another() {
    let scenario = scenario(CROWD);
    for policy in PolicySpec::NAMES {
        let (once, again, other) =
            (under(&scenario, policy, 7), under(&scenario, policy, 7), under(&scenario, policy, 8));
        assert_eq!(once, again, "{policy}");
        assert_ne!(once.digest, other.digest, "{policy}");
    }
}

#[test]
fn nobody_is_lost() {
    let scenario = scenario(CROWD);
    for policy in PolicySpec::NAMES {
        for seed in 1..=3 {
            let run = under(&scenario, policy, seed);
            let t = run.totals;
            assert_eq!(t.came, t.answered + t.failed + t.unresolved, "{policy}, seed {seed}: {t:?}");
            assert_eq!(t.unresolved, 0, "{policy}, seed {seed}: every client has a timeout or a deadline");
            assert!(t.refused + t.started <= t.attempts, "{policy}, seed {seed}: {t:?}");
            let sum = |of: fn(&loadline_sim::Bucket) -> u32| {
                run.buckets.iter().map(|b| u64::from(of(b))).sum::<u64>()
            };
            assert_eq!(sum(|bucket| bucket.good), t.answered, "{policy}, seed {seed}");
            assert_eq!(sum(|bucket| bucket.refused), t.refused, "{policy}, seed {seed}");
            assert_eq!(run.reasons.values().sum::<u64>(), t.refused, "{policy}, seed {seed}");
        }
    }
}

/// Mean wait in an M/M/k queue (Erlang C), in service times.
fn erlang_c(servers: u32, load: f64) -> f64 {
    let k = f64::from(servers);
    let offered = load * k;
    let mut term = 1.0;
    let mut sum = 0.0;
    for n in 0..servers {
        sum += term;
        term *= offered / f64::from(n + 1);
    }
    let waiting = term / (1.0 - load);
    waiting / (sum + waiting) / (k * (1.0 - load))
}

/// Mean time in the service, in service times.
fn mean_time(stage: &str, rate: &str) -> f64 {
    let text = format!(
        "name = 'theory'\nduration = '2000s'\n[[backend.stage]]\n{stage}\n[[clients]]\nrate = '{rate}'\ntimeout = '100s'"
    );
    let scenario = scenario(&text);
    let run = under(&scenario, "none", 3);
    // Little's law: requests in the service on average ÷ requests per second.
    let in_app: f64 = run.buckets[..2000].iter().map(|bucket| f64::from(bucket.in_app)).sum::<f64>() / 2000.0;
    in_app / (run.totals.came as f64 / 2000.0) / 0.1
}

#[test]
fn waits_are_those_of_queueing_theory() {
    let exponential = "work = { exponential = '100ms' }";
    for (servers, rate, load) in [(1, "0.5x", 0.5), (1, "0.8x", 0.8), (4, "0.8x", 0.8), (8, "0.9x", 0.9)] {
        let simulated = mean_time(&format!("kind = 'workers'\nworkers = {servers}\n{exponential}"), rate);
        let theory = 1.0 + erlang_c(servers, load);
        assert!((simulated / theory - 1.0).abs() < 0.1, "M/M/{servers} at {load}: {simulated} for {theory}");
    }
    // M/D/1 waits half as long as M/M/1 (Pollaczek–Khinchine).
    let simulated = mean_time("kind = 'workers'\nworkers = 1\nwork = '100ms'", "0.8x");
    assert!((simulated / 3.0 - 1.0).abs() < 0.1, "M/D/1 at 0.8: {simulated} for 3");
    // M/G/1 with processor sharing depends on the mean only: 1 / (1 - load).
    let spread = "work = { lognormal = '100ms', cv = 1.5 }";
    let simulated = mean_time(&format!("kind = 'cpu'\ncores = 1\n{spread}"), "0.7x");
    assert!((simulated / (1.0 / 0.3) - 1.0).abs() < 0.12, "M/G/1-PS at 0.7: {simulated} for 3.33");
}

#[test]
fn every_backend_does_what_its_capacity_says() {
    for (stages, capacity) in [
        ("[[backend.stage]]\nkind = 'workers'\nworkers = 5\nwork = '50ms'", 100.0),
        (
            "[[backend.stage]]\nkind = 'cpu'\ncores = 2\nwork = '10ms'\n[[backend.stage]]\nkind = 'delay'\nwork = '40ms'",
            200.0,
        ),
        (
            "[[backend.stage]]\nkind = 'cpu'\ncores = 8\nwork = '10ms'\n[[backend.stage]]\nkind = 'lock'\nwork = '4ms'",
            250.0,
        ),
        ("[[backend.stage]]\nkind = 'workers'\nworkers = 8\ncores = 2\nwork = '20ms'", 100.0),
    ] {
        let text = format!(
            "name = 'capacity'\nduration = '20s'\n{stages}\n[[clients]]\nrate = '3x'\ntimeout = '1s'"
        );
        let scenario = scenario(&text);
        assert_eq!(scenario.ability(0).capacity, capacity, "{stages}");
        let limited = PolicySpec::parse("haproxy", toml::Table::new(), 24).unwrap();
        let goodput = run(&scenario, &limited, 1).goodput(&scenario, 2 * SECOND, 20 * SECOND);
        assert!((0.97..1.01).contains(&goodput), "{stages}: {goodput}");
    }
}
