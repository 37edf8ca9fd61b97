//! `loadline check --online`: where the upstream's names lead now, and whether somebody answers there.
//!
//! It connects and closes again; nothing is sent.

use std::io;
use std::time::Duration;

use loadline_core::BreakerSettings;
use tokio::time::Instant;

use super::MOST;
use super::connect::{self, ConnectError};
use super::discover::{literal, look_up, why};
use super::endpoint::Endpoint;
use super::names::Names;
use crate::config::settings::Settings;
use crate::config::units::format_duration;

/// What was found, for people, and whether each target can be reached at one of its places at least.
pub(crate) async fn survey(settings: &Settings) -> (String, bool) {
    let (mut report, mut all, mut addresses) = (String::new(), true, 0);
    for target in settings.upstream.targets() {
        let found = match literal(target) {
            Some(found) => Ok(vec![found]),
            None => look_up(target, &settings.dns, &mut Names::default()).await.map(|answer| answer.found),
        };
        report.push_str(&format!("{target}\n"));
        let mut reached = false;
        match found {
            Ok(found) if !found.is_empty() => {
                addresses += found.len();
                for found in found {
                    let standby =
                        if found.rank > 0 { "  (for when those before it cannot be used)" } else { "" };
                    let endpoint = Endpoint::new(found, 1, BreakerSettings::default(), 0, None);
                    let begun = Instant::now();
                    let connected = connect::once(&endpoint, begun + settings.timeouts.connect).await;
                    reached |= connected.is_ok();
                    let said = match connected {
                        Ok(_) => format!("connected in {}", micros(begun.elapsed())),
                        Err(ConnectError::Refused(error)) => words(&error),
                        Err(ConnectError::TimedOut) => {
                            format!("no answer within {}", format_duration(settings.timeouts.connect))
                        }
                    };
                    report.push_str(&format!("  {}  {said}{standby}\n", endpoint.name));
                }
            }
            nowhere => report.push_str(&format!("  cannot be resolved: {}\n", why(nowhere.err()))),
        }
        all &= reached;
    }
    if addresses > MOST {
        report.push_str(&format!("{addresses} addresses: only {MOST} of them get requests\n"));
    }
    (report, all)
}

/// What failed, and what that means most often.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused: nobody listens there".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route to there".to_owned(),
        io::ErrorKind::TimedOut => "no answer, the system says".to_owned(),
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted".to_owned(),
        _ => format!("cannot connect: {error}"),
    }
}

/// Whole microseconds: more digits would be noise.
fn micros(span: Duration) -> String {
    format!("{} us", span.as_micros())
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_no_test_can_bring_about_is_told_apart_too() {
        for (errno, said) in [
            (Errno::NETUNREACH, "no route to there"),
            (Errno::HOSTUNREACH, "no route to there"),
            (Errno::TIMEDOUT, "no answer, the system says"),
            (Errno::ACCESS, "not permitted"),
            (Errno::MFILE, "cannot connect: Too many open files (os error 24)"),
        ] {
            assert_eq!(words(&errno.into()), said);
        }
    }
}
