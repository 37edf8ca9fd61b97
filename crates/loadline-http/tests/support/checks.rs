//! Invariants over arbitrary bytes, for the fuzzer and for stable tests. Each function panics when one does not hold.

use std::time::Duration;

use loadline_core::Class;
use loadline_http::classify::{
    COHORTS, ClassHeader, Condition, PathGlob, RequestView, Rule, Rules, Vocabulary, ambiguity, attempt,
    cohort,
};
use loadline_http::deadline::{
    DeadlineHeaders, DeadlineKind, DeadlineSettings, HeaderKind, NaiveZone, write_remaining,
};

/// 2026-11-20T15:27:23.726505710Z
const NOW: i64 = 1_795_188_443_726_505_710;

/// Lines of one byte that chooses a header, and its value; the first line's first bytes are the clock.
pub fn deadline(data: &[u8]) {
    let settings = DeadlineSettings { zone: NaiveZone::Utc, ..DeadlineSettings::default() };
    let (max, skew) = (settings.max, settings.skew);
    let names: Vec<String> = settings.headers.iter().map(|(name, _)| name.clone()).collect();
    let headers = DeadlineHeaders::new(settings).expect("the default is valid");
    let fields = || {
        data.split(|byte| *byte == b'\n').filter_map(|line| {
            let (first, value) = line.split_first()?;
            Some((names.get(usize::from(first % 16)).map_or(value, |name| name.as_bytes()), value))
        })
    };
    for now in [NOW, data.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes))] {
        let untrusted = headers.budget(fields(), now, false);
        let trusted = headers.budget(fields(), now, true);
        for budget in [untrusted, trusted] {
            assert!(budget.remaining.is_none_or(|remaining| remaining <= max));
            assert!(budget.tolerance <= skew && budget.tolerance <= budget.remaining.unwrap_or_default());
            assert_eq!(budget.source.is_some(), budget.remaining.is_some());
        }
        assert_eq!(untrusted.age, Duration::ZERO);
        // Trust adds the wait, which can only shorten.
        assert_eq!(untrusted.remaining.is_some(), trusted.remaining.is_some());
        assert!(trusted.remaining <= untrusted.remaining);

        // What is passed on is understood, and is no later than what came in.
        let Some(remaining) = trusted.remaining else { continue };
        let left = remaining.saturating_sub(trusted.tolerance);
        for kind in [DeadlineKind::Instant, DeadlineKind::Milliseconds, DeadlineKind::GrpcTimeout] {
            let mut value = Vec::new();
            write_remaining(kind, left, now, &mut value);
            let wanted = HeaderKind::Deadline(kind);
            let (_, name, _) =
                headers.headers().find(|(_, _, kind)| *kind == wanted).expect("a header of each kind");
            // Beyond the years of the calendar an instant cannot be written.
            let written = headers.budget([(name.as_bytes(), value.as_slice())], now, false);
            if let Some(again) = written.remaining {
                let promised = again.saturating_sub(written.tolerance);
                assert!(promised <= left.max(Duration::from_millis(1)), "{left:?} became {promised:?}");
            } else {
                assert!(kind == DeadlineKind::Instant && now != NOW);
            }
        }
    }
}

/// Three lines: a pattern, a path, and the rest of a request.
pub fn classify(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, path, rest) = (line(), line(), line());
    if let Some(at) = ambiguity(path) {
        assert!(at <= path.len());
    }
    let header = ClassHeader { name: "x-class".to_owned(), vocabulary: Vocabulary::Urgency };
    assert_ne!(header.class(rest, true), Some(Class::Critical));
    assert_eq!(header.class(rest, false), None);
    assert!(attempt([(&b"x-retry-attempt"[..], rest), (&b"grpc-previous-rpc-attempts"[..], path)]) >= 1);
    assert!(cohort(7, rest, NOW) < COHORTS);

    let Ok(Ok(glob)) = std::str::from_utf8(pattern).map(PathGlob::parse) else { return };
    let matches = glob.matches(path);
    assert!(!matches || path.starts_with(b"/"));
    let view = RequestView { method: b"GET", path, query: Some(rest), header: &|_| Some(rest) };
    for (class, default) in
        [(Class::High, Class::Normal), (Class::Low, Class::Normal), (Class::Bypass, Class::Low)]
    {
        let rule = Rule { conditions: vec![Condition::Path(glob.clone())], class };
        let rules = Rules::new(vec![rule], default).expect("a valid rule");
        let decides = matches && (class == Class::Low || ambiguity(path).is_none());
        let expected = if decides { (class, Some(0)) } else { (default, None) };
        assert_eq!(rules.class(&view), expected);
    }
}
