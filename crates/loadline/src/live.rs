//! The settings in force, and what the request path needs of them in ready form.

use std::net::IpAddr;
use std::sync::Arc;

use loadline_core as core;
use loadline_core::{
    AimdSettings, AutoSettings, Class, Gradient2Settings, LimitRange, LimiterSettings, VegasSettings,
};
use loadline_h1::{Limits, NameSet};
use loadline_http::classify::{ATTEMPT_HEADERS, RequestView, Rules, attempt};
use loadline_http::deadline::DeadlineHeaders;
use loadline_http::log::LogFormat;
use loadline_http::rejection::{BodyFormat, StatusCodes};
use loadline_http::syslog::LogTarget;

use crate::access_log::{AccessLog, LogSettings};
use crate::asked::DecidedBy;
use crate::buffers::Scratch;
use crate::client::Peer;
use crate::config::settings::{self, Algorithm, Concurrency, Discipline, FairnessKey, Reserve, Settings};
use crate::routes::{Route, Routes};
use crate::shadow::{OPEN, ShadowRun};
use crate::spans::Spans;
use crate::upstream::Upstream;

/// Settings, resolved for the request path. Replaced as a whole by a reload.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) settings: Settings,
    /// For the admission core, as configured.
    pub(crate) configured: core::Settings,
    /// The settings that are watched and not obeyed.
    pub(crate) shadow: Option<ShadowRun>,
    /// For the codec.
    pub(crate) limits: Limits,
    /// `buffer.response`, in the machine's word.
    pub(crate) read_ahead: usize,
    /// `buffer.total`, in the machine's word.
    pub(crate) buffer_total: usize,
    /// Host for the upstream when an HTTP/1.0 client names none.
    pub(crate) host: String,
    pub(crate) status_codes: StatusCodes,
    pub(crate) body_format: BodyFormat,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) log: Arc<AccessLog>,
    /// Where spans go; to nobody until set.
    pub(crate) spans: Arc<Spans>,
    pub(crate) rules: Rules,
    pub(crate) routes: Routes,
    pub(crate) deadlines: DeadlineHeaders,
    /// The names of the fields that `deadlines` reads: most requests have none of them.
    pub(crate) deadline_names: NameSet,
    /// The same for those that tell a retry; none if they are not heeded.
    attempt_names: NameSet,
}

impl Live {
    /// Connections to the upstream that may be open, idle ones included, when the limit stands at `limit`: a worker of the app
    /// is taken by an idle one too. What may go beyond the limit, health checks and critical requests, may open one more where
    /// all of them are busy; none of those is kept.
    pub(crate) fn connections_allowed(&self, limit: u32) -> usize {
        if self.settings.dry_run { usize::MAX } else { limit as usize }
    }

    /// Resolves `settings`. `seed` varies the jitter of this process; `earlier` are the routes that theirs replace.
    pub(crate) fn new(
        settings: Settings,
        seed: u64,
        upstream: Arc<Upstream>,
        log: Arc<AccessLog>,
        earlier: Option<&Routes>,
    ) -> Self {
        let routes = Routes::new(&settings.route, earlier);
        let deadlines = settings.deadline.reader();
        let attempts: &[&str] = if settings.retry.detect { &ATTEMPT_HEADERS } else { &[] };
        let word = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let limits = Limits {
            head_bytes: word(settings.http.max_header_bytes),
            target_bytes: word(settings.http.max_target_bytes),
            fields: settings.http.max_header_count as usize,
            ..Limits::default()
        };
        Self {
            configured: admission(&settings, seed, &routes),
            shadow: None,
            limits,
            read_ahead: word(settings.buffer.response),
            buffer_total: word(settings.buffer.total),
            host: settings.upstream.targets().first().map(ToString::to_string).unwrap_or_default(),
            status_codes: StatusCodes {
                shed: settings.response.status,
                deadline: settings.response.deadline_status,
            },
            body_format: match settings.response.format {
                settings::BodyFormat::ProblemJson => BodyFormat::ProblemJson,
                settings::BodyFormat::Html => BodyFormat::Html,
                settings::BodyFormat::Text => BodyFormat::Text,
            },
            upstream,
            log,
            spans: Arc::new(Spans::off()),
            rules: settings.priority.classifier(),
            routes,
            deadline_names: deadlines.headers().map(|(_, name, _)| NameSet::of(name)).collect(),
            deadlines,
            attempt_names: attempts.iter().map(|name| NameSet::of(name)).collect(),
            settings,
        }
    }

