//! Plots for reports: SVG inside one HTML page that asks nobody for anything.
//!
//! **Why it exists.** A report is kept, mailed, attached to a ticket: it must show the same in ten years and on a machine
//! without a network. So there is no script, no font, no style sheet but its own, and a content security policy says so.
//! The libraries that draw plots bring a renderer for fonts or a browser's script; lines, areas and two axes need neither.
//!
//! **Out of scope.** Interaction, anything but lines and bands over a number.

mod page;
mod plot;
mod scale;

pub use page::Page;
pub use plot::{Area, Axis, Color, Line, Plot};
pub use scale::Scale;

/// Text as it stands in HTML and SVG, attributes included.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
