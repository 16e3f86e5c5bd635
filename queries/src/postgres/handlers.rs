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
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::results::{FieldInfo, Response};
use datafusion_postgres::pgwire::api::stmt::QueryParser;
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, ConnectionManager, PgWireServerHandlers, Type};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use futures::{Sink, SinkExt};

use super::parameters::{bound, parameter_types};
use super::reply::{fault, notices, reply, transaction_aborted};
use super::session::{SessionStatement, statement_timeout};
use crate::engine::Engine;
use crate::error::{ErrorKind, QueryError};

/// All handlers of one server.
pub(super) struct PgHandlers {
    queries: Arc<QueryHandler>,
    startup: Arc<Startup>,
    cancel: Arc<DefaultCancelHandler>,
}

impl PgHandlers {
    pub fn new(engine: Arc<Engine>) -> Self {
        let connections = Arc::new(ConnectionManager::new());
        Self {
            queries: Arc::new(QueryHandler { engine: engine.clone(), parser: Arc::new(StatementParser { engine }) }),
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
    Read { sql: String, plan: Box<LogicalPlan> },
}

struct QueryHandler {
    engine: Arc<Engine>,
    parser: Arc<StatementParser>,
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
                None => Prepared::Read { sql: sql.to_owned(), plan: Box::new(self.engine.plan(parsed).await?) },
            });
        }
        Ok(prepared)
    }
}

impl QueryHandler {
    async fn read<C>(&self, client: &mut C, sql: &str, plan: LogicalPlan, format: &Format) -> PgWireResult<Response>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if client.transaction_status() == TransactionStatus::Error {
            return Err(transaction_aborted());
        }
        let result = self.engine.run(plan, sql, statement_timeout(client)).await;
        let result = result.map_err(|error| fault(&error, sql))?;
        for notice in notices(&result) {
            client.send(PgWireBackendMessage::NoticeResponse(notice.into())).await?;
        }
        reply(result, format, client)
    }
}

#[async_trait]
impl SimpleQueryHandler for QueryHandler {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let prepared = self.parser.prepare(query).await.map_err(|error| fault(&error, query))?;
        let mut responses = Vec::with_capacity(prepared.len().max(1));
        for statement in prepared {
            responses.push(match statement {
                Prepared::Session(statement) => statement.answer(client).await?,
                Prepared::Read { sql, plan } => self.read(client, &sql, *plan, &Format::UnifiedText).await?,
            });
        }
        if responses.is_empty() {
            responses.push(Response::EmptyQuery);
        }
        Ok(responses)
    }
}

#[async_trait]
impl ExtendedQueryHandler for QueryHandler {
    type Statement = Prepared;
    type QueryParser = StatementParser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        self.parser.clone()
    }

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
            Prepared::Read { sql, plan } => {
                let plan = bound(plan, portal)?;
                self.read(client, sql, plan, &portal.result_column_format).await
            }
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
