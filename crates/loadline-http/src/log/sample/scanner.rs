//! The tokens of a sample expression: names, and argument lists.

use super::Problem;

/// Reads names and argument lists; quotes and backslashes protect commas and parentheses within an argument.
pub(super) struct Scanner<'t> {
    pub(super) text: &'t [u8],
    pub(super) at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn word(&mut self) -> (usize, String) {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
            self.at += 1;
        }
        (start, String::from_utf8_lossy(&self.text[start..self.at]).into_owned())
    }

    /// `(a,b)`, or nothing. `()` is no argument.
    pub(super) fn arguments(&mut self) -> Result<Vec<String>, Problem> {
        let open = self.at;
        if !self.take(b'(') {
            return Ok(Vec::new());
        }
        if self.take(b')') {
            return Ok(Vec::new());
        }
        let mut arguments = Vec::new();
        let mut argument = Vec::new();
        let mut quote = None;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match (byte, quote) {
                (_, Some(mark)) if byte == mark => quote = None,
                (b'\'' | b'"', None) => quote = Some(byte),
                (b'\\', None | Some(b'"')) => match self.peek() {
                    Some(next) => {
                        argument.push(next);
                        self.at += 1;
                    }
                    None => break,
                },
                (b',', None) => arguments.push(std::mem::take(&mut argument)),
                (b')', None) => {
                    arguments.push(argument);
                    return Ok(arguments
                        .into_iter()
                        .map(|a| String::from_utf8_lossy(&a).into_owned())
                        .collect());
                }
                _ => argument.push(byte),
            }
        }
        Err((open, self.text.len() - open, "the argument list is never closed; `)` must follow".to_owned()))
    }
}
