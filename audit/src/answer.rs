//! Answers to the audit's queries, from Arrow to what was observed.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::ipc::reader::StreamReader;
use serde::Serialize;
use tollgate_account::Account;

use crate::error::{AuditError, SourceError};
use crate::observed::Observed;

/// What the warning begins with that comes with an answer whose rows were cut off.
const CUT_WARNING: &str = "the answer has more rows";

/// The table, asked through the HTTP API of the queries.
pub trait Table {
    /// The answer of `GET /v1/table`, JSON.
    ///
    /// # Errors
    /// The table does not answer.
    fn contents(&self) -> Result<Vec<u8>, SourceError>;

    /// The answer to a query.
    ///
    /// # Errors
    /// The table does not answer, or refuses the query.
    fn query(&self, sql: &str) -> Result<Answer, SourceError>;
}

/// Rows, and what a reader must know about them.
pub struct Answer {
    /// The rows, an Arrow IPC stream.
    pub rows: Vec<u8>,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// What the reading cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Queries asked.
    pub queries: usize,
    /// Rows of the table that were looked at, those around the range too.
    pub rows: u64,
}

/// Asks a query, and answers all of its rows or an error.
pub(crate) fn ask(table: &dyn Table, sql: &str, cost: &mut Cost) -> Result<Vec<RecordBatch>, AuditError> {
    cost.queries += 1;
    let answer = table.query(sql).map_err(|source| AuditError::Unanswered { asked: "asking the table", source })?;
    if let Some(cut) = answer.warnings.into_iter().find(|warning| warning.starts_with(CUT_WARNING)) {
        return Err(AuditError::TooManyProducers(cut));
    }
    let batches = StreamReader::try_new(answer.rows.as_slice(), None)?;
    Ok(batches.collect::<Result<_, _>>()?)
}

/// The columns of an answer, by name.
pub(crate) struct Columns<'b>(pub &'b RecordBatch);

impl Columns<'_> {
    fn column(&self, name: &str) -> Result<&dyn Array, AuditError> {
        let column = self.0.column_by_name(name).map(AsRef::as_ref);
        column.ok_or_else(|| AuditError::Column(format!("the answer has no column {name}")))
    }

    pub(crate) fn number(&self, name: &str, row: usize) -> Result<Option<i64>, AuditError> {
        let column = self.column(name)?.as_primitive_opt::<Int64Type>();
        let column = column.ok_or_else(|| AuditError::Column(format!("{name} is no number")))?;
        Ok(column.is_valid(row).then(|| column.value(row)))
    }

    pub(crate) fn producer(&self, row: usize) -> Result<String, AuditError> {
        let producers = self.column("producer")?.as_string_opt::<i32>();
        let producers = producers.ok_or_else(|| AuditError::Column("producer is no text".to_owned()))?;
        Ok(producers.value(row).to_owned())
    }

    fn newest(&self, row: usize) -> Result<Option<i64>, AuditError> {
        let newest = self.column("newest")?.as_primitive_opt::<TimestampMicrosecondType>();
        let newest = newest.ok_or_else(|| AuditError::Column("newest is no time".to_owned()))?;
        Ok(newest.is_valid(row).then(|| newest.value(row)))
    }

    /// Rows of the table behind this row of the answer.
    pub(crate) fn rows_read(&self, row: usize) -> Result<u64, AuditError> {
        Ok(self.number("read", row)?.unwrap_or(0).max(0) as u64)
    }

    /// What a row of [`crate::sql::observed`] says.
    pub(crate) fn observed(&self, row: usize) -> Result<Observed, AuditError> {
        Ok(Observed {
            account: Account::read(self.column("account")?, row)
                .map_err(|error| AuditError::Column(error.to_string()))?,
            before: self.number("before_seq", row)?,
            first: self.number("first_seq", row)?,
            last: self.number("last_seq", row)?,
            settled: self.number("settled_seq", row)?,
            newest_us: self.newest(row)?,
        })
    }
}
