//! The table of cells that stands in for `transactions`: cells of files that have them, and every other row as a cell of its own.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use object_store::ObjectStore;
use tollgate_table::rollup::{BUCKET, Part, Rollup};

use super::aggregates::{Needs, ROWS};
use super::coverage::{Cells, Coverage};
use crate::table::{CellScan, QueryScope, Source, sql_schema};

/// Cells of one snapshot, with the columns that one GROUP BY needs.
#[derive(Debug)]
pub(super) struct CellsTable {
    schema: SchemaRef,
    columns: Vec<CellColumn>,
    coverage: Coverage,
    scope: Arc<QueryScope>,
    store: Arc<dyn ObjectStore>,
}

/// A column of cells.
#[derive(Debug, Clone, PartialEq, Eq)]
enum CellColumn {
    /// Begin of the bucket; the time of a row.
    Time,
    /// A key, as SQL shows it.
    Key(String),
    /// Number of rows.
    Rows,
    /// A part of a measure.
    Part(String, Part),
    /// The value of a measure of a single row; null for cells.
    Value(String),
}

impl CellsTable {
    pub fn new(needs: Needs, coverage: Coverage, scope: Arc<QueryScope>, store: Arc<dyn ObjectStore>) -> Self {
        let mut columns = vec![CellColumn::Rows];
        columns.extend(needs.time.then_some(CellColumn::Time));
        columns.extend(needs.keys.into_iter().map(CellColumn::Key));
        columns.extend(needs.parts.into_iter().map(|(measure, part)| CellColumn::Part(measure, part)));
        columns.extend(needs.values.into_iter().map(CellColumn::Value));
        let schema = Arc::new(Schema::new(columns.iter().map(CellColumn::field).collect::<Vec<_>>()));
        Self { schema, columns, coverage, scope, store }
    }

    /// The wanted columns of cells, from the columns of a roll-up.
    fn of_cells(&self, wanted: &[usize]) -> Vec<(Source, String)> {
        let source = |column: &CellColumn| match column {
            CellColumn::Time => Source::Column(BUCKET.to_owned()),
            CellColumn::Key(key) => Source::Column(key.clone()),
            CellColumn::Rows => Source::Column(ROWS.to_owned()),
            CellColumn::Part(measure, part) => Source::Column(Rollup::column(measure, *part)),
            CellColumn::Value(_) => Source::Null(column.field().data_type().clone()),
        };
        wanted.iter().map(|at| (source(&self.columns[*at]), self.columns[*at].name())).collect()
    }

    /// The wanted columns of cells, from the columns of SQL.
    fn of_rows(&self, wanted: &[usize]) -> Vec<(Source, String)> {
        let source = |column: &CellColumn| match column {
            CellColumn::Time => Source::Column("time".to_owned()),
            CellColumn::Key(name) | CellColumn::Value(name) => Source::Column(name.clone()),
            CellColumn::Rows => Source::One,
            CellColumn::Part(measure, Part::Count) => Source::Present(measure.clone()),
            CellColumn::Part(_, Part::Sketch) => Source::Null(DataType::Binary),
            CellColumn::Part(measure, _) => Source::Column(measure.clone()),
        };
        wanted.iter().map(|at| (source(&self.columns[*at]), self.columns[*at].name())).collect()
    }

    fn label(&self, cells: &Cells) -> String {
        let whole = if cells.buckets.is_some() { ", cut to whole buckets of the range" } else { "" };
        format!("RollupExec: rollup={} files={}{whole}", cells.rollup.name, cells.files.len())
    }
}

#[async_trait]
impl TableProvider for CellsTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let every: Vec<usize> = (0..self.columns.len()).collect();
        let wanted = projection.unwrap_or(&every);
        let scan = CellScan { session, store: &self.store, filters };
        let mut inputs = Vec::new();
        for cells in &self.coverage.cells {
            let buckets = cells.buckets.map(|buckets| (buckets.from_us, buckets.to_us));
            inputs.push(scan.of_cells(
                cells.rollup,
                &cells.files,
                buckets,
                &self.of_cells(wanted),
                self.label(cells),
            )?);
        }
        let columns = self.of_rows(wanted);
        for rows in &self.coverage.rows {
            let within = (rows.range.from_us, rows.range.to_us);
            let without = rows.without.map(|without| (without.from_us, without.to_us));
            inputs.extend(scan.of_rows(&rows.files, within, without, &columns, &self.scope)?);
        }
        if let Some(range) = self.coverage.range {
            inputs.extend(scan.of_hot(&self.scope, (range.from_us, range.to_us), &columns)?);
        }
        self.scope.add_cells(self.coverage.cells.iter().map(|cells| cells.files.len()).sum());
        UnionExec::try_new(inputs)
    }
}

impl CellColumn {
    fn name(&self) -> String {
        match self {
            Self::Time => "time".to_owned(),
            Self::Key(name) | Self::Value(name) => name.clone(),
            Self::Rows => ROWS.to_owned(),
            Self::Part(measure, part) => Rollup::column(measure, *part),
        }
    }

    fn field(&self) -> Field {
        let typed = |name: &str| {
            let field = sql_schema().field_with_name(name).cloned();
            field.map_or(DataType::Null, |field| field.data_type().clone())
        };
        let data_type = match self {
            Self::Time => typed("time"),
            Self::Rows | Self::Part(_, Part::Count | Part::Sum) => DataType::Int64,
            Self::Part(_, Part::Sketch) => DataType::Binary,
            Self::Key(name) | Self::Value(name) | Self::Part(name, Part::Min | Part::Max) => typed(name),
        };
        Field::new(self.name(), data_type, !matches!(self, Self::Time | Self::Rows))
    }
}
