//! An answer as it comes: batch by batch, as fast as its reader takes it.
//!
//! ```text
//!   engine's threads: run ─▶ cut into portions ─▶ encode ─▶ one waits ─▶ reader
//!        └─ permit, memory, files on disk: until the last row, the end of its time, or the reader's end
//! ```
//! One portion waits and one is with the reader, whatever the size of the answer: a slow reader slows the query, and the
//! query's time goes on. A reader that drops its [`QueryStream`] ends the query.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};

use super::EngineCore;
use crate::error::{ErrorKind, QueryError};
use crate::result::{QueryResult, Summary};
use crate::rollup::answered;
use crate::sql::{state_of, translate};
use crate::table::{QueryScope, told};
use crate::yielding::yielding;

/// Rows that are encoded at a time. A row of all columns has about 1.5 KB as JSON.
pub(crate) const PORTION_ROWS: usize = 1_024;
/// Portions that wait for the reader.
const WAITING_PORTIONS: usize = 1;

/// Something that counts against the memory of queries until it is dropped.
#[derive(Debug)]
pub(crate) struct Held<T> {
    item: T,
    memory: MemoryReservation,
}

impl<T> Held<T> {
    /// The item and what keeps its memory accounted for.
    pub fn into_parts(self) -> (T, MemoryReservation) {
        (self.item, self.memory)
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

/// What comes next in an answer.
pub(crate) enum Step<T> {
    /// Some rows, encoded.
    Rows(Held<T>),
    /// That was all.
    End(Summary),
}

/// An answer on its way. Dropping it ends the query.
pub(crate) struct QueryStream<T> {
    opening: Opening,
    portions: mpsc::Receiver<Held<T>>,
    task: AbortOnDrop<Result<Summary, QueryError>>,
    accepted: Instant,
    deadline: Instant,
}

/// What is known of an answer before its first row.
pub(super) struct Opening {
    schema: SchemaRef,
    /// Warnings that hold whatever rows come.
    warnings: Vec<String>,
    /// For who collects the rows.
    memory: MemoryReservation,
}

impl<T: Send + 'static> QueryStream<T> {
    /// Waits until the query runs.
    pub(super) async fn opened(
        opening: oneshot::Receiver<Opening>,
        portions: mpsc::Receiver<Held<T>>,
        task: AbortOnDrop<Result<Summary, QueryError>>,
        (accepted, deadline): (Instant, Instant),
    ) -> Result<Self, QueryError> {
        match opening.await {
            Ok(opening) => Ok(Self { opening, portions, task, accepted, deadline }),
            Err(_) => match task.ended().await {
                Ok(_) => Err(QueryError::new(ErrorKind::Internal, "the query ended before it began")),
                Err(error) => Err(error),
            },
        }
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.opening.schema
    }

    /// Warnings that are known before the first row.
    pub fn warnings(&self) -> &[String] {
        &self.opening.warnings
    }

    /// When the query ends, whoever still waits for it.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The next rows, or the end. After an end or an error nothing more comes.
    pub async fn next(&mut self) -> Result<Step<T>, QueryError> {
        match self.portions.recv().await {
            Some(portion) => Ok(Step::Rows(portion)),
            None => self.task.ended_once().await.map(Step::End),
        }
    }
}

impl QueryStream<RecordBatch> {
    /// All rows up to a bound, as far as the memory of queries has room for them. At the bound the query ends.
    pub async fn collect(mut self, rows_max: usize) -> Result<QueryResult, QueryError> {
        let mut batches = Vec::new();
        let mut rows = 0;
        let summary = loop {
            match self.next().await? {
                Step::Rows(portion) => {
                    let (batch, memory) = portion.into_parts();
                    let grown = self.opening.memory.try_grow(memory.size());
                    grown.map_err(|error| translate(&error, ""))?;
                    let kept = batch.num_rows().min(rows_max - rows);
                    rows += kept;
                    batches.push(batch.slice(0, kept));
                    if kept < batch.num_rows() {
                        let mut warnings = vec![cut_warning(rows_max)];
                        warnings.append(&mut self.opening.warnings);
                        let elapsed = self.accepted.elapsed();
                        break Summary { rows, truncated: true, warnings, elapsed, ..Summary::default() };
                    }
                }
                Step::End(summary) => break summary,
            }
        };
        let Self { opening: Opening { schema, memory, .. }, .. } = self;
        Ok(QueryResult::new(schema, batches, summary, memory))
    }
}

/// One query, as the engine's threads run it.
pub(super) struct Run<E, T> {
    pub plan: LogicalPlan,
    pub sql: String,
    pub accepted: Instant,
    /// Rows of a portion.
    pub portion_rows: usize,
    /// Makes the encoder, once the columns are known.
    pub encoder: E,
    pub opening: oneshot::Sender<Opening>,
    pub portions: mpsc::Sender<Held<T>>,
}

/// The way of portions from the engine's threads to the reader.
pub(super) fn portions<T>() -> (mpsc::Sender<Held<T>>, mpsc::Receiver<Held<T>>) {
    mpsc::channel(WAITING_PORTIONS)
}

impl<E, F, T> Run<E, T>
where
    E: FnOnce(&SchemaRef) -> Result<F, QueryError> + Send,
    F: FnMut(RecordBatch) -> Result<T, QueryError> + Send,
    T: Send,
{
    /// Runs it to its end, or until the reader has gone.
    pub async fn run(self, core: &EngineCore) -> Result<Summary, QueryError> {
        let Self { plan, sql, accepted, portion_rows, encoder, opening, portions } = self;
        let failed = |error: DataFusionError| translate(&error, &sql);
        let scope = Arc::new(QueryScope::new(core.source.snapshot(), core.limits.rollups));
        let state = state_of(&core.context, scope.clone());
        let plan = answered(plan, &scope, &core.source.store(), &state).await.and_then(told).map_err(failed)?;
        let physical = state.create_physical_plan(&plan).await.and_then(yielding).map_err(failed)?;
        let share = core.memory.of_query();
        let memory: Arc<dyn MemoryPool> = share.clone();
        let mut runtime = state.runtime_env().as_ref().clone();
        runtime.memory_pool = memory.clone();
        let task = TaskContext::from(&state).with_runtime(Arc::new(runtime));
        let mut stream = execute_stream(physical, Arc::new(task)).map_err(failed)?;
        let schema = stream.schema();
        let mut encode = encoder(&schema)?;
        let mut summary = Summary { warnings: warnings(core, &scope), ..Summary::default() };
        let answer = MemoryConsumer::new("answer").register(&memory);
        let opened = Opening { schema, warnings: summary.warnings.clone(), memory: answer };
        if opening.send(opened).is_err() {
            return Err(gone());
        }
        loop {
            let batch = tokio::select! {
                biased;
                () = share.outgrown() => return Err(failed(DataFusionError::ResourcesExhausted(String::new()))),
                batch = stream.next() => batch,
            };
            let Some(batch) = batch.transpose().map_err(failed)? else { break };
            let room = core.limits.rows_max - summary.rows;
            let rows = batch.num_rows().min(room);
            let mut from = 0;
            while from < rows {
                let portion = batch.slice(from, portion_rows.min(rows - from));
                from += portion.num_rows();
                let held = MemoryConsumer::new("portion").register(&memory);
                held.grow(bytes_of(&portion).map_err(failed)?);
                let portion = Held { item: encode(portion)?, memory: held };
                portions.send(portion).await.map_err(|_| gone())?;
            }
            summary.rows += rows;
            if rows < batch.num_rows() {
                summary.truncated = true;
                break;
            }
        }
        drop(stream);
        summary.scanned = scope.scanned();
        if summary.truncated {
            summary.warnings.insert(0, cut_warning(core.limits.rows_max));
        }
        summary.elapsed = accepted.elapsed();
        Ok(summary)
    }
}

fn gone() -> QueryError {
    QueryError::new(ErrorKind::Canceled, "the reader of the answer has gone")
}

fn bytes_of(batch: &RecordBatch) -> Result<usize, DataFusionError> {
    let mut bytes = 0;
    for column in batch.columns() {
        bytes += column.to_data().get_slice_memory_size()?;
    }
    Ok(bytes)
}

/// The warning of an answer that is cut after this many rows.
pub(crate) fn cut_warning(rows_max: usize) -> String {
    format!("the answer has more rows than the {rows_max} shown: add a LIMIT, narrow the range of time, or aggregate")
}

/// What is to be said of an answer whatever its rows are. An answer without records is not warned of.
fn warnings(core: &EngineCore, scope: &QueryScope) -> Vec<String> {
    if scope.scanned().scans == 0 {
        return Vec::new();
    }
    let evicted = scope.snapshot.hot_evicted;
    let waiting = (evicted > 0).then(|| {
        format!(
            "{evicted} recent rows are received and safe, but not in this answer: \
             they wait in the journal for the table's next commit"
        )
    });
    waiting.into_iter().chain(core.source.notice()).collect()
}

/// A task that ends with its handle.
pub(super) struct AbortOnDrop<T>(pub tokio::task::JoinHandle<T>);

impl<T> AbortOnDrop<Result<T, QueryError>> {
    /// What became of it. A panic is an error.
    pub async fn ended(mut self) -> Result<T, QueryError> {
        self.ended_once().await
    }

    /// Like [`AbortOnDrop::ended`], to be asked once.
    pub async fn ended_once(&mut self) -> Result<T, QueryError> {
        match (&mut self.0).await {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(%error, "a query broke off");
                Err(QueryError::new(ErrorKind::Internal, "the query broke off inside the engine")
                    .hint("the log of the query server says where"))
            }
        }
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
