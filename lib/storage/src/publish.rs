//! Files of a [`Storage`] that are there whole or not at all: the journal's segments and the spool's batches.

use std::io;

use crate::{Storage, StorageFile};

/// Creates the file `name`, of `bytes` allocated bytes that begin with `content`, and returns it open. It is written as
/// `unfinished` first and published then. Blocks.
///
/// # Errors
/// The disk is full or fails; nothing is left under either name then, as far as the disk lets it be removed.
pub fn create_whole(
    storage: &dyn Storage,
    unfinished: &str,
    name: &str,
    bytes: u64,
    content: &[u8],
) -> io::Result<Box<dyn StorageFile>> {
    let written = storage.create(unfinished, bytes).and_then(|file| {
        file.write_all_at(content, 0)?;
        file.sync_data()?;
        Ok(file)
    });
    let file = written.inspect_err(|_| {
        let _already_failing = storage.remove(unfinished);
    })?;
    publish(storage, unfinished, name)?;
    Ok(file)
}

/// Gives a synced file its final name, durably. Blocks.
///
/// # Errors
/// The disk fails; nothing is left under either name then, as far as the disk lets it be removed.
pub fn publish(storage: &dyn Storage, unfinished: &str, name: &str) -> io::Result<()> {
    storage.rename(unfinished, name).inspect_err(|_| {
        let _already_failing = storage.remove(unfinished);
    })?;
    storage.sync_dir(folder_of(name)).inspect_err(|_| {
        // Whether the name would survive a power cut is unknown: the caller writes the file again, or counts it as
        // lost.
        let _already_failing = storage.remove(name);
    })
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}
