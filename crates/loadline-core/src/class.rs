//! How much a request matters.

/// The class of a request. The first four are ordered, the most important first; `Bypass` stands beside them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Served before everything else. It alone may use [`Settings::reserve`](crate::Settings::reserve), and nobody of it gives
    /// way to anybody: a full queue of critical waiters refuses the newcomer.
    Critical,
    /// More important than usual.
    High,
    /// What nobody has classified.
    Normal,
    /// The first to wait, and the first to give way in a full queue.
    Low,
    /// Health checks: never queued, not counted against the limit, bounded by a small cap of their own, so that an
    /// overloaded instance is not taken for a dead one and nobody can flood the application through the health path.
    Bypass,
}

impl Class {
    /// Every class, in the order of [`Self::index`].
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Normal, Self::Low, Self::Bypass];

    /// The classes that may wait, in the order in which they are served.
    pub const QUEUED: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// The word used in configuration, logs, metrics and responses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Bypass => "bypass",
        }
    }

    /// The position in [`Self::ALL`], for tables with one row per class.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_the_position_in_all() {
        for (position, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), position);
        }
        assert_eq!(Class::ALL[..4], Class::QUEUED);
    }
}
