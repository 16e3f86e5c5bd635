//! Compares what stands beside a data file with its rows: for tests, and for an operator who wants to know.

use std::path::Path;

use arrow_array::{Array as _, RecordBatch, new_null_array};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use tollgate_record::schema;

use super::SidecarBuilder;
use super::build::finished;
use super::part_path;
use crate::TableError;
use crate::ids;
use crate::rollup::{self, Rollup};
use crate::snapshot::DataFile;

const READ_ROWS: usize = 16 * 1_024;

/// The parts of a data file that differ from what its rows make, and in what.
pub(crate) fn differences(root: &Path, file: &DataFile) -> Result<Vec<String>, TableError> {
    let path = part_path(root, &file.path, ids::PART);
    let ids = match file.sidecar.contains_key(ids::PART) {
        true => Some(std::fs::read(&path).map_err(|source| TableError::io(&path, source))?),
        false => None,
    };
    let SidecarBuilder { rollups, ids: made_ids } = rebuilt(root, file, ids.as_deref())?;
    let mut differences = Vec::new();
    if let Some(ids) = ids {
        differences.extend(made_ids.difference(&ids));
    }
    let made = rollups.map_or_else(|| Ok(Vec::new()), finished)?;
    for part in file.sidecar.keys().filter_map(|name| Rollup::named(name)) {
        let batches = rollup::read(&part_path(root, &file.path, part.name))?.collect::<Result<Vec<_>, _>>()?;
        let found = joined(part, &batches)?;
        match made.iter().find(|(rollup, _)| rollup.name == part.name) {
            Some((_, made)) if *made == found => {}
            Some((_, made)) => differences.push(difference(part, made, &found)),
            None => differences.push(format!("{}: its rows have no such roll-up", part.name)),
        }
    }
    Ok(differences)
}

fn joined(rollup: &Rollup, batches: &[RecordBatch]) -> Result<RecordBatch, TableError> {
    arrow::compute::concat_batches(&rollup.schema(), batches).map_err(TableError::rows("read a roll-up"))
}

fn difference(rollup: &Rollup, made: &RecordBatch, found: &RecordBatch) -> String {
    let (made_cells, found_cells) = (made.num_rows(), found.num_rows());
    if made_cells != found_cells {
        return format!("{}: {found_cells} cells in place of {made_cells}", rollup.name);
    }
    let fields = rollup.schema();
    let columns = made.columns().iter().zip(found.columns()).zip(fields.fields());
    let differing = columns.filter(|((made, found), _)| made != found).map(|(_, field)| field.name().as_str());
    format!("{}: other values in {}", rollup.name, differing.collect::<Vec<_>>().join(", "))
}

/// Reads the file column by column, as the writer sees it.
pub(crate) fn rebuilt(root: &Path, file: &DataFile, ids: Option<&[u8]>) -> Result<SidecarBuilder, TableError> {
    let failed = |error: ParquetError| TableError::Rows { action: "read a data file", source: Box::new(error) };
    let path = root.join(&file.path);
    let open = || std::fs::File::open(&path).map_err(|source| TableError::io(&path, source));
    let metadata = ArrowReaderMetadata::load(&open()?, ArrowReaderOptions::default()).map_err(failed)?;
    let groups = metadata.metadata().row_groups().iter().map(|group| usize::try_from(group.num_rows()).unwrap_or(0));
    let groups: Vec<usize> = groups.collect();
    let mut builder = SidecarBuilder::again(&groups, ids);
    for (group, rows) in groups.iter().enumerate() {
        for column in SidecarBuilder::columns() {
            let Some((at, _)) =
                metadata.parquet_schema().columns().iter().enumerate().find(|(_, c)| c.name() == *column)
            else {
                let data_type = schema::table().field_with_name(column).map(|field| field.data_type().clone());
                let data_type = data_type.map_err(TableError::rows("read a data file"))?;
                builder.add(group, column, &new_null_array(&data_type, *rows))?;
                continue;
            };
            let mask = ProjectionMask::leaves(metadata.parquet_schema(), [at]);
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(open()?, metadata.clone());
            let reader = reader.with_row_groups(vec![group]).with_projection(mask).with_batch_size(READ_ROWS);
            for batch in reader.build().map_err(failed)? {
                let batch = batch.map_err(TableError::rows("read a data file"))?;
                debug_assert_eq!(batch.num_columns(), 1);
                debug_assert_eq!(batch.column(0).len(), batch.num_rows());
                builder.add(group, column, batch.column(0))?;
            }
        }
    }
    Ok(builder)
}
