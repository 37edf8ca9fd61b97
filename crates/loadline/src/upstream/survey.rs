//! `loadline check --online`: where the upstream's names lead now, and whether somebody answers there.
//!
//! It connects and closes again; nothing is sent.

use std::time::Duration;

use loadline_core::BreakerSettings;
use tokio::time::Instant;

use super::connect::{self, ConnectError};
use super::discover::{literal, look_up};
use super::endpoint::Endpoint;
use crate::config::settings::Settings;
use crate::config::units::format_duration;

/// What was found, for people, and whether each target can be reached at one of its places at least.
pub(crate) async fn survey(settings: &Settings) -> (String, bool) {
    let (mut report, mut all) = (String::new(), true);
    for target in settings.upstream.targets() {
        let found = match literal(target) {
            Some(found) => Ok(vec![found]),
            None => look_up(target, &settings.dns).await.map(|answer| answer.found),
        };
        report.push_str(&format!("{target}\n"));
        let mut reached = false;
        match found {
            Err(error) => report.push_str(&format!("  cannot be resolved: {error}\n")),
            Ok(found) if found.is_empty() => report.push_str("  has no address\n"),
            Ok(found) => {
                for found in found {
                    let endpoint = Endpoint::new(found, 1, BreakerSettings::default(), 0, None);
                    let begun = Instant::now();
                    let connected = connect::once(&endpoint, begun + settings.timeouts.connect).await;
                    reached |= connected.is_ok();
                    let said = match connected {
                        Ok(_) => format!("connected in {}", micros(begun.elapsed())),
                        Err(ConnectError::Refused) => "refused".to_owned(),
                        Err(ConnectError::TimedOut) => {
                            format!("no answer within {}", format_duration(settings.timeouts.connect))
                        }
                    };
                    report.push_str(&format!("  {}  {said}\n", endpoint.name));
                }
            }
        }
        all &= reached;
    }
    (report, all)
}

/// Whole microseconds: more digits would be noise.
fn micros(span: Duration) -> String {
    format!("{} us", span.as_micros())
}
