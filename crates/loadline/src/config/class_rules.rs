//! `priority.rules`: a list of tables, each with conditions and a class.
//!
//! The one setting with an inside, so mistakes have places of their own: in a file the line and column of the word at fault,
//! elsewhere its position in the text. Outside of a file the same list is written as TOML or JSON on one line.

use loadline_core::Class;
use loadline_http::classify::{Condition, PathGlob, Rule, RuleError, RuleProblem, Rules};
use serde_json::{Value as Json, json};

use super::document::{Item, Node, parse_inline};
use super::error::{Mistake, Mistakes, closest};
use super::key::Field;
use super::settings::Settings;
use super::value::{Raw, did_you_mean, quoted};

/// What a rule may hold.
const NAMES: [&str; 7] = ["path", "method", "has_header", "header", "has_query", "query", "class"];

/// The list of rules.
pub(super) struct RulesField;

impl Field for RulesField {
    fn set(&self, settings: &mut Settings, raw: &Raw) -> Result<(), Mistakes> {
        settings.priority.rules = match raw {
            Raw::Untyped(text) => {
                let inline = parse_inline(text).map_err(|error| {
                    Mistakes(vec![Mistake { at: Some(error.at), message: error.message }])
                })?;
                self.rules(&inline)?
            }
            _ => self.rules(raw)?,
        };
        Ok(())
    }

    fn literal(&self, settings: &Settings) -> String {
        let rules: Vec<_> = settings.priority.rules.iter().map(rule_literal).collect();
        format!("[{}]", rules.join(", "))
    }

    fn accepts(&self) -> String {
        "a list of rules (such as [{path=\"/admin/*\",class=\"critical\"}])".to_owned()
    }

    fn schema(&self) -> Json {
        let text = json!({ "type": "string", "minLength": 1 });
        let mut properties: serde_json::Map<_, _> =
            NAMES.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
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

impl RulesField {
    fn rules(&self, raw: &Raw) -> Result<Vec<Rule>, Mistakes> {
        let Raw::List(items) = raw else {
            return Err(format!("{raw} is not {}", self.accepts()).into());
        };
        let mut rules = Vec::new();
        let mut mistakes = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match item {
                Raw::Table { at, entries } => match rule(*at, entries) {
                    Ok(rule) => rules.push(rule),
                    Err(mistake) => mistakes.push(mistake),
                },
                other => mistakes.push(Mistake {
                    at: None,
                    message: format!(
                        "rule {} is {other}, not a table (such as {{path=\"/admin/*\",class=\"critical\"}})",
                        index + 1
                    ),
                }),
            }
        }
        if mistakes.is_empty() { Ok(rules) } else { Err(Mistakes(mistakes)) }
    }
}

/// Reads the table that begins at `at`.
fn rule(at: usize, entries: &[Node]) -> Result<Rule, Mistake> {
    let mut class = None;
    let mut conditions = Vec::new();
    for (index, Node { name, name_at, value_at, item }) in entries.iter().enumerate() {
        let wrong_name = |message| Mistake { at: Some(*name_at), message };
        let wrong_value = |message| Mistake { at: Some(*value_at), message };
        if !NAMES.contains(&name.as_str()) {
            let hint = closest(name, NAMES.into_iter()).map(did_you_mean).unwrap_or_default();
            return Err(wrong_name(format!("unknown key `{}` in a rule{hint}", name.escape_debug())));
        }
        if entries[..index].iter().any(|earlier| earlier.name == *name) {
            return Err(wrong_name(format!("key `{name}` is given twice")));
        }
        let text = match item {
            Item::Value(Raw::String(text)) => text,
            Item::Value(raw) => return Err(wrong_value(format!("{name}: {raw} is not a string"))),
            Item::Table(_) => return Err(wrong_value(format!("{name}: a table is not a string"))),
        };
        if name == "class" {
            class = Some(parse_class(text).map_err(wrong_value)?);
        } else {
            conditions.push(condition(name, text, *value_at)?);
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

fn parse_class(text: &str) -> Result<Class, String> {
    Class::ALL.into_iter().find(|class| class.as_str() == text).ok_or_else(|| {
        let hint = closest(text, Class::ALL.into_iter().map(Class::as_str)).map(did_you_mean);
        format!("class: {text:?} is not critical, high, normal, low or bypass{}", hint.unwrap_or_default())
    })
}

/// Reads the condition `name = "text"`, whose value's quote stands at `value_at`.
fn condition(name: &str, text: &str, value_at: usize) -> Result<Condition, Mistake> {
    let wrong = |message| Mistake { at: Some(value_at), message: format!("{name}: {message}") };
    // Names of headers have no case; a request's are compared in lower case.
    let condition = match name {
        "path" => Condition::Path(PathGlob::parse(text).map_err(|error| Mistake {
            // What stands before the fault is plain ASCII; where it was written with escapes, this is a little early.
            at: Some(value_at + 1 + error.at),
            message: format!("{name}: {error}"),
        })?),
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
        let (name, value) = match condition {
            Condition::Path(glob) => ("path", glob.as_str().to_owned()),
            Condition::Method(method) => ("method", method.clone()),
            Condition::HasHeader(name) => ("has_header", name.clone()),
            Condition::HeaderEquals(name, value) => ("header", format!("{name}: {value}")),
            Condition::HasQuery(name) => ("has_query", name.clone()),
            Condition::QueryEquals(name, value) => ("query", format!("{name}={value}")),
        };
        text.push_str(&format!("{name} = {}, ", quoted(&value)));
    }
    text.push_str(&format!("class = {} }}", quoted(rule.class.as_str())));
    text
}
