//! `cargo xtask deploy`: writes the files below `deploy/` that repeat another one.
//!
//! Alerts and the dashboard have one source each. Kubernetes' operator wants the alerts as an object, and Helm reads nothing
//! outside of its chart, so both get copies. A test holds the copies against their sources.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

const RULES: &str = "deploy/prometheus/rules.yml";
const DASHBOARD: &str = "deploy/grafana/loadline.json";

/// Writes every copy.
///
/// # Errors
/// When a source cannot be read or a copy cannot be written.
pub(crate) fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    for (path, content) in copies()? {
        fs::write(&path, content)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Where each copy is, and what it must hold.
fn copies() -> std::io::Result<[(PathBuf, String); 3]> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| fs::read_to_string(project.join(path));
    let (rules, dashboard) = (read(RULES)?, read(DASHBOARD)?);
    let chart = project.join("deploy/helm/loadline/files");
    Ok([
        (project.join("deploy/kustomize/overlays/monitoring/prometheusrule.yaml"), rule_object(&rules)),
        (chart.join("rules.yml"), without_head(&rules).to_owned()),
        (chart.join("loadline.json"), dashboard),
    ])
}

/// The rules as an object of the Prometheus operator.
fn rule_object(rules: &str) -> String {
    let mut object = format!(
        "# Generated from {RULES} by `cargo xtask deploy`.\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n\
         metadata:\n  name: loadline\nspec:\n"
    );
    for line in without_head(rules).lines() {
        if !line.is_empty() {
            object += "  ";
        }
        object += line;
        object.push('\n');
    }
    object
}

/// Without the comment at the top, which is about the file itself.
fn without_head(rules: &str) -> &str {
    rules.find("groups:").map_or(rules, |at| &rules[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_what_their_sources_say() {
        for (path, content) in copies().expect("the sources are there") {
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(found == content, "{} is out of date: cargo xtask deploy", path.display());
        }
    }

    #[test]
    fn every_alert_has_a_runbook_and_a_case_for_and_against() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |path: &str| fs::read_to_string(project.join(path)).expect("it is in the project");
        let (rules, cases, runbook) =
            (read(RULES), read("deploy/prometheus/rules.test.yml"), read("docs/alerts.md"));
        let alerts: Vec<&str> =
            rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        assert!(alerts.len() > 10, "{alerts:?}");
        for alert in alerts {
            let link = format!("runbook: docs/alerts.md#{}\n", alert.to_lowercase());
            assert!(rules.contains(&link), "{alert} has no {link}");
            assert!(
                runbook.contains(&format!("\n## {alert}\n")),
                "docs/alerts.md says nothing about {alert}"
            );
            let of_it =
                cases.split("  - name: ").filter(|case| case.contains(&format!("alertname=\"{alert}\"")));
            let (against, for_it): (Vec<_>, Vec<_>) =
                of_it.partition(|case| case.contains("exp_samples: []"));
            assert!(!against.is_empty() && !for_it.is_empty(), "{alert} needs a case for and one against");
        }
    }
}
