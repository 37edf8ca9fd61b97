//! From samples to tables: medians, per-round ratios, Markdown and JSON.
//!
//! A ratio is taken within one round, where both sides met the same machine, and the median of these is quoted. The
//! quotient of two medians would mix rounds.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use super::proxies::Proxy;

/// One measurement: a proxy in a scenario in a round.
#[derive(Serialize, Clone)]
pub(super) struct Sample {
    /// The scenario's name.
    pub(super) scenario: &'static str,
    /// The row.
    pub(super) proxy: Proxy,
    /// Counted from 0.
    pub(super) round: usize,
    /// On-CPU microseconds of the whole proxy per answer.
    pub(super) cpu_us: f64,
    /// Answers per second.
    pub(super) per_second: f64,
    /// Median latency in microseconds.
    pub(super) p50_us: f64,
    /// 99th percentile of latency in microseconds.
    pub(super) p99_us: f64,
    /// Share of its core that the proxy used, 0..=1.
    pub(super) proxy_busy: f64,
    /// Share of the other core that the load generator and the origin used. Near 1 they are the bottleneck.
    pub(super) load_busy: f64,
    /// Answers with the expected status.
    pub(super) answers: u64,
    /// Everything else.
    pub(super) errors: u64,
}

/// What idle connections cost one proxy.
#[derive(Serialize)]
pub(super) struct IdleRow {
    /// The row.
    pub(super) proxy: Proxy,
    /// Connections open.
    pub(super) connections: usize,
    /// Resident bytes without them.
    pub(super) rss_before: u64,
    /// Resident bytes with them.
    pub(super) rss_with: u64,
    /// Proportional bytes per connection.
    pub(super) bytes_per_connection: f64,
    /// CPU milliseconds per second without them.
    pub(super) cpu_alone_ms: f64,
    /// CPU milliseconds per second with them.
    pub(super) cpu_with_ms: f64,
}

/// A count per answer.
#[derive(Serialize)]
pub(super) struct CountRow {
    /// `instructions` or `syscalls`.
    pub(super) counter: &'static str,
    /// The scenario's name.
    pub(super) scenario: &'static str,
    /// The row.
    pub(super) proxy: Proxy,
    /// Events per answer.
    pub(super) per_answer: f64,
}

/// Everything that a run found.
#[derive(Serialize, Default)]
pub(super) struct Report {
    /// Versions, kernel and length of the run, in words.
    pub(super) about: Vec<String>,
    /// All measurements, in the order they were made.
    pub(super) samples: Vec<Sample>,
    /// Idle connections.
    pub(super) idle: Vec<IdleRow>,
    /// Instructions and system calls.
    pub(super) counts: Vec<CountRow>,
    /// What did not run or had too many errors.
    pub(super) failures: Vec<String>,
}

impl Report {
    /// All tables in Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        for line in &self.about {
            let _ = writeln!(text, "- {line}");
        }
        let mut scenarios: Vec<&str> = Vec::new();
        for sample in &self.samples {
            if !scenarios.contains(&sample.scenario) {
                scenarios.push(sample.scenario);
            }
        }
        for scenario in scenarios {
            self.scenario_table(&mut text, scenario);
        }
        self.idle_table(&mut text);
        for counter in ["instructions", "syscalls"] {
            self.count_table(&mut text, counter);
        }
        if !self.failures.is_empty() {
            let _ = writeln!(text, "\n### Failures\n");
            for failure in &self.failures {
                let _ = writeln!(text, "- {failure}");
            }
        }
        text
    }

    fn scenario_table(&self, text: &mut String, scenario: &str) {
        let samples: Vec<&Sample> =
            self.samples.iter().filter(|sample| sample.scenario == scenario).collect();
        let proxies: BTreeSet<Proxy> = samples.iter().map(|sample| sample.proxy).collect();
        let direct = proxies.contains(&Proxy::Direct);
        let _ = writeln!(
            text,
            "\n### `{scenario}`\n\n\
             | proxy | CPU µs/request, median | min..max | ratio to HAProxy | min..max | ratio to the better peer | \
             requests/s | ratio to HAProxy | p50 µs | added p50 µs | p99 µs | proxy busy | load busy | errors |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
        );
        for proxy in proxies {
            let of = |value: fn(&Sample) -> f64| -> Vec<f64> {
                samples.iter().filter(|sample| sample.proxy == proxy).map(|sample| value(sample)).collect()
            };
            let haproxy =
                |value: fn(&Sample) -> f64| ratios(&samples, proxy, &[Proxy::Haproxy], value, f64::min);
            let cpu = of(|sample| sample.cpu_us);
            let cpu_ratio = haproxy(|sample| sample.cpu_us);
            let better =
                ratios(&samples, proxy, &[Proxy::Haproxy, Proxy::Nginx], |sample| sample.cpu_us, f64::min);
            let added = differences(&samples, proxy, Proxy::Direct, |sample| sample.p50_us);
            let errors: u64 =
                samples.iter().filter(|sample| sample.proxy == proxy).map(|sample| sample.errors).sum();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {errors} |",
                proxy.name(),
                shown(median(&cpu), 2),
                range(&cpu, 2),
                shown(median(&cpu_ratio), 2),
                range(&cpu_ratio, 2),
                shown(median(&better), 2),
                shown(median(&of(|sample| sample.per_second)), 0),
                shown(median(&haproxy(|sample| sample.per_second)), 2),
                shown(median(&of(|sample| sample.p50_us)), 0),
                if direct { shown(median(&added), 0) } else { "–".to_owned() },
                shown(median(&of(|sample| sample.p99_us)), 0),
                shown(median(&of(|sample| sample.proxy_busy)), 2),
                shown(median(&of(|sample| sample.load_busy)), 2),
            );
        }
    }

    fn idle_table(&self, text: &mut String) {
        let Some(first) = self.idle.first() else { return };
        let _ = writeln!(
            text,
            "\n### Idle, {} keep-alive connections\n\n\
             | proxy | RSS MB before | RSS MB with them | bytes per connection (PSS) | CPU ms/s before | CPU ms/s with them |\n\
             |---|---|---|---|---|---|",
            first.connections
        );
        for row in &self.idle {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            let _ = writeln!(
                text,
                "| {} | {:.1} | {:.1} | {:.0} | {:.2} | {:.2} |",
                row.proxy.name(),
                megabytes(row.rss_before),
                megabytes(row.rss_with),
                row.bytes_per_connection,
                row.cpu_alone_ms,
                row.cpu_with_ms
            );
        }
    }

    fn count_table(&self, text: &mut String, counter: &str) {
        let rows: Vec<&CountRow> = self.counts.iter().filter(|row| row.counter == counter).collect();
        if rows.is_empty() {
            return;
        }
        let digits = if counter == "instructions" { 0 } else { 2 };
        let _ = writeln!(
            text,
            "\n### Per request: {counter}\n\n| scenario | proxy | {counter}/request | ratio to HAProxy |\n|---|---|---|---|"
        );
        for row in &rows {
            let haproxy =
                rows.iter().find(|other| other.proxy == Proxy::Haproxy && other.scenario == row.scenario);
            let ratio = haproxy.map(|haproxy| row.per_answer / haproxy.per_answer);
            let (name, count) = (row.proxy.name(), row.per_answer);
            let _ =
                writeln!(text, "| `{}` | {name} | {count:.digits$} | {} |", row.scenario, shown(ratio, 2));
        }
    }
}

