//! What no single setting can say: defaults that follow from others, what must not be missing, and combinations that make no sense.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;

use loadline_http::syslog::LogTarget;

use super::error::{ConfigError, Origin};
use super::settings::{Concurrency, Cost, DEMO_QUEUE_TIMEOUT, FairnessKey, Settings, Upstream};
use super::{Origins, units};

/// Fills in what nobody set and what follows from other settings.
pub(super) fn derive(settings: &mut Settings, origins: &Origins) {
    if !origins.is_set("queue.depth") {
        settings.queue.depth = settings.max_connections;
    }
    if !origins.is_set("limit.max") {
        settings.limit.max = NonZeroU32::new(settings.max_connections).unwrap_or(settings.limit.max);
    }
    if settings.upstream.is_demo() && !origins.is_set("queue.timeout") {
        settings.queue.timeout = Some(DEMO_QUEUE_TIMEOUT);
    }
    if !origins.is_set("limit.abandon_timeout") {
        settings.limit.abandon_timeout = settings.timeouts.upstream;
    }
    if !origins.is_set("breaker.max_open") {
        settings.breaker.max_open = settings.breaker.max_open.max(settings.breaker.open);
    }
    if !origins.is_set("log.access") && origins.is_set("log.address") {
        settings.log.access = Some("spillway".to_owned());
    }
    // An address that was refused keeps the defaults; its mistake is reported elsewhere.
    if let Ok(target) = LogTarget::parse(&settings.log.address) {
        if !origins.is_set("log.syslog_format") {
            settings.log.syslog_format = target.header_format();
        }
        if !origins.is_set("log.max_len") {
            settings.log.max_len = target.line_max();
        }
    }
}

/// What must be there and is not. With no upstream and no file at all the demo app stands in.
pub(super) fn missing(settings: &Settings, origins: &Origins, file: Option<&Path>) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    if let (Some(file), false) = (file, origins.is_set("upstream")) {
        errors.push(ConfigError::elsewhere(format_args!(
            "the upstream is missing\n  in {}:  upstream = \"app:8080\"\n  or as an argument:  loadline app:8080 3",
            file.display()
        )));
    }
    if origins.is_set("upstream") && !origins.is_set("limit.concurrency") {
        errors.push(match origins.of("upstream") {
            Origin::Argument => {
                let demo = settings.upstream.is_demo();
                let upstream = if demo {
                    "app:8080".to_owned()
                } else {
                    settings.upstream.to_string().replace(", ", ",")
                };
                ConfigError::elsewhere(format_args!(
                    "the concurrency argument is missing\n  \
                     loadline {upstream} <concurrency>     for example: loadline {upstream} 3"
                ))
            }
            _ => ConfigError::elsewhere(
                "limit.concurrency is missing\n  in a file:         [limit] and below it concurrency = 3\n  \
                 or as a variable:  LOADLINE_LIMIT_CONCURRENCY=3",
            ),
        });
    }
    errors
}

/// Combinations that cannot work.
pub(super) fn contradictions(settings: &Settings, origins: &Origins) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let mut refuse = |key: &'static str, message: String| {
        errors.push(ConfigError::in_value(origins.of(key), key, &message));
    };
    let buffer = &settings.buffer;
    if buffer.total < buffer.request.saturating_add(buffer.response) {
        let total = units::format_size(buffer.total);
        refuse(
            "buffer.total",
            format!("{total} is less than buffer.request and buffer.response of a single request"),
        );
    }
    let limit = &settings.limit;
    if limit.concurrency == Concurrency::Auto && limit.min > limit.max {
        refuse("limit.min", format!("{} is more than limit.max ({})", limit.min, limit.max));
    }
    if settings.http.max_target_bytes > settings.http.max_header_bytes {
        refuse(
            "http.max_target_bytes",
            format!(
                "{} is more than http.max_header_bytes ({}), which includes the target",
                units::format_size(settings.http.max_target_bytes),
                units::format_size(settings.http.max_header_bytes)
            ),
        );
    }
    let breaker = &settings.breaker;
    if breaker.max_open < breaker.open {
        let [most, open] = [breaker.max_open, breaker.open].map(units::format_duration);
        refuse("breaker.max_open", format!("{most} is less than breaker.open ({open})"));
    }
    if let Some(admin) = settings.admin.listen
        && settings.listen.iter().any(|listen| collide(*listen, admin))
    {
        refuse("admin.listen", format!("{admin} is taken by listen"));
    }
    if let Some(budget) = settings.deadline.default_budget
        && budget > settings.deadline.max
    {
        let [budget, max] = [budget, settings.deadline.max].map(units::format_duration);
        refuse("deadline.default_budget", format!("{budget} is more than deadline.max ({max})"));
    }
    let overload = &settings.overload;
    for (key, levels) in [
        ("overload.lag.severe", overload.lag.map(|lag| lag.as_micros())),
        ("overload.cpu_pressure.severe", overload.cpu_pressure.map(u128::from)),
        ("overload.memory_pressure.severe", overload.memory_pressure.map(u128::from)),
        ("overload.io_pressure.severe", overload.io_pressure.map(u128::from)),
        ("overload.cgroup_memory.severe", overload.cgroup_memory.map(u128::from)),
        ("overload.upstream.severe", overload.upstream.levels.map(u128::from)),
    ] {
        if levels.severe.zip(levels.moderate).is_some_and(|(severe, moderate)| severe < moderate) {
            refuse(key, "is less than the threshold of moderate".to_owned());
        }
    }
    if settings.dry_run && settings.shadow.is_some() {
        refuse(
            "shadow",
            "is one shadow too many: dry_run watches the settings of this configuration".to_owned(),
        );
    }
    for (listeners, what) in [
        (settings.listen.as_slice(), "where loadline itself listens; requests would go round in circles"),
        (
            settings.admin.listen.as_slice(),
            "loadline's own admin address, which takes orders from this machine; clients would give them",
        ),
    ] {
        let mut targets = settings.upstream.targets().iter();
        if let Some(target) = targets.find(|target| points_at(listeners, target)) {
            refuse("upstream", format!("{target} is {what}"));
        }
    }
    errors
}

