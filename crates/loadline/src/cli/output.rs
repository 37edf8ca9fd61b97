//! A file that a command writes at its end, open from its beginning: that it cannot be written is said before the work, not after.
//!
//! What was in the file stays until then, and a file that was not there is taken away again if nothing is written: who interrupts
//! a run loses no earlier report, and gets no empty one.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A file to be written once.
pub(super) struct Output {
    path: PathBuf,
    file: File,
    /// Ours, and empty.
    unwanted: bool,
}

impl Output {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// It cannot be written; in words, with its name.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let unwanted = !path.exists();
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file, unwanted })
    }

    /// Its name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what is in it.
    ///
    /// # Errors
    /// As the system says, with the file's name.
    pub(super) fn write(mut self, text: &str) -> Result<(), String> {
        self.unwanted = false;
        // A device or a pipe has no length, and needs none.
        let emptied = match self.file.metadata() {
            Ok(metadata) if metadata.is_file() => self.file.set_len(0),
            _ => Ok(()),
        };
        let written = emptied.and_then(|()| self.file.write_all(text.as_bytes()));
        written.map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.unwanted {
            // An empty file too many is no failure.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("loadline-output-{}-{name}", std::process::id()))
    }

    #[test]
    fn what_was_there_stays_until_something_is_written() {
        let path = scratch("kept");
        std::fs::write(&path, "an earlier and longer report").unwrap();
        drop(Output::open(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "an earlier and longer report");
        Output::open(&path).unwrap().write("new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_empty_file_is_not_left_behind() {
        let path = scratch("unwanted");
        let output = Output::open(&path).unwrap();
        assert!(output.path().exists());
        drop(output);
        assert!(!path.exists());
    }

    #[test]
    fn what_cannot_be_written_is_said_when_it_is_opened() {
        let error = Output::open(Path::new("/nowhere/report")).err().unwrap();
        assert!(error.contains("cannot write /nowhere/report"), "{error}");
        assert!(Output::open(&std::env::temp_dir()).is_err());
    }
}
