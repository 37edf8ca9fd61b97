//! What is asked for: method, path, fields, body, and how often compared with others.

use std::str::FromStr;

use serde::Deserialize;

use crate::units::Written;

/// Fields that say where a message ends or what becomes of its connection: the generator writes them itself.
const OWN_FIELDS: [&str; 7] =
    ["connection", "content-length", "expect", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// One kind of request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The name in the report; by default the path.
    #[serde(default)]
    pub name: String,
    /// The method, as it is sent.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query, from the first `/` on; empty for the URL's own.
    #[serde(default)]
    pub path: String,
    /// How often it is drawn, compared with the others.
    #[serde(default = "one")]
    pub weight: u32,
    /// Its class, if it always has the same.
    #[serde(default)]
    pub class: Option<String>,
    /// Its tenant, if it always has the same.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Fields that are sent with it.
    #[serde(default)]
    pub headers: Vec<Field>,
    /// The body; `@file` for a file's content.
    #[serde(default)]
    pub body: String,
}

/// A field of a request: `name: value`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Field {
    /// In lower case, as HTTP/2 wants it and HTTP/1.1 does not mind.
    pub name: String,
    /// Without surrounding white space.
    pub value: String,
}

impl Default for Target {
    /// `GET` of the URL's path.
    fn default() -> Self {
        Self {
            name: String::new(),
            method: get(),
            path: String::new(),
            weight: one(),
            class: None,
            tenant: None,
            headers: Vec::new(),
            body: String::new(),
        }
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn one() -> u32 {
    1
}

impl Target {
    /// Whether sending it twice does no more than sending it once (RFC 9110 section 9.2.2).
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].contains(&self.method.as_str())
    }

    /// # Errors
    /// What cannot be sent as it is written, in words.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |why: String| Err(format!("target `{}`: {why}", self.name));
        if !is_token(&self.method) || self.method == "CONNECT" {
            return wrong(format!("`{}` is not a method that can be sent", self.method));
        }
        if !self.path.starts_with('/') || !self.path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong(format!("the path `{}` does not begin with `/` or is not plain ASCII", self.path));
        }
        self.headers.iter().try_for_each(Field::check).or_else(wrong)
    }
}

impl Field {
    fn check(&self) -> Result<(), String> {
        if !is_token(&self.name) {
            return Err(format!("`{}` is not a field name", self.name));
        }
        if OWN_FIELDS.contains(&self.name.as_str()) {
            return Err(format!("`{}` is written by the generator itself", self.name));
        }
        if self.value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
            return Err(format!("the value of `{}` has a control character", self.name));
        }
        Ok(())
    }
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) =
            text.split_once(':').ok_or_else(|| format!("`{text}` is not a header (try 'x-name: value')"))?;
        Ok(Self { name: name.trim().to_ascii_lowercase(), value: value.trim().to_owned() })
    }
}

impl TryFrom<Written> for Field {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        written.text().parse()
    }
}

impl FromStr for Target {
    type Err = String;

    /// `GET /cheap weight=9 name=cheap header='x-a: b' body=@file`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("target `{text}`: {why} (try 'GET /cheap weight=9 name=cheap')");
        let mut words = words(text).map_err(wrong)?.into_iter();
        let (method, path) =
            words.next().zip(words.next()).ok_or_else(|| wrong("it needs a method and a path".to_owned()))?;
        let mut target = Self { method, path, ..Self::default() };
        for word in words {
            let (key, value) =
                word.split_once('=').ok_or_else(|| wrong(format!("`{word}` is not key=value")))?;
            match key {
                "name" => target.name = value.to_owned(),
                "class" => target.class = Some(value.to_owned()),
                "tenant" => target.tenant = Some(value.to_owned()),
                "body" => target.body = value.to_owned(),
                "header" => target.headers.push(value.parse().map_err(wrong)?),
                "weight" => {
                    target.weight = value.parse().map_err(|_| wrong(format!("`{value}` is not a weight")))?;
                }
                _ => {
                    let known = "weight, name, class, tenant, header, body";
                    return Err(wrong(format!("`{key}` is not one of {known}")));
                }
            }
        }
        Ok(target)
    }
}

/// Splits at spaces; a value that begins with a quotation mark goes on to the next one of its kind.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in text.chars() {
        match (character, quote) {
            (_, Some(open)) if character == open => quote = None,
            ('\'' | '"', None) if word.is_empty() || word.ends_with('=') => quote = Some(character),
            (' ', None) => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is not closed".to_owned());
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_on_one_line() {
        let target: Target =
            "POST /orders?x=1 weight=3 name=order class=high header='x-a: b c' body={\"a\":1}"
                .parse()
                .unwrap();
        assert_eq!((target.method.as_str(), target.path.as_str()), ("POST", "/orders?x=1"));
        assert_eq!(
            (target.name.as_str(), target.weight, target.class.as_deref()),
            ("order", 3, Some("high"))
        );
        assert_eq!(target.headers, [Field { name: "x-a".into(), value: "b c".into() }]);
        assert_eq!(target.body, "{\"a\":1}");
        assert!(target.check().is_ok() && !target.is_idempotent());
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        for (text, part) in [
            ("GET", "a method and a path"),
            ("GET / wait=1", "`wait` is not one of weight"),
            ("GET / weight=x", "not a weight"),
            ("GET / header='x", "not closed"),
            ("GET / header=x", "not a header"),
        ] {
            assert!(text.parse::<Target>().unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn what_would_break_the_message_is_refused() {
        for text in [
            "G@T /",
            "CONNECT /",
            "GET x",
            "GET /\u{e9}",
            "GET / header='content-length: 5'",
            "GET / header='x y: 1'",
            "GET / header='x: a\rb'",
        ] {
            assert!(text.parse::<Target>().unwrap().check().is_err(), "{text}");
        }
    }
}
