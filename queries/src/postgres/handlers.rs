//! The protocol's messages, handed to the engine.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::logical_expr::LogicalPlan;
use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
use datafusion_postgres::pgwire::api::auth::StartupHandler;
use datafusion_postgres::pgwire::api::auth::noop::NoopStartupHandler;
use datafusion_postgres::pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use datafusion_postgres::pgwire::api::portal::{Format, Portal};
use datafusion_postgres::pgwire::api::query::{
    ExtendedQueryHandler, SimpleQueryHandler, send_execution_response, send_query_response, send_ready_for_query,
};
use datafusion_postgres::pgwire::api::results::{FieldInfo, Response, Tag};
use datafusion_postgres::pgwire::api::stmt::{QueryParser, StoredStatement};
use datafusion_postgres::pgwire::api::store::{Entry, PortalStore};
use datafusion_postgres::pgwire::api::{
    ClientInfo, ClientPortalStore, ConnectionHandle, ConnectionManager, DEFAULT_NAME, PgWireConnectionState,
    PgWireServerHandlers, Type,
};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::data::RowDescription;
use datafusion_postgres::pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Execute, PortalSuspended, Sync as PgSync, TARGET_TYPE_BYTE_PORTAL,
};
use datafusion_postgres::pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use datafusion_postgres::pgwire::messages::simplequery::Query;
use futures::{Sink, SinkExt};

use super::cursor::{Cursor, Place, Sent, expire};
use super::parameters::{bound, parameter_types};
use super::portals::{bind_nothing, forget_portals, portals_of};
use super::reply::{fault, transaction_aborted};
use super::session::SessionStatement;
use super::watch::Stalls;
use crate::engine::Engine;
use crate::error::{ErrorKind, QueryError};

/// All handlers of one connection.
pub(super) struct PgHandlers {
    queries: Arc<QueryHandler>,
    startup: Arc<Startup>,
    cancel: Arc<DefaultCancelHandler>,
}

impl PgHandlers {
    /// `connections` are those of the server: a cancel request comes on another one than the query.
    pub fn new(engine: Arc<Engine>, connections: Arc<ConnectionManager>, stalls: Stalls) -> Self {
        let parser = Arc::new(StatementParser { engine: engine.clone() });
        Self {
            queries: Arc::new(QueryHandler { engine, parser, stalls }),
            startup: Arc::new(Startup { connections: connections.clone() }),
            cancel: Arc::new(DefaultCancelHandler::new(connections)),
        }
    }
}

impl PgWireServerHandlers for PgHandlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.queries.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.queries.clone()
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        self.startup.clone()
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        self.cancel.clone()
    }
}

/// Lets everybody in, and registers the connection so that its queries can be canceled.
struct Startup {
    connections: Arc<ConnectionManager>,
}

impl NoopStartupHandler for Startup {
    fn connection_manager(&self) -> Option<Arc<ConnectionManager>> {
        Some(self.connections.clone())
    }
}

/// A statement, ready to run.
#[derive(Clone)]
pub(super) enum Prepared {
    Session(SessionStatement),
    Read {
        sql: Arc<str>,
        plan: Arc<LogicalPlan>,
        /// Of a portal: how far its client has got. Each portal has its own.
        place: Arc<tokio::sync::Mutex<Place>>,
    },
}

struct QueryHandler {
    engine: Arc<Engine>,
    parser: Arc<StatementParser>,
    stalls: Stalls,
}

/// Turns text into [`Prepared`] statements.
struct StatementParser {
    engine: Arc<Engine>,
}

impl StatementParser {
    /// All statements of a text, each planned and passed by the statement policy before the first runs.
    async fn prepare(&self, sql: &str) -> Result<Vec<Prepared>, QueryError> {
        let mut prepared = Vec::new();
        for parsed in self.engine.parse_all(sql).await? {
            prepared.push(match SessionStatement::of(&parsed.statement)? {
                Some(statement) => Prepared::Session(statement),
                None => Prepared::Read {
                    sql: sql.into(),
                    plan: Arc::new(self.engine.plan(parsed).await?),
                    place: Arc::default(),
                },
            });
        }
        Ok(prepared)
    }
}

