//! Which paths the demo app knows, and what each costs. Pure.

use std::time::Duration;

use crate::{FAST_SERVICE_TIME, HOME_SERVICE_TIME, MAX_FILLER_BYTES, MAX_SERVICE_TIME, SLOW_SERVICE_TIME};

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/`: the page that explains the routes.
    Home,
    /// `/fast`, `/slow`, `/<seconds>`: a greeting after this service time.
    Work(Duration),
    /// `/healthcheck`: `OK`.
    Health,
    /// `/bytes/<n>`: a body of this many bytes.
    Bytes(u64),
    /// `/echo`: the request's body.
    Echo,
    /// `/stats`: the counters.
    Stats,
    /// A number that is out of range.
    TooMuch,
    /// Nothing of ours.
    Unknown,
}

impl Route {
    /// The route of a request path (without query).
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/" => Self::Home,
            "/fast" => Self::Work(FAST_SERVICE_TIME),
            "/slow" => Self::Work(SLOW_SERVICE_TIME),
            "/healthcheck" => Self::Health,
            "/echo" => Self::Echo,
            "/stats" => Self::Stats,
            _ => path.strip_prefix('/').map_or(Self::Unknown, Self::with_number),
        }
    }

    /// The time in `/<seconds>`: `None` if the path is none of these, an error if it is too long.
    pub(crate) fn seconds(path: &str) -> Option<Result<Duration, ()>> {
        let time = seconds(path.strip_prefix('/')?)?;
        Some(if time <= MAX_SERVICE_TIME { Ok(time) } else { Err(()) })
    }

    fn with_number(rest: &str) -> Self {
        if let Some(count) = rest.strip_prefix("bytes/") {
            return match digits(count).then(|| count.parse::<u64>()) {
                Some(Ok(count)) if count <= MAX_FILLER_BYTES => Self::Bytes(count),
                Some(_) => Self::TooMuch,
                None => Self::Unknown,
            };
        }
        match seconds(rest) {
            Some(time) if time <= MAX_SERVICE_TIME => Self::Work(time),
            Some(_) => Self::TooMuch,
            None => Self::Unknown,
        }
    }

    /// How long a worker is busy with it. Bodies cost no worker time: the connection sends them.
    pub(crate) fn service_time(self) -> Duration {
        match self {
            Self::Home => HOME_SERVICE_TIME,
            Self::Work(time) => time,
            Self::Health | Self::Bytes(_) | Self::Echo | Self::Stats | Self::TooMuch | Self::Unknown => {
                Duration::ZERO
            }
        }
    }
}

/// `12` or `0.4`: plain decimal only, because `f64` also reads `inf`, `nan` and `1e9`.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    Some(Duration::try_from_secs_f64(text.parse().ok()?).unwrap_or(Duration::MAX))
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_routes() {
        assert_eq!(Route::of("/"), Route::Home);
        assert_eq!(Route::of("/fast"), Route::Work(Duration::from_millis(5)));
        assert_eq!(Route::of("/slow"), Route::Work(Duration::from_millis(500)));
        assert_eq!(Route::of("/healthcheck"), Route::Health);
        assert_eq!(Route::of("/echo"), Route::Echo);
        assert_eq!(Route::of("/stats"), Route::Stats);
    }

    #[test]
    fn seconds_are_plain_decimals() {
        assert_eq!(Route::of("/0.4"), Route::Work(Duration::from_millis(400)));
        assert_eq!(Route::of("/2"), Route::Work(Duration::from_secs(2)));
        assert_eq!(Route::of("/0"), Route::Work(Duration::ZERO));
        assert_eq!(Route::of("/60"), Route::Work(MAX_SERVICE_TIME));
        for path in ["/inf", "/nan", "/1e9", "/-1", "/+1", "/.5", "/5.", "/1.2.3", "/0x1"] {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
    }

    #[test]
    fn out_of_range_is_told_apart_from_unknown() {
        assert_eq!(Route::of("/61"), Route::TooMuch);
        assert_eq!(Route::of(&format!("/{}", "9".repeat(400))), Route::TooMuch);
        assert_eq!(Route::of("/bytes/1073741825"), Route::TooMuch);
        assert_eq!(Route::of("/bytes/99999999999999999999"), Route::TooMuch);
        assert_eq!(Route::of("/bytes/1073741824"), Route::Bytes(MAX_FILLER_BYTES));
        for path in ["/bytes/", "/bytes/-1", "/bytes/x", "/nothing", "*", ""] {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
    }
}
