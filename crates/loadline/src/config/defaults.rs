//! The defaults, with the reason where a number has one that its setting's documentation does not say.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use loadline_core::{Class, CodelSettings};
use loadline_http::deadline::DeadlineSettings;
use loadline_http::syslog::{Facility, HeaderFormat};

use super::settings::{
    Admin, BodyFormat, Buffer, Bypass, Codel, DEMO_CONCURRENCY, Deadline, Discipline, Fairness, FairnessKey,
    Http, KIB, Limit, Log, MIB, OnAbort, Overload, Priority, Queue, Release, Reserve, Response, Retry,
    RetryAfter, Settings, ShedAt, Timeouts, Trust, Upstream, Warmup, available_cores,
};

impl Default for Settings {
    /// The defaults before the demo app, on this machine's cores.
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8000))],
            upstream: Upstream::Demo,
            max_connections: 2000,
            workers: available_cores(),
            dry_run: false,
            shadow: None,
            route: Vec::new(),
            limit: Limit::default(),
            queue: Queue::default(),
            bypass: Bypass::default(),
            priority: Priority::default(),
            deadline: Deadline::default(),
            fairness: Fairness::default(),
            retry: Retry::default(),
            warmup: Warmup::default(),
            overload: Overload::default(),
            timeouts: Timeouts::default(),
            buffer: Buffer::default(),
            http: Http::default(),
            response: Response::default(),
            admin: Admin::default(),
            log: Log::default(),
            trust: Trust::default(),
        }
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            concurrency: DEMO_CONCURRENCY,
            release: Release::Body,
            on_abort: OnAbort::Finish,
            abandon_timeout: Timeouts::default().upstream,
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(5)),
            depth: 2000,
            discipline: Discipline::Adaptive,
            // buffer.total bounds them already, together with everything else.
            max_bytes: None,
            codel: Codel::default(),
        }
    }
}

impl Default for Bypass {
    fn default() -> Self {
        Self {
            path: vec!["/healthcheck".to_owned()],
            // A load balancer fleet asks a few times per second; 16 slow answers at once are already an outage.
            concurrency: NonZeroU32::new(16).expect("16 is not zero"),
        }
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self {
            default: Class::Normal,
            rules: Vec::new(),
            header: None,
            // Less than half of the queue's timeout: a waiter that gets its turn still has time to be served.
            aging: Some(Duration::from_secs(2)),
            reserve: Reserve::Auto,
            shed_at: ShedAt::default(),
        }
    }
}

impl Default for Deadline {
    fn default() -> Self {
        let DeadlineSettings { headers, zone, skew, max } = DeadlineSettings::default();
        Self {
            headers,
            zone,
            skew,
            max,
            predict: true,
            // Whoever has waited this long for a page has most likely left.
            max_queue_age: Some(Duration::from_secs(10)),
            default_budget: None,
            propagate: true,
        }
    }
}

impl Default for Codel {
    fn default() -> Self {
        let CodelSettings { target, interval } = CodelSettings::default();
        Self { target, interval }
    }
}

impl Default for Fairness {
    fn default() -> Self {
        Self { key: FairnessKey::Off, cohorts: false }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { detect: true, token: true }
    }
}

impl Default for Warmup {
    fn default() -> Self {
        // Off until somebody says how long: a limit of 3 is a limit of 3 from the first second.
        Self { from: 20, over: None }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            upstream: Duration::from_secs(30),
            client: Duration::from_secs(30),
            // Cloud load balancers keep their side for 60 s. The side that sends requests must close first, else a
            // request crosses our close on the wire and fails.
            idle: Duration::from_secs(75),
            drain: Duration::from_secs(30),
            upstream_idle: Duration::from_secs(60),
        }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            request: 64 * KIB,
            response: 256 * KIB,
            total: 256 * MIB,
            min_rate: KIB,
            grace: Duration::from_secs(2),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            max_header_bytes: 32 * KIB,
            max_header_count: 100,
            max_target_bytes: 8 * KIB,
            http2: true,
            forwarded: false,
        }
    }
}

impl Default for Response {
    fn default() -> Self {
        Self {
            status: 503,
            deadline_status: 504,
            retry_after: RetryAfter::Auto,
            format: BodyFormat::ProblemJson,
            proxy_status: true,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from(([127, 0, 0, 1], 8001))), token: None }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            access: None,
            address: "stdout".to_owned(),
            syslog_format: HeaderFormat::Raw,
            facility: Facility::LOCAL0,
            tag: "loadline".parse().expect("visible ASCII"),
            max_len: None,
            separate_errors: false,
        }
    }
}
