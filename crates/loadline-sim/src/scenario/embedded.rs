//! Scenarios that are part of the program, so that it needs no files.

/// Name and text.
pub const EMBEDDED: &[(&str, &str)] = &[("backlog", include_str!("../../../../scenarios/backlog.toml"))];