/// The middle value, or the mean of the two middle ones; `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper)) }
}

/// Per round: the proxy's value over the best (by `better`) of the peers' values in that round. Rounds that lack the
/// proxy or all peers are left out.
fn ratios(
    samples: &[&Sample],
    proxy: Proxy,
    peers: &[Proxy],
    value: fn(&Sample) -> f64,
    better: fn(f64, f64) -> f64,
) -> Vec<f64> {
    let own = samples.iter().filter(|sample| sample.proxy == proxy);
    own.filter_map(|own| {
        let round = samples.iter().filter(|other| other.round == own.round && peers.contains(&other.proxy));
        let best = round.map(|other| value(other)).reduce(better)?;
        (best > 0.0).then(|| value(own) / best)
    })
    .collect()
}

/// Per round: the proxy's value less that of `base`.
fn differences(samples: &[&Sample], proxy: Proxy, base: Proxy, value: fn(&Sample) -> f64) -> Vec<f64> {
    let own = samples.iter().filter(|sample| sample.proxy == proxy);
    own.filter_map(|own| {
        let base = samples.iter().find(|other| other.round == own.round && other.proxy == base)?;
        Some(value(own) - value(base))
    })
    .collect()
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

fn range(values: &[f64], digits: usize) -> String {
    let lowest = values.iter().copied().reduce(f64::min);
    let highest = values.iter().copied().reduce(f64::max);
    format!("{}..{}", shown(lowest, digits), shown(highest, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(proxy: Proxy, round: usize, cpu_us: f64) -> Sample {
        Sample {
            scenario: "get128",
            proxy,
            round,
            cpu_us,
            per_second: 1e6 / cpu_us,
            p50_us: cpu_us,
            p99_us: cpu_us,
            proxy_busy: 1.0,
            load_busy: 0.5,
            answers: 1,
            errors: 0,
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn ratios_stay_within_their_round() {
        // The second round met a machine half as fast: the quotient of medians would be 10/15.
        let samples = [
            sample(Proxy::Haproxy, 0, 10.0),
            sample(Proxy::Nginx, 0, 12.0),
            sample(Proxy::Loadline, 0, 8.0),
            sample(Proxy::Loadline, 1, 12.0),
            sample(Proxy::Nginx, 1, 16.0),
            sample(Proxy::Haproxy, 1, 20.0),
            sample(Proxy::Loadline, 2, 1.0),
        ];
        let samples: Vec<&Sample> = samples.iter().collect();
        let cpu = |sample: &Sample| sample.cpu_us;
        assert_eq!(ratios(&samples, Proxy::Loadline, &[Proxy::Haproxy], cpu, f64::min), [0.8, 0.6]);
        let peers = [Proxy::Haproxy, Proxy::Nginx];
        assert_eq!(ratios(&samples, Proxy::Loadline, &peers, cpu, f64::min), [0.8, 0.75]);
        assert_eq!(differences(&samples, Proxy::Nginx, Proxy::Haproxy, cpu), [2.0, -4.0]);
    }

    #[test]
    fn tables_need_no_peer() {
        let report = Report { samples: vec![sample(Proxy::Nginx, 0, 10.0)], ..Report::default() };
        let text = report.markdown();
        assert!(text.contains("| nginx | 10.00 | 10.00..10.00 | – | –..– | 1.00 | 100000 | – |"), "{text}");
    }
}
