//! What the upstream remembers of a request.

/// What the upstream saw of one request.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Which connection it came on, counted from 0.
    pub(crate) connection: usize,
    /// The head's bytes with the empty line.
    pub(crate) head: Vec<u8>,
    /// The body's bytes without chunk framing, as far as they are kept.
    pub(crate) body: Vec<u8>,
    /// The body's length.
    pub(crate) body_length: u64,
    /// The trailer lines after the last chunk.
    pub(crate) trailers: String,
    /// Whether the script ran to its end without a failed read or write.
    pub(crate) finished: bool,
}

impl Recorded {
    /// The head as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }

    /// The request line.
    pub(crate) fn line(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    /// The request target.
    pub(crate) fn target(&self) -> String {
        self.line().split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// The first field of this name, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.text(), name)
    }

    /// The field names as they came, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let text = self.text();
        text.lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}

/// The first field of this name in a head, whatever its case.
pub(super) fn header(head: &str, name: &str) -> Option<String> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
}
