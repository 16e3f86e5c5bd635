//! The parts of a concatenation, made of those of its inputs: no row is read.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use super::{folder, part_path};
use crate::TableError;
use crate::damage::{self, Place};
use crate::durable::{Disk, DurableStore};
use crate::ids;
use crate::part_file::{PartFile, measured};
use crate::rollup::{self, CellWriter, ROLLUPS, Rollup};
use crate::snapshot::DataFile;
use crate::tags::{Sidecar, SidecarPart};

/// Makes the parts of a data file that holds the row groups of `inputs`, in their order. It holds the filters of one input, or a
/// batch of 1,024 cells of each. A part that one of the inputs lacks is left out, and so is one that is damaged there (counted and
/// logged) or whose cells do not have the rows of the inputs.
///
/// # Errors
/// If a part cannot be written.
pub(crate) fn concatenate(
    disk: &Disk,
    root: &Path,
    inputs: &[DataFile],
    data_path: &str,
) -> Result<Sidecar, TableError> {
    let folder = root.join(folder(data_path));
    disk.create_directories(&folder).map_err(|source| TableError::io(&folder, source))?;
    let mut parts = BTreeMap::new();
    for part in ROLLUPS.iter().map(|rollup| rollup.name).chain([ids::PART]) {
        if inputs.is_empty() || !inputs.iter().all(|input| is_whole(root, input, part)) {
            continue;
        }
        let made = match Rollup::named(part) {
            Some(rollup) => merge_cells(disk, root, inputs, rollup, data_path)?,
            None => merge_ids(disk, root, inputs, data_path)?,
        };
        parts.extend(made.map(|made| (part.to_owned(), made)));
    }
    disk.sync_directory(&folder).map_err(|source| TableError::io(&folder, source))?;
    Ok(parts)
}

/// Whether an input has a part, and it is what the log says of it.
fn is_whole(root: &Path, input: &DataFile, part: &str) -> bool {
    let Some(expected) = input.sidecar.get(part) else { return false };
    let found = measured(&part_path(root, &input.path, part));
    if found.as_ref().is_ok_and(|found| found == expected) {
        return true;
    }
    let why = found.map_or_else(|error| error.to_string(), |_| "its length or checksum is another".to_owned());
    damage::is_damaged(Place::new(DurableStore::name(root), input.sidecar_path(part)), &why);
    false
}

fn merge_cells(
    disk: &Disk,
    root: &Path,
    inputs: &[DataFile],
    rollup: &'static Rollup,
    data_path: &str,
) -> Result<Option<SidecarPart>, TableError> {
    let path = part_path(root, data_path, rollup.name);
    let mut file = CellWriter::new(rollup, PartFile::create(path.clone())?)?;
    let cells = inputs.iter().map(|input| rollup::read(&part_path(root, &input.path, rollup.name)));
    let rows: u64 = inputs.iter().map(|input| input.rows).sum();
    let merged = cells.collect::<Result<Vec<_>, _>>().and_then(|cells| {
        let mut failed = None;
        // What cannot be written is the caller's to know; what cannot be read leaves the part out.
        let merged = rollup::merge(rollup, cells, |batch| {
            file.write(batch).map_err(|error| {
                failed = Some(error);
                TableError::Inconsistent("the cells cannot be written".to_owned())
            })
        });
        failed.map_or(Ok(merged), Err)
    })?;
    let part = file.finish()?.finish(disk)?;
    match merged {
        Ok(sum) if u64::try_from(sum) == Ok(rows) => return Ok(Some(part)),
        Ok(sum) => tracing::error!(name = rollup.name, sum, rows, "merged cells do not have the rows of their files"),
        Err(error) => tracing::error!(name = rollup.name, %error, "the cells of roll-ups cannot be merged"),
    }
    std::fs::remove_file(&path).map_err(|source| TableError::io(&path, source))?;
    Ok(None)
}

fn merge_ids(
    disk: &Disk,
    root: &Path,
    inputs: &[DataFile],
    data_path: &str,
) -> Result<Option<SidecarPart>, TableError> {
    let path = part_path(root, data_path, ids::PART);
    let mut file = PartFile::create(path.clone())?;
    let parts = inputs.iter().map(|input| std::fs::read(part_path(root, &input.path, ids::PART)));
    match ids::merge(parts, &mut file) {
        Ok(()) => return Ok(Some(file.finish(disk)?)),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            tracing::error!(%error, "the id filters of data files cannot be put together");
        }
        Err(source) => return Err(TableError::io(&path, source)),
    }
    std::fs::remove_file(&path).map_err(|source| TableError::io(&path, source))?;
    Ok(None)
}
