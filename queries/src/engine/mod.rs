//! Runs queries under the limits: each on the engine's own threads, on one snapshot, after the statement policy.

mod memory;
mod spill;
mod stream;
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::ParamValues;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as PlannerStatement;
use datafusion::sql::sqlparser::ast::Statement;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tollgate_record::redact::TokenHasher;

use crate::contents::Contents;
use crate::error::{ErrorKind, QueryError};
use crate::limits::Limits;
use crate::result::QueryResult;
use crate::source::Source;
use crate::sql::{Parsed, Parser, TokenHmac, capped, check_plan, check_statement, new_context, translate};
use memory::SharedMemory;
use spill::SpillFolder;
use stream::{AbortOnDrop, Run};

pub(crate) use stream::{PORTION_ROWS, QueryStream, Step, cut_warning};
pub(crate) use threads::NICE_MAX;

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
    memory: Arc<SharedMemory>,
    /// Removed when the last query that may use it has ended.
    _spill: Option<SpillFolder>,
}

/// What the engine does at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Queries that run, those whose reader is slow among them.
    pub running: usize,
    /// Queries that wait for a permit.
    pub waiting: usize,
    /// Bytes of memory that they hold.
    pub memory_bytes: usize,
    /// Bytes on disk that they have spilled.
    pub spilled_bytes: u64,
}

impl Engine {
    /// An engine over a source of records.
    pub fn new(source: Arc<dyn Source>, limits: Limits) -> Result<Self, QueryError> {
        let internal = |error: String| QueryError::new(ErrorKind::Internal, error);
        let spill = SpillFolder::open(&limits)?;
        let memory = SharedMemory::new(limits.memory_bytes_max);
        let disk = SpillFolder::disk_manager(spill.as_ref(), &limits);
        let context = new_context(source.as_ref(), &limits, memory.of_query(), disk);
        let context = context.map_err(|error| internal(error.to_string()))?;
        let runtime = threads::runtime(&limits)
            .map_err(|error| internal(format!("the query threads cannot be started: {error}")))?;
        let permits = Arc::new(Semaphore::new(limits.concurrent_max.max(1)));
        let parser = Parser::new(limits.sql_bytes_max);
        Ok(Self {
            core: Arc::new(EngineCore { context, source, parser, limits, memory, _spill: spill }),
            permits,
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

    /// What it does now.
    pub fn load(&self) -> Load {
        Load {
            running: self.core.limits.concurrent_max.max(1) - self.permits.available_permits(),
            waiting: self.queued.load(Ordering::Acquire),
            memory_bytes: self.core.memory.used(),
            spilled_bytes: self.core.context.runtime_env().disk_manager.used_disk_space(),
        }
    }

    /// Answers one statement, collected in memory.
    pub async fn query(&self, sql: &str) -> Result<QueryResult, QueryError> {
        let plan = self.plan_text(sql).await?;
        self.collect(plan, sql).await
    }

    /// Answers one statement of this crate, which is parsed and bound already.
    pub(crate) async fn query_statement(&self, statement: Statement) -> Result<QueryResult, QueryError> {
        let plan = self.plan(Parsed::single("", statement)).await?;
        self.collect(plan, "").await
    }

    /// Plans a text of one statement, and refuses it unless it only reads.
    pub(crate) async fn plan_text(&self, sql: &str) -> Result<LogicalPlan, QueryError> {
        let text = sql.to_owned();
        self.on_threads(move |core| async move { core.plan(core.parser.one(&text)?).await }).await
    }

    async fn collect(&self, plan: LogicalPlan, sql: &str) -> Result<QueryResult, QueryError> {
        let as_it_is = |_: &SchemaRef| Ok(Ok::<RecordBatch, QueryError>);
        self.stream(plan, sql, None, usize::MAX, as_it_is).await?.collect(usize::MAX).await
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

    /// Runs a plan, and answers with its rows as they come, `portion_rows` at a time. What `encoder` makes of them is made on
    /// the engine's threads. `sql` gives errors their position; `time_max` can only shorten the engine's own limit.
    pub(crate) async fn stream<E, F, T>(
        &self,
        plan: LogicalPlan,
        sql: &str,
        time_max: Option<Duration>,
        portion_rows: usize,
        encoder: E,
    ) -> Result<QueryStream<T>, QueryError>
    where
        E: FnOnce(&SchemaRef) -> Result<F, QueryError> + Send + 'static,
        F: FnMut(RecordBatch) -> Result<T, QueryError> + Send + 'static,
        T: Send + 'static,
    {
        check_plan(&plan)?;
        let accepted = Instant::now();
        let limit = self.core.limits.time_max;
        let limit = time_max.map_or(limit, |wanted| wanted.min(limit));
        let deadline = accepted + limit;
        let timed_out = move || {
            QueryError::new(ErrorKind::TimedOut, format!("canceled after its {} s", limit.as_secs_f64()))
                .hint("narrow the range of time, or name fewer columns")
        };
        let permit = tokio::time::timeout_at(deadline.into(), self.permit()).await;
        let permit = permit.unwrap_or_else(|_| Err(timed_out()))?;
        let (opening, opened) = oneshot::channel();
        let (portions, coming) = stream::portions();
        let run = Run { plan, sql: sql.to_owned(), accepted, portion_rows, encoder, opening, portions };
        let core = self.core.clone();
        let task = self.spawn(async move {
            let _permit = permit;
            let ended = tokio::time::timeout_at(deadline.into(), run.run(&core)).await;
            ended.unwrap_or_else(|_| Err(timed_out()))
        })?;
        QueryStream::opened(opened, coming, task, (accepted, deadline)).await
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
        self.spawn(work(self.core.clone()))?.ended().await
    }

    fn spawn<T, F>(&self, work: F) -> Result<AbortOnDrop<Result<T, QueryError>>, QueryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueryError>> + Send + 'static,
    {
        match &self.runtime {
            Some(runtime) => Ok(AbortOnDrop(runtime.spawn(work))),
            None => Err(QueryError::new(ErrorKind::Internal, "the engine is stopping")),
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
