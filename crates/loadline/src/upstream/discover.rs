//! Finding endpoints: each place that was configured is resolved, and resolved again, while the proxy runs.
//!
//! A name that does not resolve (yet) stops nothing: requests fail at once with the reason until it does. A failed lookup keeps
//! the last good addresses, for a name server's hiccup is not an outage. Endpoints that vanish get no more requests; what is in
//! service there runs to its end.
//!
//! When: at least every `dns.refresh`, sooner when an answer holds for a shorter time, and when connections fail.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Upstream;
use super::dns::{Answer, Servers, Service, system};
use super::names::Names;
use super::place::{Found, Place, endpoints_of};
use super::service::ranked;
use crate::config::settings::{Dns, Upstream as Target, Upstreams};

/// An answer is kept for so long, whatever it says, unless `dns.refresh` is shorter. Some servers say 0, which means that the
/// answer is for the present use (RFC 1035, section 3.2.1); the present use is a second of requests.
const LEAST_HOLD: Duration = Duration::from_secs(1);

/// Least time between two resolutions of a name when failing connections ask for them: soon enough for a name that leads elsewhere
/// now, and no load on the name server while an upstream is down for an hour.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);

/// Lookups in a row that fail before it is told, when an earlier one succeeded: a lost packet is nobody's concern.
const FAILURES_TOLD: u32 = 2;

/// How the last lookups went, for whoever watches: for each target why it cannot be resolved, if so.
#[derive(Debug, Default)]
pub(super) struct Lookups(Mutex<BTreeMap<String, Option<String>>>);

impl Lookups {
    pub(super) fn sight(&self) -> BTreeMap<String, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, target: &Target, trouble: Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(target.to_string(), trouble);
    }

    /// Other targets are looked up from now on.
    fn begin_anew(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What needs no lookup.
pub(super) fn literal(target: &Target) -> Option<Found> {
    match target {
        Target::Tcp { host, port } => {
            host.parse::<IpAddr>().ok().map(|ip| Found::at(Place::Tcp(SocketAddr::new(ip, *port))))
        }
        Target::Unix(path) => Some(Found::at(Place::Unix(path.clone()))),
        Target::Demo | Target::Srv(_) => None,
    }
}

/// Keeps the endpoints of `upstream` those of `targets`; never returns while one of them is a name.
pub(crate) async fn keep_resolved(upstream: Arc<Upstream>, targets: Upstreams, dns: Dns) {
    upstream.lookups.begin_anew();
    let known: Vec<_> =
        targets.targets().iter().map(|target| literal(target).map(|found| vec![found])).collect();
    let found = Arc::new(Mutex::new(known));
    publish(&upstream, &found);
    let mut lookups = JoinSet::new();
    for (index, target) in targets.targets().iter().enumerate() {
        if literal(target).is_none() {
            lookups.spawn(keep_one(
                Arc::clone(&upstream),
                target.clone(),
                dns.clone(),
                Arc::clone(&found),
                index,
            ));
        }
    }
    while lookups.join_next().await.is_some() {}
}

/// What each target has led to; `None` until it was looked up for the first time.
type Known = Mutex<Vec<Option<Vec<Found>>>>;

async fn keep_one(upstream: Arc<Upstream>, target: Target, dns: Dns, known: Arc<Known>, index: usize) {
    let (mut names, mut failures) = (Names::default(), 0_u32);
    loop {
        // An empty or failed answer keeps the last good one.
        let answer = match look_up(&target, &dns, &mut names).await {
            Ok(answer) if !answer.found.is_empty() => {
                failures = 0;
                upstream.lookups.note(&target, None);
                Some(answer)
            }
            failed => {
                failures = failures.saturating_add(1);
                if failures >= FAILURES_TOLD || upstream.is_empty() {
                    upstream.lookups.note(&target, Some(why(failed.err())));
                }
                None
            }
        };
        let holds = answer.as_ref().map_or(Duration::MAX, |answer| answer.holds.max(LEAST_HOLD));
        let holds = holds.min(dns.refresh);
        {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Some(answer) => known[index] = Some(answer.found),
                None if known[index].is_none() => known[index] = Some(Vec::new()),
                None => {}
            }
        }
        publish(&upstream, &known);
        upstream.resolved.notify_waiters();
        // Failing connections ask for a fresh answer; once in a while is enough.
        tokio::time::sleep(holds.min(AT_MOST_EVERY)).await;
        let _ = timeout(holds.saturating_sub(AT_MOST_EVERY), upstream.resolve_now.notified()).await;
    }
}

/// In words why a lookup leads nowhere; no error: it was answered.
pub(super) fn why(error: Option<io::Error>) -> String {
    error.map_or_else(
        || "there is no such service, or none of its hosts has an address".to_owned(),
        |e| e.to_string(),
    )
}

/// Puts in force what is known: all of it, or at first, when there is nothing to lose, any of it.
fn publish(upstream: &Upstream, known: &Known) {
    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let complete = known.iter().all(Option::is_some);
    if complete || upstream.is_empty() {
        upstream.set_endpoints(known.iter().flatten().flatten().cloned().collect());
    }
}

/// The endpoints that a name leads to now, as far as it can be learned: `names` knows what was so before.
///
/// # Errors
/// There is no such name, or nobody answers.
pub(super) async fn look_up(target: &Target, dns: &Dns, names: &mut Names) -> io::Result<Answer<Found>> {
    match target {
        Target::Srv(name) => service(name, dns, names).await,
        Target::Tcp { host, port } => {
            let Answer { found, holds } = names.addresses(host, dns).await?;
            let found = found.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect();
            Ok(Answer { found: endpoints_of(found), holds })
        }
        Target::Unix(_) | Target::Demo => Ok(Answer::lasting(Vec::new())),
    }
}

/// A service's hosts, with their ranks and shares.
async fn service(name: &str, dns: &Dns, names: &mut Names) -> io::Result<Answer<Found>> {
    let servers = dns.server.map_or_else(system::servers, Servers::only);
    let Answer { found: services, mut holds } = servers.services(name).await?;
    let hosts: Vec<_> = services.iter().map(|service| service.host.as_str()).collect();
    names.keep(&hosts);
    let mut found = Vec::new();
    for (Service { host, port, .. }, (rank, share)) in services.iter().zip(ranked(&services)) {
        // A host without an address takes nothing from the others.
        if let Ok(answer) = names.addresses(host, dns).await {
            holds = holds.min(answer.holds);
            let addresses = answer.found.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect();
            let endpoints = endpoints_of(addresses);
            let share = share / u32::try_from(endpoints.len()).unwrap_or(u32::MAX).max(1);
            found.extend(endpoints.into_iter().map(|found| Found { rank, share: share.max(1), ..found }));
        }
    }
    Ok(Answer { found, holds })
}
