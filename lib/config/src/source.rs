//! The texts of a configuration of several files.
//!
//! The lines of all files are counted through: each file's first line follows the last one of the file before it. So a
//! value's line alone tells its file, and what is checked over all files can name any place.

use std::cell::Cell;
use std::path::{Path, PathBuf};

thread_local! {
    /// Lines of the files before the one that this thread is loading.
    static LINES_BEFORE: Cell<u64> = const { Cell::new(0) };
}

/// A file that was read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Its name.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// Lines of the files before it.
    pub(crate) lines_before: u64,
    /// Bytes of all files up to and with this one.
    pub(crate) bytes: usize,
}

impl Source {
    /// Lines up to and with this file's.
    pub(crate) fn lines(&self) -> u64 {
        self.lines_before + lines_of(&self.text)
    }
}

/// Lines of a text, or more; a carriage return alone ends one in YAML.
pub(crate) fn lines_of(text: &str) -> u64 {
    1 + text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64
}

/// While it lives, the lines of values made on this thread are counted from here. It restores the count before.
pub(crate) struct CountingFrom(u64);

impl CountingFrom {
    pub(crate) fn enter(lines_before: u64) -> Self {
        Self(LINES_BEFORE.replace(lines_before))
    }
}

impl Drop for CountingFrom {
    fn drop(&mut self) {
        LINES_BEFORE.set(self.0);
    }
}

/// A line of the file that is being loaded, counted through.
pub(crate) fn counted(line: u64) -> u64 {
    if line == 0 { 0 } else { line + LINES_BEFORE.get() }
}

/// The name of a file as it enters a revision: relative to the first file's folder, so that copies have one revision.
pub(crate) fn relative<'p>(path: &'p Path, first: &Path) -> &'p Path {
    first.parent().and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path)
}
