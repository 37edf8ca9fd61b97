//! The scenario files: all of them are part of the program, and the quick ones come out as they expect.

use std::collections::BTreeSet;
use std::path::Path;

use loadline_sim::{EMBEDDED, ExpectationVerdict, Plan, PolicySpec, Scenario, Set, compare, report};

fn scenario(path: &str) -> Scenario {
    let (_, text) =
        EMBEDDED.iter().find(|(known, _)| *known == path).unwrap_or_else(|| panic!("{path} is embedded"));
    Scenario::parse(text, &[]).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn holds(path: &str, policies: &[&str]) {
    let names: Vec<String> = policies.iter().map(|&name| name.to_owned()).collect();
    let plan = Plan::new(scenario(path)).unwrap().with_policies(&names).unwrap();
    let comparisons = compare(&[plan], &|_| {});
    assert!(!comparisons[0].verdicts.is_empty(), "{path}: something is expected of {policies:?}");
    let text = report::verdicts(&comparisons);
    assert!(!text.contains("FAILED"), "{text}{}", report::table(&comparisons[0]));
}

#[test]
fn every_file_is_embedded_and_every_name_is_of_one_scenario() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut files = BTreeSet::new();
    for folder in ["", "exam/", "tuning/"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".toml") {
                files.insert(format!("{folder}{name}"));
            }
        }
    }
    assert_eq!(files, EMBEDDED.iter().map(|(path, _)| (*path).to_owned()).collect());
    let names: BTreeSet<String> = files.iter().map(|path| scenario(path).name).collect();
    assert_eq!(names.len(), files.len());
}

#[test]
fn what_is_tuned_by_does_not_judge() {
    let of = |set: Set, folder: &str| {
        let scenarios =
            EMBEDDED.iter().filter(|(path, _)| path.starts_with(folder)).map(|(path, _)| scenario(path));
        let scenarios: Vec<Scenario> = scenarios.collect();
        assert!(!scenarios.is_empty() && scenarios.iter().all(|scenario| scenario.set == set), "{folder}");
        scenarios
    };
    let (tuning, exam) = (of(Set::Tuning, "tuning/"), of(Set::Exam, "exam/"));
    let seeds =
        |scenarios: &[Scenario]| scenarios.iter().flat_map(|s| s.seeds.clone()).collect::<BTreeSet<u64>>();
    assert!(seeds(&tuning).is_disjoint(&seeds(&exam)));
    assert!(tuning.iter().all(|scenario| exam.iter().all(|other| scenario.backend != other.backend)));
}

#[test]
fn a_backlog_is_what_arithmetic_says() {
    holds("backlog.toml", &["none", "loadline"]);
}

#[test]
fn a_fixed_limit_with_loadlines_queue_passes() {
    for path in ["exam/three-idle.toml", "exam/bursts.toml", "exam/storm.toml", "exam/crowd.toml"] {
        let expected = ["loadline", "auto", "reject", "none", "spillway"];
        let scenario = scenario(path);
        let fixed = ["loadline", "reject", "none", "spillway"];
        let concerned = |name: &&&str| {
            scenario.expectations.iter().any(|e| e.policy.iter().any(|policy| policy == **name))
        };
        let policies: Vec<&str> = fixed.iter().filter(concerned).copied().collect();
        assert!(policies.iter().all(|name| expected.contains(name)));
        if !policies.is_empty() {
            holds(path, &policies);
        }
    }
}

/// In the first, no time was left for trials of lower limits once higher ones had done harm: 0.74 of the capacity. In the
/// second, a trial during which nothing ended asked to be woken in the past, for ever.
#[test]
fn auto_passes_where_earlier_laws_of_it_failed() {
    for path in ["tuning/thrash.toml", "tuning/slow-arms.toml"] {
        holds(path, &["auto"]);
    }
}

