//! The two halves of a scan: files and hot rows. Both answer the same columns of SQL.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, cast};
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use object_store::ObjectStore;
use tollgate_table::{DataFile, HotBatch};

use super::columns::{Origin, REQUEST_ID_FROM, sql_columns};
use super::compute;
use super::optimizer_fence::OptimizerFenceExec;

/// The name under which the scans ask for the table's store; it is no address.
pub(crate) const STORE_URL: &str = "tollgate://table/";

/// What both halves need to know of a scan.
pub(super) struct Scan<'s> {
    pub session: &'s dyn Session,
    /// Indices of the columns of SQL, in the order in which they are wanted.
    pub projection: &'s [usize],
    /// The prunable filter over the stored columns.
    pub filter: Option<&'s Expr>,
    /// Rows that are enough, when no filter runs after the scan.
    pub limit: Option<usize>,
}

impl Scan<'_> {
    /// The scan of the Parquet files.
    pub fn of_files(
        &self,
        files: &[&DataFile],
        store: Arc<dyn ObjectStore>,
        predicate: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut options = TableParquetOptions::default();
        options.global.enable_page_index = true;
        options.global.bloom_filter_on_read = true;
        options.global.pushdown_filters = true;
        options.global.reorder_filters = true;
        let metadata_cache = self.session.runtime_env().cache_manager.get_file_metadata_cache();
        let mut source = ParquetSource::new(sql_columns().stored.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(store, metadata_cache)));
        if let Some(predicate) = predicate {
            source = source.with_predicate(predicate.clone());
        }
        let stored = self.stored_columns();
        let partitions = self.session.config().target_partitions().max(1);
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
            .with_file_groups(groups(files, partitions))
            .with_statistics(row_count(files, predicate.is_some()))
            .with_limit(self.limit)
            .with_projection_indices(Some(stored.clone()))?
            .build();
        let projected = self.project(DataSourceExec::from_data_source(config), &stored)?;
        let as_stored = |column: &usize| matches!(sql_columns().origins[*column], Origin::Stored(_));
        let passing = self.projection.iter().enumerate().filter(|(_, wanted)| as_stored(wanted)).map(|(at, _)| at);
        Ok(Arc::new(OptimizerFenceExec::new(projected, passing.collect())))
    }

    /// The scan of the hot rows.
    pub fn of_hot(&self, hot: &[Arc<HotBatch>]) -> Result<Arc<dyn ExecutionPlan>> {
        let wire = tollgate_record::schema::wire();
        let partitions = self.session.config().target_partitions().max(1);
        let share = hot.len().div_ceil(partitions).max(1);
        let mut batches: Vec<Vec<_>> =
            hot.chunks(share).map(|chunk| chunk.iter().map(|batch| batch.records.clone()).collect()).collect();
        if batches.is_empty() {
            batches.push(Vec::new());
        }
        let stored = self.stored_columns();
        let Some(filter) = self.filter else {
            let memory = MemorySourceConfig::try_new_exec(&batches, wire, Some(stored.clone()))?;
            return self.fenced(memory, &stored);
        };
        let memory = MemorySourceConfig::try_new_exec(&batches, wire.clone(), None)?;
        let predicate = self.physical(over_wire(filter, &wire)?, &wire)?;
        let kept = FilterExec::try_new(predicate, memory)?;
        self.fenced(Arc::new(kept), &(0..wire.fields().len()).collect::<Vec<_>>())
    }

    /// Projects hot rows behind a fence through which no filter passes: every filter that helps has run already.
    fn fenced(&self, input: Arc<dyn ExecutionPlan>, stored: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(OptimizerFenceExec::new(self.project(input, stored)?, HashSet::new())))
    }

    /// The filter as a physical expression over the stored columns.
    pub fn predicate(&self) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        self.filter.map(|filter| self.physical(filter.clone(), &sql_columns().stored)).transpose()
    }

    fn physical(&self, filter: Expr, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
        self.session.create_physical_expr(filter, &DFSchema::try_from(schema.as_ref().clone())?)
    }

    /// The stored columns that the projection is made of, ascending.
    fn stored_columns(&self) -> Vec<usize> {
        let stored = &sql_columns().stored;
        let mut columns: Vec<usize> = Vec::new();
        for wanted in self.projection {
            match sql_columns().origins[*wanted] {
                Origin::Stored(index) | Origin::Hex(index) => columns.push(index),
                Origin::RequestId => {
                    columns.extend(REQUEST_ID_FROM.iter().filter_map(|name| stored.index_of(name).ok()));
                }
            }
        }
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Projects `input`, which has the stored columns of these indices, to the columns of SQL.
    fn project(&self, input: Arc<dyn ExecutionPlan>, stored: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = input.schema();
        let at = |index: usize| -> Result<Arc<dyn PhysicalExpr>> {
            let position = stored.partition_point(|column| *column < index);
            plain(schema.field(position), position)
        };
        let expressions = self.projection.iter().map(|wanted| {
            let field = sql_columns().schema.field(*wanted);
            let expression = match sql_columns().origins[*wanted] {
                Origin::Stored(index) => at(index)?,
                Origin::Hex(index) => call(compute::hex(), vec![at(index)?], field, self.session),
                Origin::RequestId => {
                    let from = REQUEST_ID_FROM.iter().map(|name| at(sql_columns().stored.index_of(name)?));
                    call(compute::request_id(), from.collect::<Result<_>>()?, field, self.session)
                }
            };
            Ok((expression, field.name().clone()))
        });
        let expressions = expressions.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(expressions, input)?))
    }
}

/// The column as SQL shows it: a dictionary as plain text.
fn plain(field: &Field, position: usize) -> Result<Arc<dyn PhysicalExpr>> {
    let column = Arc::new(Column::new(field.name(), position));
    Ok(match field.data_type() {
        DataType::Dictionary(..) => Arc::new(CastExpr::new(column, DataType::Utf8, None)),
        _ => column,
    })
}

fn call(
    function: Arc<datafusion::logical_expr::ScalarUDF>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    field: &Field,
    session: &dyn Session,
) -> Arc<dyn PhysicalExpr> {
    let options = session.config().options().clone();
    let name = function.name().to_owned();
    Arc::new(ScalarFunctionExpr::new(&name, function, arguments, Arc::new(field.clone()), options))
}

/// The filter with each dictionary column cast to text, as it stands in the filter's own terms.
fn over_wire(filter: &Expr, wire: &Schema) -> Result<Expr> {
    let rewritten = filter.clone().transform_up(|node| {
        Ok(match node {
            Expr::Column(column)
                if matches!(wire.field_with_name(&column.name)?.data_type(), DataType::Dictionary(..)) =>
            {
                Transformed::yes(cast(Expr::Column(column), DataType::Utf8))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(rewritten.data)
}

/// Files dealt out to partitions, so that each has about the same bytes.
fn groups(files: &[&DataFile], partitions: usize) -> Vec<FileGroup> {
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); partitions.min(files.len().max(1))];
    // Newest first: a query for the newest rows then finds them at once, and skips what is older.
    for file in files.iter().rev() {
        if let Some((bytes, group)) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes += file.size;
            group.push(PartitionedFile::new(file.path.clone(), file.size));
        }
    }
    groups.into_iter().map(|(_, group)| FileGroup::new(group)).collect()
}

fn row_count(files: &[&DataFile], filtered: bool) -> Statistics {
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    let rows = Precision::Exact(rows as usize);
    Statistics {
        num_rows: if filtered { rows.to_inexact() } else { rows },
        ..Statistics::new_unknown(&sql_columns().stored)
    }
}
