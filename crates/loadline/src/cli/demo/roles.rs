//! The demo apps as servers: an address, settings from the environment, until SIGTERM or Ctrl-C.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use loadline_demo::{ApiSettings, Role, WORKERS};
use loadline_load::Url;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{USAGE, parse_address};
use crate::listen;

/// Where the service asks, unless `UPSTREAM_BASE_URL` says so: where `demo upstream` listens.
const UPSTREAM: &str = "http://127.0.0.1:8081";

/// Seconds that a breaker may stay open: an hour is for ever in a demo.
const MOST_SECONDS: u32 = 3_600;

#[derive(Args)]
pub(super) struct ApiArgs {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[derive(Args)]
pub(super) struct UpstreamArgs {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
}

#[derive(Args)]
pub(super) struct AppArgs {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Requests that it works on at once
    #[arg(long, value_name = "COUNT", default_value_t = WORKERS_BY_DEFAULT)]
    workers: NonZeroUsize,
}

const WORKERS_BY_DEFAULT: NonZeroUsize = NonZeroUsize::new(WORKERS).expect("there are workers");

impl ApiArgs {
    pub(super) fn serve(&self, environment: &[(OsString, OsString)]) -> ExitCode {
        match api_settings(environment) {
            Ok(settings) => serve("api", self.listen, Role::Api(settings)),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(USAGE)
            }
        }
    }
}

impl UpstreamArgs {
    pub(super) fn serve(&self) -> ExitCode {
        serve("upstream", self.listen, Role::Upstream)
    }
}

impl AppArgs {
    pub(super) fn serve(&self) -> ExitCode {
        serve("app", self.listen, Role::Workers(self.workers))
    }
}

/// Serves until a signal; says where, so that port 0 is of use.
pub(super) fn serve(name: &str, address: SocketAddr, role: Role) -> ExitCode {
    let served = listen::bind(address)
        .map_err(|error| listen::explain(address, "listen", &error).replace("--set listen=", "--listen "))
        .and_then(|listener| {
            let bound = listener.local_addr().map_err(|error| error.to_string())?;
            let until = || {
                let stop = stopped()?;
                eprintln!("loadline demo {name}  http://{bound}  Ctrl-C ends it");
                Ok(stop)
            };
            loadline_demo::run(listener, role, until).map_err(|error| error.to_string())
        });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// `MAX_INFLIGHT` and the others. Caps of lower priorities follow the highest unless they are given.
fn api_settings(environment: &[(OsString, OsString)]) -> Result<ApiSettings, String> {
    let text = |name: &str| {
        let found = environment.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
    };
    let count = |name: &str, default: u32| match text(name) {
        None => Ok(NonZeroU32::new(default).expect("a default is above 0")),
        Some(value) => value
            .parse::<NonZeroU32>()
            .map_err(|_| format!("{name}: `{value}` is not a whole number above 0")),
    };
    let max_in_flight = count("MAX_INFLIGHT", 50)?;
    // 45 and 35 of 50.
    let part =
        |tenths: u32| (max_in_flight.get() / 10 * tenths + max_in_flight.get() % 10 * tenths / 10).max(1);
    let normal_in_flight = count("NORMAL_PRIORITY_MAX_INFLIGHT", part(9))?;
    let low_in_flight = count("LOW_PRIORITY_MAX_INFLIGHT", part(7))?;
    if low_in_flight > normal_in_flight || normal_in_flight > max_in_flight {
        return Err(format!(
            "LOW_PRIORITY_MAX_INFLIGHT ({low_in_flight}) <= NORMAL_PRIORITY_MAX_INFLIGHT ({normal_in_flight}) <= \
             MAX_INFLIGHT ({max_in_flight}) does not hold"
        ));
    }
    let seconds = count("BREAKER_COOLDOWN_SECONDS", 10)?;
    if seconds.get() > MOST_SECONDS {
        return Err(format!("BREAKER_COOLDOWN_SECONDS: {seconds} is more than {MOST_SECONDS}"));
    }
    let upstream = text("UPSTREAM_BASE_URL").unwrap_or_else(|| UPSTREAM.to_owned());
    // What is asked for is appended to it.
    let base = upstream.starts_with("http://") && !upstream.contains(['?', '#']) && upstream.is_ascii();
    if !base || upstream.parse::<Url>().is_err() {
        return Err(format!("UPSTREAM_BASE_URL: `{upstream}` is not a URL (try {UPSTREAM})"));
    }
    Ok(ApiSettings {
        upstream,
        max_in_flight,
        normal_in_flight,
        low_in_flight,
        breaker_failures: count("BREAKER_FAILURE_THRESHOLD", 5)?,
        breaker_open: Duration::from_secs(seconds.get().into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<ApiSettings, String> {
        let environment: Vec<_> = pairs.iter().map(|(key, value)| (key.into(), value.into())).collect();
        api_settings(&environment)
    }

    #[test]
    fn the_environment_is_read_as_the_original_reads_it() {
        let settings = |pairs: &[(&str, &str)]| {
            let read = settings(pairs).unwrap();
            (read.max_in_flight.get(), read.normal_in_flight.get(), read.low_in_flight.get())
        };
        assert_eq!(settings(&[]), (50, 45, 35));
        assert_eq!(settings(&[("MAX_INFLIGHT", "5")]), (5, 4, 3));
        assert_eq!(settings(&[("MAX_INFLIGHT", "1")]), (1, 1, 1));
        assert_eq!(settings(&[("MAX_INFLIGHT", "4294967295")]).1, 3_865_470_565);
        assert_eq!(settings(&[("LOW_PRIORITY_MAX_INFLIGHT", "10"), ("MAX_INFLIGHT", "")]), (50, 45, 10));
    }

    #[test]
    fn mistakes_in_the_environment_are_named() {
        for (name, value, part) in [
            ("MAX_INFLIGHT", "0", "above 0"),
            ("MAX_INFLIGHT", "x", "above 0"),
            ("LOW_PRIORITY_MAX_INFLIGHT", "46", "does not hold"),
            ("BREAKER_COOLDOWN_SECONDS", "3601", "more than 3600"),
            ("UPSTREAM_BASE_URL", "https://a", "is not a URL"),
            ("UPSTREAM_BASE_URL", "http://", "is not a URL"),
            ("UPSTREAM_BASE_URL", "http://a:99999", "is not a URL"),
            ("UPSTREAM_BASE_URL", "http://a/?b", "is not a URL"),
        ] {
            let error = settings(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(part), "{error}");
        }
    }
}
