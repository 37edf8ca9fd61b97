//! Autoscaling: the demand ratio finds the right size in a few steps, and stays there; the other signals do not.

use loadline_sim::{FleetPlan, Signal, run_fleet};

const SECOND: u64 = 1_000_000_000;

fn plan() -> FleetPlan {
    FleetPlan { duration: 600 * SECOND, ..FleetPlan::example() }
}

#[test]
fn the_demand_ratio_settles_at_the_right_size_in_a_few_steps() {
    let run = run_fleet(&plan(), Signal::Demand);
    let reached = run.steps.iter().find(|(at, wanted, _)| *at > 60 * SECOND && *wanted >= 88).unwrap().0;
    assert!(reached <= 150 * SECOND, "after {} s: {:?}", reached / SECOND, run.steps);
    assert!((90..=125).contains(&run.replicas()), "{:?}", run.steps);
    assert!(run.changes_after(300 * SECOND) <= 2, "{:?}", run.steps);
    assert!(run.success(4, 9) > 0.99, "{:?}", run.minutes);
}

#[test]
fn the_other_signals_do_not() {
    // Half of the time of a busy worker is I/O, so that a core is never as busy as the target.
    let cpu = run_fleet(&plan(), Signal::Cpu);
    assert!(cpu.replicas() < 40 && cpu.success(5, 10) < 0.6, "{:?}", cpu.steps);
    // It says that something is missing, not how much.
    let demand = run_fleet(&plan(), Signal::Demand);
    let utilisation = run_fleet(&plan(), Signal::Utilisation);
    assert!(utilisation.success(1, 5) < demand.success(1, 5) - 0.05, "{:?}", utilisation.steps);
    // It is 0 as soon as nothing is missing.
    let long = FleetPlan { duration: 1_200 * SECOND, ..plan() };
    let sheds = run_fleet(&long, Signal::Sheds);
    let sizes: Vec<usize> =
        sheds.steps.iter().filter(|(at, ..)| *at > 300 * SECOND).map(|(_, wanted, _)| *wanted).collect();
    let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
    assert!(*most > 2 * *least, "it never rests: {sizes:?}");
}

#[test]
fn a_thousand_replicas() {
    let plan = FleetPlan {
        replicas: 1_000,
        most: 2_000,
        // Four requests of a second each at once, so that it is not a matter of millions of requests.
        service: SECOND,
        timeout: 3 * SECOND,
        rates: vec![(0, 2_400.0), (30 * SECOND, 3_600.0)],
        duration: 150 * SECOND,
        ..plan()
    };
    let run = run_fleet(&plan, Signal::Demand);
    assert!((1_080..=1_400).contains(&run.replicas()), "{:?}", run.steps);
}
