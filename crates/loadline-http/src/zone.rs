//! The machine's time zone.

use std::sync::OnceLock;

use jiff::tz::TimeZone;

/// The system's zone as it was when first asked for: reading it waits for a disk, which no request should.
pub(crate) fn local_zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(TimeZone::system)
}
