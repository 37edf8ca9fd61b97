//! The kinds of settings below `[priority]`, but for the rules.

use hyper::header::HeaderName;
use loadline_http::classify::{ClassHeader, Vocabulary};
use serde_json::{Value as Json, json};

use super::codecs::whole;
use super::settings::Reserve;
use super::value::{Codec, Raw, quoted};

/// RFC 9110 section 5.6.2.
pub(super) const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
/// The header of RFC 9218, which has words of its own.
const URGENCY: &str = "priority";

/// A share in whole percent: 0.01 to 1.0.
///
/// Kept as an integer, because thresholds are computed without floats: 0.95 × 20 must be 19.
pub(super) struct Share;

impl Codec for Share {
    type Target = u8;

    fn parse(&self, raw: &Raw) -> Result<u8, String> {
        let share = match raw {
            Raw::Float(number) => Some(*number),
            Raw::Untyped(text) => text.parse().ok(),
            _ => raw.integer().filter(|number| *number == 1).map(|_| 1.0),
        };
        // Searched for, not computed: the float next to each share is what people write.
        let percent = share.and_then(|share: f64| (1..=100).find(|percent| of_percent(*percent) == share));
        percent.ok_or_else(|| format!("{raw} is not {} (try 0.95)", self.accepts()))
    }

    fn literal(&self, value: &u8) -> String {
        format!("{:?}", of_percent(*value))
    }

    fn accepts(&self) -> String {
        "a share from 0.01 to 1.0 in steps of 0.01".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "number", "minimum": 0.01, "maximum": 1.0 })
    }
}

/// The float that `0.95` is read as: division rounds to the nearest one, as reading does.
fn of_percent(percent: u8) -> f64 {
    f64::from(percent) / 100.0
}

/// `auto`, or a number of slots.
pub(super) struct SlotsInReserve {
    /// Largest number.
    pub(super) max: u32,
}

impl Codec for SlotsInReserve {
    type Target = Reserve;

    fn parse(&self, raw: &Raw) -> Result<Reserve, String> {
        if raw.text() == Some("auto") {
            return Ok(Reserve::Auto);
        }
        let slots = whole(0, self.max).parse(raw);
        slots.map(Reserve::Slots).map_err(|_| format!("{raw} is not {}", self.accepts()))
    }

    fn literal(&self, value: &Reserve) -> String {
        match value {
            Reserve::Auto => quoted("auto"),
            Reserve::Slots(slots) => slots.to_string(),
        }
    }

    fn accepts(&self) -> String {
        format!("\"auto\" or {}", whole(0, self.max).accepts())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "const": "auto" }, whole(0, self.max).schema()] })
    }
}

/// The name of a class header; the name says how the header is written.
pub(super) struct ClassHeaderName;

impl Codec for ClassHeaderName {
    type Target = ClassHeader;

    fn parse(&self, raw: &Raw) -> Result<ClassHeader, String> {
        let name = raw.text().and_then(|text| HeaderName::from_bytes(text.as_bytes()).ok());
        let name = name.ok_or_else(|| format!("{raw} is not {}", self.accepts()))?;
        let vocabulary = if name == URGENCY { Vocabulary::Urgency } else { Vocabulary::Names };
        Ok(ClassHeader { name: name.as_str().to_owned(), vocabulary })
    }

    fn literal(&self, value: &ClassHeader) -> String {
        quoted(&value.name)
    }

    fn accepts(&self) -> String {
        "the name of a header".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": TOKEN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_percent_is_a_share_and_nothing_between_them_is() {
        for percent in 1..=100_u8 {
            let text = format!("{}.{:02}", percent / 100, percent % 100);
            assert_eq!(Share.parse(&Raw::Untyped(text.clone())), Ok(percent), "{text}");
            assert_eq!(Share.parse(&Raw::Float(text.parse().unwrap())), Ok(percent), "{text}");
            assert_eq!(Share.parse(&Raw::Untyped(Share.literal(&percent))), Ok(percent));
        }
        assert_eq!(Share.parse(&Raw::Integer(1)), Ok(100));
        for text in ["0", "0.0", "1.01", "0.955", "-0.5", "95", "95%", "nan", "inf", ""] {
            let error = Share.parse(&Raw::Untyped(text.to_owned())).unwrap_err();
            assert!(
                error.ends_with(" is not a share from 0.01 to 1.0 in steps of 0.01 (try 0.95)"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_name_of_a_class_header_says_how_it_is_written() {
        let header = |text: &str| ClassHeaderName.parse(&Raw::Untyped(text.to_owned())).unwrap();
        assert_eq!(
            header("Priority"),
            ClassHeader { name: "priority".into(), vocabulary: Vocabulary::Urgency }
        );
        assert_eq!(header("X-Class"), ClassHeader { name: "x-class".into(), vocabulary: Vocabulary::Names });
        assert!(ClassHeaderName.parse(&Raw::Untyped("x class".to_owned())).is_err());
    }
}
