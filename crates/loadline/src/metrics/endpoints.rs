//! What `/metrics` says about endpoints and their breakers.
//!
//! Endpoints come from configuration and DNS, never from a request. Their series are those of the endpoints that are there at the
//! moment of the scrape, up to a bound: names that lead elsewhere every minute add up to nothing.

use super::text::Page;
use crate::upstream::{Sight, Standing, Upstream};

/// Endpoints with series of their own.
const MOST: usize = 100;

pub(super) fn write(page: &mut Page, upstream: &Upstream) {
    let sights = upstream.sights();
    breakers(page, upstream, &sights);
    let shown = &sights[..sights.len().min(MOST)];
    let each = |page: &mut Page, value: &dyn Fn(&Sight) -> f64| {
        for sight in shown {
            page.sample(&[("endpoint", &sight.name)], value(sight));
        }
    };
    page.gauge("loadline_endpoints", "Places that requests can go to.");
    page.sample(&[], sights.len());
    page.gauge("loadline_endpoint_up", "1 while the endpoint gets requests, 0 while it is left out.");
    each(page, &|sight| f64::from(u8::from(sight.standing == Standing::Up)));
    page.gauge("loadline_endpoint_in_flight", "Requests in service at the endpoint, health checks included.");
    each(page, &|sight| sight.in_flight as f64);
    page.gauge("loadline_endpoint_connections", "Open connections to the endpoint.");
    each(page, &|sight| sight.connections as f64);
    page.gauge(
        "loadline_endpoint_latency_seconds",
        "Recent mean time to the headers of an answer; 0 when it is not known.",
    );
    each(page, &|sight| sight.latency);
    page.counter(
        "loadline_endpoint_requests_total",
        "Exchanges with the endpoint, by whether it did its part.",
    );
    for sight in shown {
        page.sample(&[("endpoint", &sight.name), ("result", "ok")], sight.answered);
        page.sample(&[("endpoint", &sight.name), ("result", "failed")], sight.failed);
    }
    page.counter(
        "loadline_endpoint_ejections_total",
        "How often the endpoint was left out for its failures.",
    );
    each(page, &|sight| sight.trips as f64);
    page.counter(
        "loadline_retry_budget_exhausted_total",
        "Repetitions elsewhere that balance.retry_budget did not allow.",
    );
    page.sample(&[], upstream.retries_refused());
}

fn breakers(page: &mut Page, upstream: &Upstream, sights: &[Sight]) {
    let enabled = upstream.has_breakers();
    let is_active =
        |sight: &Sight| enabled && matches!(sight.standing, Standing::Open(_) | Standing::Probing);
    page.gauge("circuit_breaker_state", "1 while an endpoint's breaker is open or probing, else 0.");
    page.sample(&[], u8::from(sights.iter().any(is_active)));
    page.gauge("circuit_breaker_open_until_epoch", "When the last open breaker lets a probe through, in seconds since the Unix epoch; 0 when none is open.");
    let until = sights.iter().filter(|_| enabled).filter_map(|sight| match sight.standing {
        Standing::Open(until) => Some(upstream.until(until).as_secs_f64()),
        Standing::Up | Standing::Probing | Standing::Down(_) => None,
    });
    page.sample(&[], until.reduce(f64::max).map_or(0.0, |rest| crate::process::unix_seconds() + rest));
    page.gauge("loadline_breaker_state", "1 while the endpoint's breaker is open or probing, else 0.");
    for sight in &sights[..sights.len().min(MOST)] {
        page.sample(&[("endpoint", &sight.name)], u8::from(is_active(sight)));
    }
}
