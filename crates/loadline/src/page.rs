//! The live page: its files, and what a browser is told about them. Served by [`crate::admin`].
//!
//! The files are in `page/`, as they are sent: nothing is built, and nothing comes from elsewhere. The page reads
//! `/api/v1/stream`, and asks `/api/v1/{recent,explain,config}` when somebody looks at those.

/// One file.
pub(crate) struct File {
    path: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) content: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [File; 7] = [
    File { path: "/index.html", content_type: HTML, content: include_str!("page/index.html") },
    File { path: "/page.css", content_type: CSS, content: include_str!("page/page.css") },
    File { path: "/page.js", content_type: JAVASCRIPT, content: include_str!("page/page.js") },
    File { path: "/chart.js", content_type: JAVASCRIPT, content: include_str!("page/chart.js") },
    File { path: "/decisions.js", content_type: JAVASCRIPT, content: include_str!("page/decisions.js") },
    File { path: "/words.js", content_type: JAVASCRIPT, content: include_str!("page/words.js") },
    File { path: "/icon.svg", content_type: "image/svg+xml", content: include_str!("page/icon.svg") },
];

/// What goes with each file, over the type.
///
/// Paths on the page come from clients, and from whoever sends requests through the proxy. The page writes them as text; should it
/// ever not, nothing that is not one of these files runs, and no text becomes markup (Content Security Policy Level 3, Trusted
/// Types).
pub(crate) const HEADERS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// The file of a path.
pub(crate) fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

/// Whether the one who asks for `/` is a browser; others get the list of what there is.
pub(crate) fn is_wanted(accept: &[u8]) -> bool {
    accept.windows(b"text/html".len()).any(|part| part.eq_ignore_ascii_case(b"text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_the_page_and_others_the_list() {
        assert!(is_wanted(b"text/html,application/xhtml+xml,*/*;q=0.8") && is_wanted(b"Text/HTML"));
        assert!(!is_wanted(b"*/*") && !is_wanted(b"") && !is_wanted(b"text/plain"));
    }

    /// What the policy would block anyway: inline scripts, inline styles, and addresses elsewhere.
    #[test]
    fn the_files_stand_by_themselves() {
        for File { path, content, .. } in FILES {
            for banned in [
                "http://",
                "https://",
                "innerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=\"",
                " onclick",
            ] {
                let content = content.replace("http://www.w3.org/2000/svg", "");
                assert!(!content.contains(banned), "{path} has {banned}");
            }
        }
    }
}
