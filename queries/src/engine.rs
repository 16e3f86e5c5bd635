//! Runs queries under the limits: each on the engine's own threads, on one snapshot, after the statement policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use datafusion::common::ParamValues;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as PlannerStatement;
use datafusion::sql::sqlparser::ast::Statement;
use futures::StreamExt;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tollgate_record::redact::TokenHasher;

use crate::contents::Contents;
use crate::error::{ErrorKind, QueryError};
use crate::limits::Limits;
use crate::result::QueryResult;
use crate::rollup::answered;
use crate::source::Source;
use crate::sql::{Parsed, Parser, TokenHmac, capped, check_plan, check_statement, new_context, state_of, translate};
use crate::table::{QueryScope, told};
use crate::yielding::yielding;

/// Answers SQL over the records. All query servers share one behind an `Arc`.
pub struct Engine {
    core: Arc<EngineCore>,
    permits: Arc<Semaphore>,
    queued: AtomicUsize,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// The part of the engine that its threads use.
struct EngineCore {
    context: SessionContext,
    source: Arc<dyn Source>,
    parser: Parser,
    limits: Limits,
}

impl Engine {
    /// An engine over a source of records.
    pub fn new(source: Arc<dyn Source>, limits: Limits) -> Result<Self, QueryError> {
        let internal = |error: String| QueryError::new(ErrorKind::Internal, error);
        let context = new_context(source.as_ref(), &limits).map_err(|error| internal(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(limits.threads.max(1))
            .thread_name("tollgate-query")
            .enable_all()
            .build()
            .map_err(|error| internal(format!("the query threads cannot be started: {error}")))?;
        Ok(Self {
            core: Arc::new(EngineCore { context, source, parser: Parser::new(limits.sql_bytes_max), limits }),
            permits: Arc::new(Semaphore::new(limits.concurrent_max.max(1))),
            queued: AtomicUsize::new(0),
            runtime: Some(runtime),
        })
    }

    /// Gives `token_hmac` in SQL its key.
    #[must_use]
    pub fn with_token_hasher(self, hasher: TokenHasher) -> Self {
        self.core.context.register_udf(TokenHmac::with_key(hasher).into());
        self
    }

    /// The limits that all its queries keep.
    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// Answers one statement.
    pub async fn query(&self, sql: &str) -> Result<QueryResult, QueryError> {
        let text = sql.to_owned();
        let plan = self.on_threads(move |core| async move { core.plan(core.parser.one(&text)?).await }).await?;
        self.run(plan, sql, None).await
    }

    /// Answers one statement of this crate, which is parsed and bound already.
    pub(crate) async fn query_statement(&self, statement: Statement) -> Result<QueryResult, QueryError> {
        let plan = self.plan(Parsed::single("", statement)).await?;
        self.run(plan, "", None).await
    }

    /// Days, files and hot rows of the table at this moment.
    pub fn contents(&self) -> Contents {
        Contents::of(&self.core.source.snapshot())
    }

    pub(crate) fn parser(&self) -> &Parser {
        &self.core.parser
    }

    pub(crate) async fn parse_all(&self, sql: &str) -> Result<Vec<Parsed>, QueryError> {
        let sql = sql.to_owned();
        self.on_threads(move |core| async move { core.parser.statements(&sql) }).await
    }

    /// Plans a statement, and refuses it unless it only reads.
    pub(crate) async fn plan(&self, parsed: Parsed) -> Result<LogicalPlan, QueryError> {
        self.on_threads(move |core| async move { core.plan(parsed).await }).await
    }

    /// Binds the values of placeholders.
    pub(crate) fn bind(plan: LogicalPlan, values: &ParamValues) -> Result<LogicalPlan, QueryError> {
        plan.replace_params_with_values(values)
            .map_err(|error| QueryError::new(ErrorKind::Parameter, translate(&error, "").message))
    }

    /// Runs a plan. `sql` gives errors their position; `time_max` can only shorten the engine's own limit.
    pub(crate) async fn run(
        &self,
        plan: LogicalPlan,
        sql: &str,
        time_max: Option<Duration>,
    ) -> Result<QueryResult, QueryError> {
        check_plan(&plan)?;
        let started = Instant::now();
        let limit = self.core.limits.time_max;
        let limit = time_max.map_or(limit, |wanted| wanted.min(limit));
        let timed_out = || {
            QueryError::new(ErrorKind::TimedOut, format!("canceled after its {} s", limit.as_secs_f64()))
                .hint("narrow the range of time, or name fewer columns")
        };
        let answered = tokio::time::timeout(limit, async {
            let permit = self.permit().await?;
            let sql = sql.to_owned();
            self.on_threads(move |core| async move {
                let _permit = permit;
                core.collect(plan, &sql).await
            })
            .await
        });
        let mut result = answered.await.unwrap_or_else(|_| Err(timed_out()))?;
        result.elapsed = started.elapsed();
        Ok(result)
    }

    /// A permit to run; waits for one unless too many queries wait already.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let limits = &self.core.limits;
        let _waiting = Waiting::new(&self.queued, limits.queued_max).ok_or_else(|| {
            QueryError::new(
                ErrorKind::Busy,
                format!("{} queries are running and {} are waiting", limits.concurrent_max, limits.queued_max),
            )
            .hint("ask again in a moment")
        })?;
        let closed = |_| QueryError::new(ErrorKind::Internal, "the engine is stopping");
        self.permits.clone().acquire_owned().await.map_err(closed)
    }

    /// Runs work on the engine's threads. Dropping the answer cancels the work; a panic in it becomes an error.
    async fn on_threads<T, F>(&self, work: impl FnOnce(Arc<EngineCore>) -> F) -> Result<T, QueryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueryError>> + Send + 'static,
    {
        let Some(runtime) = &self.runtime else {
            return Err(QueryError::new(ErrorKind::Internal, "the engine is stopping"));
        };
        let mut task = AbortOnDrop(runtime.spawn(work(self.core.clone())));
        match (&mut task.0).await {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(%error, "a query broke off");
                Err(QueryError::new(ErrorKind::Internal, "the query broke off inside the engine")
                    .hint("the log of the query server says where"))
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("limits", &self.core.limits).finish_non_exhaustive()
    }
}

impl EngineCore {
    async fn plan(&self, parsed: Parsed) -> Result<LogicalPlan, QueryError> {
        check_statement(&parsed.statement)?;
        let plan = match self.plan_statement(parsed.statement.clone()).await {
            Ok(plan) => plan,
            Err(error) => {
                let Some(other) = self.parser.other_form(&parsed) else {
                    return Err(translate(&error, &parsed.sql));
                };
                check_statement(&other)?;
                self.plan_statement(other).await.map_err(|_| translate(&error, &parsed.sql))?
            }
        };
        check_plan(&plan)?;
        Ok(plan)
    }

    async fn plan_statement(&self, statement: Statement) -> Result<LogicalPlan, DataFusionError> {
        let state = self.context.state();
        let plan = state.statement_to_plan(PlannerStatement::Statement(Box::new(statement))).await?;
        capped(plan, self.limits.memory_bytes_max)
    }

    async fn collect(&self, plan: LogicalPlan, sql: &str) -> Result<QueryResult, QueryError> {
        let scope = Arc::new(QueryScope::new(self.source.snapshot(), self.limits.rollups));
        let state = state_of(&self.context, scope.clone());
        let failed = |error: DataFusionError| translate(&error, sql);
        let plan = answered(plan, &scope, &self.source.store(), &state).await.and_then(told).map_err(failed)?;
        let physical = state.create_physical_plan(&plan).await.and_then(yielding).map_err(failed)?;
        let task = state.task_ctx();
        let memory = MemoryConsumer::new("answer").register(task.memory_pool());
        let mut stream = execute_stream(physical, task).map_err(failed)?;
        let mut result = QueryResult::new(stream.schema());
        let mut left = self.limits.rows_max;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(failed)?;
            if batch.num_rows() > left {
                result.push(batch.slice(0, left), &memory).map_err(failed)?;
                result.truncated = true;
                break;
            }
            left -= batch.num_rows();
            result.push(batch, &memory).map_err(failed)?;
        }
        drop(stream);
        result.memory = Some(memory);
        result.scanned = scope.scanned();
        self.warn(&mut result, &scope);
        Ok(result)
    }

    fn warn(&self, result: &mut QueryResult, scope: &QueryScope) {
        if result.truncated {
            result.warnings.push(format!(
                "the answer has more rows than the {} shown: add a LIMIT, narrow the range of time, or aggregate",
                self.limits.rows_max
            ));
        }
        let evicted = scope.snapshot.hot_evicted;
        if evicted > 0 && result.scanned.scans > 0 {
            result.warnings.push(format!(
                "{evicted} recent rows are received and safe, but not in this answer: \
                 they wait in the journal for the table's next commit"
            ));
        }
    }
}

/// Counts one waiting query while it lives.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn new(count: &'c AtomicUsize, most: usize) -> Option<Self> {
        let waiting = Self(count);
        (count.fetch_add(1, Ordering::AcqRel) < most).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
