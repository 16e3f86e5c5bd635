//! The two halves of a scan: files and hot rows. Both answer the same columns of SQL.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
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
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr, ScalarFunctionExpr};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, SortOrderPushdownResult};
use object_store::ObjectStore;
use tollgate_table::{DataFile, HotBatch};

use super::columns::{Origin, REQUEST_ID_FROM, sql_columns};
use super::compute;
use super::file_statistics::{merged, of_file, of_hot};
use super::id_lookup::RowGroups;
use super::optimizer_fence::OptimizerFenceExec;
use super::top::TopTime;

/// The name under which the scans ask for the table's store; it is no address.
pub(crate) const STORE_URL: &str = "tollgate://table/";
/// What one reader of a file keeps of the columns that its filters have decoded, so as not to decode them again. Parquet's own
/// default is 100 MiB, on no account of the memory that queries may use.
const PREDICATE_CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What both halves need to know of a scan.
pub(super) struct Scan<'s> {
    pub session: &'s dyn Session,
    /// Indices of the columns of SQL, in the order in which they are wanted.
    pub projection: &'s [usize],
    /// The prunable filter over the stored columns.
    pub filter: Option<&'s Expr>,
    /// The part of it that the optimizer cannot push down to the files by itself.
    pub computed: Option<&'s Expr>,
    /// Rows that are enough, when no filter runs after the scan.
    pub limit: Option<usize>,
    /// Whether the rows with the newest (or oldest) time are wanted, and only some of them.
    pub top: Option<TopTime>,
    /// The row groups to read of some files.
    pub row_groups: &'s RowGroups,
}

impl Scan<'_> {
    /// The scan of the Parquet files. `EXPLAIN` says why no roll-up answers instead, if there is a reason.
    pub fn of_files(
        &self,
        files: &[&DataFile],
        store: Arc<dyn ObjectStore>,
        no_rollup: Option<&str>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let computed = self.computed.map(|filter| self.physical(filter.clone(), &sql_columns().stored)).transpose()?;
        let mut source = parquet_source(self.session, store, sql_columns().stored.clone());
        if let Some(predicate) = computed {
            source = source.with_predicate(predicate);
        }
        let stored = self.stored_columns();
        // The newest rows are found one file after the other: what is older is then never opened.
        let partitions = if self.top.is_some() { 1 } else { self.session.config().target_partitions().max(1) };
        let (groups, statistics) = self.groups(files, partitions, &stored);
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_limit(self.limit)
            .with_projection_indices(Some(stored.clone()))?
            .build();
        let files = self.sorted(DataSourceExec::from_data_source(config))?;
        let projected = self.project(files, &stored)?;
        let as_stored = |column: &usize| matches!(sql_columns().origins[*column], Origin::Stored(_));
        let passing = self.projection.iter().enumerate().filter(|(_, wanted)| as_stored(wanted)).map(|(at, _)| at);
        let fence = OptimizerFenceExec::new(projected, passing.collect());
        Ok(Arc::new(match no_rollup {
            Some(reason) => fence.with_label(format!("OptimizerFenceExec: rollup=none ({reason})")),
            None => fence,
        }))
    }

    /// Files dealt out to partitions, so that each has about the same bytes; and the statistics of all of them together.
    fn groups(&self, files: &[&DataFile], partitions: usize, stored: &[usize]) -> (Vec<FileGroup>, Statistics) {
        let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); partitions.min(files.len().max(1))];
        let mut files = files.to_vec();
        // Newest first: a query for the newest rows then finds them at once, and skips what is older.
        match self.top.is_some_and(|top| top.oldest) {
            true => files.sort_by_key(|file| file.min_time_us),
            false => files.sort_by_key(|file| std::cmp::Reverse(file.max_time_us)),
        }
        for file in files {
            if let Some((bytes, group)) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
                *bytes += file.size;
                let statistics = Arc::new(of_file(file));
                let mut read = PartitionedFile::new(file.path.clone(), file.size).with_statistics(statistics);
                if let Some(row_groups) = self.row_groups.get(&file.path) {
                    read = read.with_extension(row_groups.clone());
                }
                group.push(read);
            }
        }
        let known = |file: &PartitionedFile| file.statistics.clone();
        let groups: Vec<(Vec<PartitionedFile>, Statistics)> = groups
            .into_iter()
            .map(|(_, group)| {
                let statistics: Vec<_> = group.iter().filter_map(known).collect();
                let statistics = merged(statistics.iter().map(Arc::as_ref), stored);
                (group, statistics)
            })
            .collect();
        let all = merged(groups.iter().map(|(_, statistics)| statistics), stored);
        let groups =
            groups.into_iter().map(|(group, statistics)| FileGroup::new(group).with_statistics(Arc::new(statistics)));
        (groups.collect(), all)
    }

    /// The scan, with the row groups of each file in the wanted order of time, as far as they have one.
    fn sorted(&self, files: Arc<DataSourceExec>) -> Result<Arc<dyn ExecutionPlan>> {
        let time = files.schema().index_of("time").ok();
        let (Some(top), Some(time)) = (self.top, time) else { return Ok(files) };
        let options = SortOptions { descending: !top.oldest, nulls_first: !top.oldest };
        let order = PhysicalSortExpr::new(Arc::new(Column::new("time", time)), options);
        Ok(match files.try_pushdown_sort(&[order])? {
            SortOrderPushdownResult::Exact { inner } | SortOrderPushdownResult::Inexact { inner } => inner,
            SortOrderPushdownResult::Unsupported => files,
        })
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
            let projected = self.project(memory, &stored)?;
            let statistics = of_hot(hot, &projected.schema());
            return Ok(Arc::new(OptimizerFenceExec::new(projected, HashSet::new()).with_statistics(statistics)));
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

    fn physical(&self, filter: Expr, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
        physical(self.session, filter, schema)
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

/// An expression over columns of the schema, as the session evaluates it.
pub(super) fn physical(session: &dyn Session, expression: Expr, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    session.create_physical_expr(expression, &DFSchema::try_from(schema.as_ref().clone())?)
}

/// The column of this name.
pub(super) fn column(name: &str, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(Arc::new(Column::new(name, schema.index_of(name)?)))
}

/// The column as SQL shows it: a dictionary as plain text.
fn plain(field: &Field, position: usize) -> Result<Arc<dyn PhysicalExpr>> {
    let column = Arc::new(Column::new(field.name(), position));
    Ok(match field.data_type() {
        DataType::Dictionary(..) => Arc::new(CastExpr::new(column, DataType::Utf8, None)),
        _ => column,
    })
}

/// A function over columns.
pub(super) fn call(
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

/// The source of Parquet files: late materialisation, page index and blooms on, and the memory of its caches bounded.
pub(super) fn parquet_source(session: &dyn Session, store: Arc<dyn ObjectStore>, schema: SchemaRef) -> ParquetSource {
    let mut options = TableParquetOptions::default();
    options.global.enable_page_index = true;
    options.global.bloom_filter_on_read = true;
    options.global.pushdown_filters = true;
    options.global.reorder_filters = true;
    options.global.max_predicate_cache_size = Some(PREDICATE_CACHE_BYTES_MAX);
    let metadata_cache = session.runtime_env().cache_manager.get_file_metadata_cache();
    ParquetSource::new(schema)
        .with_table_parquet_options(options)
        .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(store, metadata_cache)))
}