/// Does the work unless a cancel request comes first, as pgwire's own handlers do. The work ends where it waits.
async fn cancelable<C, T>(client: &mut C, work: impl AsyncFnOnce(&mut C) -> PgWireResult<T>) -> PgWireResult<T>
where
    C: ClientInfo,
{
    let Some(handle) = client.session_extensions().get::<Arc<ConnectionHandle>>() else {
        return work(client).await;
    };
    let canceled = handle.start_query().await;
    tokio::select! {
        biased;
        done = work(client) => done,
        _ = canceled => Err(PgWireError::QueryCanceled),
    }
}

impl QueryHandler {
    /// All statements of a text, each answered to its end before the next begins.
    async fn answer_all<C>(&self, client: &mut C, text: &str) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let prepared = self.parser.prepare(text).await.map_err(|error| fault(&error, text))?;
        if prepared.is_empty() {
            client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        for statement in prepared {
            match statement {
                Prepared::Session(statement) => self.answer_session(client, &statement).await?,
                Prepared::Read { sql, plan, .. } => {
                    let _watched = self.stalls.watch(self.engine.limits().time_max);
                    let mut cursor = self.open(client, &sql, (*plan).clone(), &Format::UnifiedText).await?;
                    let heads = RowDescription::new(cursor.fields.iter().map(Into::into).collect());
                    client.feed(PgWireBackendMessage::RowDescription(heads)).await?;
                    if let Sent::All(rows) = cursor.send(client, None).await? {
                        send_execution_response(client, Tag::new("SELECT").with_rows(rows)).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn answer_session<C>(&self, client: &mut C, statement: &SessionStatement) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let status = client.transaction_status();
        match statement.answer(client).await? {
            Response::Query(rows) => send_query_response(client, rows, true).await,
            Response::Execution(tag) => send_execution_response(client, tag).await,
            Response::TransactionStart(tag) => {
                client.set_transaction_status(status.to_in_transaction_state());
                send_execution_response(client, tag).await
            }
            Response::TransactionEnd(tag) => {
                client.set_transaction_status(status.to_idle_state());
                forget_portals(client);
                send_execution_response(client, tag).await
            }
            _ => Ok(()),
        }
    }

    async fn open<C: ClientInfo>(
        &self,
        client: &C,
        sql: &str,
        plan: LogicalPlan,
        format: &Format,
    ) -> PgWireResult<Cursor> {
        if client.transaction_status() == TransactionStatus::Error {
            return Err(transaction_aborted());
        }
        Cursor::open(&self.engine, (sql, plan), format, client).await
    }

    /// Sends the next rows of a portal.
    async fn fetch<C>(&self, client: &mut C, portal: &Portal<Prepared>, rows_max: Option<usize>) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let Prepared::Read { sql, plan, place } = &portal.statement.statement else { return Ok(()) };
        let shared = place;
        let mut place = shared.lock().await;
        if matches!(*place, Place::New) {
            let plan = bound(plan, portal)?;
            let cursor = self.open(client, sql, plan, &portal.result_column_format).await?;
            if rows_max.is_some() {
                expire(shared, cursor.deadline());
            }
            *place = Place::Open(Box::new(cursor));
        }
        let sent = match &mut *place {
            Place::Open(cursor) => cursor.send(client, rows_max).await,
            Place::Failed(error) => return Err(fault(error, sql)),
            Place::New | Place::Done => Ok(Sent::All(0)),
        };
        match sent {
            Ok(Sent::Some) => client.feed(PgWireBackendMessage::PortalSuspended(PortalSuspended::new())).await?,
            Ok(Sent::All(rows)) => {
                *place = Place::Done;
                send_execution_response(client, Tag::new("SELECT").with_rows(rows)).await?;
            }
            Err(error) => {
                *place = Place::Failed(QueryError::new(ErrorKind::Failed, "the query of this portal has failed"));
                return Err(error);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl SimpleQueryHandler for QueryHandler {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        if client.transaction_status() == TransactionStatus::Idle {
            forget_portals(client);
        }
        cancelable(client, async |client| self.answer_all(client, &query.query).await).await?;
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    /// Never asked: [`SimpleQueryHandler::on_query`] sends rows as they come, and not whole answers.
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.answer_all(client, query).await.map(|()| Vec::new())
    }
}

#[async_trait]
impl ExtendedQueryHandler for QueryHandler {
    type Statement = Prepared;
    type QueryParser = StatementParser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        self.parser.clone()
    }

    /// As pgwire has it, but each portal gets a place of its own, and their number is bounded.
    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statement = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let name = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        let Some(Entry::Value(stored)) = client.portal_store().get_statement(statement) else {
            return bind_nothing(client, message).await;
        };
        portals_of(client).add(name).map_err(|error| fault(&error, ""))?;
        let own = match &stored.statement {
            Prepared::Read { sql, plan, .. } => {
                Prepared::Read { sql: sql.clone(), plan: plan.clone(), place: Arc::default() }
            }
            session => session.clone(),
        };
        let own = StoredStatement::new(stored.id.clone(), own, stored.parameter_types.clone());
        client.portal_store().put_portal(Arc::new(Portal::try_new(&message, Arc::new(own))?));
        client.send(PgWireBackendMessage::BindComplete(BindComplete::new())).await?;
        Ok(())
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) if matches!(portal.statement.statement, Prepared::Read { .. }) => portal,
            _ => return self._on_execute(client, message).await,
        };
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        // 0 is no limit, and so is a negative number.
        let rows_max = usize::try_from(message.max_rows).ok().filter(|rows| *rows > 0);
        let _watched = self.stalls.watch(self.engine.limits().time_max);
        cancelable(client, async |client| self.fetch(client, &portal, rows_max).await).await?;
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        match message.target_type {
            TARGET_TYPE_BYTE_PORTAL => {
                client.portal_store().rm_portal(name);
                portals_of(client).remove(name);
            }
            _ => client.portal_store().rm_statement(name),
        }
        client.send(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?;
        Ok(())
    }

    /// Outside a transaction block a portal lives until here, as PostgreSQL has it. Inside one it lives on: pgwire would
    /// remove the unnamed one.
    async fn on_sync<C>(&self, client: &mut C, _message: PgSync) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let status = client.transaction_status();
        if status != TransactionStatus::Transaction {
            forget_portals(client);
        }
        send_ready_for_query(client, status).await
    }

    /// Answers statements of the session; a read goes through `fetch`.
    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match &portal.statement.statement {
            Prepared::Session(statement) => statement.answer(client).await,
            Prepared::Read { .. } => Ok(Response::EmptyQuery),
        }
    }
}

#[async_trait]
impl QueryParser for StatementParser {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<Self::Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut prepared = self.prepare(sql).await.map_err(|error| fault(&error, sql))?;
        if prepared.len() > 1 {
            let error = QueryError::new(ErrorKind::Syntax, "a prepared statement is one statement");
            return Err(fault(&error, sql));
        }
        Ok(prepared.pop())
    }

    fn get_parameter_types(&self, statement: &Self::Statement) -> PgWireResult<Vec<Type>> {
        match statement {
            Prepared::Session(_) => Ok(Vec::new()),
            Prepared::Read { plan, .. } => Ok(parameter_types(plan)?.into_iter().map(|(wire, _)| wire).collect()),
        }
    }

    fn get_result_schema(&self, statement: &Self::Statement, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        match statement {
            Prepared::Session(statement) => Ok(statement.fields()),
            Prepared::Read { plan, .. } => {
                arrow_schema_to_pg_fields(plan.schema().as_arrow(), format.unwrap_or(&Format::UnifiedText), None)
            }
        }
    }
}
