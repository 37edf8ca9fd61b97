//! What would have let a rejected request in, in a few words.
//!
//! Three sentences and no others, so that a client may look for them: `class high or above`, `a deadline at least 1.3 s away`,
//! `retry after 4 s`. The first two are true of the moment of the rejection; the last is `Retry-After` again, where nothing but
//! time helps.

use loadline_core::{Class, Duration, Remedy};

/// Deadlines are told in tenths of a second: a prediction is not better than that.
const TENTH: Duration = Duration::from_millis(100);

/// Appends the hint; nothing where there is none.
pub(super) fn push(remedy: Option<Remedy>, retry_after: Option<u32>, out: &mut Vec<u8>) {
    match (remedy, retry_after) {
        (Some(Remedy::HigherClass(class)), _) => {
            out.extend_from_slice(b"class ");
            out.extend_from_slice(class.as_str().as_bytes());
            if class != Class::Critical {
                out.extend_from_slice(b" or above");
            }
        }
        (Some(Remedy::Budget(budget)), _) => {
            out.extend_from_slice(b"a deadline at least ");
            push_tenths(budget, out);
            out.extend_from_slice(b" s away");
        }
        (_, Some(seconds)) => {
            out.extend_from_slice(b"retry after ");
            out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
            out.extend_from_slice(b" s");
        }
        (_, None) => {}
    }
}

/// Rounded up, so that it is enough.
fn push_tenths(duration: Duration, out: &mut Vec<u8>) {
    let tenths = duration.as_nanos().div_ceil(TENTH.as_nanos());
    out.extend_from_slice(itoa::Buffer::new().format(tenths / 10).as_bytes());
    out.push(b'.');
    out.extend_from_slice(itoa::Buffer::new().format(tenths % 10).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints() {
        let hint = |remedy, retry_after| {
            let mut out = Vec::new();
            push(remedy, retry_after, &mut out);
            String::from_utf8(out).unwrap()
        };
        let budget = |millis| Some(Remedy::Budget(Duration::from_millis(millis)));
        assert_eq!(hint(Some(Remedy::HigherClass(Class::High)), Some(4)), "class high or above");
        assert_eq!(hint(Some(Remedy::HigherClass(Class::Critical)), None), "class critical");
        assert_eq!(hint(budget(1_201), Some(4)), "a deadline at least 1.3 s away");
        assert_eq!(hint(budget(1_200), None), "a deadline at least 1.2 s away");
        assert_eq!(hint(budget(0), None), "a deadline at least 0.0 s away");
        assert_eq!(hint(None, Some(4)), "retry after 4 s");
        assert_eq!(hint(None, None), "");
    }
}
