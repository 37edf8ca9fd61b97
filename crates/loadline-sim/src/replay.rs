//! What would other settings have done yesterday? Recorded arrivals, and how long each request took, from loadline's access log in
//! JSON (`log.access = "json"`).
//!
//! From each line: when it was written (`ts`), the time in the queue and in service (`queue_ms`, `response_ms`), so the time
//! of its arrival; `priority`, `route`, `attempt`, the deadline if it had one. A request that was shed has no service time: it
//! gets that of another of its route, by lot. The service is a pool with as many workers as requests were ever in
//! flight in the log: what it could have done beyond that, the log does not know. `--set backend.stage.0.workers=N` says
//! otherwise.
//!
//! What is not in the log is not replayed: how long the transfer of a body took, how long clients would have waited
//! (`--set clients.log.timeout=2s`), and retries that would not have been made had the first attempt succeeded. Requests that skipped the
//! limit are left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use loadline_core::Class;
use serde::Deserialize;

use crate::compare::Plan;
use crate::random::Random;
use crate::scenario::{Scenario, ScenarioError};
use crate::units::SECOND;

/// A request as it was recorded.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Recorded {
    /// When it arrived, in nanoseconds after the first.
    pub at: u64,
    /// How much it mattered.
    pub class: Class,
    /// Its route, from 1.
    pub route: u16,
    /// How long it was in service, in nanoseconds.
    pub work: u64,
    /// How long after its arrival it was worth nothing any more.
    pub deadline: Option<u64>,
}

/// A recorded stretch of time.
#[derive(Clone, PartialEq, Debug)]
pub struct Recording {
    /// In the order of arrival.
    pub requests: Arc<[Recorded]>,
    /// Names of the routes.
    pub routes: Vec<String>,
    /// The highest limit that was in force.
    pub limit: u32,
    /// The most that were in flight.
    pub in_flight: u32,
    /// How many were shed, by reason.
    pub shed: BTreeMap<String, u64>,
    /// Lines that are no record of a request.
    pub skipped: u64,
}

#[derive(Deserialize)]
struct Line {
    ts: String,
    queue_ms: i64,
    response_ms: i64,
    #[serde(default)]
    decision: String,
    reason: Option<String>,
    #[serde(default)]
    priority: String,
    #[serde(default)]
    route: String,
    #[serde(default)]
    inflight: u32,
    #[serde(default)]
    limit: u32,
    deadline_left_ms: Option<i64>,
}

impl Recording {
    /// Reads a log, one JSON object per line.
    ///
    /// # Errors
    /// Nothing in it can be replayed.
    pub fn parse(log: &str) -> Result<Self, ScenarioError> {
        let mut recording = Self {
            requests: Arc::new([]),
            routes: Vec::new(),
            limit: 0,
            in_flight: 0,
            shed: BTreeMap::new(),
            skipped: 0,
        };
        let mut requests: Vec<(u64, Recorded, bool)> = Vec::new();
        for text in log.lines().filter(|text| !text.trim().is_empty()) {
            match serde_json::from_str(text).ok().and_then(|line: Line| recording.take(&line)) {
                Some(request) => requests.push(request),
                None => recording.skipped += 1,
            }
        }
        requests.sort_by_key(|(arrived, ..)| *arrived);
        let Some((first, ..)) = requests.first().copied() else {
            return Err(ScenarioError::new(
                "the log has no line of a request (it must be written with log.access = \"json\")",
            ));
        };
        let known: Vec<Recorded> =
            requests.iter().filter(|(.., known)| *known).map(|(_, request, _)| *request).collect();
        if known.is_empty() {
            return Err(ScenarioError::new(
                "no request in the log was ever in service, so nothing says how long they take",
            ));
        }
        let mut lot = Random::new(0, 0);
        let requests = requests.into_iter().map(|(arrived, request, is_known)| {
            let alike: Vec<&Recorded> = match is_known {
                true => vec![&request],
                false => known.iter().filter(|other| other.route == request.route).collect(),
            };
            let work = match alike.len() {
                0 => known[lot.below(known.len() as u64) as usize].work,
                n => alike[lot.below(n as u64) as usize].work,
            };
            Recorded { at: arrived - first, work, ..request }
        });
        recording.requests = requests.collect();
        Ok(recording)
    }

    /// When it arrived, the request, and whether its service time is known.
    fn take(&mut self, line: &Line) -> Option<(u64, Recorded, bool)> {
        let class = match line.priority.as_str() {
            "" => Class::Normal,
            word => Class::QUEUED.into_iter().find(|class| class.as_str() == word)?,
        };
        if line.decision == "bypass" {
            return None;
        }
        let millis = |ms: i64| u64::try_from(ms).unwrap_or(0) * 1_000_000;
        let (queued, served) = (millis(line.queue_ms), millis(line.response_ms));
        let arrived = timestamp(&line.ts)?.checked_sub(queued + served)?;
        let known = line.decision != "shed" && line.response_ms >= 0;
        if line.decision == "shed" {
            *self.shed.entry(line.reason.clone().unwrap_or_default()).or_default() += 1;
        }
        (self.limit, self.in_flight) = (self.limit.max(line.limit), self.in_flight.max(line.inflight));
        let index = self.routes.iter().position(|route| *route == line.route).unwrap_or_else(|| {
            self.routes.push(line.route.clone());
            self.routes.len() - 1
        });
        let route = u16::try_from(index + 1).ok()?;
        // What is left is counted from the admission on.
        let deadline = line.deadline_left_ms.map(|left| millis(left) + queued);
        // The log has whole milliseconds: less than one is one.
        Some((arrived, Recorded { at: 0, class, route, work: served.max(1_000_000), deadline }, known))
    }

