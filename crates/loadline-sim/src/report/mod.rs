//! What came out, for people and for programs: tables, JSON, and a page with plots.

mod fleet;
mod html;
mod json;
mod table;

pub use fleet::fleet;
pub use html::html;
pub use json::json;
pub use table::{exam, sweep, table, verdicts};
