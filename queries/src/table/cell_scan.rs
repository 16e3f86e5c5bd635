//! The scans behind answers from roll-ups: cells from beside the files, and rows in the shape of cells. See `crate::rollup`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::Session;
use datafusion::common::{Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionState;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, cast, col, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use object_store::ObjectStore;
use tollgate_record::schema::TIME_ZONE;
use tollgate_table::DataFile;
use tollgate_table::rollup::{BUCKET, Rollup};

use super::columns::{Origin, sql_columns};
use super::compute;
use super::id_lookup::RowGroups;
use super::optimizer_fence::OptimizerFenceExec;
use super::predicate::{computed, prunable};
use super::prune;
use super::scan::{STORE_URL, Scan, call, column, parquet_source, physical};
use super::scope::QueryScope;

/// What a column of cells is made of.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The column of this name.
    Column(String),
    /// 1 where the column has a value, and 0 where it has none.
    Present(String),
    /// 1.
    One,
    /// Nothing, of this type.
    Null(DataType),
}

/// Columns of cells, by what they are made of, with their names.
type Columns = [(Source, String)];

/// What the scans behind one table of cells share.
pub(crate) struct CellScan<'s> {
    pub session: &'s dyn Session,
    pub store: &'s Arc<dyn ObjectStore>,
    /// Filters of the query over keys.
    pub filters: &'s [Expr],
}

/// The files of a snapshot that may hold rows for which all filters, over columns of SQL, are true.
pub(crate) fn files_with<'f>(
    files: &'f [DataFile],
    filters: &[Expr],
    state: &SessionState,
) -> Result<Vec<&'f DataFile>> {
    let filter = prunable(filters);
    let predicate = filter.map(|filter| physical(state, filter, &sql_columns().stored)).transpose()?;
    Ok(prune::files(files, predicate.as_ref(), &sql_columns().stored))
}

