//! Files of a [`Storage`] that are there whole or not at all: the journal's segments and the spool's batches.

use std::io;

use crate::{Storage, StorageFile};

/// What becomes of a final name whose folder cannot be synced: nobody knows whether the name would survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// It stays: the caller gives the same name to another try, which replaces this file.
    Stays,
    /// It is removed: the caller writes the content elsewhere, or counts it as lost, and nobody may find it here then.
    Removed,
}

/// Creates the file `name`, of `bytes` allocated bytes that begin with `content`, and returns it open. It is written as
/// `unfinished` first and published then. Blocks.
///
/// # Errors
/// The disk is full or fails. Nothing is left under `unfinished` then, as far as the disk lets it be removed;
/// `unsynced` says what is left under `name` if only the last step failed, the sync of the folder.
pub fn create_whole(
    storage: &dyn Storage,
    unfinished: &str,
    name: &str,
    bytes: u64,
    content: &[u8],
    unsynced: Unsynced,
) -> io::Result<Box<dyn StorageFile>> {
    let written = storage.create(unfinished, bytes).and_then(|file| {
        file.write_all_at(content, 0)?;
        file.sync_data()?;
        Ok(file)
    });
    let file = written.inspect_err(|_| {
        let _already_failing = storage.remove(unfinished);
    })?;
    publish(storage, unfinished, name, unsynced)?;
    Ok(file)
}

/// Gives a synced file its final name, durably. Blocks.
///
/// # Errors
/// As [`create_whole`].
pub fn publish(storage: &dyn Storage, unfinished: &str, name: &str, unsynced: Unsynced) -> io::Result<()> {
    storage.rename(unfinished, name).inspect_err(|_| {
        let _already_failing = storage.remove(unfinished);
    })?;
    storage.sync_dir(folder_of(name)).inspect_err(|_| {
        if unsynced == Unsynced::Removed {
            let _already_failing = storage.remove(name);
        }
    })
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::Disk;

    fn names(disk: &Disk) -> Vec<String> {
        disk.list("").unwrap().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_name_that_is_not_synced_stays_or_goes() {
        for (unsynced, left) in [(Unsynced::Stays, vec!["a"]), (Unsynced::Removed, vec![])] {
            let disk = Disk::default();
            disk.fail_next_dir_sync();
            assert!(create_whole(&disk, "a.new", "a", 8, b"content", unsynced).is_err());
            assert_eq!(names(&disk), left, "{unsynced:?}");
            assert!(create_whole(&disk, "a.new", "a", 8, b"content", unsynced).is_ok(), "{unsynced:?}: another try");
            assert_eq!(names(&disk), ["a"]);
        }
    }

    #[test]
    fn a_failure_before_the_name_leaves_an_earlier_file_alone() {
        let disk = Disk::default();
        assert!(create_whole(&disk, "a.new", "a", 8, b"content", Unsynced::Removed).is_ok());
        disk.fail_next_write();
        assert!(create_whole(&disk, "a.new", "a", 8, b"content", Unsynced::Removed).is_err());
        assert_eq!(names(&disk), ["a"]);
    }
}
