//! `loadline drain`: no more requests to this one, please.
//!
//! With `--wait` it returns when nobody sends any more, so that it can stand where an orchestrator waits before it ends a
//! container: a preStop hook. It is told of the end by silence, for whoever sends requests here (a balancer, the rules of
//! kube-proxy) learns only after a while that it should not, and says nothing when it has.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use loadline_core::Class;
use serde_json::Value;

use super::client::{Admin, ClientError};
use super::{failed, say};

/// Silence for this long counts as the end: endpoints are usually taken out within a second or two.
const SILENCE: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Starts the drain, and waits for its end if so asked.
pub(super) fn drain(admin: &Admin, wait: Option<Duration>) -> ExitCode {
    match begin(admin, wait) {
        Ok(Some(end)) => say(&format!("{end}\n")),
        Ok(None) => {
            eprintln!("error: requests are still in service or arriving");
            ExitCode::FAILURE
        }
        Err(error) => failed(&error),
    }
}

/// What is to be said at the end; `None` when it was not reached in time.
fn begin(admin: &Admin, wait: Option<Duration>) -> Result<Option<String>, ClientError> {
    let begun = admin.post("/-/drain")?;
    let Some(wait) = wait else { return Ok(Some(begun.trim_end().to_owned())) };
    let deadline = Instant::now() + wait;
    // A short wait could not hold a long silence.
    let silence = SILENCE.min(wait / 2);
    let mut last = Seen::new(&admin.get("/api/v1/status")?);
    let mut quiet_since = Instant::now();
    while Instant::now() < deadline {
        std::thread::sleep(LOOK_AGAIN);
        let seen = Seen::new(&admin.get("/api/v1/status")?);
        if seen.busy || seen.offered != last.offered {
            quiet_since = Instant::now();
        }
        last = seen;
        if quiet_since.elapsed() >= silence {
            return Ok(Some(format!("drained: no request for {} s", silence.as_secs_f64())));
        }
    }
    Ok(None)
}

/// What matters of a status document.
struct Seen {
    /// Requests so far.
    offered: u64,
    /// Something is in service or waits.
    busy: bool,
}

impl Seen {
    fn new(status: &str) -> Self {
        let status: Value = serde_json::from_str(status).unwrap_or_default();
        let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64);
        // Not the bypass class: health checks go on for as long as the process does.
        let offered = Class::QUEUED.iter().filter_map(|class| number(&format!("/classes/{class}/offered")));
        Self {
            offered: offered.sum(),
            // What cannot be read is not known to be quiet.
            busy: ["/in_flight", "/queued"].iter().any(|pointer| number(pointer) != Some(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn silence_is_nothing_in_service_and_nothing_waiting() {
        let status = |in_flight: u32, queued: u32| {
            format!(
                r#"{{"in_flight":{in_flight},"queued":{queued},
                "classes":{{"normal":{{"offered":7}},"low":{{"offered":2}},"bypass":{{"offered":5}}}}}}"#
            )
        };
        assert!(!Seen::new(&status(0, 0)).busy);
        assert!(Seen::new(&status(1, 0)).busy);
        assert!(Seen::new(&status(0, 1)).busy);
        assert_eq!(Seen::new(&status(0, 0)).offered, 9, "health checks do not count");
        assert!(Seen::new("no JSON").busy, "what is not known is not silence");
    }
}
