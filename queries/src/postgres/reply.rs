//! Answers and errors in the protocol's terms.

use std::sync::Arc;

use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{QueryResponse, Response};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::data::DataRow;
use datafusion_postgres::pgwire::types::format::FormatOptions;

use crate::error::QueryError;
use crate::result::QueryResult;

/// The rows of an answer, encoded as they are sent.
pub(super) fn reply<C: ClientInfo>(result: QueryResult, format: &Format, client: &C) -> PgWireResult<Response> {
    let options = Arc::new(FormatOptions::from_client_metadata(client.metadata()));
    let fields = Arc::new(arrow_schema_to_pg_fields(&result.schema, format, Some(options))?);
    let heads = fields.clone();
    let QueryResult { batches, memory, .. } = result;
    let rows = batches.into_iter().flat_map(move |batch| {
        // The rows' memory stays accounted for until the last of them is sent.
        let _held = &memory;
        let rows: Box<dyn Iterator<Item = PgWireResult<DataRow>> + Send + Sync> =
            encode_recordbatch(heads.clone(), batch);
        rows
    });
    Ok(Response::Query(QueryResponse::new(fields, futures::stream::iter(rows))))
}

/// The warnings of an answer.
pub(super) fn notices(result: &QueryResult) -> impl Iterator<Item = ErrorInfo> {
    result.warnings.iter().map(|warning| notice(warning))
}

/// One warning.
pub(super) fn notice(warning: &str) -> ErrorInfo {
    ErrorInfo::new("WARNING".to_owned(), "01000".to_owned(), warning.to_owned())
}

/// An error as the client shows it, with a mark under the position in its text.
pub(super) fn fault(error: &QueryError, sql: &str) -> PgWireError {
    let mut info = ErrorInfo::new("ERROR".to_owned(), error.kind.sqlstate().to_owned(), error.message.clone());
    info.hint.clone_from(&error.hint);
    info.position = error.position.filter(|_| !sql.is_empty()).map(|position| position.offset(sql).to_string());
    PgWireError::UserError(Box::new(info))
}

/// Nothing runs in a transaction after an error, until it ends.
pub(super) fn transaction_aborted() -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "ERROR".to_owned(),
        "25P02".to_owned(),
        "current transaction is aborted, commands ignored until end of transaction block".to_owned(),
    )))
}
