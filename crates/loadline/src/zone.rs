//! Whether the machine knows the zone that it is told to be in.
//!
//! Deadlines without an offset are local time, and so are dates in the log. A zone that cannot be found is UTC, in silence: in an image
//! without a zone database every name is such a zone. Where nothing is named, UTC is what is meant.

use jiff::tz::TimeZone;

/// Says so when the variable `TZ` names a zone that is not known here.
pub(crate) fn warning() -> Option<String> {
    let named = std::env::var("TZ").ok().filter(|named| !named.is_empty())?;
    TimeZone::system().is_unknown().then(|| {
        format!(
            "TZ={} is no zone that is known here, so local time is UTC (without /usr/share/zoneinfo, write the rule: \
             TZ=CET-1CEST,M3.5.0,M10.5.0/3)",
            named.escape_debug()
        )
    })
}
