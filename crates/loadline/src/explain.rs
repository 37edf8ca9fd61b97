//! `/api/v1/explain`: what would become of a request now, and which rule decides.
//!
//! **Why it exists.** "Why was I turned away?" and "what would let it in?" are asked while an overload goes on. Reading settings
//! beside metrics answers neither; asking the running proxy does.
//!
//! **How.** The request that is asked about is written out, parsed by the codec and classified like any other ([`Asked`]), and
//! the gate is asked with the code that decides ([`loadline_tower::Gate::explain`]). Nothing changes and nothing is counted.
//!
//! **Out of scope.** What happens later: whoever would wait may still be pushed out, expire or leave.

mod door;
mod question;
mod words;

use std::time::Duration;

use loadline_core::{Class, Explanation, LimiterSnapshot, Reason, Remedy, Verdict};
use loadline_http::rejection::describe;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::asked::{Asked, DecidedBy};
use crate::budget::Deadline;
use crate::config;
use crate::live::Live;
use crate::shared::Shared;
use crate::status;

use self::door::Rule;
use self::question::Question;

/// What is known about a request that might come.
struct Case<'a> {
    question: &'a Question,
    live: &'a Live,
    trusted: bool,
    /// Whether the class is the question's, not the settings'.
    class_given: bool,
    asked: Asked,
    deadline_left: Option<Duration>,
    explanation: Explanation,
    verdict: Verdict,
    rule: Rule,
    /// The overload signal that leads, in words.
    overload: String,
    /// Requests that wait for a slot, of all classes.
    queued: u32,
    /// What moves the limit.
    limiter: LimiterSnapshot,
    limiter_facts: Value,
    /// When it was last changed.
    limit_since: Option<Duration>,
}

impl Case<'_> {
    /// What would let it in, besides coming later.
    fn remedy(&self) -> Option<Remedy> {
        // The core was asked also where the proxy itself refuses.
        self.explanation.remedy.filter(|_| matches!(self.rule, Rule::Core(_)))
    }
}

/// Answers the query of `/api/v1/explain?…`.
///
/// # Errors
/// What is wrong with the question, for the one who asked.
pub(crate) fn answer(shared: &Shared, query: &str) -> Result<Value, String> {
    let question = Question::parse(query)?;
    let live = shared.live();
    let now = Instant::now();
    let scratch = question.scratch(&live)?;
    let trusted = live.trusts_address(question.from);
    let mut asked = Asked::read(&scratch, &live, question.from, trusted, now);
    let class_given = question.class.is_some();
    if let Some(class) = question.class {
        asked.class = class;
        asked.decided_by = DecidedBy::Default;
    }
    if let Some(left) = question.deadline {
        asked.deadline = Some(Deadline::at(now + left));
    }
    let request = asked.request(shared.gate.now(), 0);
    let (gate, explanation) = match live.shadow.as_ref().filter(|run| run.is_dry_run()) {
        Some(run) => (run.snapshot(), run.explain(&request)),
        None => (shared.gate.snapshot(), shared.gate.explain(&request)),
    };
    let (verdict, rule) = door::decide(shared, &live, &asked, &explanation);
    let case = Case {
        question: &question,
        live: &live,
        trusted,
        class_given,
        deadline_left: asked.deadline.map(|deadline| deadline.left(now)),
        asked,
        explanation,
        verdict,
        rule,
        overload: shared.overload.leading().unwrap_or_default(),
        queued: gate.queued,
        limiter_facts: status::limiter(shared, &gate.limiter),
        limit_since: gate.limiter.changes.last().map(|change| shared.gate.now().saturating_since(change.at)),
        limiter: gate.limiter,
    };
    Ok(document(&case))
}

fn document(case: &Case<'_>) -> Value {
    let Case { question, live, asked, explanation, .. } = case;
    let reason = match case.verdict {
        Verdict::Shed(reason) => Some(reason),
        Verdict::Admit | Verdict::Queue => None,
    };
    let (by, number) = if case.class_given { ("asked", None) } else { asked.decided_by.named() };
    let rule_text =
        number.and_then(|number| live.settings.priority.rules.get(number - 1)).map(config::rule_text);
    let invalid: Vec<_> = live
        .deadlines
        .headers()
        .filter(|(id, ..)| asked.invalid_headers.iter().any(|invalid| invalid == *id))
        .map(|(_, name, _)| name.to_owned())
        .collect();
    json!({
        "request": { "method": question.method, "path": question.path, "from": question.from.to_string() },
        "trusted": case.trusted,
        "route": live.routes.name(asked.route),
        "class": asked.class.as_str(),
        "class_by": { "setting": by, "rule": number, "text": rule_text },
        "judged_as": explanation.class.as_str(),
        "deadline_left_ms": case.deadline_left.map(millis),
        "invalid_headers": invalid,
        "decision": decision(case.verdict, asked.class),
        "reason": reason.map(Reason::as_str),
        "status": reason.map(|reason| describe(reason, &live.status_codes).status),
        "dry_run": live.settings.dry_run,
        "rule": case.rule.as_str(),
        "remedy": case.remedy().map(remedy),
        "in_flight": explanation.in_flight,
        "slots": explanation.slots,
        "queued": case.queued,
        "limiter": case.limiter_facts,
        "predicted_wait_ms": millis(explanation.predicted_wait),
        "predicted_service_ms": explanation.predicted_service.map(millis),
        "displaces": explanation.displaces.map(Class::as_str),
        "text": words::sentences(case),
    })
}

fn remedy(remedy: Remedy) -> Value {
    match remedy {
        Remedy::HigherClass(class) => json!({ "class": class.as_str() }),
        Remedy::Budget(budget) => json!({ "deadline_ms": millis(budget) }),
        _ => Value::Null,
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// The log's word for a decision that is still to come.
fn decision(verdict: Verdict, class: Class) -> &'static str {
    match verdict {
        Verdict::Admit if class == Class::Bypass => "bypass",
        Verdict::Admit => "admitted",
        Verdict::Queue => "queued",
        Verdict::Shed(_) => "shed",
    }
}
