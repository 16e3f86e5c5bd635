//! The parts of a new data file, made while its columns are written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use arrow_array::{ArrayRef, RecordBatch};

use super::{folder, part_path};
use crate::TableError;
use crate::durable::Disk;
use crate::ids::{self, Directory, IdsBuilder};
use crate::part_file::PartFile;
use crate::rollup::{self, CellWriter, ROLLUPS, Rollup, RollupBuilder, coarser_than};
use crate::tags::Sidecar;

/// Rows that [`sidecar_parts`] shows the builder at once, as the writer of data files does.
const CHUNK_ROWS: usize = 16 * 1_024;

static COLUMNS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| rollup::COLUMNS.into_iter().chain(ids::COLUMNS).collect());

/// Takes the columns of a data file while they are written, and makes its parts. See [`RollupBuilder`] and [`IdsBuilder`] for the
/// memory that it takes: by their arithmetic, some 45 MB for a file of 524,288 rows, and 12 with ids alone.
pub(crate) struct SidecarBuilder {
    pub(super) rollups: Option<RollupBuilder>,
    pub(super) ids: IdsBuilder,
}

impl SidecarBuilder {
    /// For a file with row groups of these lengths; with roll-ups or with ids alone.
    pub(crate) fn new(row_groups: &[usize], rollups: bool) -> Self {
        let rollups = rollups.then(|| RollupBuilder::new(row_groups));
        Self { rollups, ids: IdsBuilder::new(row_groups) }
    }

    /// For a file whose parts are there, to make them again: every roll-up, and filters, with the keys of these if there are any.
    pub(super) fn again(row_groups: &[usize], ids: Option<&[u8]>) -> Self {
        let ids = ids.and_then(Directory::of);
        let ids = ids.map_or_else(|| IdsBuilder::new(row_groups), |ids| IdsBuilder::like(&ids, row_groups));
        Self { rollups: Some(RollupBuilder::with_cells_max(row_groups, usize::MAX)), ids }
    }

    /// The columns that it needs, in the order in which they must come within a row group. Others may come at any time, and are
    /// passed over. With ids alone the order does not matter.
    pub(crate) fn columns() -> &'static [&'static str] {
        &COLUMNS
    }

    /// The next values of one column of one row group, as they are on the wire, in the file's order of rows.
    ///
    /// # Errors
    /// If a column has another type than records have.
    pub(crate) fn add(&mut self, row_group: usize, column: &str, values: &ArrayRef) -> Result<(), TableError> {
        if let Some(rollups) = &mut self.rollups {
            rollups.add(row_group, column, values)?;
        }
        self.ids.add(row_group, column, values)
    }

    /// Writes and syncs the parts; answers them for the tag of the data file. A roll-up that would not be right is left out.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn write(self, disk: &Disk, root: &Path, data_path: &str) -> Result<Sidecar, TableError> {
        let folder = root.join(folder(data_path));
        disk.create_directories(&folder).map_err(|source| TableError::io(&folder, source))?;
        let mut parts = BTreeMap::new();
        let mut ids = PartFile::create(part_path(root, data_path, ids::PART))?;
        self.ids.write_to(&mut ids).map_err(|source| TableError::io(&folder, source))?;
        parts.insert(ids::PART.to_owned(), ids.finish(disk)?);
        for (rollup, cells) in self.rollups.map_or_else(|| Ok(Vec::new()), finished)? {
            let mut file = CellWriter::new(rollup, PartFile::create(part_path(root, data_path, rollup.name))?)?;
            file.write(&cells)?;
            parts.insert(rollup.name.to_owned(), file.finish()?.finish(disk)?);
        }
        disk.sync_directory(&folder).map_err(|source| TableError::io(&folder, source))?;
        Ok(parts)
    }
}

/// All roll-ups: those of rows, and those that are made of them.
pub(super) fn finished(rollups: RollupBuilder) -> Result<Vec<(&'static Rollup, RecordBatch)>, TableError> {
    let mut finished = rollups.finish()?;
    for rollup in ROLLUPS {
        let finer = coarser_than(rollup).and_then(|finer| finished.iter().find(|(made, _)| made.name == finer.name));
        let Some((_, finer)) = finer else { continue };
        let mut batches = Vec::new();
        let input: rollup::Cells<'_> = Box::new(std::iter::once(Ok(finer.clone())));
        let made = rollup::merge(rollup, vec![input], |batch| {
            batches.push(batch.clone());
            Ok(())
        });
        if let Err(error) = made {
            tracing::warn!(name = rollup.name, %error, "a data file is left without this roll-up");
            continue;
        }
        let merged = arrow::compute::concat_batches(&rollup.schema(), &batches);
        finished.push((rollup, merged.map_err(TableError::rows("roll rows up"))?));
    }
    Ok(finished)
}

/// The parts of a data file with these row groups, in memory: what `SidecarBuilder` would write beside it. For measurements and
/// for tests of those who read them.
///
/// # Errors
/// If the row groups do not have the columns of records, as they are on the wire or in the table.
pub fn sidecar_parts(row_groups: &[RecordBatch]) -> Result<BTreeMap<String, Vec<u8>>, TableError> {
    let lengths: Vec<usize> = row_groups.iter().map(RecordBatch::num_rows).collect();
    let mut builder = SidecarBuilder::new(&lengths, true);
    for (at, group) in row_groups.iter().enumerate() {
        for column in SidecarBuilder::columns() {
            let values = group.column_by_name(column);
            let values = values.ok_or_else(|| TableError::Schema(format!("rows without column `{column}`")))?;
            for from in (0..values.len()).step_by(CHUNK_ROWS) {
                builder.add(at, column, &values.slice(from, CHUNK_ROWS.min(values.len() - from)))?;
            }
        }
    }
    let mut ids = Vec::new();
    builder.ids.write_to(&mut ids).map_err(TableError::rows("write id filters"))?;
    let mut parts = BTreeMap::from([(ids::PART.to_owned(), ids)]);
    for (rollup, cells) in builder.rollups.map_or_else(|| Ok(Vec::new()), finished)? {
        let mut file = CellWriter::new(rollup, Vec::new())?;
        file.write(&cells)?;
        parts.insert(rollup.name.to_owned(), file.finish()?);
    }
    Ok(parts)
}
