//! The defaults, with the reason where a number has one that its setting's documentation does not say.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use loadline_core::{Class, CodelSettings};
use loadline_http::deadline::DeadlineSettings;
use loadline_http::syslog::{Facility, HeaderFormat};

use super::settings::{
    Admin, Algorithm, Balance, BodyFormat, Breaker, Buffer, Bypass, Codel, Concurrency, DEMO_CONCURRENCY,
    Deadline, Discipline, Dns, Fairness, FairnessKey, Health, Http, KIB, Limit, Log, MIB, OnAbort, Overload,
    Policy, Priority, Queue, Release, Reserve, Response, Retry, RetryAfter, Settings, ShedAt, Timeouts,
    Trace, Trust, Upstreams, Warmup, available_cores,
};

impl Default for Settings {
    /// The defaults before the demo app, on this machine's cores.
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8000))],
            upstream: Upstreams::demo(),
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
            dns: Dns::default(),
            breaker: Breaker::default(),
            balance: Balance::default(),
            buffer: Buffer::default(),
            http: Http::default(),
            response: Response::default(),
            admin: Admin::default(),
            log: Log::default(),
            trace: Trace::default(),
            trust: Trust::default(),
        }
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            concurrency: Concurrency::Fixed(DEMO_CONCURRENCY),
            algorithm: Algorithm::Auto,
            // A small application's size; a large one's is a few doublings away.
            start: NonZeroU32::new(10).expect("10 is not zero"),
            min: NonZeroU32::MIN,
            max: NonZeroU32::new(2000).expect("2000 is not zero"),
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
            total: None,
            client: Duration::from_secs(30),
            // Cloud load balancers keep their side for 60 s. The side that sends requests must close first, else a
            // request crosses our close on the wire and fails.
            idle: Duration::from_secs(75),
            drain: Duration::from_secs(30),
            upstream_idle: Duration::from_secs(60),
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        // Short enough that a moved app is found within a client's patience, long enough not to matter to a name server.
        Self { server: None, refresh: Duration::from_secs(5) }
    }
}

impl Default for Breaker {
    /// The core's own numbers.
    fn default() -> Self {
        let core = loadline_core::BreakerSettings::default();
        Self {
            // Who puts a limit before an app expects each request to reach it as long as it stands.
            enabled: false,
            consecutive_failures: core.consecutive_failures.map_or(0, NonZeroU32::get),
            failure_rate: core.failure_rate.map(loadline_core::Percent::get),
            slow_rate: core.slow_rate.map(loadline_core::Percent::get),
            slow_call: core.slow_call,
            min_requests: core.min_requests,
            window: core.window,
            open: core.open,
            max_open: core.max_open,
            probes: core.probes,
            // What a server says of its own failure; 501 and 505 are about the request.
            statuses: vec![500, 502, 503, 504],
        }
    }
}

impl Default for Balance {
    fn default() -> Self {
        Self {
            policy: Policy::LeastLatency,
            max_per_endpoint: None,
            // When most seem to fail, the cause is more likely the requests or ourselves.
            max_ejected: Some(50),
            // A cold cache is warm after some seconds of traffic.
            slow_start: Duration::from_secs(10),
            // A fifth more work is what an upstream below its knee can bear.
            retry_budget: Some(20),
            // With few requests in service a share of them is nothing.
            retry_min: 3,
            health: Health::default(),
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            rise: NonZeroU32::new(2).expect("2 is not zero"),
            fall: NonZeroU32::new(3).expect("3 is not zero"),
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
            server_timing: false,
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
