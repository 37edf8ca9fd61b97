use super::*;

/// A report of a run without requests.
pub(crate) fn empty() -> Report {
    Report {
        format: FORMAT,
        url: "http://127.0.0.1/".into(),
        protocol: "http/1.1".into(),
        planned_s: 10.0,
        elapsed_s: 10.0,
        complete: true,
        valid: true,
        problems: Vec::new(),
        total: Group::default(),
        offered_per_s: 0.0,
        goodput_per_s: 0.0,
        unfinished: 0,
        attempts: 0,
        connections: 0,
        resent: 0,
        statuses: BTreeMap::new(),
        causes: BTreeMap::new(),
        late_starts: LateStarts::default(),
        recovery: None,
        stages: Vec::new(),
        targets: Vec::new(),
        classes: Vec::new(),
        tenants: Vec::new(),
        curve: Vec::new(),
        series: Series::default(),
    }
}

#[test]
fn a_report_can_be_read_back() {
    let report = empty();
    assert_eq!(Report::parse(&report.json()), Ok(report.clone()));
    let later = Report { format: 2, ..report };
    assert!(Report::parse(&later.json()).unwrap_err().contains("format 2"));
    assert!(Report::parse("{}").unwrap_err().contains("is no report"));
}

#[test]
fn a_page_of_a_run_without_requests_is_a_page() {
    let page = html("Nothing", &empty(), Some(&empty()));
    assert!(page.contains("<svg") && !page.contains("NaN") && !page.contains("inf"));
}