/// What works, and is probably not what was meant.
pub(super) fn doubts(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    if settings.queue.timeout.is_none() && settings.queue.depth > 0 {
        warnings.push(
            "queue.timeout is 0: requests wait for ever (to reject at once, set queue.depth = 0)".to_owned(),
        );
    }
    let drain = settings.timeouts.drain;
    if let Some(wait) = settings.queue.timeout
        && wait > drain
        && !drain.is_zero()
        && settings.queue.depth > 0
    {
        let [wait, drain] = [wait, drain].map(units::format_duration);
        warnings.push(format!(
            "queue.timeout ({wait}) is more than timeouts.drain ({drain}): who still waits when a shutdown ends is rejected"
        ));
    }
    let (name, ceiling) = match settings.limit.concurrency {
        Concurrency::Fixed(number) => ("limit.concurrency", number),
        Concurrency::Auto => ("limit.max", settings.limit.max),
    };
    if ceiling.get() > settings.max_connections {
        warnings.push(format!(
            "{name} ({ceiling}) is more than max_connections ({}), so that HTTP/1.1 clients never reach it",
            settings.max_connections
        ));
    }
    let breaker = &settings.breaker;
    if breaker.enabled
        && breaker.consecutive_failures == 0
        && breaker.failure_rate.is_none()
        && breaker.slow_rate.is_none()
    {
        warnings.push("breaker.enabled has no effect: nothing can trip it".to_owned());
    }
    if settings.priority.header.is_some() && settings.trust.proxies.is_empty() {
        warnings
            .push("priority.header has no effect: trust.proxies is empty, so nobody is believed".to_owned());
    }
    for route in &settings.route {
        let limit = ceiling;
        if route.concurrency.is_some_and(|concurrency| concurrency > limit) {
            warnings.push(format!("the concurrency of route {} is more than {name} ({limit})", route.name));
        }
        if matches!(route.cost, Cost::Slots(slots) if slots > limit) {
            warnings.push(format!("a request of route {} takes all slots: {name} is {limit}", route.name));
        }
    }
    if settings.fairness.cohorts && settings.fairness.key == FairnessKey::Off {
        warnings.push("fairness.cohorts has no effect: fairness.key is off".to_owned());
    }
    let shed_at = &settings.priority.shed_at;
    for (higher, share, lower, lower_share) in
        [("high", shed_at.high, "normal", shed_at.normal), ("normal", shed_at.normal, "low", shed_at.low)]
    {
        // Without a threshold a class may fill the limit and wait beyond it.
        if share.is_some_and(|share| lower_share.is_none_or(|lower_share| lower_share > share)) {
            warnings.push(format!("priority.shed_at.{higher} refuses {higher} before {lower} is refused"));
        }
    }
    if settings.trace.endpoint.is_some() && cfg!(not(feature = "otlp")) {
        warnings.push(
            "trace.endpoint has no effect: this loadline was built without the feature otlp".to_owned(),
        );
    }
    if let Some(admin) = settings.admin.listen
        && !admin.ip().is_loopback()
        && settings.admin.token.is_none()
    {
        warnings.push(format!("admin.listen is {admin}: everyone who reaches it reads metrics and status; drain and reload stay \
             limited to this machine until admin.token is set"));
    }
    warnings
}

/// Whether both cannot be bound at once. Port 0 never collides: the system picks another.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let overlap = one.ip() == other.ip()
        || (one.is_ipv4() == other.is_ipv4() && (one.ip().is_unspecified() || other.ip().is_unspecified()));
    one.port() == other.port() && one.port() != 0 && overlap
}

/// Whether a connection to `target` would arrive at one of these, as far as it can be told without resolving names.
fn points_at(listeners: &[SocketAddr], target: &Upstream) -> bool {
    let Upstream::Tcp { host, port } = target else { return false };
    let address: Option<IpAddr> =
        if host == "localhost" { "127.0.0.1".parse().ok() } else { host.parse().ok() };
    let Some(address) = address else { return false };
    listeners.iter().any(|listen| {
        let all_of_this_machine =
            listen.ip().is_unspecified() && listen.is_ipv4() == address.is_ipv4() && address.is_loopback();
        listen.port() == *port && (listen.ip() == address || all_of_this_machine)
    })
}