    /// loadline with the recorded limit, and with changes; see [`Scenario::parse`] for their form.
    ///
    /// # Errors
    /// As [`Scenario::parse`].
    pub fn plans(&self, changes: &[String]) -> Result<Vec<Plan>, ScenarioError> {
        let once = |about: &str, changes: &[String]| {
            let mut scenario = Scenario::parse(&self.scenario(about), changes)?;
            scenario.replay(&self.requests);
            Plan::new(scenario)
        };
        let mut plans = vec![once("as recorded", &[])?];
        if !changes.is_empty() {
            plans.push(once(&changes.join(", "), changes)?);
        }
        Ok(plans)
    }

    /// The scenario without its requests.
    fn scenario(&self, about: &str) -> String {
        let last = self.requests.last().map_or(0, |request| request.at);
        let secs = last / SECOND + 1;
        let mean =
            self.requests.iter().map(|request| request.work).sum::<u64>() / self.requests.len().max(1) as u64;
        let rate = self.requests.len() as f64 / secs as f64;
        let about = toml::Value::String(about.to_owned());
        let routes: String = self
            .routes
            .iter()
            .map(|name| format!("[[route]]\nname = {}\n", toml::Value::String(name.clone())))
            .collect();
        format!(
            "name = \"replay\"\nabout = {about}\nduration = \"{secs}s\"\nlimit = {}\npolicies = [\"loadline\"]\n\
             [[backend.stage]]\nkind = \"workers\"\nworkers = {}\nwork = \"{mean}ns\"\n\
             [[clients]]\nname = \"log\"\nrate = {rate:?}\n{routes}",
            self.limit.max(1),
            self.in_flight.max(1),
        )
    }

    /// In words, what the log says.
    #[must_use]
    pub fn describe(&self) -> String {
        let shed: u64 = self.shed.values().sum();
        let share = shed as f64 / self.requests.len().max(1) as f64;
        let reasons: Vec<String> =
            self.shed.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        format!(
            "log: {} requests, shed {:.1} %{reasons}, limit {}, at most {} in flight, {} lines skipped\n",
            self.requests.len(),
            share * 100.0,
            self.limit,
            self.in_flight,
            self.skipped
        )
    }
}

/// `2026-11-20T20:40:18.123Z` in nanoseconds since 1970, without leap seconds.
fn timestamp(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, milli) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    // Days of a civil date, with the year beginning in March so that the leap day is its last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    let since_1970 = days.checked_sub(719_468)?;
    let seconds = ((since_1970 * 24 + hour) * 60 + minute) * 60 + second;
    Some((seconds * 1_000 + milli) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare;

    fn line(ms: u64, queue: i64, response: i64, decision: &str) -> String {
        format!(
            "{{\"ts\":\"2026-11-20T10:00:{:02}.{:03}Z\",\"status\":200,\"queue_ms\":{queue},\"response_ms\":{response},\
             \"decision\":\"{decision}\",\"reason\":\"queue_full\",\"priority\":\"high\",\"route\":\"api\",\"inflight\":2,\
             \"limit\":2,\"attempt\":1}}\n",
            ms / 1000,
            ms % 1000
        )
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(timestamp("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(timestamp("2024-02-29T12:34:56.789Z"), Some(1_709_210_096_789_000_000));
        assert_eq!(timestamp("2026-11-20T20:40:18.001Z"), Some(1_795_207_218_001_000_000));
        assert_eq!(timestamp("yesterday"), None);
    }

    #[test]
    fn arrivals_are_before_queue_and_service() {
        let log = line(500, 100, 50, "queued")
            + &line(200, 0, 100, "admitted")
            + &line(300, -1, -1, "shed")
            + "no json\n";
        let recording = Recording::parse(&log).unwrap();
        let at: Vec<u64> = recording.requests.iter().map(|request| request.at / 1_000_000).collect();
        assert_eq!(at, [0, 200, 250], "at 100, 300 and 350 ms");
        assert!(recording.requests.iter().all(|request| request.class == Class::High && request.route == 1));
        let shed = recording.requests[1].work / 1_000_000;
        assert!(shed == 50 || shed == 100, "that of one of the others");
        assert_eq!((recording.limit, recording.skipped, recording.shed["queue_full"]), (2, 1, 1));
        assert!(Recording::parse("{}\n").is_err());
    }

    #[test]
    fn another_limit_would_have_shed_more() {
        // 100 requests per second of 40 ms each keep 4 busy.
        let log: String =
            (0..1_000).map(|n| line(100 + n * 10, 0, 40, "admitted").replace(":2,", ":4,")).collect();
        let recording = Recording::parse(&log).unwrap();
        let changes = ["limit.concurrency=2".to_owned(), "queue.timeout=100ms".to_owned()];
        let comparisons = compare(&recording.plans(&changes).unwrap(), &|_| {});
        let refused = |index: usize| comparisons[index].results[0].runs[0].totals.refused;
        assert_eq!(refused(0), 0);
        assert!((400..600).contains(&refused(1)), "half of them: {}", refused(1));
    }
}
