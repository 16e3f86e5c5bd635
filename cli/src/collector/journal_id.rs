//! The journal's name, as the table knows it.
//!
//! The table remembers up to which position of *which* journal its rows come from. A journal that begins again from
//! position 0 must have another name, or the table would take its first frames for stored. So the name is made once and
//! lies in the journal's own folder: whoever deletes the journal deletes the name with it.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};

/// File in the journal's folder that holds its name.
const FILE: &str = "ID";
/// Length of a name: 128 bits in hex.
const DIGITS: usize = 32;

/// Reads the journal's name, or gives it one.
pub fn read_or_create(journal: &Path) -> anyhow::Result<String> {
    std::fs::create_dir_all(journal).with_context(|| {
        format!("{}: the journal's folder cannot be created; check `journal.dir`", journal.display())
    })?;
    let file = journal.join(FILE);
    match std::fs::read_to_string(&file) {
        Ok(name) => {
            let name = name.trim();
            let fine = name.len() == DIGITS && name.bytes().all(|b| b.is_ascii_hexdigit());
            ensure!(fine, "{}: not the name of a journal; restore it, or start with an empty folder", file.display());
            Ok(name.to_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(journal, &file)
            .with_context(|| format!("{}: cannot be written; check the folder's owner and free space", file.display())),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// Writes the name beside its place, syncs, renames, syncs the folder: a crash leaves the whole name or none.
fn create(journal: &Path, file: &Path) -> anyhow::Result<String> {
    let name = format!("{:032x}", rand::random::<u128>());
    let beside = journal.join("ID.new");
    let mut out = File::create(&beside)?;
    writeln!(out, "{name}")?;
    out.sync_all()?;
    std::fs::rename(&beside, file)?;
    File::open(journal)?.sync_all()?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let made = read_or_create(dir.path()).unwrap();
        assert_eq!(read_or_create(dir.path()).unwrap(), made);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(read_or_create(other.path()).unwrap(), made);
    }

    #[test]
    fn something_else_in_its_place_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "half a na").unwrap();
        assert!(read_or_create(dir.path()).unwrap_err().to_string().contains("not the name of a journal"));
    }
}
