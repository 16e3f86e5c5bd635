//! The texts of a configuration of several files.

use std::path::{Path, PathBuf};

/// A file of a configuration, by its order of loading: 0 is the main file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

impl FileId {
    /// Returns the id of the file at `index` of the further files.
    pub(crate) fn of_other(index: usize) -> Self {
        Self(u32::try_from(index + 1).unwrap_or(u32::MAX))
    }

    /// Returns the index among the further files; none for the main file.
    pub(crate) fn other(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }
}

/// A file that was read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Returns the name of a file as it enters a revision: relative to the first file's folder, so that copies of a folder
/// have one revision.
pub(crate) fn relative<'p>(path: &'p Path, first: &Path) -> &'p Path {
    first.parent().and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path)
}