    /// What the gate is set to: as configured, or in a dry run open to everybody.
    pub(crate) fn admission(&self) -> core::Settings {
        if !self.settings.dry_run {
            return self.configured.clone();
        }
        let mut open = core::Settings::new(OPEN);
        open.bypass_limit = OPEN;
        open.predict = false;
        open.queue.depth = 0;
        open.seed = self.configured.seed;
        open
    }

    /// What the gate is asked: in a dry run without a deadline, which it would heed.
    pub(crate) fn ask_gate(&self, mut request: core::Request) -> core::Request {
        if self.settings.dry_run {
            request.deadline = None;
        }
        request
    }

    /// The response header in which the upstream says how loaded it is, and the name of the number in it, if that counts.
    pub(crate) fn load_report(&self) -> Option<(&str, Option<&str>)> {
        let upstream = &self.settings.overload.upstream;
        upstream.levels.is_on().then_some((upstream.header.as_str(), upstream.metric.as_deref()))
    }

    /// The route of the request in `scratch`.
    pub(crate) fn route(&self, scratch: &Scratch) -> Option<&Route> {
        let Scratch { head, inbox, .. } = scratch;
        self.routes.of(head.method.of(inbox), head.path.of(inbox))
    }

    /// Which attempt the request in `scratch` is: 1 unless its headers say more, and are heeded.
    pub(crate) fn attempt(&self, scratch: &Scratch) -> u32 {
        let Scratch { head, inbox, .. } = scratch;
        if head.names.meets(self.attempt_names) { attempt(head.iter(inbox)) } else { 1 }
    }

    /// Whether what this peer says about priority, age and origin is believed.
    pub(crate) fn trusts(&self, peer: &Peer) -> bool {
        self.trusts_address(peer.client.ip())
    }

    /// The same for whoever has this address.
    pub(crate) fn trusts_address(&self, address: IpAddr) -> bool {
        self.settings.trust.proxies.iter().any(|network| network.contains(address))
    }

    /// The class of the request in `scratch`, which belongs to this `route`, and what decided: the path of a health check, the
    /// word of a trusted hop, the route, the rules, in this order.
    ///
    /// Health checks are told by their path exactly as written: neither decoded nor normalised, for what looks like a
    /// health check only after decoding is no health check.
    pub(crate) fn classify(
        &self,
        scratch: &Scratch,
        trusted: bool,
        route: Option<&Route>,
    ) -> (Class, DecidedBy) {
        let Scratch { head, inbox, .. } = scratch;
        let path = head.path.of(inbox);
        if self.settings.bypass.path.iter().any(|bypass| bypass.as_bytes() == path) {
            return (Class::Bypass, DecidedBy::BypassPath);
        }
        let priority = &self.settings.priority;
        // Of several lines the last: a hop that adds its own leaves its client's before it.
        let said = priority.header.as_ref().filter(|_| trusted).and_then(|header| {
            let named = |(name, _): &(&[u8], &[u8])| name.eq_ignore_ascii_case(header.name.as_bytes());
            head.iter(inbox).rfind(named).and_then(|(_, value)| header.class(value, trusted))
        });
        if let Some(class) = said {
            return (class, DecidedBy::Header);
        }
        if let Some(class) = route.and_then(|route| route.class(path, self.rules.default_class())) {
            return (class, DecidedBy::Route);
        }
        let query = head.query.of(inbox);
        let (class, rule) = self.rules.class(&RequestView {
            method: head.method.of(inbox),
            path,
            query: (!query.is_empty()).then_some(query),
            header: &|name| head.field(inbox, name),
        });
        (class, rule.map_or(DecidedBy::Default, DecidedBy::Rule))
    }
}

/// Starts the request log as configured, as the successor of an `earlier` one if there is one.
///
/// # Errors
/// What is wrong with it; a configuration that was checked has nothing wrong but a thread that cannot start.
pub(crate) fn start_log(log: &settings::Log, earlier: Option<&AccessLog>) -> Result<AccessLog, String> {
    let settings = log.access.as_deref().map(|access| log_settings(log, access)).transpose()?;
    let started = match (earlier, settings) {
        (Some(earlier), settings) => earlier.successor(settings),
        (None, Some(settings)) => AccessLog::start(settings),
        (None, None) => Ok(AccessLog::off()),
    };
    started.map_err(|error| format!("cannot start the log's writer: {error}"))
}

