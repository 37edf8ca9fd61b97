//! A fleet under an autoscaler, signal by signal: how many replicas it has, and how many clients were answered.

use std::fmt::Write as _;

use crate::fleet::{FleetPlan, FleetRun, Signal};
use crate::units::SECOND;

/// Minutes that are shown: each of the first, when it settles, and then a few.
const FIRST: u64 = 6;
const EVERY: u64 = 2;

/// One line per minute, one column per signal.
#[must_use]
pub fn fleet(plan: &FleetPlan, runs: &[(Signal, FleetRun)]) -> String {
    let mut text = format!(
        "replicas of {} slots; at a target of {} the right number is {}\n\n",
        plan.limit,
        plan.target,
        plan.right_size()
    );
    let mut line = |head: &str, cell: &dyn Fn(&FleetRun) -> String| {
        let _ = write!(text, "{head:28}");
        for (_, run) in runs {
            let _ = write!(text, "{:>14}", cell(run));
        }
        text.push('\n');
    };
    for minute in (1..=plan.duration / SECOND / 60).filter(|minute| *minute <= FIRST || minute % EVERY == 0) {
        line(&format!("after {minute} min"), &|run| run.replicas_at(minute * 60 * SECOND).to_string());
    }
    line("changes after 5 min", &|run| run.changes_after(300 * SECOND).to_string());
    line("answered in time", &|run| format!("{:.1} %", run.success(0, run.minutes.len()) * 100.0));
    let names: String = runs.iter().map(|(signal, _)| format!("{:>14}", signal.as_str())).collect();
    let table = text.find("after").unwrap_or(0);
    text.insert_str(table, &format!("{:28}{names}\n", "replicas, by signal"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_per_minute_and_a_column_per_signal() {
        let run = FleetRun { steps: vec![(15 * SECOND, 30, 1.1)], minutes: vec![(100, 50)] };
        let plan = FleetPlan { duration: 60 * SECOND, ..FleetPlan::example() };
        let text = fleet(&plan, &[(Signal::Demand, run.clone()), (Signal::Sheds, run)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "replicas of 4 slots; at a target of 0.75 the right number is 100");
        assert!(lines[2].ends_with("  demand ratio         sheds"), "{text}");
        assert!(lines[3].starts_with("after 1 min") && lines[3].ends_with("30            30"), "{text}");
        assert!(lines[5].ends_with("50.0 %        50.0 %"), "{text}");
    }
}
