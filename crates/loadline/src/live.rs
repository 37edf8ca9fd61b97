//! The settings in force, and what the request path needs of them in ready form.

use std::sync::Arc;

use loadline_core as core;
use loadline_core::{
    AimdSettings, AutoSettings, Class, Gradient2Settings, LimitRange, LimiterSettings, VegasSettings,
};
use loadline_h1::Limits;
use loadline_http::classify::{RequestView, Rules};
use loadline_http::deadline::DeadlineHeaders;
use loadline_http::log::LogFormat;
use loadline_http::rejection::{BodyFormat, StatusCodes};
use loadline_http::syslog::LogTarget;

use crate::access_log::{AccessLog, LogSettings};
use crate::buffers::Scratch;
use crate::client::Peer;
use crate::config::settings::{self, Algorithm, Concurrency, Discipline, Reserve, Settings};
use crate::upstream::Upstream;

/// Settings, resolved for the request path. Replaced as a whole by a reload.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) settings: Settings,
    /// For the admission core.
    pub(crate) admission: core::Settings,
    /// For the codec.
    pub(crate) limits: Limits,
    /// `buffer.response`, in the machine's word.
    pub(crate) read_ahead: usize,
    /// `buffer.total`, in the machine's word.
    pub(crate) buffer_total: usize,
    /// Host for the upstream when an HTTP/1.0 client names none.
    pub(crate) host: String,
    /// Connections to the upstream that may be open: one for each slot that there can be and each bypass request.
    pub(crate) connections_allowed: usize,
    pub(crate) status_codes: StatusCodes,
    pub(crate) body_format: BodyFormat,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) log: Arc<AccessLog>,
    pub(crate) rules: Rules,
    pub(crate) deadlines: DeadlineHeaders,
}

impl Live {
    /// Connections to the upstream that are worth keeping when the limit stands at `limit`: a worker of the app is taken by an
    /// idle one too.
    pub(crate) fn connections_kept(&self, limit: u32) -> usize {
        let above = self.connections_allowed - self.settings.limit.ceiling().get() as usize;
        limit as usize + above
    }

    /// Resolves `settings`. `seed` varies the jitter of this process.
    pub(crate) fn new(settings: Settings, seed: u64, upstream: Arc<Upstream>, log: Arc<AccessLog>) -> Self {
        let word = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let limits = Limits {
            head_bytes: word(settings.http.max_header_bytes),
            target_bytes: word(settings.http.max_target_bytes),
            fields: settings.http.max_header_count as usize,
            ..Limits::default()
        };
        Self {
            admission: admission(&settings, seed),
            limits,
            read_ahead: word(settings.buffer.response),
            buffer_total: word(settings.buffer.total),
            host: settings.upstream.to_string(),
            connections_allowed: settings.limit.ceiling().get() as usize
                + reserve(&settings) as usize
                + settings.bypass.concurrency.get() as usize,
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
            rules: settings.priority.classifier(),
            deadlines: settings.deadline.reader(),
            settings,
        }
    }

    /// Whether what this peer says about priority, age and origin is believed.
    pub(crate) fn trusts(&self, peer: &Peer) -> bool {
        self.settings.trust.proxies.iter().any(|network| network.contains(peer.client.ip()))
    }

    /// The class of the request in `scratch`, and the position of the rule that decided, if one did.
    ///
    /// Health checks are told by their path exactly as written: neither decoded nor normalised, for what looks like a
    /// health check only after decoding is no health check.
    pub(crate) fn classify(&self, scratch: &Scratch, trusted: bool) -> (Class, Option<usize>) {
        let Scratch { head, inbox, .. } = scratch;
        let path = head.path.of(inbox);
        if self.settings.bypass.path.iter().any(|bypass| bypass.as_bytes() == path) {
            return (Class::Bypass, None);
        }
        let priority = &self.settings.priority;
        let said = priority.header.as_ref().filter(|_| trusted).and_then(|header| {
            head.field(inbox, &header.name).and_then(|value| header.class(value, trusted))
        });
        if let Some(class) = said {
            return (class, None);
        }
        let query = head.query.of(inbox);
        self.rules.class(&RequestView {
            method: head.method.of(inbox),
            path,
            query: (!query.is_empty()).then_some(query),
            header: &|name| head.field(inbox, name),
        })
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
        || priority.rules.iter().any(|rule| rule.class == Class::Critical);
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

fn admission(settings: &Settings, seed: u64) -> core::Settings {
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
        let upstream = Upstream::new(settings.upstream.clone(), 1);
        let live = Live::new(settings, 1, upstream, Arc::new(AccessLog::off()));
        let class = |path: &str| {
            let inbox = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
            let mut scratch = Scratch { inbox, ..Scratch::default() };
            scratch.head.parse(&scratch.inbox, &live.limits).expect("it is well-formed");
            live.classify(&scratch, false).0
        };
        assert_eq!(class("/healthcheck"), Class::Bypass);
        for other in ["/healthcheck/", "/HEALTHCHECK", "//healthcheck", "/a/../healthcheck", "/health%63heck"]
        {
            assert_eq!(class(other), Class::Normal, "{other}");
        }
    }
}
