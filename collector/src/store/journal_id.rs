//! The journal's name, as the table knows it.
//!
//! The table remembers up to which position of *which* journal its rows come from. A journal that begins again from
//! position 0 must have another name, or the table would take its first frames for stored. So the name is made once and
//! lies in the journal's own folder, and is deleted with the journal.

use std::io;
use std::path::{Path, PathBuf};

use super::durable_file;

/// File in the journal's folder that holds its name.
pub(crate) const FILE: &str = "ID";
/// Length of a name: 128 bits in hex.
const DIGITS: usize = 32;
/// How the file of a segment ends.
const SEGMENT_EXTENSION: &str = "seg";

/// Why a journal has no name.
#[derive(Debug, thiserror::Error)]
pub enum JournalIdError {
    /// The folder is not there and cannot be made.
    #[error("{}: the journal's folder cannot be created; check `journal.dir`", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else than a name.
    #[error("{}: not the name of a journal; restore it, or start with an empty folder", .0.display())]
    NotAName(PathBuf),
    /// A new name cannot be stored.
    #[error("{}: cannot be written; check the folder's owner and free space", .file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("reading {}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the journal's name, or gives it one. The folder is created if it is absent.
///
/// # Errors
/// The folder or the file cannot be read or written, or the file holds something else than a name.
pub fn read_or_create(journal: &Path) -> Result<String, JournalIdError> {
    std::fs::create_dir_all(journal).map_err(|source| JournalIdError::Folder { folder: journal.to_owned(), source })?;
    let file = journal.join(FILE);
    match std::fs::read_to_string(&file) {
        Ok(name) => {
            let name = name.trim();
            let is_name = name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_name { Ok(name.to_owned()) } else { Err(JournalIdError::NotAName(file)) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = format!("{:032x}", rand::random::<u128>());
            match durable_file::replace(&file, format!("{name}\n").as_bytes()) {
                Ok(()) => Ok(name),
                Err(source) => Err(JournalIdError::Unwritable { file, source }),
            }
        }
        Err(source) => Err(JournalIdError::Unreadable { file, source }),
    }
}

/// Why a folder is not taken for a journal's.
#[derive(Debug, thiserror::Error)]
pub enum NoJournal {
    /// It cannot be read.
    #[error("{}: cannot be read; give the folder of `journal.dir`", .folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It has no segment: most often a wrong path, and no journal to call fine.
    #[error("{}: no segment of a journal here; give the folder of `journal.dir`", .0.display())]
    Empty(PathBuf),
}

/// Checks that there is a journal in a folder that was named on a command line.
///
/// # Errors
/// The folder cannot be read, or holds no segment.
pub fn journal_folder(folder: &Path) -> Result<(), NoJournal> {
    match holds_segments(folder) {
        Ok(true) => Ok(()),
        Ok(false) => Err(NoJournal::Empty(folder.to_owned())),
        Err(source) => Err(NoJournal::Unreadable { folder: folder.to_owned(), source }),
    }
}

/// Whether a folder has a segment of a journal in it.
pub(crate) fn holds_segments(folder: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        if entry?.path().extension().is_some_and(|extension| extension == SEGMENT_EXTENSION) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().expect("folder");
        let made = read_or_create(dir.path()).expect("made");
        assert_eq!(read_or_create(dir.path()).expect("read"), made);
        let other = tempfile::tempdir().expect("folder");
        assert_ne!(read_or_create(other.path()).expect("made"), made);
    }

    #[test]
    fn something_else_in_its_place_is_refused() {
        let dir = tempfile::tempdir().expect("folder");
        std::fs::write(dir.path().join(FILE), "half a na").expect("written");
        assert!(matches!(read_or_create(dir.path()), Err(JournalIdError::NotAName(_))));
    }

    #[test]
    fn a_folder_without_segments_is_no_journal() {
        let dir = tempfile::tempdir().expect("folder");
        assert!(matches!(journal_folder(dir.path()), Err(NoJournal::Empty(_))));
        assert!(matches!(journal_folder(&dir.path().join("absent")), Err(NoJournal::Unreadable { .. })));
        std::fs::write(dir.path().join("00000000000000000000.seg"), "").expect("written");
        assert!(journal_folder(dir.path()).is_ok());
    }
}
