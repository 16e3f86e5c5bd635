//! The rows of a read, on their way to a client: all at once, or some with each Execute.
//!
//! A client that names a number of rows in its Execute (JDBC's fetch size, for one) gets that many, and PortalSuspended
//! (PostgreSQL's protocol, "Extended Query"). The query then stands still until the next Execute, as nothing takes its rows.
//! It holds its permit meanwhile, and its time goes on. It ends when the portal is closed, with the transaction, and with the
//! connection.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::LogicalPlan;
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::FieldInfo;
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::data::DataRow;
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::{Sink, SinkExt};
use tokio::sync::{Mutex, oneshot};

use super::reply::{fault, notice};
use super::session::statement_timeout;
use crate::engine::{Engine, PORTION_ROWS, QueryStream, Step};
use crate::error::{ErrorKind, QueryError};

/// Queries of one connection that have begun and not ended.
const OPEN_MAX: usize = 4;

/// The rows of one query.
pub(super) struct Cursor {
    /// The columns, in the formats that the client wants.
    pub fields: Arc<Vec<FieldInfo>>,
    sql: String,
    rows: QueryStream<Vec<DataRow>>,
    ahead: Option<Step<Vec<DataRow>>>,
    /// Rows that came and were not sent, and their memory.
    portion: Option<(std::vec::IntoIter<DataRow>, MemoryReservation)>,
    _open: Open,
}

/// How far a client has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// That many rows, and there may be more.
    Some,
    /// That many rows, and the answer is at its end.
    All(usize),
}

/// Where a portal stands.
#[derive(Default)]
pub(super) enum Place {
    /// It was not executed yet.
    #[default]
    New,
    /// Its query runs, or stands still.
    Open(Box<Cursor>),
    /// All rows were sent.
    Done,
    /// Its query failed, or its time is over.
    Failed(QueryError),
}

impl Cursor {
    /// Runs a plan, and waits for its first rows: an error before them then comes before everything else.
    pub async fn open<C: ClientInfo>(
        engine: &Engine,
        (sql, plan): (&str, LogicalPlan),
        format: &Format,
        client: &C,
    ) -> PgWireResult<Self> {
        let failed = |error: QueryError| fault(&error, sql);
        let open = Open::of(client).map_err(failed)?;
        let options = Arc::new(FormatOptions::from_client_metadata(client.metadata()));
        let format = format.clone();
        let (tell, told) = oneshot::channel();
        let encoder = move |schema: &SchemaRef| {
            let fields = Arc::new(arrow_schema_to_pg_fields(schema, &format, Some(options)).map_err(unencodable)?);
            // Nobody listens any more when the query was withdrawn meanwhile.
            let _unheard = tell.send(fields.clone());
            Ok(move |batch: RecordBatch| {
                encode_recordbatch(fields.clone(), batch).collect::<PgWireResult<Vec<_>>>().map_err(unencodable)
            })
        };
        let rows = engine.stream(plan, sql, statement_timeout(client), PORTION_ROWS, encoder).await;
        let mut rows = rows.map_err(failed)?;
        let fields = told.await.map_err(|error| failed(unencodable(error)))?;
        let ahead = Some(rows.next().await.map_err(failed)?);
        Ok(Self { fields, sql: sql.to_owned(), rows, ahead, portion: None, _open: open })
    }

    /// When its query ends, whoever still waits.
    pub fn deadline(&self) -> Instant {
        self.rows.deadline()
    }

    /// Sends up to `rows_max` rows, or all; with the last of them, the warnings.
    pub async fn send<C>(&mut self, client: &mut C, rows_max: Option<usize>) -> PgWireResult<Sent>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let mut sent = 0;
        while rows_max != Some(sent) {
            if let Some(row) = self.portion.as_mut().and_then(|(rows, _)| rows.next()) {
                client.feed(PgWireBackendMessage::DataRow(row)).await?;
                sent += 1;
                continue;
            }
            self.portion = None;
            let step = match self.ahead.take() {
                Some(step) => step,
                None => self.rows.next().await.map_err(|error| fault(&error, &self.sql))?,
            };
            match step {
                Step::Rows(portion) => {
                    let (rows, memory) = portion.into_parts();
                    self.portion = Some((rows.into_iter(), memory));
                }
                Step::End(summary) => {
                    for warning in &summary.warnings {
                        client.feed(PgWireBackendMessage::NoticeResponse(notice(warning).into())).await?;
                    }
                    return Ok(Sent::All(sent));
                }
            }
        }
        Ok(Sent::Some)
    }
}

/// Frees what a suspended portal holds at the end of its query's time. Its next Execute gets the error.
pub(super) fn expire(place: &Arc<Mutex<Place>>, deadline: Instant) {
    let place = Arc::downgrade(place);
    tokio::spawn(async move {
        tokio::time::sleep_until(deadline.into()).await;
        if let Some(place) = place.upgrade() {
            let mut place = place.lock().await;
            if matches!(*place, Place::Open(_)) {
                let error =
                    QueryError::new(ErrorKind::TimedOut, "canceled: its time ended before its rows were fetched");
                *place = Place::Failed(error.hint("fetch faster, or raise queries.limits.time_max"));
            }
        }
    });
}

fn unencodable(error: impl std::fmt::Display) -> QueryError {
    QueryError::new(ErrorKind::Internal, format!("the answer cannot be written: {error}"))
}

/// Counts one open cursor of a connection while it lives.
struct Open(Arc<AtomicUsize>);

/// The count of a connection.
#[derive(Default)]
struct OpenCursors(Arc<AtomicUsize>);

impl Open {
    fn of<C: ClientInfo>(client: &C) -> Result<Self, QueryError> {
        let count = client.session_extensions().get_or_insert_with(OpenCursors::default).0.clone();
        let before = count.fetch_add(1, Ordering::AcqRel);
        let open = Self(count);
        if before < OPEN_MAX {
            return Ok(open);
        }
        let message = format!("{OPEN_MAX} portals of this connection have rows that were not fetched");
        Err(QueryError::new(ErrorKind::Busy, message).hint("fetch all rows of one, or close it"))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
