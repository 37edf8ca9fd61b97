//! What a signal from outside says about the whole process: runtime lag, memory or CPU pressure.

/// How overloaded something other than the slots is; see [`Admission::set_overload`](crate::Admission::set_overload). The
/// signal tightens the door and never changes the limit, whose law looks at what the slots do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum OverloadLevel {
    /// Nobody is shed for it.
    #[default]
    None,
    /// `normal` and `low` are shed.
    Moderate,
    /// All but `critical` are shed.
    Severe,
}

impl OverloadLevel {
    /// The word used in metrics and responses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Moderate => "moderate",
            Self::Severe => "severe",
        }
    }
}