fn log_settings(log: &settings::Log, access: &str) -> Result<LogSettings, String> {
    let format = LogFormat::parse(access).map_err(|error| format!("log.access: {error}"))?;
    let mut target = LogTarget::parse(&log.address).map_err(|error| format!("log.address: {error}"))?;
    if log.max_len.is_some() {
        target.max_len = log.max_len;
    }
    let mut settings = LogSettings::new(target, format);
    settings.syslog.format = log.syslog_format;
    settings.syslog.facility = log.facility;
    settings.syslog.tag = log.tag.clone();
    settings.separate_errors = log.separate_errors;
    Ok(settings)
}

/// Slots above the limit for critical requests; none where no request can be critical.
fn reserve(settings: &Settings) -> u32 {
    let priority = &settings.priority;
    let critical = priority.header.is_some()
        || priority.default == Class::Critical
        || priority.rules.iter().any(|rule| rule.class == Class::Critical)
        || settings.route.iter().any(|route| route.class == Some(Class::Critical));
    match priority.reserve {
        _ if !critical => 0,
        Reserve::Auto => core::Settings::usual_reserve(settings.limit.ceiling()),
        Reserve::Slots(slots) => slots,
    }
}

fn limiter(limit: &settings::Limit) -> LimiterSettings {
    let range = LimitRange { start: limit.start, min: limit.min };
    match (limit.concurrency, limit.algorithm) {
        (Concurrency::Fixed(_), _) => LimiterSettings::Fixed,
        (Concurrency::Auto, Algorithm::Auto) => LimiterSettings::Auto(AutoSettings { range }),
        (Concurrency::Auto, Algorithm::Aimd) => {
            LimiterSettings::Aimd(AimdSettings { range, ..AimdSettings::default() })
        }
        (Concurrency::Auto, Algorithm::Vegas) => {
            LimiterSettings::Vegas(VegasSettings { range, ..VegasSettings::default() })
        }
        (Concurrency::Auto, Algorithm::Gradient2) => {
            LimiterSettings::Gradient2(Gradient2Settings { range, ..Gradient2Settings::default() })
        }
    }
}

fn admission(settings: &Settings, seed: u64, routes: &Routes) -> core::Settings {
    let mut admission = core::Settings::new(settings.limit.ceiling());
    admission.limiter = limiter(&settings.limit);
    admission.bypass_limit = settings.bypass.concurrency;
    admission.reserve = reserve(settings);
    let share = |percent: Option<u8>| percent.and_then(core::Percent::new);
    let shed_at = settings.priority.shed_at;
    admission.shed_at.high = share(shed_at.high);
    admission.shed_at.normal = share(shed_at.normal);
    admission.shed_at.low = share(shed_at.low);
    admission.predict = settings.deadline.predict;
    admission.queue.aging = settings.priority.aging;
    admission.routes = routes.settings();
    admission.fairness = settings.fairness.key != FairnessKey::Off && !settings.fairness.cohorts;
    admission.queue.held_bytes = settings.queue.max_bytes;
    admission.warmup = settings.warmup.over.map(|over| core::Warmup {
        from: core::Percent::new(settings.warmup.from).expect("a share that was read is 1 to 100 percent"),
        over,
    });
    admission.queue.codel =
        core::CodelSettings { target: settings.queue.codel.target, interval: settings.queue.codel.interval };
    admission.queue.depth = settings.queue.depth;
    admission.queue.timeout = settings.queue.timeout;
    admission.queue.discipline = match settings.queue.discipline {
        Discipline::Adaptive => core::Discipline::Adaptive,
        Discipline::Fifo => core::Discipline::Fifo,
        Discipline::Lifo => core::Discipline::Lifo,
        Discipline::Codel => core::Discipline::Codel,
    };
    admission.seed = seed;
    admission
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_path_bypasses() {
        let settings = Settings::default();
        let upstream = Upstream::new(&settings, 1);
        let live = Live::new(settings, 1, upstream, Arc::new(AccessLog::off()), None);
        let class = |path: &str| {
            let inbox = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
            let mut scratch = Scratch { inbox, ..Scratch::default() };
            scratch.head.parse(&scratch.inbox, &live.limits).expect("it is well-formed");
            live.classify(&scratch, false, None).0
        };
        assert_eq!(class("/healthcheck"), Class::Bypass);
        for other in ["/healthcheck/", "/HEALTHCHECK", "//healthcheck", "/a/../healthcheck", "/health%63heck"]
        {
            assert_eq!(class(other), Class::Normal, "{other}");
        }
    }
}
