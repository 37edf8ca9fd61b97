//! `Server-Timing`: how long parts of an answer took, for whoever looks at it in a browser (W3C Server Timing, section 3).

use std::io::Write as _;
use std::time::Duration;

/// The header's name.
pub const NAME: &str = "server-timing";

/// Appends the header's value: `queue;dur=14.2, app;dur=34.0`. Names are tokens; durations are told in milliseconds.
pub fn write(parts: &[(&str, Duration)], out: &mut Vec<u8>) {
    let mut between = "";
    for (name, took) in parts {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{between}{name};dur={:.1}", took.as_secs_f64() * 1e3);
        between = ", ";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_in_milliseconds() {
        let mut value = Vec::new();
        let app = Duration::from_millis(34);
        write(&[("queue", Duration::from_micros(14_240)), ("app", app)], &mut value);
        assert_eq!(value, b"queue;dur=14.2, app;dur=34.0");
    }
}
