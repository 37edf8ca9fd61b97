//! The class that a trusted hop has already decided.
//!
//! From anyone else the header means nothing: a client that could name its own class would name the highest.

use loadline_core::Class;

/// How a class header is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vocabulary {
    /// `critical`, `high`, `normal`, `low`; or, in upper case, the criticalities of Google's SRE book, chapter 21:
    /// `CRITICAL_PLUS` is critical, `CRITICAL` high, `SHEDDABLE_PLUS` normal, `SHEDDABLE` low. Case tells `critical`
    /// from `CRITICAL`, so nothing else is understood.
    #[default]
    Names,
    /// RFC 9218, `u=0` to `u=7`: 0 and 1 are high, 2 to 4 normal, 5 to 7 low. None is critical: browsers send `u=0` for
    /// every page. A value without `u` says nothing.
    Urgency,
}

/// A header that names the class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassHeader {
    /// Its lower-case name.
    pub name: String,
    /// How it is written.
    pub vocabulary: Vocabulary,
}

impl ClassHeader {
    /// The class that the header's value names; `None` if it comes from an untrusted hop or is not understood, and the
    /// rules decide. Never `bypass`.
    #[must_use]
    pub fn class(&self, value: &[u8], trusted: bool) -> Option<Class> {
        if !trusted {
            return None;
        }
        match self.vocabulary {
            Vocabulary::Names => named(value),
            Vocabulary::Urgency => urgency(value).map(|urgency| match urgency {
                0 | 1 => Class::High,
                2..=4 => Class::Normal,
                _ => Class::Low,
            }),
        }
    }
}

fn named(value: &[u8]) -> Option<Class> {
    match value {
        b"critical" | b"CRITICAL_PLUS" => Some(Class::Critical),
        b"high" | b"CRITICAL" => Some(Class::High),
        b"normal" | b"SHEDDABLE_PLUS" => Some(Class::Normal),
        b"low" | b"SHEDDABLE" => Some(Class::Low),
        _ => None,
    }
}

/// The last `u` of a dictionary (RFC 9651 section 3.2) whose value is one digit up to 7; parameters are passed over.
///
/// Not a whole parser of structured fields: a value that holds a quoted comma is read wrongly, yet never as more than
/// the digit that stands in it, and it comes from a trusted hop.
fn urgency(value: &[u8]) -> Option<u8> {
    let members = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let mut values = members.filter_map(|member| member.strip_prefix(b"u="));
    match *values.next_back()? {
        [digit @ b'0'..=b'7'] | [digit @ b'0'..=b'7', b';', ..] => Some(digit - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let header = ClassHeader { name: "x-class".to_owned(), vocabulary: Vocabulary::Names };
        for (value, class) in [
            ("critical", Class::Critical),
            ("high", Class::High),
            ("normal", Class::Normal),
            ("low", Class::Low),
            ("CRITICAL_PLUS", Class::Critical),
            ("CRITICAL", Class::High),
            ("SHEDDABLE_PLUS", Class::Normal),
            ("SHEDDABLE", Class::Low),
        ] {
            assert_eq!(header.class(value.as_bytes(), true), Some(class), "{value}");
            assert_eq!(header.class(value.as_bytes(), false), None, "{value}");
        }
        for other in [
            "",
            "Critical",
            "HIGH",
            "bypass",
            "BYPASS",
            "critical ",
            "critical,low",
            "0",
            "u=0",
            "critical\0",
        ] {
            assert_eq!(header.class(other.as_bytes(), true), None, "{other}");
        }
    }

    #[test]
    fn urgencies() {
        let header = ClassHeader { name: "priority".to_owned(), vocabulary: Vocabulary::Urgency };
        for (value, class) in [
            ("u=0", Some(Class::High)),
            ("u=1, i", Some(Class::High)),
            ("i, u=2", Some(Class::Normal)),
            ("u=3", Some(Class::Normal)),
            ("u=4;x=1", Some(Class::Normal)),
            ("u=5,i", Some(Class::Low)),
            ("i ,\tu=7", Some(Class::Low)),
            ("u=1, u=6", Some(Class::Low)),
            ("i", None),
            ("", None),
            ("u", None),
            ("u=", None),
            ("u=8", None),
            ("u=-1", None),
            ("u=01", None),
            ("u=1.0", None),
            ("U=1", None),
            ("uu=1", None),
            ("u=1, u=9", None),
            ("high", None),
        ] {
            assert_eq!(header.class(value.as_bytes(), true), class, "{value}");
            assert_eq!(header.class(value.as_bytes(), false), None, "{value}");
        }
    }
}
