//! Where a date and time that names no zone is meant.

use super::calendar::Written;

/// A resolved [`NaiveZone`](super::NaiveZone).
#[derive(Clone, Debug)]
pub(super) enum Zone {
    Utc,
    #[cfg(feature = "local-time")]
    Local(jiff::tz::TimeZone),
}

impl Zone {
    /// Seconds east of UTC at which this zone shows this date and time, whose fields were checked.
    pub(super) fn offset_of(&self, written: Written) -> Option<i64> {
        match self {
            Self::Utc => {
                let _no_date_is_special = written;
                Some(0)
            }
            #[cfg(feature = "local-time")]
            Self::Local(zone) => local_offset(written, zone),
        }
    }
}

#[cfg(feature = "local-time")]
fn local_offset(written: Written, zone: &jiff::tz::TimeZone) -> Option<i64> {
    use jiff::tz::AmbiguousOffset;

    let Written { year, month, day, hour, minute, second } = written;
    // The fields were checked, so each fits; the year has four digits.
    let shown = jiff::civil::DateTime::new(
        year as i16,
        month as i8,
        day as i8,
        hour as i8,
        minute as i8,
        second as i8,
        0,
    )
    .ok()?;
    let offset = match zone.to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        // Skipped or repeated, the smaller offset gives the later instant.
        AmbiguousOffset::Gap { before, after } | AmbiguousOffset::Fold { before, after } => before.min(after),
    };
    Some(i64::from(offset.seconds()))
}
