//! `priority.rules`: a list of tables, each with conditions and a class.

use loadline_core::Class;
use loadline_http::classify::{Condition, PathGlob, Rule, RuleError, RuleProblem, Rules};
use serde_json::{Value as Json, json};

use super::error::{Mistake, Mistakes, closest};
use super::key::Field;
use super::settings::Settings;
use super::tables::{Entry, Kind};
use super::value::{Raw, did_you_mean, quoted};

const RULES: Kind = Kind {
    one: "rule",
    example: "{path=\"/admin/*\",class=\"critical\"}",
    names: &["path", "method", "has_header", "header", "has_query", "query", "class"],
};

/// The list of rules.
pub(super) struct RulesField;

impl Field for RulesField {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Mistakes> {
        settings.priority.rules = RULES.read(raw, rule)?;
        Ok(())
    }

    fn literal(&self, settings: &Settings) -> String {
        let rules: Vec<_> = settings.priority.rules.iter().map(rule_literal).collect();
        format!("[{}]", rules.join(", "))
    }

    fn accepts(&self) -> String {
        RULES.accepts()
    }

    fn schema(&self) -> Json {
        let text = json!({ "type": "string", "minLength": 1 });
        let mut properties: serde_json::Map<_, _> =
            RULES.names.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
        properties.insert("class".to_owned(), json!({ "enum": Class::ALL.map(Class::as_str) }));
        json!({ "type": "array", "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["class"],
            "minProperties": 2,
            "properties": properties,
        } })
    }
}

/// Reads the table that begins at `at`.
fn rule(at: usize, entries: &[Entry<'_>]) -> Result<Rule, Mistake> {
    let mut class = None;
    let mut conditions = Vec::new();
    for entry in entries {
        let Raw::String(text) = entry.raw else {
            return Err(entry.wrong(format_args!("{} is not a string", entry.raw)));
        };
        if entry.name == "class" {
            class = Some(parse_class(text).map_err(|message| entry.wrong(message))?);
        } else {
            conditions.push(condition(entry.name, text, entry.at)?);
        }
    }
    let incomplete = |message: &str| Mistake { at: Some(at), message: message.to_owned() };
    let class = class.ok_or_else(|| incomplete("a rule needs a class (such as class=\"high\")"))?;
    if conditions.is_empty() {
        return Err(incomplete(
            "a rule needs a condition; the class of all other requests is priority.default",
        ));
    }
    Ok(Rule { conditions, class })
}

/// Reads a class's name.
///
/// # Errors
/// The rest of a sentence about the value.
pub(super) fn parse_class(text: &str) -> Result<Class, String> {
    Class::ALL.into_iter().find(|class| class.as_str() == text).ok_or_else(|| {
        let hint = closest(text, Class::ALL.into_iter().map(Class::as_str)).map(did_you_mean);
        format!("{text:?} is not critical, high, normal, low or bypass{}", hint.unwrap_or_default())
    })
}

/// Reads a path pattern whose value's quote stands at `value_at`.
pub(super) fn path(text: &str, value_at: usize) -> Result<PathGlob, Mistake> {
    PathGlob::parse(text).map_err(|error| Mistake {
        // What stands before the fault is plain ASCII; where it was written with escapes, this is a little early.
        at: Some(value_at + 1 + error.at),
        message: format!("path: {error}"),
    })
}

/// Reads the condition `name = "text"`, whose value's quote stands at `value_at`.
fn condition(name: &str, text: &str, value_at: usize) -> Result<Condition, Mistake> {
    let wrong = |message| Mistake { at: Some(value_at), message: format!("{name}: {message}") };
    // Names of headers have no case; a request's are compared in lower case.
    let condition = match name {
        "path" => Condition::Path(path(text, value_at)?),
        "method" => Condition::Method(text.to_owned()),
        "has_header" => Condition::HasHeader(text.to_ascii_lowercase()),
        "header" => {
            let (field, value) = text.split_once(':').ok_or_else(|| {
                wrong(format!("{text:?} is not \"name: value\" (for any value: has_header)"))
            })?;
            Condition::HeaderEquals(field.trim().to_ascii_lowercase(), value.trim().to_owned())
        }
        "has_query" => Condition::HasQuery(text.to_owned()),
        _ => {
            let (parameter, value) = text
                .split_once('=')
                .ok_or_else(|| wrong(format!("{text:?} is not \"name=value\" (for any value: has_query)")))?;
            Condition::QueryEquals(parameter.to_owned(), value.to_owned())
        }
    };
    // The class does not matter to the check.
    let alone = Rule { conditions: vec![condition.clone()], class: Class::Low };
    match Rules::new(vec![alone], Class::Normal) {
        Ok(_) => Ok(condition),
        Err(RuleError { problem, .. }) => Err(wrong(explained(&problem))),
    }
}

fn explained(problem: &RuleProblem) -> String {
    RuleError { rule: None, problem: problem.clone() }.to_string()
}

/// The rule as it is written in a file.
pub(super) fn rule_literal(rule: &Rule) -> String {
    let mut text = String::from("{ ");
    for condition in &rule.conditions {
        let (name, value) = condition.name_and_value();
        text.push_str(&format!("{name} = {}, ", quoted(&value)));
    }
    text.push_str(&format!("class = {} }}", quoted(rule.class.as_str())));
    text
}
