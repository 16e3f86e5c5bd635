//! Warnings and errors in the protocol's terms.

use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

use crate::error::QueryError;

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
