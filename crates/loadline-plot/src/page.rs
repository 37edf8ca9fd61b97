//! The page around the plots.

use std::fmt::Write as _;

use crate::escape;
use crate::plot::Plot;

/// Readable in light and dark, on paper, and on a narrow screen, where a plot is moved sideways rather than shrunk.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2127;--soft:#6a727d;--line:#d9dde3;--paper:#fff;--warn:#a3261b}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa3ae;--line:#363c45;--paper:#14171b;--warn:#ff9a8d}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;\
padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}p{max-width:48rem}\
.warning{color:var(--warn);font-weight:600}\
table{border-collapse:collapse;margin:1rem 0}\
th,td{text-align:right;padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--line);\
font-variant-numeric:tabular-nums}\
th:first-child,td:first-child{text-align:left}\
.wide{overflow-x:auto}figure{margin:1.5rem 0}figcaption{font-weight:600;margin-bottom:.25rem}\
svg{width:100%;min-width:34rem;height:auto;display:block}\
@media(max-width:36rem){figcaption::after{content:\" \\21C6\";color:var(--soft)}}\
svg text{fill:var(--soft);font:12px system-ui,sans-serif}\
.grid{stroke:var(--line);stroke-width:1}.ink{stroke:var(--ink)}\
@media print{body{max-width:none}svg{min-width:0}}";

/// One HTML page, written from top to bottom.
#[derive(Clone, Debug)]
pub struct Page {
    html: String,
}

impl Page {
    /// A page with this title, as its heading too.
    #[must_use]
    pub fn new(title: &str) -> Self {
        let title = escape(title);
        let policy = "default-src 'none'; style-src 'unsafe-inline'";
        Self {
            html: format!(
                "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
                 <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
                 <meta name=\"viewport\" content=\"width=device-width\">\n\
                 <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n"
            ),
        }
    }

    /// A heading between sections.
    pub fn heading(&mut self, text: &str) {
        self.push(format_args!("<h2>{}</h2>\n", escape(text)));
    }

    /// Plain text.
    pub fn paragraph(&mut self, text: &str) {
        self.push(format_args!("<p>{}</p>\n", escape(text)));
    }

    /// Text that must not be overlooked.
    pub fn warning(&mut self, text: &str) {
        self.push(format_args!("<p class=\"warning\">{}</p>\n", escape(text)));
    }

    /// Rows of cells, the first of which is the head (left out if it says nothing).
    pub fn table(&mut self, rows: &[Vec<String>]) {
        self.push(format_args!("<div class=\"wide\"><table>\n"));
        for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.iter().any(|cell| !cell.is_empty()))
        {
            let tag = if index == 0 { "th" } else { "td" };
            // A number is not parted from its unit where the screen is narrow.
            let text = |cell: &String| escape(cell).replace(" %", "&nbsp;%").replace(" ms", "&nbsp;ms");
            let cells: String = row.iter().map(|cell| format!("<{tag}>{}</{tag}>", text(cell))).collect();
            self.push(format_args!("<tr>{cells}</tr>\n"));
        }
        self.push(format_args!("</table></div>\n"));
    }

    /// A plot with its title.
    pub fn plot(&mut self, plot: &Plot) {
        let (title, svg) = (escape(plot.title()), plot.svg());
        self.push(format_args!(
            "<figure><figcaption>{title}</figcaption>\n<div class=\"wide\">{svg}</div></figure>\n"
        ));
    }

    /// The whole page.
    #[must_use]
    pub fn finish(self) -> String {
        self.html + "</html>\n"
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.html.write_fmt(text);
    }
}
