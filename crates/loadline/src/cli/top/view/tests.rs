use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::*;

fn status(state: &str, reasons: &[(&str, &str, u64)]) -> Status {
    let mut document = json!({
        "state": state, "version": "0.1.0", "started_ms": 1000, "uptime_seconds": 190, "upstream": "http://app:8080",
        "limit": 4, "effective_limit": 4, "in_flight": 4, "queued": 13, "queue_depth": 60, "oldest_wait_ms": 503.0,
        "demand_ratio": 1.51, "dry_run": false,
        "wait_ms": { "p50": 59.2, "p95": 548.0, "p99": 1203.0 },
        "service_ms": { "p50": 4.24, "p95": null, "p99": 188.0 },
        "rates_per_second": { "offered": 63.0, "admitted": 45.2, "shed": 17.8, "good": 0.5 },
        "shed_by_reason": {}, "classes": {},
    });
    for (class, reason, count) in reasons {
        document["shed_by_reason"][*reason] = json!(count);
        document["classes"][*class]["shed_by_reason"][*reason] = json!(count);
    }
    serde_json::from_value(document).unwrap()
}

fn view(status: Status) -> View {
    let mut view = View::new("127.0.0.1:8001".to_owned(), status);
    let second = |at: u64| Sample {
        time_ms: at,
        offered: at as f64,
        served: (at as f64).min(45.0),
        shed: (at as f64 - 45.0).max(0.0),
        ..Sample::default()
    };
    view.hear(News::Samples((1..=90).map(second).collect()));
    view
}

/// The screen's lines at a size, without blanks at their ends.
fn screen(view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let cells: Vec<_> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
    cells.chunks(usize::from(width)).map(|line| line.concat().trim_end().to_owned()).collect()
}

#[test]
fn everything_fits_80_by_24() {
    let reasons = [("normal", "queue_timeout", 1209), ("critical", "queue_full", 2), ("low", "codel", 821)];
    let lines = screen(&view(status("SHEDDING", &reasons)), 80, 24);
    let text = lines.join("\n");
    assert!(lines[0].starts_with(" loadline 0.1.0  127.0.0.1:8001 -> http://app:8080  up 3 min"), "{text}");
    assert!(lines[0].ends_with("q quits"), "{text}");
    assert_eq!(lines[1], " ▲ SHEDDING  18 of 63 requests per second are rejected");
    assert!(lines[3].starts_with(" offered         63/s  ") && lines[3].ends_with('█'), "{text}");
    assert!(lines[6].starts_with(" goodput        0.5/s"), "{text}");
    assert_eq!(lines[8], format!(" slots     {}  4 of 4", "█".repeat(40)));
    assert_eq!(lines[9], format!(" queue     {}{}  13 of 60, oldest 503 ms", "█".repeat(9), "░".repeat(31)));
    assert_eq!(lines[10], " demand    151 % of the limit");
    assert_eq!(lines[13], " wait           59 ms    548 ms     1.2 s");
    assert_eq!(lines[14], " service       4.2 ms         -    188 ms");
    assert_eq!(lines[16], " shed since the start    critical      high    normal       low    bypass");
    assert_eq!(lines[17], " queue_timeout                  0         0      1209         0         0");
    assert_eq!(lines[19], " queue_full                   ▲ 2         0         0         0         0");
}

#[test]
fn reasons_that_do_not_fit_are_counted() {
    let reasons: Vec<_> = (0..9).map(|at| format!("reason_{at}")).collect();
    let counts: Vec<_> = reasons.iter().map(|reason| ("low", reason.as_str(), 5)).collect();
    let lines = screen(&view(status("SHEDDING", &counts)), 80, 24);
    assert_eq!(lines[23], " and 3 more reasons");
}

#[test]
fn the_state_is_told_in_words() {
    let second_line = |view: &View| screen(view, 80, 24)[1].clone();
    assert_eq!(second_line(&view(status("OK", &[]))), " ● OK  every request has a slot at once");
    assert_eq!(second_line(&view(status("QUEUEING", &[]))), " ≡ QUEUEING  requests wait, nobody is rejected");
    let mut dry = status("OK", &[]);
    dry.dry_run = true;
    assert_eq!(second_line(&view(dry)), " ○ DRY RUN  everybody is forwarded; 0/s would be rejected");
}

#[test]
fn a_restart_is_survived_and_told() {
    let mut view = view(status("OK", &[]));
    view.hear(News::Lost("http://127.0.0.1:8001/api/v1/status: nothing listens there".to_owned()));
    assert_eq!(screen(&view, 80, 24)[1], " × NO ANSWER  nothing listens there; trying again");
    assert!(view.line().starts_with("NO ANSWER http://127.0.0.1:8001/api/v1/status: nothing listens there"));
    let mut again = status("OK", &[]);
    again.started_ms += 5000;
    view.hear(News::Status(Box::new(again)));
    assert!(screen(&view, 100, 24)[0].contains("  restarted 3 min ago "));
    assert!(screen(&view, 80, 24)[1].contains("OK"));
}

#[test]
fn a_small_screen_has_what_matters_most() {
    let lines = screen(&view(status("SHEDDING", &[])), 40, 10);
    let text = lines.join("\n");
    assert!(lines[0].starts_with(" loadline 0.1.0 ") && lines[0].ends_with("q quits"), "{text}");
    assert!(lines[1].starts_with(" ▲ SHEDDING  18 of 63"), "{text}");
    let rates = ["offered", "served", "shed", "goodput"];
    assert!(rates.iter().zip(&lines[2..6]).all(|(rate, line)| line[1..].starts_with(rate)), "{text}");
    assert_eq!(lines[6], format!(" slots     {}  4 of 4", "█".repeat(14)));
    assert_eq!(lines[7], format!(" queue     {}{}  13 of 60, ol", "█".repeat(3), "░".repeat(11)));
    assert_eq!(lines[9], " wait          59 ms   548 ms    1.2 s");
}

#[test]
fn no_size_is_too_small() {
    let view = view(status("SHEDDING", &[("low", "codel", 1)]));
    for (width, height) in [(1, 1), (20, 5), (79, 12), (300, 80)] {
        screen(&view, width, height);
    }
}

#[test]
fn one_line_tells_it_all() {
    let expected = "SHEDDING  offered 63/s, served 45/s, shed 18/s, goodput 0.5/s, in flight 4 of 4, waiting 13 of 60, wait p95 548 ms";
    assert_eq!(view(status("SHEDDING", &[])).line(), expected);
}
