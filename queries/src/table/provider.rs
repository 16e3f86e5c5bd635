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
use super::id_lookup::narrowed;
use super::predicate::{computed, prunable};
use super::prune;
use super::scan::{Scan, physical};
use super::scope::QueryScope;
use super::top::TopTime;

/// `transactions`: holds no rows itself, but reads the snapshot in the [`QueryScope`] of the query that scans it.
#[derive(Debug)]
pub struct TransactionsTable {
    store: Arc<dyn ObjectStore>,
    /// The rows that the query of this one scan wants, by time.
    top: Option<TopTime>,
}

impl TransactionsTable {
    /// A table over files in `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, top: None }
    }

    /// The same table, for a scan of which only these rows are wanted.
    pub(super) fn with_top(&self, top: TopTime) -> Self {
        Self { store: self.store.clone(), top: Some(top) }
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
        let (filter, computed) = (prunable(filters), computed(filters));
        let stored = &sql_columns().stored;
        let predicate = filter.as_ref().map(|filter| physical(session, filter.clone(), stored)).transpose()?;
        let files = prune::files(&scope.snapshot.files, predicate.as_ref(), stored);
        let mut hot: Vec<Arc<HotBatch>> = prune::hot(&scope.snapshot.hot, predicate.as_ref(), stored);
        let (mut files, row_groups) = narrowed(session, &self.store, filters, files).await?;
        if let Some(top) = self.top.filter(|_| filters.is_empty()) {
            (files, hot) = top.choose(files, hot);
        }
        scope.add(files.len(), hot.len());
        let scan = Scan {
            session,
            projection: projection.unwrap_or(&every),
            filter: filter.as_ref(),
            computed: computed.as_ref(),
            limit: if filters.is_empty() { limit } else { None },
            top: self.top,
            row_groups: &row_groups,
        };
        let mut halves = Vec::with_capacity(2);
        if !hot.is_empty() || files.is_empty() {
            halves.push(scan.of_hot(&hot)?);
        }
        if !files.is_empty() {
            halves.push(scan.of_files(&files, self.store.clone(), scope.reason_to_scan())?);
        }
        UnionExec::try_new(halves)
    }
}