#[test]
fn a_known_gap_is_shown_and_is_no_failure() {
    let (_, text) = EMBEDDED.iter().find(|(path, _)| *path == "exam/three-idle.toml").unwrap();
    let gap = "[[expect]]\npolicy = ['loadline']\nwhat = 'goodput'\nmin = 9\nknown_gap = 'nobody can'\n";
    let scenario = Scenario::parse(&format!("{text}\n{gap}"), &["duration=25s".to_owned()]).unwrap();
    let plan = Plan::new(scenario).unwrap().with_policies(&["loadline".to_owned()]).unwrap();
    let comparisons = compare(&[plan], &|_| {});
    assert!(!comparisons[0].verdicts.iter().any(ExpectationVerdict::is_failure));
    let text = report::verdicts(&comparisons);
    assert!(
        text.contains("NOT MET three-idle: loadline: goodput >= 9") && text.contains("nobody can"),
        "{text}"
    );
}

#[test]
fn a_failure_prints_the_seed_that_replays_it() {
    let (_, text) = EMBEDDED.iter().find(|(path, _)| *path == "exam/three-idle.toml").unwrap();
    let impossible = "[[expect]]\npolicy = ['loadline']\nwhat = 'goodput'\nmin = 9\n";
    let scenario = Scenario::parse(&format!("{text}\n{impossible}"), &["duration=25s".to_owned()]).unwrap();
    let seeds = scenario.seeds.clone();
    let plan = Plan::new(scenario).unwrap().with_policies(&["loadline".to_owned()]).unwrap();
    let verdicts = report::verdicts(&compare(&[plan], &|_| {}));
    let replays = |seed: &u64| {
        let command = format!("loadline sim three-idle --policy loadline --seed {seed}");
        verdicts.lines().any(|line| line.trim() == command)
    };
    assert!(seeds.iter().any(replays), "{verdicts}");
}

#[test]
fn results_are_json() {
    let plan =
        Plan::new(scenario("exam/three-idle.toml")).unwrap().with_policies(&["loadline".to_owned()]).unwrap();
    let text = report::json(&compare(&[plan], &|_| {}));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value[0]["scenario"], "three-idle");
    assert_eq!(value[0]["runs"][0]["policy"], "loadline");
    assert!(PolicySpec::NAMES.contains(&"loadline"));
}

/// Who adapts is compared with others who do, over all seeds at once; alone there is nothing to say.
#[test]
fn the_best_of_the_other_laws_that_adapt_is_what_one_is_compared_with() {
    let (_, text) = EMBEDDED.iter().find(|(path, _)| *path == "exam/bursts.toml").unwrap();
    let asked = "[[expect]]\npolicy = ['vegas']\nwhat = 'vs_best_adaptive'\nmin = 0.99\n";
    let scenario = Scenario::parse(&format!("{text}\n{asked}"), &[]).unwrap();
    let found = |policies: &[&str]| {
        let names: Vec<String> = policies.iter().map(|&name| name.to_owned()).collect();
        let plan = Plan::new(scenario.clone()).unwrap().with_policies(&names).unwrap();
        let comparison = compare(&[plan], &|_| {}).remove(0);
        let goodput = |policy: &str| {
            let result = comparison.results.iter().find(|result| result.policy == policy).unwrap();
            comparison.mean(&result.runs, |run| run.goodput(&comparison.scenario, 0, scenario.duration.0))
        };
        let verdict = comparison.verdicts.iter().find(|verdict| verdict.policy == "vegas").cloned();
        (verdict, policies.iter().map(|policy| goodput(policy)).collect::<Vec<f64>>())
    };
    let (verdict, goodput) = found(&["vegas", "reject", "auto", "gradient2"]);
    let verdict = verdict.unwrap();
    assert_eq!(verdict.expectation.describe(), "vs_best_adaptive >= 0.99");
    assert!(
        (verdict.value - goodput[0] / goodput[2].max(goodput[3])).abs() < 1e-9,
        "{verdict:?} {goodput:?}"
    );
    assert!(found(&["vegas", "reject", "none"]).0.is_none());
}
