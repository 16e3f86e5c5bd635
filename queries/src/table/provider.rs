//! The table as DataFusion sees it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use object_store::ObjectStore;
use tollgate_table::HotBatch;

use super::columns::{sql_columns, sql_schema};
use super::predicate::prunable;
use super::prune;
use super::scan::Scan;
use super::scope::QueryScope;

/// `transactions`: holds no rows itself, but reads the snapshot in the [`QueryScope`] of the query that scans it.
#[derive(Debug)]
pub struct TransactionsTable {
    store: Arc<dyn ObjectStore>,
}

impl TransactionsTable {
    /// A table over files in `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl TableProvider for TransactionsTable {
    fn schema(&self) -> SchemaRef {
        sql_schema()
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
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scope = session
            .config()
            .get_extension::<QueryScope>()
            .ok_or_else(|| internal_datafusion_err!("transactions is scanned without a snapshot"))?;
        let every: Vec<usize> = (0..sql_columns().schema.fields().len()).collect();
        let filter = prunable(filters);
        let scan = Scan {
            session,
            projection: projection.unwrap_or(&every),
            filter: filter.as_ref(),
            limit: if filters.is_empty() { limit } else { None },
        };
        let predicate = scan.predicate()?;
        let files = prune::files(&scope.snapshot.files, predicate.as_ref(), &sql_columns().stored);
        let hot: Vec<Arc<HotBatch>> = prune::hot(&scope.snapshot.hot, predicate.as_ref(), &sql_columns().stored);
        scope.add(files.len(), hot.len());

        let mut halves = Vec::with_capacity(2);
        if !files.is_empty() {
            halves.push(scan.of_files(&files, self.store.clone(), predicate.as_ref())?);
        }
        if !hot.is_empty() || halves.is_empty() {
            halves.push(scan.of_hot(&hot)?);
        }
        UnionExec::try_new(halves)
    }
}