impl CellScan<'_> {
    /// Cells beside these files: of buckets that begin within `buckets`, or all.
    pub fn of_cells(
        &self,
        rollup: &'static Rollup,
        files: &[DataFile],
        buckets: Option<(i64, i64)>,
        columns: &Columns,
        label: String,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = rollup.schema();
        let mut source = parquet_source(self.session, self.store.clone(), schema.clone());
        if let Some(filter) = computed(self.filters) {
            source = source.with_predicate(physical(self.session, filter, &schema)?);
        }
        let mut needed: Vec<usize> = columns.iter().filter_map(|(from, _)| from.index_in(&schema)).collect();
        needed.extend(buckets.and_then(|_| schema.index_of(BUCKET).ok()));
        needed.sort_unstable();
        needed.dedup();
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
            .with_file_groups(dealt(rollup, files, self.session.config().target_partitions().max(1)))
            .with_statistics(Statistics::new_unknown(&schema))
            .with_projection_indices(Some(needed))?
            .build();
        let mut cells: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        if let Some((from_us, to_us)) = buckets {
            let within = col(BUCKET).gt_eq(time(from_us)).and(col(BUCKET).lt_eq(time(to_us)));
            cells = Arc::new(FilterExec::try_new(physical(self.session, within, &cells.schema())?, cells)?);
        }
        let projected = self.project(cells, columns, true)?;
        let as_stored = |(from, _): &(Source, String)| match from {
            Source::Column(name) => matches!(sql_columns().origin(name), Some(Origin::Stored(_))),
            _ => false,
        };
        let passing = columns.iter().enumerate().filter(|(_, column)| as_stored(column)).map(|(at, _)| at).collect();
        Ok(Arc::new(OptimizerFenceExec::new(projected, passing).with_label(label)))
    }

    /// The rows of these files with times within `within` and not within `without`, as cells. Nothing if no file can have one.
    pub fn of_rows(
        &self,
        files: &[DataFile],
        within: (i64, i64),
        without: Option<(i64, i64)>,
        columns: &Columns,
        scope: &QueryScope,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let times = between(within, without);
        let kept: Vec<&DataFile> = files.iter().collect();
        scope.add_rows(kept.len(), 0);
        if kept.is_empty() {
            return Ok(None);
        }
        let rows = self.rows(columns, times.as_ref(), |scan| scan.of_files(&kept, self.store.clone(), None))?;
        Ok(Some(rows))
    }

    /// The hot rows with times within `within`, as cells. Nothing if there are none.
    pub fn of_hot(
        &self,
        scope: &QueryScope,
        within: (i64, i64),
        columns: &Columns,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let times = between(within, None);
        let hot = scope.snapshot.hot.iter();
        let hot: Vec<_> =
            hot.filter(|batch| batch.min_time_us <= within.1 && batch.max_time_us >= within.0).cloned().collect();
        scope.add_rows(0, hot.len());
        if hot.is_empty() {
            return Ok(None);
        }
        self.rows(columns, times.as_ref(), |scan| scan.of_hot(&hot)).map(Some)
    }

    /// Rows that `read` answers, filtered by time and in the shape of cells.
    fn rows(
        &self,
        columns: &Columns,
        times: Option<&Expr>,
        read: impl FnOnce(&Scan<'_>) -> Result<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let sql = &sql_columns().schema;
        let mut projection: Vec<usize> = columns.iter().filter_map(|(from, _)| from.index_in(sql)).collect();
        projection.extend(times.and_then(|_| sql.index_of("time").ok()));
        projection.sort_unstable();
        projection.dedup();
        let all: Vec<Expr> = self.filters.iter().chain(times).cloned().collect();
        let (filter, computed) = (prunable(&all), computed(self.filters));
        let scan = Scan {
            session: self.session,
            projection: &projection,
            filter: filter.as_ref(),
            computed: computed.as_ref(),
            limit: None,
            top: None,
            row_groups: &RowGroups::new(),
        };
        let mut rows = read(&scan)?;
        if let Some(times) = times {
            rows = Arc::new(FilterExec::try_new(physical(self.session, times.clone(), &rows.schema())?, rows)?);
        }
        self.project(rows, columns, false)
    }

    fn project(
        &self,
        input: Arc<dyn ExecutionPlan>,
        columns: &Columns,
        stored: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = input.schema();
        let made = columns.iter().map(|(from, name)| {
            let expression: Arc<dyn PhysicalExpr> = match from {
                Source::Column(of) => match sql_columns().origin(of) {
                    Some(Origin::Hex(_)) if stored => {
                        let field = sql_columns().schema.field_with_name(of)?;
                        call(compute::hex(), vec![column(of, &schema)?], field, self.session)
                    }
                    _ => column(of, &schema)?,
                },
                Source::Present(of) => {
                    let present =
                        cast(col(datafusion::common::Column::new_unqualified(of)).is_not_null(), DataType::Int64);
                    physical(self.session, present, &schema)?
                }
                Source::One => physical(self.session, lit(1_i64), &schema)?,
                Source::Null(data_type) => physical(self.session, lit(ScalarValue::try_from(data_type)?), &schema)?,
            };
            Ok((expression, name.clone()))
        });
        Ok(Arc::new(ProjectionExec::try_new(made.collect::<Result<Vec<_>>>()?, input)?))
    }
}

impl Source {
    fn index_in(&self, schema: &datafusion::arrow::datatypes::Schema) -> Option<usize> {
        match self {
            Self::Column(name) | Self::Present(name) => schema.index_of(name).ok(),
            Self::One | Self::Null(_) => None,
        }
    }
}

/// The files of cells, dealt out so that each partition has about as many bytes.
fn dealt(rollup: &Rollup, files: &[DataFile], partitions: usize) -> Vec<FileGroup> {
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); partitions.min(files.len().max(1))];
    for file in files {
        let Some(part) = file.sidecar.get(rollup.name) else { continue };
        if let Some((bytes, group)) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes += part.bytes;
            group.push(PartitionedFile::new(file.sidecar_path(rollup.name), part.bytes));
        }
    }
    groups.into_iter().map(|(_, group)| FileGroup::new(group)).collect()
}

fn time(us: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(us), Some(TIME_ZONE.into())))
}

/// Times within `within` and not within `without`; both with their ends. Nothing if every time is.
fn between((from, to): (i64, i64), without: Option<(i64, i64)>) -> Option<Expr> {
    let after = (from != i64::MIN).then(|| col("time").gt_eq(time(from)));
    let before = (to != i64::MAX).then(|| col("time").lt_eq(time(to)));
    let outside = without.map(|(from, to)| col("time").lt(time(from)).or(col("time").gt(time(to))));
    [after, before, outside].into_iter().flatten().reduce(Expr::and)
}
